"""Waiting for what must come, with a limit: the test asserts what it was in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

LIMIT_S = 90.0  # on a quiet machine nothing that a test waits for takes a tenth of it
LOOK_S = 0.02

Value = TypeVar("Value")


def until(look: Callable[[], Value], limit_s: float = LIMIT_S) -> Value:
    """The first true value of ``look``; its last one where none comes in time."""
    deadline = time.monotonic() + limit_s
    while not (value := look()) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return value
