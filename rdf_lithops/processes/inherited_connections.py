"""Connections that a forked process shares with its parent: each request needs one that is nobody else's."""

from __future__ import annotations

import contextlib
import os
import socket
import stat

__all__ = ["leave_inherited"]

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def leave_inherited() -> None:  # decision 65
    """Have this process's clients connect anew: each connection of its parent looks closed by the other side.

    To be called in a process that was just forked. The parent's own connections are untouched. Clients that find theirs
    closed open another one, as they do after a server's time-out.
    """
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own descriptor is gone
            if stat.S_ISSOCK(os.stat(int(name)).st_mode) and _is_connected(int(name)):
                _replace(int(name))


def _is_connected(descriptor: int) -> bool:
    """Return whether ``descriptor`` is one end of a TCP connection, to a service for instance; no pipe or Unix socket."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in _FAMILIES or copy.type != socket.SOCK_STREAM:
            return False
        with contextlib.suppress(OSError):  # not connected: it listens, or is not used yet
            copy.getpeername()
            return True
    return False


def _replace(descriptor: int) -> None:
    ours, other = socket.socketpair()
    other.close()
    os.dup2(ours.fileno(), descriptor, inheritable=False)
    ours.close()
