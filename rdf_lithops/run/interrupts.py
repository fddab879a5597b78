"""A Ctrl-C that nobody drops: in a finaliser, or where C++ calls Python, an exception ends and the program goes on.

While a run lasts, Python's own handler of SIGINT is wrapped: KeyboardInterrupt is raised as ever, and noted; whoever polls
asks ``check``, which raises it again if the run goes on as if nothing had been. Another handler than Python's own, and runs
in other threads than the main one, which get no signals, are left alone.

Runs that one caller has started in threads of their own (``at_once``) share a flag: whatever ends the wait for them raises
it, and each of them ends at its next ``check`` as if it had been interrupted itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

__all__ = ["POLL_S", "at_once", "check", "heard", "until"]

T = TypeVar("T")
POLL_S = 0.1
_presses: list[int] = []  # no Event, whose lock a second Ctrl-C in the middle of the first would wait for, for ever
_shared = threading.local()  # .flag: of the runs to which this thread's belongs


def _note(number: int, frame: FrameType | None) -> None:
    _presses.append(number)
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
            _presses.clear()


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and the exception was dropped (in the main thread), or if the runs to
    which this thread's belongs are to end."""
    flag: threading.Event | None = getattr(_shared, "flag", None)
    if flag is not None and flag.is_set():
        raise KeyboardInterrupt
    if _presses and threading.current_thread() is threading.main_thread():
        _presses.clear()
        raise KeyboardInterrupt


def at_once(tasks: Sequence[Callable[[], Any]]) -> list[Future[Any]]:
    """Run ``tasks`` in threads of their own until all have ended, well or not; if this is interrupted, they are too.

    It returns, and leaves with KeyboardInterrupt, when they have ended; a second one is not waited for.
    """
    flag, begun = threading.Event(), list[threading.Event]()
    pool = ThreadPoolExecutor(max(1, len(tasks)))
    try:
        with heard():
            futures = [pool.submit(_under, flag, begun, task) for task in tasks]
            while wait(futures, POLL_S).not_done:
                check()
        return futures
    except BaseException:
        flag.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for over in begun:  # the pool does not know a thread in whose start it was interrupted
            over.wait()


def _under(flag: threading.Event, begun: list[threading.Event], task: Callable[[], Any]) -> Any:
    over = threading.Event()
    begun.append(over)  # before the flag is looked at: either it is waited for, or it does nothing
    try:
        return until(flag, task)
    finally:
        over.set()


def until(flag: threading.Event, task: Callable[[], T]) -> T:
    """What ``task`` gives, in a thread other than the main one: its next ``check`` raises once ``flag`` is set."""
    _shared.flag = flag
    try:
        check()
        return task()
    finally:
        _shared.flag = None
