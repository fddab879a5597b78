"""What belongs to an executor ends with it: when the program ends, or when nobody holds the executor any more.

In a notebook each execution of the cell that makes an executor lets the one before go; without this it would keep its
processes until the kernel ends.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from ..compiled import signals

__all__ = ["release_with"]

logger = logging.getLogger(__name__)

EXIT_LIMIT_S = 10.0  # for what was let go just before the program ends
_endings: set[threading.Event] = set()


def release_with(executor: Any, close: Callable[[], None], before_exit: Callable[[Any], None]) -> None:
    """Call ``close`` once ``executor`` is gone, or when the program ends: then with ``before_exit(executor)`` behind it.

    ``close`` must not hold the executor. Lithops' own hook at exit, which holds it, is taken out and called behind ours.
    """
    own_hook = getattr(executor, "_clean_at_exit", None)
    if own_hook is not None:
        atexit.unregister(own_hook)
    at_exit = functools.partial(_end, os.getpid(), weakref.ref(executor), close, before_exit)
    atexit.register(at_exit)
    gone = weakref.finalize(executor, _let_go, os.getpid(), close, at_exit)
    gone.atexit = False


def _end(pid: int, executor: weakref.ref[Any], close: Callable[[], None], before_exit: Callable[[Any], None]) -> None:
    if os.getpid() != pid:  # a fork, which owns nothing of it  # decision 418
        return
    with contextlib.suppress(KeyboardInterrupt), signals.held():  # it ends, and what it would leave nobody would remove
        close()
        still = executor()
        if still is not None:
            before_exit(still)
            getattr(still, "_clean_at_exit", _nothing)()


def _nothing() -> None:
    """What a Lithops without such a hook does."""


def _let_go(pid: int, close: Callable[[], None], at_exit: Callable[[], None]) -> None:
    """Close in a thread: this runs wherever Python happens to collect, perhaps within somebody's lock."""
    atexit.unregister(at_exit)
    if os.getpid() != pid:
        return
    ended = threading.Event()
    _endings.add(ended)

    def run() -> None:
        try:
            close()
        except Exception as problem:
            logger.warning("an executor that nobody holds could not be closed: %r", problem)
        finally:
            _endings.discard(ended)
            ended.set()

    _thread.start_new_thread(run, ())  # a Thread takes a lock that whoever is interrupted may hold


@atexit.register
def _await_endings() -> None:
    with contextlib.suppress(RuntimeError):  # one ends just now
        for ended in set(_endings):
            ended.wait(EXIT_LIMIT_S)
