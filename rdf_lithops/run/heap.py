"""What a program holds in memory when a run of many calls begins, which Python need not look through while it goes on."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

__all__ = ["MANY_CALLS", "set_aside"]

MANY_CALLS = 500  # of which the futures alone have Python look for garbage among all that there is


class _Aside:
    """Runs of this process that have the heap set aside: the first one does it, the last one takes it back."""

    def __init__(self) -> None:
        self._lock, self._runs, self._is_ours = threading.Lock(), 0, False

    def begin(self) -> None:
        with self._lock:
            self._runs += 1
            if self._runs == 1 and gc.isenabled() and gc.get_freeze_count() == 0:
                self._is_ours = True
                gc.freeze()

    def end(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs == 0 and self._is_ours:
                self._is_ours = False
                gc.unfreeze()


_ASIDE = _Aside()


@contextlib.contextmanager
def set_aside(calls: int) -> Iterator[None]:  # decision 396
    """Where a run has ``MANY_CALLS`` or more, garbage is looked for among what is made meanwhile alone; afterwards among
    all, as before. A program that has frozen objects itself, or collects none, is left alone."""
    if calls < MANY_CALLS:
        yield
        return
    _ASIDE.begin()
    try:
        yield
    finally:
        _ASIDE.end()
