"""A Ctrl-C that nobody drops: in a finaliser, or where C++ calls Python, an exception ends and the program goes on.

While a run lasts, Python's own handler of SIGINT is wrapped: KeyboardInterrupt is raised as ever, and noted; whoever polls
asks ``check``, which raises it again if the run goes on as if nothing had been. Another handler than Python's own, and runs
in other threads than the main one, which get no signals, are left alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["check", "heard"]

_pressed = threading.Event()


def _note(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    signal.default_int_handler(number, frame)


@contextmanager
def heard() -> Iterator[None]:
    """While this lasts, Ctrl-C is noted; KeyboardInterrupt at its end if one was dropped. The handler is put back."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) not in (
        signal.default_int_handler,
        _note,
    ):
        yield
        return
    is_outermost = signal.signal(signal.SIGINT, _note) is not _note
    try:
        yield
        check()
    finally:
        if is_outermost:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _pressed.clear()


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and the exception was dropped; only the main thread is interrupted."""
    if _pressed.is_set() and threading.current_thread() is threading.main_thread():
        _pressed.clear()
        raise KeyboardInterrupt
