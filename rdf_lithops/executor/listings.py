"""Which of a job's calls have begun, beaten and ended: one look at the storage that tells all three.

A folder of this machine is not listed at all: Lithops begins calls in order there, so the next ones are looked for, and
those that have begun. A storage that is far is listed by beginnings of names, which are decimal numbers: as few as cover the
calls that have not ended, so that the last ones of ten thousand cost little; or, where the store can list from a name on,
in stretches of one answer each, several at a time.
"""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Callable, Collection, Iterable, Set
from dataclasses import dataclass, field

from ..processes.beats import BEAT_NAME, STATUS_NAME

__all__ = ["INIT_ENDING", "FolderListing", "Listing", "StoreListing", "StretchListing", "beginnings", "stretches"]

INIT_ENDING = ".init"  # of the object that Lithops writes when a call begins
DIGITS = 5  # of a call's name
LIST_KEYS = 100  # so many names in a list take as long as asking for it
KEYS_OF_A_CALL = 4
LIST_S = 1e-3  # of the processor, for a list of nothing
LISTS_OF_ONE = 2.0  # a list of many names may take so much longer than lists of one call each, which cost more
STRETCH = 240  # calls whose names come in one answer of a store, of at most 1000
SCAN_S = 1.0  # between two scans of a folder, where a call may have begun out of its turn


@dataclass
class Listing:
    """Lithops' names of calls: those that have begun, that have ended, and that have beaten, each with what changes when it
    beats again (None where the storage does not tell)."""

    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    beaten: dict[str, object] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)  # of their objects, where they are in a store
    cost_s: float = 0.0  # what the look has taken of the processor, about

    def and_then(self, later: Listing) -> Listing:
        """What is known after another look, at some of the same calls; of calls that have ended, what it has found."""
        begun, beaten, names = self.begun | later.begun, {**self.beaten, **later.beaten}, {**self.names, **later.names}
        return Listing(begun, later.ended, beaten, names, later.cost_s)


class FolderListing:
    """The calls of a job whose objects are files below ``folder``; ``at_a_time`` calls run at a time."""

    def __init__(self, folder: str, calls: Iterable[str], at_a_time: int) -> None:
        self._folder, self._at_a_time = folder, at_a_time
        self._waiting = list(reversed(list(calls)))  # the next one last
        self._running: set[str] = set()
        self._next_scan_s = 0.0

    def look(self, calls: Collection[str], is_over: bool = False) -> Listing:
        """What is there of ``calls``, which are those that have not ended; ``is_over``: no more will begin."""
        self._running |= set(self._begun())
        if self._waiting and (is_over or (not self._running and time.monotonic() > self._next_scan_s)):
            self._scan()
        self._running = {call for call in self._running if call in calls}
        ended = {call for call in self._running if self._has(call, STATUS_NAME)}
        return Listing(self._running, ended, {call: None for call in self._running if self._has(call, BEAT_NAME)})

    def glance(self, calls: Collection[str]) -> Listing:
        """The same: here no look takes more than another."""
        return self.look(calls)

    def lists(self, calls: Collection[str]) -> int:
        """How many lists a look at ``calls`` takes."""
        return 0

    def _begun(self) -> list[str]:
        """The next calls that have begun: none of them overtakes more than run at a time."""
        passed: list[str] = []
        begun: list[str] = []
        while self._waiting and len(passed) <= self._at_a_time:
            call = self._waiting.pop()
            (begun if self._has(call) else passed).append(call)
        self._waiting += reversed(passed)
        return begun

    def _scan(self) -> None:
        self._next_scan_s = time.monotonic() + SCAN_S
        try:
            there = set(os.listdir(self._folder))
        except FileNotFoundError:
            return
        self._running |= {call for call in self._waiting if call in there}
        self._waiting = [call for call in self._waiting if call not in there]

    def _has(self, *names: str) -> bool:
        return os.path.exists(os.path.join(self._folder, *names))


class StoreListing:
    """The calls of a job whose objects are in a store below ``folder``; ``names`` gives those that begin with a string, each
    with what changes when the object does (or None)."""

    def __init__(self, folder: str, calls: Collection[str], names: Callable[[str], dict[str, object]]) -> None:
        self._folder, self._names, self._last = folder, names, max(map(int, calls), default=0)

    name_s = 70e-6  # of the processor, for each name that a client of boto3 lists

    def look(self, calls: Collection[str], is_over: bool = False) -> Listing:
        """What is there of ``calls``, which are those that have not ended."""
        return self._read(self._lists(calls))

    def glance(self, calls: Collection[str]) -> Listing:
        """The same of some of ``calls``, of others the next time, where that takes less than a look."""
        return self.look(calls)

    def _read(self, lists: Iterable[dict[str, object]]) -> Listing:
        found, skipped = Listing(), len(self._folder) + 1
        for names in lists:
            found.cost_s += LIST_S + len(names) * self.name_s
            for name, change in names.items():
                call, _, rest = name[skipped:].partition("/")
                found.names.setdefault(call, []).append(name)
                if rest.endswith(INIT_ENDING):
                    found.begun.add(call)
                elif rest == STATUS_NAME:
                    found.ended.add(call)
                elif rest == BEAT_NAME:
                    found.beaten[call] = change
        return found

    def lists(self, calls: Collection[str]) -> int:
        """How many lists a look at ``calls`` takes, or a few more."""
        return len(beginnings(list(map(int, calls)), self._last))

    def _lists(self, calls: Collection[str]) -> Iterable[dict[str, object]]:
        return (self._names(f"{self._folder}/{each}") for each in beginnings(list(map(int, calls)), self._last))


class StretchListing(StoreListing):
    """The same of a store that can list from a name on: ``between(folder, first, last)`` gives the names of these calls and
    of those between them. ``each`` is a ``map`` that does several at a time."""

    name_s = 14e-6  # with those that an answer has beside them

    def __init__(
        self,
        folder: str,
        calls: Collection[str],
        between: Callable[[str, str, str], dict[str, object]],
        each: Callable[..., Iterable[dict[str, object]]],
    ) -> None:
        super().__init__(folder, calls, lambda beginning: {})
        self._between, self._each, self._glances = between, each, 0
        self._known: tuple[Set[str], list[tuple[str, str]]] = set(), []  # calls, and their stretches

    def glance(self, calls: Collection[str]) -> Listing:  # decision 395
        parts = self._stretches(calls)
        self._glances += 1
        return self._read([self._between(self._folder, *parts[self._glances % len(parts)])] if parts else [])

    def lists(self, calls: Collection[str]) -> int:
        return len(self._stretches(calls))

    def _lists(self, calls: Collection[str]) -> Iterable[dict[str, object]]:
        return self._each(lambda ends: self._between(self._folder, *ends), self._stretches(calls))

    def _stretches(self, calls: Collection[str]) -> list[tuple[str, str]]:
        """Those of ``calls``. A few that are far from each other are stretches of one: between them lie the names of all
        that have ended."""  # decision 397
        if self._known[0] != calls:
            ordered, found = sorted(calls), list[tuple[str, str]]()
            for first, last in stretches(ordered):
                some = ordered[bisect.bisect_left(ordered, first) : bisect.bisect_right(ordered, last)]
                together_s = LIST_S + KEYS_OF_A_CALL * (int(last) - int(first)) * self.name_s
                alone = LISTS_OF_ONE * len(some) * LIST_S < together_s
                found += [(call, call) for call in some] if alone else [(first, last)]
            self._known = frozenset(calls), found
        return self._known[1]


def stretches(calls: Collection[str]) -> list[tuple[str, str]]:
    """First and last of ``calls`` in each of as few stretches as have all of them and are no longer than ``STRETCH``."""
    found: list[tuple[str, str]] = []
    for call in sorted(calls):
        if found and len(call) == DIGITS and int(call) - int(found[-1][0]) < STRETCH:
            found[-1] = found[-1][0], call
        else:
            found.append((call, call))
    return found


def beginnings(calls: Collection[int], last: int) -> list[str]:  # decision 250
    """Beginnings of the five-digit names of ``calls``, of which the job has 0 to ``last``: lists of all names that begin
    so have each of them, and take about as little as may be."""
    return _cover(sorted(calls), last, "")[1] if last < 10**DIGITS else [""]


def _cover(calls: list[int], last: int, start: str) -> tuple[float, list[str]]:
    """What it takes to look at ``calls``, all of which begin with ``start``, in lists; and what they begin with."""
    if not calls:
        return 0.0, []
    size = 10 ** (DIGITS - len(start))
    first = int(start or "0") * size
    there = min(last + 1, first + size) - first
    whole = 1 + there * KEYS_OF_A_CALL / LIST_KEYS, [start]
    if size == 1 or whole[0] <= 1 + len(calls) * KEYS_OF_A_CALL / LIST_KEYS:
        return whole
    inner: dict[int, list[int]] = {}
    for call in calls:
        inner.setdefault((call - first) * 10 // size, []).append(call)
    parts = [_cover(some, last, f"{start}{digit}") for digit, some in inner.items()]
    cost = sum(part[0] for part in parts)
    return (cost, [beginning for part in parts for beginning in part[1]]) if cost < whole[0] else whole
