"""Which process a driver is, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

import psutil

__all__ = ["describe", "lives"]

CLOCK_S = 2.0  # by which the time of a process's start may move: it is told from that of the machine's


def describe() -> dict[str, Any]:
    """Describe this process (``host``, ``pid``, ``pid_began`` in Unix seconds, ``pids``: the namespace of its number), so
    that another one can tell whether it still lives."""
    began = psutil.Process().create_time()
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_began": began, "pids": _namespace()}


def lives(driver: dict[str, Any]) -> bool | None:
    """Return whether the process that ``describe`` described still runs; None if it ran on another machine, or in another
    container, whose processes have numbers of their own."""
    if driver.get("host") != socket.gethostname() or driver.get("pids", _namespace()) != _namespace():
        return None
    try:
        return bool(abs(psutil.Process(int(driver["pid"])).create_time() - float(driver["pid_began"])) <= CLOCK_S)
    except psutil.NoSuchProcess:
        return False


def _namespace() -> str:
    with contextlib.suppress(OSError):  # not on every system
        return os.readlink("/proc/self/ns/pid")
    return ""
