"""What an executor's runs have taught, so that its next plans predict: of the place, of each graph, of its workers. Pure.

    calls of a run ──learn──> the place   start of a worker, handling of a call and of a fold: the same for every graph
                              the graph   compilation, pace, what a range costs, size of a partial
                              workers     which are up, and which graphs they have compiled
    the next plan  ──speeds, begins──> seconds of its calls

A call's seconds are taken apart as its report has them, so that what happens once (start, compilation) does not count as
the pace of the loop, and a short run predicts a long one.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..planning.cost import Speeds, Work
from .values import Call

__all__ = ["Experience"]

STAYS_WARM_S = 240.0  # Lambda keeps an idle container for at least five minutes or so; our own processes end after as long
TELLING_FOLD_S = 0.5  # a shorter fold is mostly what folding costs at all, and says nothing about larger ones

Shape = str  # what a graph does, whatever data it reads: columns.shape_of


@dataclass
class _Worker:
    """A ROOT process somewhere: when it last ended a call (seconds of the driver's clock), and which graphs it has
    compiled."""

    last_s: float = -math.inf
    shapes: set[Shape] = field(default_factory=set)


@dataclass(frozen=True)
class _Taught:
    """A call that ended well: its work, and what it had to do before it began."""

    call: Call
    work: Work
    compiles: bool

    def parts(self, *names: str) -> float:
        return math.fsum(self.call.parts.get(name, 0.0) for name in names)

    @property
    def loop_s(self) -> float:
        return self.parts("read", "decompression", "loop")

    @property
    def before_s(self) -> float:
        """Seconds from the start of a worker, if the call has a new one, until ROOT begins to work for it."""
        return self.parts("cold start", "initialisation", "other")

    @property
    def ranges_s(self) -> float:
        """Seconds that its ranges take beside their loops; opening of files is told apart where there are any."""
        return self.parts("graph", "compilation", "merge") + (0.0 if self.work.files else self.parts("open"))


@dataclass
class Experience:
    """What an executor's runs have taught, from its first run on; it knows nothing of another program's runs."""

    place: Speeds = field(default_factory=Speeds)
    graphs: dict[Shape, Speeds] = field(default_factory=dict)
    workers: dict[tuple[str, int], _Worker] = field(default_factory=dict)
    _waiting: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def learn_later(self, lesson: Callable[[], None]) -> None:
        """Have ``lesson``, which calls ``learn``, wait until something is asked for: to take a run of thousands of calls
        apart takes time, and whoever asked for its result waits for that alone."""
        self._waiting.append(lesson)

    def catch_up(self) -> None:
        """Learn what waits."""
        waiting, self._waiting = self._waiting, []  # at once: another thread may plan, too
        for lesson in waiting:
            lesson()

    def speeds(self, shape: Shape) -> Speeds:
        """Return the speeds of a graph: measured when it last ran here, or a guess; those of the place are measured if
        anything has run here."""
        self.catch_up()
        known = self.graphs.get(shape, Speeds())
        place = self.place
        return dataclasses.replace(
            known, start_s=place.start_s, handling_s=place.handling_s, fold_handling_s=place.fold_handling_s
        )

    def begins(self, shape: Shape, calls: int, at_a_time: int, now_s: float) -> tuple[int, int]:
        """Return how many of ``calls`` start a worker, and how many more find one that has not compiled the graph.

        As many calls as run ``at_a_time`` need a worker each; workers that ended a call a short time ago are there still.
        """
        self.catch_up()
        wanted = min(calls, at_a_time)
        there = [worker for worker in self.workers.values() if now_s - worker.last_s < STAYS_WARM_S]
        starting = max(0, wanted - len(there))
        knowing = sum(shape in worker.shapes for worker in there)
        return starting, max(0, wanted - starting - knowing)

    def learn(
        self, shape: Shape, works: Mapping[int, Work], calls: Sequence[Call], vcpus: float, of_place: bool = True
    ) -> None:
        """Learn from the ``calls`` of a run of the graph ``shape``: ``works`` by call, and ``vcpus`` that each had.
        ``of_place``: the calls are whole ones, which tell of the place, too."""
        taught = self._meet_workers(shape, works, calls)
        if not taught:
            return
        known, whole = self.speeds(shape), min(1.0, vcpus)
        reduces = [call for call in calls if call.stage == "reduce" and call.began_at]
        if of_place:
            self.place = _place(known, taught, reduces, whole)
        self.graphs[shape] = _graph(known, taught, reduces, whole)

    def _meet_workers(self, shape: Shape, works: Mapping[int, Work], calls: Sequence[Call]) -> list[_Taught]:
        """Return the calls that tell something; from now on the workers that ran them know the graph."""
        taught = []
        maps = (call for call in calls if call.stage == "map" and call.outcome == "ok")
        for call in sorted(maps, key=lambda call: call.began_at):
            worker = self.workers.setdefault((call.host, call.pid), _Worker())
            work = works.get(call.call_id)
            if call.began_at and work is not None:
                taught.append(_Taught(call, work, shape not in worker.shapes))
            worker.shapes.add(shape)
            worker.last_s = max(worker.last_s, call.seen_at)
        return taught


def _place(known: Speeds, taught: Sequence[_Taught], reduces: Sequence[Call], whole: float) -> Speeds:
    """Return ``known`` with what calls tell of the place: medians, as now and then one call waits for something that the
    next does not."""
    handling_s = _median((one.before_s for one in taught if not one.call.cold), known.handling_s)
    started = (one.before_s - handling_s for one in taught if one.call.cold)
    return dataclasses.replace(
        known,
        start_s=max(0.0, _median(started, known.start_s / whole)) * whole,
        handling_s=handling_s,
        fold_handling_s=_median((call.worker_s - call.parts.get("merge", 0.0) for call in reduces), known.fold_handling_s),
    )


def _graph(known: Speeds, taught: Sequence[_Taught], reduces: Sequence[Call], whole: float) -> Speeds:
    """Return ``known`` with what calls tell of the graph; calls that compiled it do not tell what a range costs."""
    ready = [one for one in taught if not one.compiles]
    range_s = _ratio(ready, lambda one: one.ranges_s, lambda one: one.work.ranges, known.range_s / whole)
    open_s = _ratio(ready, lambda one: one.parts("open"), lambda one: one.work.files, known.open_s / whole)
    compiled = [
        one.parts("graph", "compilation", "merge", "open") - range_s * one.work.ranges - open_s * one.work.files
        for one in taught
        if one.compiles
    ]
    guess = dataclasses.replace(known, pace=1.0, open_s=0.0)
    pace = _ratio(taught, lambda one: one.loop_s, lambda one: guess.load_of(one.work), known.pace / whole)
    partial_bytes = math.fsum(one.call.result_bytes for one in taught) / len(taught)
    learned = dataclasses.replace(
        known,
        compile_s=max(0.0, math.fsum(compiled) / len(compiled)) * whole if compiled else known.compile_s,
        range_s=range_s * whole,
        open_s=open_s * whole,
        pace=pace * whole,
        result_s=math.fsum(one.parts("serialise", "upload") for one in taught) / len(taught),
        partial_bytes=partial_bytes,
        memory_mib=max(one.call.peak_memory_mib for one in taught),
        is_measured=True,
    )
    merge_s = math.fsum(call.parts.get("merge", 0.0) for call in reduces)
    if len(reduces) != 1 or merge_s < TELLING_FOLD_S:
        return learned
    slower = merge_s * whole / (len(taught) * learned.fold_one_s)
    fold_bytes_per_s, fold_partial_s = learned.fold_bytes_per_s / slower, learned.fold_partial_s * slower
    return dataclasses.replace(learned, fold_bytes_per_s=fold_bytes_per_s, fold_partial_s=fold_partial_s)


def _median(values: Iterable[float], otherwise: float) -> float:
    found = list(values)
    return statistics.median(found) if found else otherwise


def _ratio(
    taught: Sequence[_Taught], of: Callable[[_Taught], float], to: Callable[[_Taught], float], otherwise: float
) -> float:
    """Return the sum over all calls of the one divided by the sum of the other; ``otherwise`` where that is nothing."""
    whole = math.fsum(map(to, taught))
    return math.fsum(map(of, taught)) / whole if whole > 0 else otherwise
