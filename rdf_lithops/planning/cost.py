"""What calls will take and what they will cost: seconds from bytes, GB-s from seconds, USD from GB-s. Pure.

Offer   what an executor offers a call: how many calls at a time, with how much memory and time each
Work    what a call is given; Speeds: what that takes in seconds, a guess at first, measured once the graph has run
Prices  what a GB-s and a request cost there (prices.json, with its date)
Bill    the three put together
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

from . import list_prices
from .limits import limits_of

__all__ = ["CORE_HOURS", "QUEUES", "RESTORE_S", "Bill", "Offer", "Prices", "Speeds", "Work", "default_calls", "prices_of"]

QUEUES = ("slurm", "htcondor", "k8s", "aws_batch", "code_engine")  # where each submission is a job that waits its turn
CORE_HOURS = ("slurm", "htcondor")  # where nobody asks for money, but time on a processor is what one is granted
RESTORE_S = 1.0  # a guess until one was seen: what a worker takes that is a copy of a snapshot; 3 s from nothing
TARGET_S = 10.0  # the least that a call works where calls are paid: three times what it takes to start and compile


@dataclass(frozen=True)
class Offer:
    """What an executor offers a call, as its configuration says.

    ``workers``: calls that run at a time; ``memory_mib`` and ``timeout_s`` of one call, None where the configuration does
    not say.
    """

    backend: str = "localhost"
    region: str = ""
    is_local: bool = True
    workers: int = 1
    memory_mib: int | None = None
    timeout_s: float | None = None
    snapstart: bool = False  # new workers are copies of a snapshot

    @property
    def vcpus(self) -> float:
        """Processors of one call, in proportion to its memory where the backend grants them so; else 1."""
        per_vcpu = limits_of(self.backend).memory_per_vcpu_mib
        return 1.0 if per_vcpu is None or self.memory_mib is None else self.memory_mib / per_vcpu

    @property
    def memory_gb(self) -> float:
        """Memory of one call as bills count it (GiB, which they call GB); 0 where nobody bills."""
        return (self.memory_mib or 0) / 1024

    def __str__(self) -> str:
        memory = "" if self.memory_mib is None else f", {self.memory_mib} MiB ({self.vcpus:.2g} vCPU) a call"
        limit = "" if self.timeout_s is None else f", {self.timeout_s:g} s at most"
        where = (f" in {self.region}" if self.region else "") + (" with SnapStart" if self.snapstart else "")
        return f"{self.backend}{where}, {self.workers} call{'s'[: self.workers != 1]} at a time{memory}{limit}"


@dataclass(frozen=True)
class Work:
    """What a call is given, as far as it is known beforehand: entries, compressed bytes, files that are opened, ranges."""

    entries: int
    read_bytes: int
    files: int
    ranges: int = 1


@dataclass(frozen=True)
class Speeds:
    """What a call takes on one vCPU, in seconds (``*_s``) and rates; ``pace`` is how much slower this graph's loop is.

    ``start_s`` until a new worker has ROOT, ``compile_s`` until one that has ROOT has the graph, ``handling_s`` for what
    Lithops does before each call, ``result_s`` to write its result, ``range_s`` for each of its ranges. The defaults are
    those of a light analysis: two filters, a vector's mass, a histogram. Only a run of the graph itself tells its pace
    (``is_measured``).
    """

    start_s: float = 3.0
    compile_s: float = 1.5
    handling_s: float = 0.3
    result_s: float = 0.03
    range_s: float = 0.005
    bytes_per_s: float = 50e6
    entries_per_s: float = 4e6
    open_s: float = 0.005
    fold_handling_s: float = 0.3
    fold_bytes_per_s: float = 50e6
    fold_partial_s: float = 0.001
    pace: float = 1.0
    partial_bytes: float = 50e3
    memory_mib: float = 768.0
    is_measured: bool = False

    def load(self, entries: int, read_bytes: int, files: int) -> float:
        """Return the seconds of reading and looping, opening of files included, on one vCPU."""
        return self.pace * (read_bytes / self.bytes_per_s + entries / self.entries_per_s) + self.open_s * files

    def load_of(self, work: Work) -> float:
        """Return the load of a call's work, in seconds."""
        return self.load(work.entries, work.read_bytes, work.files)

    def call_s(self, work: Work, vcpus: float, starts: bool = False, compiles: bool = False) -> float:
        """Return the seconds from a call's start to its end, with so many ``vcpus``; more than one is no gain.

        ``starts``: it has a new worker, which has to compile too. ``compiles``: its worker has not run this graph.
        """
        begin_s = (self.start_s if starts else 0.0) + (self.compile_s if starts or compiles else 0.0)
        return (
            (begin_s + self.load_of(work) + self.range_s * work.ranges) / min(1.0, vcpus) + self.handling_s + self.result_s
        )

    @property
    def fold_one_s(self) -> float:
        """Seconds that a partial adds to its fold."""
        return self.fold_partial_s + self.partial_bytes / self.fold_bytes_per_s

    def fold_s(self, partials: int, vcpus: float) -> float:
        """Return the seconds of a call that folds so many partials; it runs where a call has just ended, so nothing
        starts."""
        return partials * self.fold_one_s / min(1.0, vcpus) + self.fold_handling_s


@dataclass(frozen=True)
class Prices:
    """USD for one GB-s, one request, one write and one read; ``as_of`` is the day on which the provider's page said so.

    With SnapStart also for a GB of a worker that is restored, and for a GB-s of a snapshot that is kept.
    """

    backend: str
    region: str
    as_of: str
    gb_s: float
    request: float
    storage_write: float = 0.0
    storage_read: float = 0.0
    restore_gb: float = 0.0
    snapshot_gb_s: float = 0.0

    def __str__(self) -> str:
        if self.gb_s == 0:
            return "free"
        where = f" in {self.region}" if self.region else ""
        per = f"{self.gb_s:g} USD per GB-s, {1e6 * self.request:g} per million requests"
        return f"{self.backend}{where} as of {self.as_of}: {per}"


@dataclass(frozen=True)
class Bill:
    """What the provider bills: GB-s, requests (calls of all kinds) and USD.

    ``cost_usd`` is None where no price is known; ``basis`` says whose prices they are.
    """

    billed_gb_s: float = 0.0
    requests: int = 0
    cost_usd: float | None = None
    basis: str = ""
    core_hours: float | None = None  # where they are what is counted

    @classmethod
    def of(cls, seconds: float, requests: int, offer: Offer, prices: Prices | None, starts: int = 0) -> Bill:
        """Return the bill of calls that together take ``seconds``; each reads its input from storage and writes its
        result. ``starts`` of them have a new worker, which is billed where it is restored from a snapshot."""
        gb_s = 0.0 if offer.is_local else seconds * offer.memory_gb
        if offer.backend in CORE_HOURS:
            return cls(gb_s, requests, None, "core-hours", seconds / 3600)
        if prices is None:
            return cls(gb_s, requests, None)
        per_call = prices.request + 2 * prices.storage_write + 3 * prices.storage_read
        restored_usd = starts * offer.memory_gb * prices.restore_gb if offer.snapstart else 0.0
        return cls(gb_s, requests, gb_s * prices.gb_s + requests * per_call + restored_usd, str(prices))

    def __str__(self) -> str:
        if self.core_hours is not None:
            return f"{self.core_hours:.3g} core-hours, {self.requests} jobs"
        cost = "price not known" if self.cost_usd is None else f"{self.cost_usd:.2g} USD"
        return f"{self.billed_gb_s:.4g} GB-s, {self.requests} requests, {cost}"


def prices_of(offer: Offer, usd_per_gb_s: float | None = None) -> Prices | None:
    """Return the prices of an executor's backend and region: the user's own, the table's, or None for a backend that it
    lacks."""
    table = _table()
    regions = table["backends"].get(offer.backend)
    if usd_per_gb_s is not None:
        return Prices(offer.backend, offer.region, "your options", usd_per_gb_s, 0.0)
    if regions is None:
        return None
    found = {**regions[""], **regions.get(offer.region, {})}
    as_of, listed = list_prices.kept(offer.backend, offer.region, table["as_of"]) or (table["as_of"], {})
    return Prices(offer.backend, offer.region, as_of, **{**found, **listed})


@functools.cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("prices.json").read_text()
    return dict(json.loads(text))


def default_calls(load_s: float, offer: Offer, target_s: float | None) -> int:
    """Return how many calls share ``load_s`` seconds of event loop: one per worker, but each with enough to do for what it
    costs to start.

    ``target_s`` is the least that a call should work; where calls are free every worker gets one.
    """
    if offer.is_local and target_s is None:
        return offer.workers
    least_s = (TARGET_S if target_s is None else target_s) * min(1.0, offer.vcpus)
    return max(1, min(offer.workers, math.ceil(load_s / least_s)))
