"""Freeze a process, and make copies of it that know nothing of it: what a snapshot of a machine does, without the machine.

A copy is a fork that runs none of Python's and the C library's hooks for forks (Python would seed ``random`` anew, and a
snapshot does not), with the same process id in a namespace of its own, and the same path to temporary files, mounted from a
folder of its own. What a fork would share with others is made anew under the same descriptor: listening and paired sockets,
epolls, open files with their positions and locks. A connection to elsewhere cannot be, nor a second
thread: both are errors.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import sys
from typing import Any

__all__ = ["FREEZE", "freeze"]

FREEZE = signal.SIGRTMIN + 9
ORDERS = "RDF_LITHOPS_STANDIN_ORDERS"
_SYS_CLONE3, _NEWNS, _NEWPID = 435, 0x00020000, 0x20000000
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_libc = ctypes.PyDLL(None, use_errno=True)  # which holds Python's lock: a copy has it, too


_CLONE_FIELDS = (
    *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls"),
    *("set_tid", "set_tid_size", "cgroup"),
)


class _CloneArguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in _CLONE_FIELDS]


def freeze() -> None:
    """Serve orders for copies, for good; return in each copy."""
    orders = socket.socket(socket.AF_UNIX)
    orders.connect(os.environ[ORDERS])
    threads = os.listdir("/proc/self/task")
    hello: dict[str, Any] = {"pid": os.getpid(), "connections": _connections(), "threads": len(threads)}
    orders.sendall(json.dumps(hello).encode() + b"\n")
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, 65536, 8)
        if not data:
            os._exit(0)  # the stand-in is gone
        order = json.loads(data)
        copy = _cloned(order["namespace"])
        if copy == 0:
            try:
                _become(orders, order, descriptors)
            except BaseException as error:
                print(f"the stand-in cannot restore a copy: {error!r}", file=sys.stderr, flush=True)
                os._exit(70)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        orders.sendall(json.dumps({"copy": copy}).encode() + b"\n")


def _connections() -> list[str]:
    """The connections over a network that are open here: no copy could have them."""
    found = []
    for fd, target in _descriptors():
        if target.startswith("socket:"):
            with socket.socket(fileno=os.dup(fd)) as plug:
                if plug.family != socket.AF_UNIX and not _listens(plug):
                    found.append(repr(plug))
    return found


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _cloned(namespace: str) -> int:
    """Fork into a namespace of process ids, with the id that this process has; 0 in the copy."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    target = os.open(namespace, os.O_RDONLY)
    _check(_libc.setns(target, _NEWPID))
    wanted = ctypes.c_int(os.getpid())
    arguments = _CloneArguments(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    copy = _libc.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    os.close(target)
    if copy:
        _check(_libc.setns(own, _NEWPID))
    os.close(own)
    return _check(copy)


def _become(orders: socket.socket, order: dict[str, Any], descriptors: list[int]) -> None:
    """In a copy: have files and sockets of one's own where the others have theirs."""
    orders.close()
    folder = os.getcwd()
    listening = _listeners()
    log, ready, *pairs = descriptors
    for fd in (1, 2):
        os.dup2(log, fd)
    os.close(log)
    _check(_libc.unshare(_NEWNS))
    _check(_libc.mount(b"none", b"/", None, _REC | _PRIVATE, None))
    _check(_libc.mount(order["files"].encode(), order["seen_as"].encode(), None, _BIND, None))
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None))
    os.chdir(folder)
    for fd, target in _descriptors():
        if target.startswith(order["seen_as"]):
            _reopen(fd, target)
    for fd, name in listening:
        _listen(fd, name)
    ours = [fd for fd in _paired() if fd not in pairs]
    for fd, pair in zip(ours, pairs, strict=True):
        os.dup2(pair, fd)
        os.close(pair)
    for fd, target in _descriptors():
        if target == "anon_inode:[eventpoll]":
            _watch_again(fd)
    os.environ.update(order["variables"])
    os.write(ready, b".")
    os.close(ready)


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


def _info(fd: int) -> list[str]:
    with open(f"/proc/self/fdinfo/{fd}") as stream:
        return stream.read().splitlines()


def _listens(plug: socket.socket) -> bool:
    return bool(plug.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _unix_sockets() -> list[tuple[int, bool, str]]:
    """Of each Unix socket whether it listens, and its name."""
    found = []
    for fd, target in _descriptors():
        if target.startswith("socket:"):
            with socket.socket(fileno=os.dup(fd)) as plug:
                if plug.family == socket.AF_UNIX:
                    found.append((fd, _listens(plug), os.path.basename(str(plug.getsockname()))))
    return sorted(found)


def _listeners() -> list[tuple[int, str]]:
    return [(fd, name) for fd, listens, name in _unix_sockets() if listens]


def _paired() -> list[int]:
    return [fd for fd, listens, name in _unix_sockets() if not listens and not name]


def _listen(fd: int, name: str) -> None:
    """Listen in the working folder, which is where the process that is copied listens."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    with socket.socket(socket.AF_UNIX) as anew:
        anew.bind(name)
        anew.listen(128)
        os.dup2(anew.fileno(), fd)


def _reopen(fd: int, path: str) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    info = _info(fd)
    position = int(info[0].split()[1])
    anew = os.open(path.removesuffix(" (deleted)"), flags & ~(os.O_CREAT | os.O_TRUNC | os.O_EXCL))
    with contextlib.suppress(OSError):
        os.lseek(anew, position, os.SEEK_SET)
    if any(line.startswith("lock:") for line in info):
        fcntl.flock(anew, fcntl.LOCK_EX | fcntl.LOCK_NB)
    inheritable = os.get_inheritable(fd)
    os.dup2(anew, fd, inheritable)
    os.close(anew)


def _watch_again(fd: int) -> None:
    """An epoll of one's own that watches what the copied one does."""
    watched = [line.split() for line in _info(fd) if line.startswith("tfd:")]
    with contextlib.closing(select.epoll()) as anew:
        for fields in watched:
            anew.register(int(fields[1]), int(fields[3], 16) & 0xFFFF)
        os.dup2(anew.fileno(), fd, False)
