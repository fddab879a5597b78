"""A Ctrl-C waits while C++ runs that an exception cannot leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["held"]


@contextmanager
def held() -> Iterator[None]:  # decision 393
    """While this lasts, a Ctrl-C waits for its end, whoever handles it: in the middle of PyROOT's own C++ KeyboardInterrupt
    is a crash, and in a function of ours that C calls ctypes drops it, and goes on with what was given by then."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):  # no exception comes of it here
        yield
        return
    presses: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *press: presses.append(press))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if presses:
            handler(*presses[0])
