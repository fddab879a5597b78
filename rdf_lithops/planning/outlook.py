"""What a plan is expected to take and to cost, and the most that it can cost. Pure: a value made of values.

    calls ──Speeds──> seconds ──Offer──> GB-s ──Prices──> expected Bill
    attempts x calls x the longest that a call may run ───> ceiling (backups are attempts; merging files is calls)

A budget is kept by making calls end: it sets the longest that one may run, so that the ceiling is within it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..dataset.layout import EVEN, unevenness
from ..errors import PlanError
from ..fold.order import FoldLimits
from .cost import CORE_HOURS, Bill, Offer, Prices, Speeds, Work
from .limits import Demand, Limits, misfits
from .making import Making

__all__ = ["Outlook", "fold_shape"]

ROOM = 1.5  # a call may take this much longer than expected before a budget ends it, or the plan is refused


def fold_shape(partials: int, partial_bytes: float, one_s: float, limits: FoldLimits) -> list[int]:
    """Return the number of calls in each round of the fold, the last one being 1; ``[1]`` means that one call folds all.

    ``one_s`` is the seconds that a partial takes. Each round but the last has one call more, which finds that it is too much
    and hands it on.
    """
    shape = [1]
    while limits.ask_for_a_tree(partials, partials * partial_bytes, one_s):
        partials = limits.groups(partials, partial_bytes)
        shape.insert(-1, partials)
    return shape


@dataclass(frozen=True)
class Outlook:
    """What is known of a run before it.

    ``offer``, ``limits``, ``speeds``       what a call gets, may have at most, and takes
    ``prices``                           None where none are known
    ``calls``, ``works``                 calls of the map, and what each is given; ``works`` is None without a survey
    ``attempts``, ``deadline_s``, ``budget_usd``   the user's options
    ``fold``                             calls in each round of the fold
    ``starting``, ``compiling``          so many calls start a worker; the next so many find one without this graph
    ``clusters``                         those of the files, of which calls consist
    ``merge_calls``, ``merges``          so many calls at most, in so many submissions, merge the files that it writes
    ``making``                           what a library of instantiations could do for calls elsewhere
    ``seconds``                          of each call, given where it has ranges of several graphs, whose speeds differ

    ``expected`` is the bill if nothing fails; ``ceiling`` if every call runs as long as it may (``call_limit_s``), in every
    attempt. Both are None where they cannot be told.
    """

    offer: Offer
    limits: Limits
    speeds: Speeds
    prices: Prices | None
    calls: int
    works: tuple[Work, ...] | None
    attempts: int
    deadline_s: float | None
    budget_usd: float | None
    fold: tuple[int, ...]
    starting: int = 0
    compiling: int = 0
    clusters: int | None = None
    merge_calls: int = 0
    merges: int = 0
    seconds: tuple[float, ...] | None = None
    making: Making | None = None

    @property
    def loads_s(self) -> tuple[float, ...] | None:
        """Expected seconds of reading and looping, call by call; None where the files were not surveyed."""
        return None if self.works is None else tuple(map(self.speeds.load_of, self.works))

    @property
    def balance(self) -> float | None:
        """How far the load of the farthest call is from the mean, as a fraction of the mean."""
        return None if self.loads_s is None else unevenness(self.loads_s)

    @property
    def calls_s(self) -> tuple[float, ...] | None:
        """Expected seconds of each call; None where the files were not surveyed."""
        if self.seconds is not None:
            return self.seconds
        if self.works is None:
            return None
        begun = self.starting + self.compiling
        return tuple(
            self.speeds.call_s(work, self.offer.vcpus, position < self.starting, position < begun)
            for position, work in enumerate(self.works)
        )

    @property
    def fold_calls(self) -> int:
        """The number of calls of the fold, those included that only find it too large."""
        return sum(self.fold) + len(self.fold) - 1

    @property
    def folds_s(self) -> tuple[float, ...]:
        """Expected seconds of each call that folds."""
        before, seconds = self.calls, []
        for count in self.fold:
            seconds += [self.speeds.fold_s(math.ceil(before / count), self.offer.vcpus)] * count
            before = count
        return tuple(seconds)

    @property
    def expected(self) -> Bill | None:
        """The bill of a run in which nothing fails; None where it is not known."""
        if self.calls_s is None:
            return None if self.prices is None or self.prices.gb_s > 0 else self._bill(0.0, 1)
        return self._bill(math.fsum(self.calls_s) + math.fsum(self.folds_s), 1, starts=self.starting)

    @property
    def ceiling(self) -> Bill | None:
        """The most that can be billed; None where nothing limits it."""
        longest_s, fold_s = self.call_limit_s, self.offer.timeout_s
        if self.offer.is_local:
            return self._bill(0.0, self.attempts)
        if longest_s is None or fold_s is None:
            return None
        seconds = self._most_calls * longest_s + (self.fold_calls + self.merges) * fold_s
        return self._bill(self.attempts * seconds, self.attempts, self.merge_calls + self.merges)

    @property
    def call_limit_s(self) -> float | None:
        """The longest that a call may run, in seconds: the backend's limit, the deadline, or what the budget leaves each."""
        given = [limit for limit in (self.offer.timeout_s, self.deadline_s, self._affordable_s()) if limit is not None]
        return min(given, default=None)

    @property
    def _most_calls(self) -> int:
        return self.calls + self.merge_calls

    @property
    def usd_per_s(self) -> float | None:
        """What a second of a call costs, in USD; None where nobody bills it, or nobody knows."""
        per_s = 0.0 if self.prices is None or self.offer.is_local else self.prices.gb_s * self.offer.memory_gb
        return per_s if per_s > 0 else None

    def _affordable_s(self) -> float | None:  # decision 105
        """Return the seconds per call that the budget pays for in every attempt, once the folds are paid at their
        dearest."""
        if self.budget_usd is None or self.usd_per_s is None:
            return None
        per_s = self.attempts * self.usd_per_s
        fixed = self._bill(0.0, self.attempts, self.merge_calls + self.merges).cost_usd or 0.0
        folds = (self.fold_calls + self.merges) * (self.offer.timeout_s or 0.0) * per_s
        return (self.budget_usd - fixed - folds) / (per_s * self._most_calls)

    def _bill(self, seconds: float, attempts: int, more_calls: int = 0, starts: int | None = None) -> Bill:
        """Of the calls of so many attempts; each has a new worker, where it is not said how many have."""
        calls = attempts * (self.calls + self.fold_calls + more_calls)
        return Bill.of(seconds, calls, self.offer, self.prices, calls if starts is None else starts)

    @property
    def snapshot_usd_per_day(self) -> float | None:
        """What it costs to keep the snapshot, whether it is used or not; None where there is none, or no price."""
        if not self.offer.snapstart or self.prices is None:
            return None
        return self.prices.snapshot_gb_s * self.offer.memory_gb * 86400

    def _snapshot(self) -> list[str]:
        """Say what SnapStart costs beside the calls."""
        if not self.offer.snapstart:
            return []
        if self.prices is None or self.snapshot_usd_per_day is None:
            return ["snapshot  restores and keeping are billed; no price is known"]
        restore_usd = self.offer.memory_gb * self.prices.restore_gb
        said = f"{restore_usd:.2g} USD for each new worker that is restored ({self.starting} expected)"
        return [f"snapshot  {said}; keeping it {self.snapshot_usd_per_day:.2g} USD a day, used or not"]

    def problems(self) -> list[str]:
        """Return why the plan cannot run, or must not: each with the change that would help; empty if it may run."""
        longest_s = None if self.calls_s is None else max((*self.calls_s, *self.folds_s))
        demand = Demand(memory_mib=self.speeds.memory_mib, duration_s=longest_s)
        dear = [] if self.budget_usd is None or self.offer.is_local else self._too_dear(self.budget_usd)
        return [*map(str, misfits(self.limits, demand)), *dear]

    def _too_dear(self, budget_usd: float) -> list[str]:
        if self.prices is None:
            return [f"budget: no price is known for {self.offer.backend}; set options.usd_per_gb_s"]
        affordable_s, calls_s = self._affordable_s(), self.calls_s
        if affordable_s is None or (affordable_s > 0 and (calls_s is None or affordable_s >= ROOM * max(calls_s))):
            return []
        wanted = "not known" if self.expected is None else f"{self.expected}"
        return [
            f"budget: {budget_usd:g} USD for {self.attempts} attempts of {self._most_calls} calls leaves "
            f"{max(0.0, affordable_s):.3g} s a call, and {wanted} is expected of an undisturbed run; "
            "raise options.budget_usd, lower options.attempts or runtime_timeout, or read fewer files"
        ]

    def validate(self) -> None:
        """Raise PlanError, naming every problem, unless the plan fits into what the executor offers and the budget."""
        found = self.problems()
        if found:
            listed = "".join(f"\n  {problem}" for problem in found)
            raise PlanError(f"expected a plan that fits into {self.offer}; nothing was invoked{listed}")

    def lines(self) -> Sequence[str]:
        """Return what the printed plan says, one fact a line."""
        calls_s, loads_s = self.calls_s, self.loads_s
        yielded = [f"runs on   {self.offer}"]
        if calls_s and loads_s:
            basis = "measured in its last run" if self.speeds.is_measured else "a guess until it has run once"
            yielded.append(f"a call    {_span(calls_s)} s, of which {_span(loads_s)} s read and loop ({basis})")
            yielded += [f"balance   {self._balanced()}"] if self.clusters and self.calls > 1 else []
            yielded.append(f"at first  {self._begins()}")
        yielded += [] if self.making is None else [f"libraries {self.making}"]
        yielded.append(f"memory    {self.speeds.memory_mib:.0f} MiB a call")
        yielded.append(f"deadline  {'none' if self.call_limit_s is None else f'{self.call_limit_s:.4g} s a call'}")
        yielded.append(f"expected  {'not known: the files were not surveyed' if self.expected is None else self.expected}")
        merging = f", of which {self.merge_calls} calls merge files" if self.merges else ""
        of = f"{self.attempts} attempts, backups included"
        yielded.append(f"ceiling   {'none' if self.ceiling is None else self.ceiling}, of {of}{merging}")
        unknown = "core-hours, of which your site keeps account" if self.offer.backend in CORE_HOURS else "not known"
        yielded += self._snapshot()
        yielded.append(f"prices    {unknown if self.prices is None else self.prices}")
        return yielded

    def _balanced(self) -> str:
        """Say how even the calls are, and why not."""
        said = f"no call's load is farther than {self.balance or 0.0:.1%} from the mean"
        if (self.balance or 0.0) <= EVEN:
            return said
        return f"{said}: a call has whole clusters, and the files have {self.clusters}; fewer ranges are more even"

    def _begins(self) -> str:
        """Say what calls have to do before they can loop."""
        speeds, begins = self.speeds, []
        if self.starting:
            begin_s = speeds.start_s + speeds.compile_s
            how = "restore a worker" if self.offer.snapstart else "start a worker"
            begins.append(f"{self.starting} calls {how} and compile, {begin_s:.2g} s each")
        if self.compiling:
            begins.append(f"{self.compiling} calls compile, {speeds.compile_s:.2g} s each")
        return ", ".join(begins) or "nothing: workers have ROOT and this graph"

    def as_plain(self) -> dict[str, Any]:
        """Return the same facts as a dictionary that JSON can hold; units are in its names."""
        return {
            "backend": self.offer.backend,
            "region": self.offer.region,
            "workers": self.offer.workers,
            "memory_mib": self.offer.memory_mib,
            "vcpus": self.offer.vcpus,
            "expected_memory_mib": self.speeds.memory_mib,
            "deadline_s": self.call_limit_s,
            "calls_s": None if self.calls_s is None else list(self.calls_s),
            "is_measured": self.speeds.is_measured,
            "balance": self.balance,
            "clusters": self.clusters,
            "starting": self.starting,
            "compiling": self.compiling,
            "expected": None if self.expected is None else vars(self.expected),
            "ceiling": None if self.ceiling is None else vars(self.ceiling),
            "attempts": self.attempts,
            "budget_usd": self.budget_usd,
            "prices": None if self.prices is None else vars(self.prices),
            "fold": list(self.fold),
            "merge_calls": self.merge_calls,
            "libraries": None if self.making is None else self.making.as_plain(),
            "snapstart": self.offer.snapstart,
            "snapshot_usd_per_day": self.snapshot_usd_per_day,
        }


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"
