"""Which process a driver is, and whether it still lives."""

from __future__ import annotations

import os
import socket
from typing import Any

import psutil

__all__ = ["describe", "lives"]


def describe() -> dict[str, Any]:
    """Describe this process (``host``, ``pid``, ``pid_began`` in Unix seconds), so that another one can tell whether it
    still lives."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_began": psutil.Process().create_time()}


def lives(driver: dict[str, Any]) -> bool | None:
    """Return whether the process that ``describe`` described still runs; None if it ran on another machine."""
    if driver.get("host") != socket.gethostname():
        return None
    try:
        return bool(psutil.Process(int(driver["pid"])).create_time() == driver["pid_began"])
    except psutil.NoSuchProcess:
        return False
