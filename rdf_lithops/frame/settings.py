"""ROOT's global settings that change results: those of the driver, wherever its ranges run.

A worker's processes serve several programs one after the other, so each run brings its own. Sumw2 is settled when a
histogram is booked, and travels with the action; overflows in statistics count when it is filled, and travel with the run.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..compiled import ours

__all__ = ["applied", "booking", "here", "note", "prepare", "seed"]

_lock = threading.Lock()  # what compiles in two threads at once crashes
_DEFAULTS: dict[str, Any] = {"stat_overflows": False, "random": "TRandom3"}


class _Settings:
    """ROOT's settings of this process, by way of ``instantiations/settings.h``."""

    def __init__(self) -> None:
        def compiled(name: str, result: Any, *arguments: Any) -> Any:
            return ours.function("settings", name, result, *arguments)

        self.stat_overflows = compiled("stat_overflows", ctypes.c_int)
        self.set_stat_overflows = compiled("set_stat_overflows", None, ctypes.c_int)
        self.sumw2 = compiled("sumw2", ctypes.c_int)
        self.set_sumw2 = compiled("set_sumw2", None, ctypes.c_int)
        self.seed_random = compiled("seed_random", None, ctypes.c_ulong)
        self.random_kind = compiled("random_kind", ctypes.c_char_p)
        self.use_random = compiled("use_random", ctypes.c_int, ctypes.c_char_p)


@functools.lru_cache(maxsize=1)
def _root() -> _Settings:
    return _Settings()


def here() -> dict[str, Any]:
    """The settings of this process that a run takes along, JSON-dumpable. Of several threads one at a time asks ROOT."""
    with _lock:
        known = _root()
        return {"stat_overflows": bool(known.stat_overflows()), "random": known.random_kind().decode()}


def prepare() -> None:
    """Have ready what this module calls, in the main thread: what Cling compiles elsewhere may crash."""
    here()


@contextmanager
def applied(settings: dict[str, Any] | None) -> Iterator[None]:  # decision 99
    """Have ``settings`` (what ``here`` gave; None: ROOT's own) in this block, and what was there before after it."""
    before = here()
    _set({**_DEFAULTS, **(settings or {})})
    try:
        yield
    finally:
        _set(before)


def _set(settings: dict[str, Any]) -> None:
    _root().set_stat_overflows(settings["stat_overflows"])
    if not _root().use_random(settings["random"].encode()):
        raise RuntimeError(f"gRandom is a {settings['random']} on the driver, which is no class here")


def seed(number: int) -> None:
    """Seed the generator in use, whichever it is: PyROOT may still know another."""
    _root().seed_random(number)


def note(operation: Any) -> None:
    """Remember with ``operation``, which is being booked, how histograms are made now."""
    if _root().sumw2():
        operation.sumw2 = True


@contextmanager
def booking(operation: Any) -> Iterator[None]:
    """In this block histograms are made as they were when ``operation`` was noted."""
    before, wanted = bool(_root().sumw2()), bool(getattr(operation, "sumw2", False))
    if before == wanted:
        yield
        return
    _root().set_sumw2(wanted)
    try:
        yield
    finally:
        _root().set_sumw2(before)
