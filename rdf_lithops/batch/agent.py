"""What stays on each node of an allocation: a Python that has its imports behind it, and forks for each element.

    python -m rdf_lithops.batch.agent SOCKET READY MODULE...

What elements start and leave running (a process that waits for the next query, say) is kept as long as the allocation; it
is ended, and what lies on the node's disk removed, with the agent.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import traceback
from typing import Any, NoReturn

from . import element
from .registry import register

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Serve until the allocation ends."""
    path, ready, *modules = arguments
    os.umask(0o077)
    scratch = os.path.dirname(path)
    element.sweep(scratch)
    _sweep(scratch)
    own, lock = element.claimed(scratch)
    os.environ["TMPDIR"] = tempfile.tempdir = own
    element.adopt_orphans()
    element.on_signals(element.leave)
    try:
        register()
        for name in ("lithops.worker", *modules):
            importlib.import_module(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(128)
            with open(os.path.join(ready, socket.gethostname() + f"-{os.environ.get('SLURM_NODEID', '0')}"), "w"):
                pass
            _serve(listener)
    except element.Told as told:
        return 128 + told.number
    finally:
        element.on_signals(signal.SIG_IGN)
        element.end_all()
        with contextlib.suppress(OSError):
            os.unlink(path)
        shutil.rmtree(own, ignore_errors=True)
        lock.close()


def _sweep(scratch: str) -> None:
    """Remove the sockets of this user's agents that were killed outright: nobody listens on them."""
    for name in os.listdir(scratch):
        if name.startswith(f"lithops-agent-{os.getuid()}-"):
            with socket.socket(socket.AF_UNIX) as plug, contextlib.suppress(FileNotFoundError):
                try:
                    plug.connect(os.path.join(scratch, name))
                except ConnectionRefusedError:
                    os.unlink(os.path.join(scratch, name))


def _serve(listener: socket.socket) -> NoReturn:
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: dict[int, socket.socket] = {}  # child: the task that waits for it
    while True:
        watched: list[Any] = [listener, signals, *running.values()]
        ready, _, _ = select.select(watched, [], [])
        for plug in ready:
            if plug is listener:
                _start(listener, running)
            elif plug == signals:
                os.read(signals, 64)
            else:  # a task never speaks twice: it was killed, and so is what it had us run
                for child in [child for child, theirs in running.items() if theirs is plug]:
                    _kill(child)
        _reap(running)


def _start(listener: socket.socket, running: dict[int, socket.socket]) -> None:
    plug, _ = listener.accept()
    try:
        plug.settimeout(10.0)
        length = struct.unpack("!I", _read(plug, 4))[0]
        fields = [os.fsdecode(field) for field in _read(plug, length).split(b"\0")]
        plug.settimeout(None)
    except (OSError, struct.error):
        plug.close()
        return
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _become(parent, fields)
    running[child] = plug


def _read(plug: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = plug.recv(length - len(data))
        if not piece:
            raise ConnectionError("the task went away")
        data += piece
    return data


def _become(parent: int, fields: list[str]) -> NoReturn:
    """In the child: run an element, with the environment of the task that brought it."""
    code = 1
    try:
        os.setsid()
        element.die_with(parent)
        signal.set_wakeup_fd(-1)
        element.on_signals(signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        submission, number, *variables = fields
        _print_into(submission, number)
        own = os.environ["TMPDIR"]
        os.environ.clear()
        os.environ.update(dict(variable.split("=", 1) for variable in variables), TMPDIR=own, LITHOPS_WORKER="True")
        element.run_calls(submission, int(number))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _print_into(submission: str, number: str) -> None:
    """What an element prints goes where that of an array would."""
    log = os.open(os.path.join(submission, f"0-{number}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.closerange(3, 64 + log)


def _reap(running: dict[int, Any]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            plug = running.pop(child, None)
            if plug is None:  # an orphan of an element
                continue
            if status != 0:
                _kill(child)
            with contextlib.suppress(OSError):
                plug.sendall(struct.pack("!i", abs(os.waitstatus_to_exitcode(status))))
            plug.close()


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
