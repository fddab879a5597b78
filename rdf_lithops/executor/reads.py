"""Statuses of calls that may have ended, read in the background: the driver looks, folds and tells meanwhile."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Collection, Mapping
from typing import Any

from ..run.books import CallEnd
from .looks import Looks

__all__ = ["Reads"]

AT_ONCE = 8  # statuses that one thread reads before what it has found is taken
WAIT_S = 0.25  # for what is being read: so much later at most all else is attended to


class Reads:
    """What is read of one submission, by Lithops' names of its calls."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._parts: dict[concurrent.futures.Future[list[CallEnd | None]], list[str]] = {}
        self._under_way: set[str] = set()

    @property
    def under_way(self) -> Collection[str]:
        """Calls whose statuses are being read."""
        return self._under_way

    def begin(self, futures: Mapping[str, Any]) -> None:  # decision 398
        """Read of each call how it has ended; those that are being read are not read twice."""
        new = [call for call in futures if call not in self._under_way]
        self._under_way.update(new)
        size = max(1, min(AT_ONCE, len(new) // self._looks.readers))
        for first in range(0, len(new), size):  # neighbours together, as they are folded together
            calls = new[first : first + size]
            self._parts[self._looks.begin_ends([futures[call] for call in calls])] = calls

    def arrived(self) -> dict[str, CallEnd]:
        """Those that have ended, of what has been read since. Waits a little for what has not. Raises as ``Looks`` does."""
        concurrent.futures.wait(self._parts, WAIT_S)
        found: dict[str, CallEnd] = {}
        for part in [part for part in self._parts if part.done()]:
            calls = self._parts.pop(part)
            self._under_way.difference_update(calls)
            found.update({call: end for call, end in zip(calls, part.result(), strict=True) if end is not None})
        return found
