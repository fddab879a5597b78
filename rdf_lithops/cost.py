"""What calls will take and what they will cost: seconds from bytes, GB-s from seconds, USD from GB-s. Pure.

Offer   what an executor offers a call: how many calls at a time, with how much memory and time each
Speeds  what a call's work takes in seconds; a guess at first, measured once the graph has run
Prices  what a GB-s and a request cost there (prices.json, with its date)
Bill    the three put together
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

__all__ = ["Bill", "Measured", "Offer", "Prices", "Speeds", "default_calls", "prices_of"]

MEMORY_PER_VCPU_MIB = {"aws_lambda": 1769}  # where processor time is granted in proportion to memory
TARGET_S = 10.0  # the least that a call works where calls are paid: three times what it takes to start and compile


@dataclass(frozen=True)
class Offer:
    """What an executor offers a call, as its configuration says; ``memory_mib`` and ``timeout_s`` None where it does not."""

    backend: str = "localhost"
    region: str = ""
    is_local: bool = True
    workers: int = 1
    memory_mib: int | None = None
    timeout_s: float | None = None

    @property
    def vcpus(self) -> float:
        """Processors of one call, as far as they go with its memory; 1 where they are set apart from it."""
        per_vcpu = MEMORY_PER_VCPU_MIB.get(self.backend)
        return 1.0 if per_vcpu is None or self.memory_mib is None else self.memory_mib / per_vcpu

    @property
    def memory_gb(self) -> float:
        """Memory as bills count it (GiB, which they call GB); 0 where nobody bills."""
        return (self.memory_mib or 0) / 1024

    def __str__(self) -> str:
        memory = "" if self.memory_mib is None else f", {self.memory_mib} MiB ({self.vcpus:.2g} vCPU) a call"
        limit = "" if self.timeout_s is None else f", {self.timeout_s:g} s at most"
        where = f" in {self.region}" if self.region else ""
        return f"{self.backend}{where}, {self.workers} call{'s'[: self.workers != 1]} at a time{memory}{limit}"


@dataclass(frozen=True)
class Speeds:
    """What a call takes on one vCPU, in seconds (``*_s``) and rates; ``pace`` is how much slower this graph's loop is.

    The defaults are those of a light analysis: two filters, a vector's mass, a histogram. Only a run of the graph itself
    tells its pace (``is_measured``).
    """

    start_s: float = 1.0
    compile_s: float = 2.0
    handling_s: float = 0.1
    bytes_per_s: float = 50e6
    entries_per_s: float = 4e6
    open_s: float = 0.001
    fold_bytes_per_s: float = 50e6
    fold_partial_s: float = 0.001
    pace: float = 1.0
    partial_bytes: float = 50e3
    memory_mib: float = 768.0
    is_measured: bool = False

    def load(self, entries: int, read_bytes: int, files: int) -> float:
        """Seconds of reading and looping, opening of files included."""
        return self.pace * (read_bytes / self.bytes_per_s + entries / self.entries_per_s + self.open_s * files)

    def call_s(self, load_s: float, vcpus: float, is_warm: bool) -> float:
        """Seconds from a call's start to its end, for a ``load`` and a share of a processor; more than one is no gain.

        A warm call finds ROOT started and the graph compiled.
        """
        begin_s = 0.0 if is_warm else self.start_s + self.compile_s
        return (begin_s + load_s) / min(1.0, vcpus) + self.handling_s

    def fold_s(self, partials: int, vcpus: float) -> float:
        """Seconds of a call that folds as many partials; it runs where a call has just ended, so it is warm."""
        work_s = partials * (self.fold_partial_s + self.partial_bytes / self.fold_bytes_per_s)
        return work_s / min(1.0, vcpus) + self.handling_s

    def learn(self, calls: Sequence[Measured], fold_s: float) -> Speeds:
        """These speeds with what a run of the same graph has measured; of a run that told nothing, these speeds."""
        told = [call for call in calls if call.call_s > 0]
        if not told:
            return self
        cold = [call for call in told if call.compile_s > 0]
        warm = [call for call in told if call.compile_s == 0]
        handling_s = _mean([max(0.0, call.billed_s - call.call_s) for call in warm]) if warm else self.handling_s
        guess_s = math.fsum(dataclasses.replace(self, pace=1.0).load(*call.work) for call in told)
        work_s = math.fsum(max(0.0, call.call_s - call.start_s - call.compile_s) for call in told)
        partial_bytes = _mean([call.partial_bytes for call in told])
        expected_fold_s = len(told) * (self.fold_partial_s + partial_bytes / self.fold_bytes_per_s)
        slower = fold_s / expected_fold_s if fold_s > 0 else 1.0
        return dataclasses.replace(
            self,
            # a worker that starts takes time before its task is called as well
            start_s=_mean([call.start_s + max(0.0, call.billed_s - call.call_s - handling_s) for call in cold])
            if cold
            else self.start_s,
            compile_s=_mean([call.compile_s for call in cold]) if cold else self.compile_s,
            handling_s=handling_s,
            pace=work_s / guess_s if guess_s > 0 else self.pace,
            partial_bytes=partial_bytes,
            fold_bytes_per_s=self.fold_bytes_per_s / slower,
            fold_partial_s=self.fold_partial_s * slower,
            memory_mib=max(call.memory_mib for call in told),
            is_measured=True,
        )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


@dataclass(frozen=True)
class Measured:
    """One call as it went; ``work`` is (entries, bytes, files), ``call_s`` counts in the task, ``billed_s`` all of it."""

    work: tuple[int, int, int]
    billed_s: float
    call_s: float
    start_s: float
    compile_s: float
    partial_bytes: int
    memory_mib: float


@dataclass(frozen=True)
class Prices:
    """USD for one of each; ``as_of`` is the day on which the provider's page said so."""

    backend: str
    region: str
    as_of: str
    gb_s: float
    request: float
    storage_write: float = 0.0
    storage_read: float = 0.0

    def __str__(self) -> str:
        if self.gb_s == 0:
            return "free"
        where = f" in {self.region}" if self.region else ""
        per = f"{self.gb_s:g} USD per GB-s, {1e6 * self.request:g} per million requests"
        return f"{self.backend}{where} as of {self.as_of}: {per}"


@dataclass(frozen=True)
class Bill:
    """What the provider bills: GB-s, requests (calls of all kinds) and USD, where a price is known: that of ``basis``."""

    billed_gb_s: float = 0.0
    requests: int = 0
    cost_usd: float | None = None
    basis: str = ""

    @classmethod
    def of(cls, seconds: float, requests: int, offer: Offer, prices: Prices | None) -> Bill:
        """The bill of calls that together take ``seconds``; each reads its input from storage and writes its result."""
        gb_s = 0.0 if offer.is_local else seconds * offer.memory_gb
        if prices is None:
            return cls(gb_s, requests, None)
        per_call = prices.request + 2 * prices.storage_write + 3 * prices.storage_read
        return cls(gb_s, requests, gb_s * prices.gb_s + requests * per_call, str(prices))

    def __str__(self) -> str:
        cost = "price not known" if self.cost_usd is None else f"{self.cost_usd:.2g} USD"
        return f"{self.billed_gb_s:.4g} GB-s, {self.requests} requests, {cost}"


def prices_of(offer: Offer, usd_per_gb_s: float | None = None) -> Prices | None:
    """The prices of an executor's backend and region: yours, the table's, or None for a backend that it does not have."""
    table = _table()
    regions = table["backends"].get(offer.backend)
    if usd_per_gb_s is not None:
        return Prices(offer.backend, offer.region, "your options", usd_per_gb_s, 0.0)
    if regions is None:
        return None
    return Prices(offer.backend, offer.region, table["as_of"], **{**regions[""], **regions.get(offer.region, {})})


@functools.cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("prices.json").read_text()
    return dict(json.loads(text))


def default_calls(load_s: float, offer: Offer, target_s: float | None) -> int:
    """How many calls share ``load_s`` of event loop: one per worker, but each with enough to do for what it costs to start.

    ``target_s`` is the least that a call should work; where calls are free every worker gets one.
    """
    if offer.is_local and target_s is None:
        return offer.workers
    least_s = (TARGET_S if target_s is None else target_s) * min(1.0, offer.vcpus)
    return max(1, min(offer.workers, math.ceil(load_s / least_s)))
