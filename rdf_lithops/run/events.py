"""What happens in a run, as frozen values that are handed to consumers as they happen. Knows neither Lithops nor ROOT.

A consumer is any callable that takes one event. Consumers are called one after the other in the thread that runs the graph,
in the order of the events; they should return soon, and what one raises ends the run. Times are Unix seconds of the driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..planning.plans import Plan
from ..travels.facts import Facts

__all__ = [
    "AttemptBegan",
    "AttemptEnded",
    "BackupStarted",
    "CallBegan",
    "CallEnded",
    "CallFailed",
    "CallProgressed",
    "CallsTakenUp",
    "Consumer",
    "Event",
    "FileSkipped",
    "FilesMerged",
    "FoldRoundEnded",
    "LibraryMade",
    "ReduceEnded",
    "RunBegan",
    "RunEnded",
]


@dataclass(frozen=True, kw_only=True)
class _Happened:
    """What every event has: when the driver saw it."""

    at: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True)
class RunBegan(_Happened):
    """A run of ``plan`` is about to be submitted; ``run_id`` names its objects in the storage."""

    plan: Plan = field(repr=False)
    run_id: str


@dataclass(frozen=True)
class AttemptBegan(_Happened):
    """Attempt ``number`` (from 1) of the calls ``call_ids`` was submitted in ``submit_s``, under Lithops' ``job_key``."""

    number: int
    call_ids: tuple[int, ...]
    submit_s: float
    job_key: str = ""


@dataclass(frozen=True)
class CallsTakenUp(_Happened):
    """The partials of these calls were there already, from a run whose driver was killed; ``entries`` they had (None where
    the source does not count them)."""

    call_ids: tuple[int, ...]
    entries: int | None


@dataclass(frozen=True)
class CallBegan(_Happened):
    """A worker has said that call ``call_id`` runs (with its first heartbeat, so short calls end without it)."""

    call_id: int
    attempt: int


@dataclass(frozen=True)
class CallProgressed(_Happened):
    """A heartbeat of a call: ``entries`` done so far in this call, ``cpu_s`` used by the ROOT process that works for it."""

    call_id: int
    attempt: int
    entries: int
    cpu_s: float
    host: str = ""


@dataclass(frozen=True)
class CallEnded(_Happened):
    """A call delivered its partial, for the first and only time in this run.

    ``facts`` are those of its envelope, ``entries`` what it processed (None where the source does not count), ``status``
    Lithops' own statistics of the call (``worker_start_tstamp``, ``worker_end_tstamp``, …: see Lithops), ``partial`` the
    packed envelope.
    """

    call_id: int
    attempt: int
    range_ids: tuple[int, ...]
    entries: int | None
    facts: Facts
    status: dict[str, Any] = field(repr=False)
    partial: bytes = field(repr=False)


@dataclass(frozen=True)
class CallFailed(_Happened):
    """A call ended, or was given up, without a partial: ``kind`` and ``why``. A ``final`` failure ends the run. ``facts``
    are there if a ROOT process lived to tell them."""

    call_id: int
    attempt: int
    kind: str
    why: str
    final: bool
    log_tail: str = field(default="", repr=False)
    status: dict[str, Any] = field(default_factory=dict, repr=False)
    facts: Facts = field(default_factory=Facts, repr=False)


@dataclass(frozen=True)
class BackupStarted(_Happened):
    """A second copy of calls that take much longer than the others was submitted; the first result of each counts."""

    call_ids: tuple[int, ...]
    attempt: int


@dataclass(frozen=True)
class FileSkipped(_Happened):
    """A file was left out of the run, as ``on_bad_file="skip"`` asked: which, why, and entries lost (None: not known)."""

    path: str
    why: str
    entries: int | None


@dataclass(frozen=True)
class LibraryMade(_Happened):
    """So many instantiations were compiled into a library before the calls began, which took so long."""

    lines: int
    seconds: float


@dataclass(frozen=True)
class ReduceEnded(_Happened):
    """The reducer of an attempt delivered; ``facts`` of the fold and Lithops' ``status`` of its call."""

    attempt: int
    facts: Facts
    status: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class FoldRoundEnded(_Happened):
    """A round of the fold is over, in which ``calls`` calls each folded a group of partials and a reducer what came of them.

    ``events`` are those of the round's own attempts and calls, which are not part of the run's. A ReduceEnded before the
    first round is of a reducer that folded nothing, as there was too much for it. Number 0 are folds that began early, of
    which the run's own reducer got the sums.
    """

    number: int
    calls: int
    events: tuple[Event, ...] = field(repr=False)


@dataclass(frozen=True)
class FilesMerged(_Happened):
    """The run that merges a Snapshot's files into larger ones is over, after ``wall_s``.

    ``events`` are its own, and not part of those of the run that wrote the files.
    """

    wall_s: float
    events: tuple[Event, ...] = field(repr=False)


@dataclass(frozen=True)
class AttemptEnded(_Happened):
    """An attempt is over; ``missing`` calls gave no partial (with none missing and no result, the reducer was lost)."""

    number: int
    missing: tuple[int, ...]


@dataclass(frozen=True)
class RunEnded(_Happened):
    """The run is over: ``error`` is None, or the first line of what it ended in; ``failed`` are those of several graphs that
    have no result, each with the first line of why."""

    attempts: int
    wall_s: float
    error: str | None = None
    failed: tuple[tuple[int, str], ...] = ()


Event = (
    RunBegan
    | AttemptBegan
    | CallsTakenUp
    | CallBegan
    | CallProgressed
    | CallEnded
    | CallFailed
    | BackupStarted
    | FileSkipped
    | ReduceEnded
    | FilesMerged
    | LibraryMade
    | FoldRoundEnded
    | AttemptEnded
    | RunEnded
)
Consumer = Callable[[Event], None]
