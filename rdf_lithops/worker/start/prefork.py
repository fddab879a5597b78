"""A Python that has imported what a Lithops worker imports, and forks a child for each command that it is sent.

On localhost Lithops starts a fresh interpreter per job, of which 0.25 s are imports; a fork of this process has them. The
child gets the command's own standard streams, folder, environment and process group. Knows nothing of Lithops: the
modules to import are arguments. It lives as long as its standard input stays open.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import types
from typing import NoReturn

from ...processes import wire
from ...processes.beats import die_with_parent

__all__ = ["BEGUN", "ENDED", "FORMAT", "SOCKET_NAME", "main"]

SOCKET_NAME = "run.sock"
FORMAT = "!ci"  # of what is said of a child: a letter, and a number
BEGUN, ENDED = b"P", b"S"  # its process, which leads a group of its own; its exit status, or minus the signal


def main() -> None:
    """``python -m rdf_lithops.worker.start.prefork FOLDER MODULE...``: serve FOLDER until standard input ends."""
    folder, modules = sys.argv[1], sys.argv[2:]
    os.umask(0o077)
    os.chdir(folder)  # the one in which it was started may be deleted
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    listener = wire.listen(folder, SOCKET_NAME)
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # a child that collects touches, and so copies, nothing of what it has from here
    running: dict[int, socket.socket] = {}  # child's process id: the launcher that waits for it
    try:
        _serve(listener, signals, running)
    finally:
        for child in running:
            _kill(child)
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, SOCKET_NAME))


def _serve(listener: socket.socket, signals: int, running: dict[int, socket.socket]) -> None:
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(signals, select.EPOLLIN)
    epoll.register(0, select.EPOLLHUP | select.EPOLLRDHUP)
    while True:
        for fd, _ in epoll.poll():
            if fd == 0:
                return
            if fd == listener.fileno():
                _start(listener, epoll, running)
            elif fd == signals:
                os.read(signals, 64)
                _reap(epoll, running)
            else:  # a launcher was killed: so is what it had us run
                child = next((pid for pid, plug in running.items() if plug.fileno() == fd), None)
                if child is not None:
                    _kill(child)
                    epoll.unregister(fd)


def _start(listener: socket.socket, epoll: select.epoll, running: dict[int, socket.socket]) -> None:
    plug, _ = listener.accept()
    descriptors: list[int] = []
    try:
        if wire.peer_user(plug) != os.getuid():
            raise PermissionError("another user's process")
        plug.settimeout(5.0)
        head, descriptors, _, _ = socket.recv_fds(plug, 4, 3)
        message = _read(plug, struct.unpack("!I", head)[0])
        plug.settimeout(None)
    except (OSError, struct.error):
        plug.close()
        return
    else:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _become(parent, plug, message, descriptors)
        running[child] = plug
        epoll.register(plug, select.EPOLLHUP | select.EPOLLRDHUP)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _read(plug: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = plug.recv(length - len(data))
        if not piece:
            raise ConnectionError("the launcher went away")
        data += piece
    return data


def _take_children_along() -> None:
    """Have what this process forks from its main thread, and what that forks, end with the one that forked it.

    A Lithops job's workers go on to the job's next calls when the process that started them is killed, and write objects
    that nobody expects any more.
    """
    forking: list[int] = []

    def note() -> None:
        in_main = threading.current_thread() is threading.main_thread()
        forking[:] = [os.getpid()] if in_main else []  # the signal comes when the thread ends, and others may end early

    def follow() -> None:
        if forking:
            die_with_parent(forking[0])

    os.register_at_fork(before=note, after_in_child=follow)


def _become(parent: int, plug: socket.socket, message: bytes, descriptors: list[int]) -> NoReturn:
    """Be the command: its streams, folder, environment, group and arguments; then run its script as ``__main__``."""
    code = 1
    try:
        os.setsid()
        with contextlib.suppress(OSError):  # whoever asked is gone: so are we, soon
            plug.sendall(struct.pack(FORMAT, BEGUN, os.getpid()))  # now that whoever kills our group kills us alone
        die_with_parent(parent)
        _take_children_along()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        os.closerange(3, max(descriptors) + 64)
        folder, count, *fields = [os.fsdecode(field) for field in message.split(b"\0")]
        os.chdir(folder)
        os.environ.clear()
        for field in fields[int(count) :]:
            name, _, value = field.partition("=")
            os.environ[name] = value
        sys.argv = fields[: int(count)]
        _run(sys.argv[0])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(Exception):
                stream.flush()  # type: ignore[union-attr]  # a stream may be None
        os._exit(code)


def _run(path: str) -> None:
    """A script as ``__main__``, whose compiled form is kept beside it: that takes longer than what it does."""
    code = importlib.machinery.SourceFileLoader("__main__", path).get_code("__main__")
    assert code is not None, "a source file has code"
    script = sys.modules["__main__"] = types.ModuleType("__main__")
    script.__file__ = path
    exec(code, vars(script))


def _reap(epoll: select.epoll, running: dict[int, socket.socket]) -> None:
    for child in list(running):
        done, status = os.waitpid(child, os.WNOHANG)
        if not done:
            continue
        if status != 0:  # what it had started must not go on without it
            _kill_group(child)
        plug = running.pop(child)
        with contextlib.suppress(OSError, FileNotFoundError):
            epoll.unregister(plug)
        with contextlib.suppress(OSError):
            plug.sendall(struct.pack(FORMAT, ENDED, os.waitstatus_to_exitcode(status)))
        plug.close()


def _kill(child: int) -> None:
    """Kill a child that was not reaped yet, and what it has started. One that was forked just now has no group so far."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _kill_group(child)


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
