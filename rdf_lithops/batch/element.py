"""What runs on a node: the calls of one element of an array, and nothing that outlives them.

    python -m rdf_lithops.batch.element FOLDER ELEMENT

A parent that is small watches a child that runs Lithops' own worker. What the calls put on the node's disk lies in a folder
of the element; that folder, and every process that the calls started, are gone when the element ends: by itself, by the
scheduler's signal, or, if it was killed outright, when the next element begins on that node.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from typing import Any, NoReturn

__all__ = ["Told", "adopt_orphans", "claimed", "die_with", "end_all", "leave", "main", "on_signals", "run_calls", "sweep"]

PREFIX = "lithops-batch-"
LOCK = "element.lock"
PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)
END_S = 1.0  # from a polite signal to the other one
_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    """Run the element; returns its exit code."""
    submission, element = arguments[0], int(arguments[1])
    os.umask(0o077)
    scratch = os.environ.get("LITHOPS_BATCH_SCRATCH") or tempfile.gettempdir()
    sweep(scratch)
    own, lock = claimed(scratch)
    adopt_orphans()
    on_signals(leave)
    try:
        child = os.fork()
        if child == 0:
            _run(os.getppid(), submission, element, own)
        return _wait(child)
    except Told as told:
        return 128 + told.number
    finally:
        on_signals(signal.SIG_IGN)
        end_all()
        shutil.rmtree(own, ignore_errors=True)
        lock.close()


def on_signals(handler: Any) -> None:
    """What to do when the scheduler says that it is over."""
    for number in SIGNALS:
        signal.signal(number, handler)


def adopt_orphans() -> None:
    """Be the parent of all processes below this one that lose theirs."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have the kernel end this process when ``parent`` ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Told(BaseException):  # leaves main from wherever it is
    """The scheduler says that it is over."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def leave(number: int, frame: Any) -> NoReturn:
    print(f"lithops batch: the scheduler sent {signal.Signals(number).name}", file=sys.stderr, flush=True)  # noqa: T201
    raise Told(number)


def claimed(scratch: str) -> tuple[str, Any]:
    """A folder of this element on the node's disk, and the lock that says that it lives."""
    own = tempfile.mkdtemp(prefix=PREFIX, dir=scratch)
    lock = open(os.path.join(own, LOCK), "wb")  # noqa: SIM115  # its lock is what is wanted of it
    fcntl.flock(lock, fcntl.LOCK_EX)
    return own, lock


def sweep(scratch: str) -> None:
    """Remove what this user's elements left here that were killed outright."""
    with os.scandir(scratch) as entries:
        mine = [entry.path for entry in entries if entry.name.startswith(PREFIX) and _is_mine(entry)]
    for path in mine:
        try:
            with open(os.path.join(path, LOCK), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # it lives, is going, or has not locked yet
            continue


def _is_mine(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    return False


def _wait(child: int) -> int:
    """Wait for the child, and reap what it leaves to us meanwhile."""
    while True:
        done, status = os.wait()
        if done == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _descendants() -> list[int]:
    """Everything below this process: what lost its parent was given to us."""
    found, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children") as children:
                    new = [int(number) for number in children.read().split()]
                found += new
                todo += new
    return found


def end_all() -> None:
    """End all processes below this one, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_S
        while (there := _descendants()) and time.monotonic() < deadline:
            for pid in there:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.02)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _run(parent: int, submission: str, element: int, own: str) -> NoReturn:
    """In the child: be Lithops' worker for the element's calls."""
    code = 1
    try:
        die_with(parent)
        on_signals(signal.SIG_DFL)
        os.environ["TMPDIR"] = tempfile.tempdir = own  # where Lithops, and what it runs, put their files
        run_calls(submission, element)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run_calls(submission: str, element: int) -> None:
    """Have Lithops run the calls of an element, whose payload lies in the folder ``submission``."""
    with open(os.path.join(submission, "payload.json")) as stream:
        payload = json.load(stream)
    chunk = max(1, int(payload["chunksize"]))
    mine = slice(element * chunk, (element + 1) * chunk)
    variables = {name: os.environ.pop(f"LITHOPS_BATCH_{name}", "") for name in payload.pop("variables")}
    payload["call_ids"] = payload["call_ids"][mine]
    payload["data_byte_ranges"] = payload["data_byte_ranges"][mine]
    payload["extra_env"] = variables
    os.environ["__LITHOPS_ACTIVATION_ID"] = f"{os.environ.get('LITHOPS_BATCH_NAME', 'element')}-{element}"
    os.environ["__LITHOPS_BACKEND"] = payload["config"]["lithops"]["backend"]
    from .registry import register

    register()
    from lithops.utils import setup_lithops_logger
    from lithops.worker import function_handler

    setup_lithops_logger(payload["log_level"])
    function_handler(payload)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
