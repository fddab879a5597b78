"""Find or start the warm ROOT process of this user on this machine, and hand a request to it. Knows nothing of ROOT."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

from .. import _version
from ..compiled import header_paths
from . import wire
from .beats import Pulse, Stalled, is_stopped

__all__ = [
    "WarmProcessDied",
    "WarmProcessUnavailable",
    "ask_ahead",
    "connected",
    "folder_for",
    "hold",
    "inherited",
    "kept_folder",
    "let_go",
    "reap",
    "request",
    "start",
    "tell_restored",
    "wait_until_warm",
]

START_LIMIT_S = 60.0  # from exec to a listening socket; ROOT itself comes up behind it
END_LIMIT_S = 0.5
_OF_A_TERMINAL = {"_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL", "TERM", "WINDOWID"}
LOG_TAIL_BYTES = 4000
RENEWAL_LIMIT_S = 5.0
_started: dict[tuple[str, str], subprocess.Popen[bytes]] = {}  # by folder and module


HOMES = {  # the modules that are processes: by name alone, as the far side is nothing that this one may import
    "build": "compiled.build",
    "prefork": "worker.start.prefork",
    "reader": "files.reader",
    "parent": "worker.root.parent",
}


class WarmProcessUnavailable(Exception):
    """No warm ROOT process can be kept here (no writable folder, no Unix sockets, ROOT does not start); its text says
    why."""


class WarmProcessDied(Exception):
    """The ROOT process ended while it served a request.

    ``how`` says how, ``log_tail`` is the end of what it printed. ``kind`` is "died", "hung" (it was ended because it stood
    still) or "memory" (the kernel took it, or it found no more).
    """

    def __init__(self, how: str, log_tail: str, kind: str = "died") -> None:
        super().__init__(how, log_tail, kind)
        self.how = how
        self.log_tail = log_tail
        self.kind = kind

    def __str__(self) -> str:
        return self.how


def folder_for(preferred: str | None) -> str:
    """Return the private folder (0700, ours) in which to meet: ``preferred`` where this machine has it, else one per user.

    The folder per user depends on the interpreter and our version, so that an upgrade never talks to an old process. Raises
    WarmProcessUnavailable for a folder that others may write to.
    """
    if preferred is not None and os.path.isdir(preferred):
        return _private(preferred)
    return _private(_made_for())


inherited: dict[str, str] = {}  # what processes that this one has started found in their environment


def kept_folder(settings: dict[str, Any]) -> str:  # decision 83
    """Return a folder as ``folder_for`` does, for a process on a driver's machine that only such programs meet as would
    start the same one.

    What makes a difference: all variables of the environment but those of a terminal, the ``settings`` of the process, and
    when ROOT and we were installed.
    """
    variables = sorted(item for item in os.environ.items() if item[0] not in _OF_A_TERMINAL and "LITHOPS" not in item[0])
    root = importlib.util.find_spec("ROOT")
    homes = [*_folders_of_ours(), *((root and root.submodule_search_locations) or ())]
    return _private(_made_for(variables, sorted(settings.items()), *map(_last_changed, homes)))


def _folders_of_ours() -> list[str]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [place for place, _, _ in os.walk(package) if not place.endswith("__pycache__")]  # Python writes there at will


def _last_changed(folder: str) -> int:
    """Return when a file of ``folder`` was last written, in nanoseconds."""
    with os.scandir(folder) as entries:
        return max((entry.stat().st_mtime_ns for entry in entries if entry.is_file()), default=0)


def _made_for(*distinct: Any) -> str:
    key = hashlib.sha256(repr((sys.executable, sys.version, _version.__version__, *distinct)).encode()).hexdigest()[:12]
    folder = os.path.join(tempfile.gettempdir(), f"rdf_lithops-{os.getuid()}-{key}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    return folder


def _private(folder: str) -> str:
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise WarmProcessUnavailable(f"{folder} is not a private folder of this user")
    return folder


def start(
    folder: str, settings: dict[str, Any] | None = None, module: str = "parent", stdin: int = subprocess.DEVNULL
) -> None:
    """Start the process for ``folder`` unless one lives; returns at once, ROOT comes up in the background."""
    given = [f"--{name}={value}" for name, value in (settings or {}).items()]
    reap(folder, module)
    with open(os.path.join(folder, _log_of(module)), "ab") as log:
        _started[folder, module] = run_module(module, [folder, *given], log, stdin)


def _log_of(module: str) -> str:
    return "root.log" if module == "parent" else f"{module}.log"


def _lock_of(module: str) -> str:
    return "root.lock" if module == "parent" else f"{module}.lock"


def let_go(folder: str) -> None:
    """Forget the processes that this one started for ``folder``, if any: they may go on when this one ends."""
    for key in [key for key in _started if key[0] == folder]:
        process = _started.pop(key)
        if process.poll() is None:
            process.returncode = 0  # or Python warns that nobody waits for it


def reap(folder: str, module: str = "parent") -> None:
    """Wait for the process that this one started for ``folder``, if any, and kill it if it does not end: it holds
    nothing."""
    process = _started.pop((folder, module), None)
    if process is not None:
        try:
            process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:  # it compiles its warm-up, and listens when that is done; its slots die with it
            process.kill()
            process.wait()


def run_module(name: str, arguments: list[str], log: Any, stdin: int) -> subprocess.Popen[bytes]:
    """Start the module that ``HOMES`` calls ``name`` as a process of its own session that outlives this task."""
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    search = [package_parent, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    # a safe path keeps the working folder out of the search: a user's ROOT.py must not be what comes up
    inherited.update(os.environ)
    environment = {
        **os.environ,
        **header_paths.known(),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(search)),
        "PYTHONSAFEPATH": "1",
        "RDF_LITHOPS_WORKER": "1",
    }
    # a graph is compiled once and looped over often: 10 % more of the one for 10 % less of the other
    environment.setdefault("EXTRA_CLING_ARGS", "-O2")
    for variable in ("LITHOPS_WORKER", "LITHOPS_CONFIG"):  # of the task that happens to start it
        environment.pop(variable, None)
    command = [sys.executable, "-m", f"rdf_lithops.{HOMES[name]}", *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=log, stderr=log, start_new_session=True, env=environment)


def connected(
    folder: str, settings: dict[str, Any] | None, module: str = "parent", name: str = wire.SOCKET_NAME
) -> Connection[Any, Any]:
    """Connect to the process ``module`` of ``folder``, starting it first where there is none; one starter at a time."""
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        return wire.connect(folder, name)
    with _alone(folder, module):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return wire.connect(folder, name)
        begun = _started.get((folder, module))
        if begun is None or begun.poll() is not None:
            start(folder, settings, module)
        return _wait_for(folder, settings, module, name)


@contextlib.contextmanager
def _alone(folder: str, module: str) -> Iterator[None]:
    """While this lasts, nobody else starts a process of ``folder``."""
    try:
        with open(os.path.join(folder, "start.lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise WarmProcessUnavailable(f"cannot start {module} in {folder}: {error}") from error


def _wait_for(folder: str, settings: dict[str, Any] | None, module: str, name: str) -> Connection[Any, Any]:
    """Connect once somebody listens: the process that was started, or one that was there when it came.

    That one may have been ending: then another is started, once. One that failed is not waited for.
    """
    deadline, again = time.monotonic() + START_LIMIT_S, True
    while True:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return wire.connect(folder, name)
        begun = _started.get((folder, module))
        code = None if begun is None else begun.poll()
        alone = code == 0 and not _is_locked(os.path.join(folder, _lock_of(module)))
        if alone and again:
            again = False
            start(folder, settings, module)
        elif code or alone or time.monotonic() > deadline:
            how = f"no {module} listens after {START_LIMIT_S} s" if code is None else f"{module} ended at its start ({code})"
            raise WarmProcessUnavailable(f"{how}: {log_tail(os.path.join(folder, _log_of(module)))}")
        time.sleep(0.005)


def _is_locked(path: str) -> bool:
    """Return whether a process holds this lock, as one does that serves a folder, is about to, or is ending."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def hold(folder: str, settings: dict[str, Any]) -> Connection[Any, Any]:  # decision 75
    """Keep the process of ``folder`` alive until the returned connection is closed or its owner dies.

    One that has to be started first gets the other end as its standard input: nobody waits until it listens.
    """
    with _alone(folder, "parent"):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            connection = wire.connect(folder)
            wire.send(connection, {"op": "hold"})
            return connection
        ours, theirs = socket.socketpair()
        with theirs:
            start(folder, {**settings, "held": 1}, stdin=theirs.fileno())
        return Connection(ours.detach())


def ask_ahead(
    folder: str, lease: dict[str, Any], message: Mapping[str, Any], blobs: list[bytes]
) -> contextlib.closing[socket.socket]:
    """Send a request whose reply nobody waits for; return at once. Closing what is returned calls an unfinished one off."""
    ours, theirs = socket.socketpair()
    threading.Thread(target=_see_through, args=(theirs, folder, lease, message, blobs), daemon=True).start()
    return contextlib.closing(ours)


def _see_through(
    caller: socket.socket, folder: str, lease: dict[str, Any], message: Mapping[str, Any], blobs: list[bytes]
) -> None:
    """Make the request once somebody listens, and end when it is answered, or when either side is gone."""
    with caller, contextlib.suppress(EOFError, OSError), _when_it_listens(caller, folder) as connection:
        wire.send(connection, {**lease, "op": "lease"})
        wire.send(connection, message, *blobs)
        while caller not in (ready := wait([connection, caller])) and ready:
            if "event" not in wire.receive(connection)[0]:
                return


def _when_it_listens(caller: socket.socket, folder: str) -> Connection[Any, Any]:
    """Connect to a process that may be coming up; raises EOFError when ``caller`` has gone away before."""
    while not wait([caller], 0.005):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return wire.connect(folder)
    raise EOFError


def wait_until_warm(folder: str, limit_s: float) -> str | None:
    """Wait until the process of ``folder`` has done its warm-up; return ROOT's version, or None after ``limit_s``.

    Raises WarmProcessDied, WarmProcessUnavailable.
    """
    try:
        with connected(folder, None) as connection:
            wire.send(connection, {"op": "watch"})
            if not connection.poll(limit_s):
                return None
            reply = wire.receive(connection)[0]
            if reply["reply"] == "error":
                raise WarmProcessDied(reply["why"], reply["traceback"])
            return str(reply["root"])
    except (EOFError, OSError) as error:
        raise WarmProcessDied("the warm ROOT process ended", log_tail(os.path.join(folder, "root.log"))) from error


def tell_restored(folder: str, variables: dict[str, str]) -> None:
    """Tell the process of ``folder`` that it is a copy of a snapshot, whose environment has ``variables`` from now on, and
    wait until it has randomness of its own. Starts none. Raises WarmProcessDied, WarmProcessUnavailable."""
    try:
        with wire.connect(folder) as connection:
            wire.send(connection, {"op": "restored", "variables": variables})
            if not connection.poll(RENEWAL_LIMIT_S):
                raise WarmProcessDied(f"it did not answer within {RENEWAL_LIMIT_S} s", "", "hung")
            wire.receive(connection)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise WarmProcessUnavailable(str(error)) from error
    except (EOFError, OSError) as error:
        raise WarmProcessDied("it ended", log_tail(os.path.join(folder, "root.log"))) from error


def request(
    folder: str,
    lease: dict[str, Any],
    message: Mapping[str, Any],
    blobs: list[bytes],
    pulse: Pulse | None = None,
    more: Iterable[bytes] = (),
) -> tuple[dict[str, Any], list[bytes]]:
    """Send one request, wait for its reply and return it with its blobs.

    Meanwhile ``pulse`` is ticked, and ``more`` is sent batch by batch as the process asks for the next. ``lease`` says which
    process will do, by the digests ``payload`` and ``graph``; ``settings`` go to one that has to be started. If this process
    dies meanwhile, the ROOT process that works for it is killed. Raises WarmProcessDied, WarmProcessUnavailable.
    """
    with contextlib.nullcontext() if pulse is None else pulse.beating():  # a busy machine takes its time to start one
        connection = connected(folder, lease.get("settings"))
    kills_before, coming = _memory_kills(), wire.batches(more)
    try:
        if pulse is not None:
            pulse.ask(parent := wire.peer_process(connection))
            while is_stopped(parent):  # it would take no more of the message than fits into the socket
                pulse.tick()
                time.sleep(min(0.1, pulse.every_s))
        wire.send(connection, {**lease, "op": "lease"})
        wire.send(connection, message, *blobs)
        while True:
            while pulse is not None and not connection.poll(pulse.every_s):
                pulse.tick()
            with contextlib.nullcontext() if pulse is None else pulse.beating():
                reply, reply_blobs = wire.receive(connection)
            if "event" not in reply:
                break
            if reply["event"] == "next":
                if pulse is not None:  # it may ask more often than beats are due, and nothing else is heard of it
                    pulse.tick()
                with contextlib.nullcontext() if pulse is None else pulse.beating():
                    wire.send(connection, {}, *next(coming))
            elif pulse is not None:
                pulse.meet(reply["pid"], reply["counter"], reply.get("is_others", False))
    except Stalled as stalled:  # closing the connection has the process killed
        if stalled.other:  # the parent, which could not kill any, and would answer nobody; or one that compiles
            with contextlib.suppress(ProcessLookupError):
                os.kill(stalled.other, signal.SIGKILL)
            raise WarmProcessDied(str(stalled), log_tail(os.path.join(folder, "root.log"))) from None
        raise WarmProcessDied(str(stalled), log_tail(os.path.join(folder, "root.log")), "hung") from None
    except (EOFError, OSError) as error:
        tail = log_tail(os.path.join(folder, "root.log"))
        raise WarmProcessDied(f"the warm ROOT process vanished ({type(error).__name__})", tail) from error
    finally:
        connection.close()
    if reply["reply"] == "died":
        no_memory = "bad_alloc" in reply["log_tail"] or ("SIGKILL" in reply["how"] and _memory_kills() > kills_before)
        raise WarmProcessDied(reply["how"], reply["log_tail"], "memory" if no_memory else "died")
    return reply, reply_blobs


def _memory_kills() -> int:
    """Return how many processes the kernel of this machine has killed because memory ran out."""
    with contextlib.suppress(OSError), open("/proc/vmstat") as vmstat:
        return next((int(line.split()[1]) for line in vmstat if line.startswith("oom_kill ")), 0)
    return 0


def log_tail(path: str, start: int = 0) -> str:
    """Return the last few kilobytes that a ROOT process printed, from byte ``start`` on; empty where there is no log."""
    try:
        with open(path, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(start, log.tell() - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""
