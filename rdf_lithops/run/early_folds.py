"""Folds that begin while the last calls still run: groups of the tree whose partials are all there. Pure.

    calls     ●●●●●●●●●●●●●●●● ●●●●●●●●○●●●●○●● ○●●●○●○○●●○●○○○○      ● delivered   ○ runs
    groups    [    folded    ] [  not yet     ] [  not yet     ]

The tree is that of ``fold_rounds.next_round``, so the bits are: a group is begun only where it is clear from half of the
partials that there will be a tree, and which; each fold begins with all of its partials there, so that none waits and is
paid for it. When the last call has delivered, the first round takes over what was begun, if it is what the round would have
begun: as calls that are under way, as those of a killed driver are (see ``running``). What is not goes unused. Where little
is left to fold, there is no round: the reducer gets the sums that there are, and folds the other groups itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from ..errors import RunError, SubmissionError
from ..fold.shelf import bundle, size_of
from ..planning.cost import QUEUES
from ..planning.plans import Plan
from ..travels.arrived import HANDED_BYTES
from ..travels.envelope import EnvelopeError, unpack
from ..travels.facts import Facts
from ..worker.fold_task import ReduceTask
from . import interrupts
from .attempts import Submission
from .books import Books, CallEnd
from .events import CallEnded, Event, FoldRoundEnded
from .fold_rounds import group_edges, round_of
from .joint import Joint

__all__ = ["FEWEST_CALLS", "EarlyFolds"]

logger = logging.getLogger(__name__)

FEWEST_CALLS = 3  # of fewer no tree is made
SEEN_SHARE = 0.5  # of the calls must have delivered before anybody says what tree it will be
MAY_DIFFER = 1.25  # the mean of all partials from that of those
DELETERS = 4
EVERY_S = 0.5  # jobs are begun, each with all groups that are ready
LAST_SHARE = 0.02  # of the calls end while a job would begin
START_S = 0.05  # so long the driver waits for a submission before it goes on
AWAIT_S = 5.0  # and so long for folds that run when the last call has ended: one of them may have been killed
JOB_S = 1.0  # what the reducer folds sooner is not begun for its own sake
JOBS_IN_A_QUEUE = 3  # at most, with about as many groups each


@dataclass
class _Job:
    """One submission of folds: which groups, by position, and how those ended that have."""

    submission: Submission
    groups: list[int]
    ends: dict[int, CallEnd] = field(default_factory=dict)
    seen_at: dict[int, float] = field(default_factory=dict)  # Unix seconds
    is_over: bool = False


class EarlyFolds:
    """The early folds of one run of one graph. ``submit`` as in ``running.run``."""

    def __init__(self, submit: Callable[[Plan], Submission], plan: Plan) -> None:
        task, budget = plan.reduce_task, plan.outlook and plan.outlook.budget_usd
        # a budget sets aside the most that each submission can cost; sums that lie on no shelf would go by way of the driver
        is_on = isinstance(task, ReduceTask) and bool(task.groups) and plan.map_task.shelf is not None and budget is None
        self._submit, self._plan, self._is_on = submit, plan, is_on
        self._queues = plan.outlook is not None and plan.outlook.offer.backend in QUEUES
        self._calls: tuple[tuple[int, ...], ...] = task.groups if is_on else ()  # type: ignore[union-attr]
        self._call_of = {range_id: number for number, range_ids in enumerate(self._calls) for range_id in range_ids}
        self._partials: dict[int, dict[tuple[int, ...], bytes]] = {}  # of each call of the plan
        self._seen = self._bytes = self._here_bytes = self._results = self._whole = 0
        self._edges: list[int] = []  # of the groups, in calls, once it is clear that there will be a tree
        self._begun: dict[int, list[bytes]] = {}  # by group: what it folds
        self._jobs: list[_Job] = []
        self._next_s = 0.0
        self._await_until_s: float | None = None
        self._is_waiting = False
        self._is_rest_given = False
        self._starter = ThreadPoolExecutor(1)
        self._starting: tuple[Future[Submission], list[int]] | None = None
        self._is_over = threading.Event()
        self._deleter = ThreadPoolExecutor(DELETERS)  # starts no thread before it is needed
        self._deleting: list[Future[None]] = []

    def look(self, books: Books) -> None:  # decision 348
        """See what has come, and begin and collect folds now and then."""
        if not self._is_on:
            return
        self._note(books)
        now_s = time.monotonic()
        if now_s < self._next_s or self._whole < SEEN_SHARE * len(self._calls):
            return
        self._next_s = now_s + EVERY_S
        self._edges = self._edges or self._clear_edges()
        if self._edges and books.owed:  # else the round itself begins now
            self._collect()
            self._begin()

    def _note(self, books: Books) -> None:
        for packed in itertools.chain.from_iterable(itertools.islice(books.kept.values(), self._seen, None)):
            envelope = unpack(packed)
            number = self._call_of[envelope.range_ids[0]]
            if envelope.half:  # of a range that was cut in two: left to the round
                self._partials.setdefault(number, {})[()] = b""
                continue
            self._partials.setdefault(number, {})[envelope.range_ids] = packed
            self._bytes, self._here_bytes = self._bytes + size_of(envelope), self._here_bytes + len(envelope.body)
            self._results = max(self._results, len(envelope.pickles))
            self._whole += self._is_whole(number)
        self._seen = len(books.kept)

    def _is_whole(self, number: int) -> bool:
        given = self._partials.get(number, {})
        return () not in given and sum(map(len, given)) == len(self._calls[number])

    def _clear_edges(self) -> list[int]:
        """The edges of the groups; empty where it is not clear yet that there will be a tree, or which."""
        found = [self._edges_if(factor) for factor in (1 / MAY_DIFFER, 1.0, MAY_DIFFER)]
        return found[0] if found[0] == found[1] == found[2] else []

    def _edges_if(self, factor: float) -> list[int]:
        """The same where the mean of all partials is that of those which have come, times ``factor``."""
        task: Any = self._plan.reduce_task
        calls = len(self._calls)
        mean, here = factor * self._bytes / self._whole, factor * self._here_bytes / self._whole
        is_tree = task.tree_for(calls, self._results, mean * calls, here * calls)
        return group_edges(calls, mean, task.limits) if is_tree else []

    def _begin(self) -> None:
        """Begin the folds of all groups that are ready, one submission after the other."""
        if self._starting is not None:
            return
        ready: dict[int, list[bytes]] = {}
        for number, (start, end) in enumerate(itertools.pairwise(self._edges)):
            if number not in self._begun and all(map(self._is_whole, range(start, end))):
                ready[number] = self._group(number)
        if not ready or self._is_about_to_end() or (self._queues and not self._is_worth_a_job(len(ready))):
            return
        self._begun.update(ready)
        plan = self._folding(ready)
        started = self._starter.submit(interrupts.until, self._is_over, lambda: self._submit(plan))
        self._starting = started, list(ready)
        self._note_start(START_S)

    def settle(self) -> None:
        """Wait until what is being submitted is: two submissions of one run at a time would take each other's jobs down."""
        while self._starting is not None:
            interrupts.check()
            self._note_start(interrupts.POLL_S)

    def _note_start(self, wait_s: float = 0.0) -> None:  # decision 399
        """Take down that a job has begun, which is submitted while the driver goes on."""
        if self._starting is None or not wait([self._starting[0]], wait_s).done:
            return
        (started, groups), self._starting = self._starting, None
        try:
            self._jobs.append(_Job(started.result(), groups))
        except (SubmissionError, RunError, KeyboardInterrupt) as problem:  # the round will do it, or say why it cannot
            logger.info("folds begin when all calls have ended: %s", problem)
            self._is_on = False
            for number in groups:
                del self._begun[number]

    def _is_about_to_end(self) -> bool:
        """Whether the last calls may have ended before a job begins, and the reducer may fold what is left then."""
        return self._whole > (1 - LAST_SHARE) * len(self._calls) and self._is_enough(self._begun)

    def _is_little(self, partials: int, sums: int, within_s: float = math.inf) -> bool:
        """Whether a reducer may fold so many partials, of groups that have not been folded, and sums of the others."""
        task, mean = self._plan.reduce_task, self._bytes / self._whole
        assert isinstance(task, ReduceTask)
        return task.limits.allow_at_once(partials + sums, mean * (partials + sums), self._results, within_s)

    def _is_worth_a_job(self, ready: int) -> bool:  # decision 387
        """Whether so many groups may stand in a queue on their own."""
        share = (len(self._edges) - 1) / (JOBS_IN_A_QUEUE + 1)
        return len(self._jobs) < JOBS_IN_A_QUEUE and ready >= share

    def _folding(self, groups: dict[int, list[bytes]]) -> Plan:
        """The plan that folds these groups. Small sums travel in their envelopes, as what is said of so many calls does."""
        plan = round_of(self._plan, groups)
        task: Any = plan.map_task
        is_small = self._bytes <= HANDED_BYTES * self._whole
        return dataclasses.replace(plan, map_task=dataclasses.replace(task, shelf=None)) if is_small else plan

    def _collect(self) -> None:
        """See which folds have ended; of a job that is over nothing is left but how they did."""
        self._note_start()
        for job in self._jobs:
            if len(job.ends) < len(job.groups):
                new = job.submission.map_ends()
                job.ends.update(new)
                job.seen_at.update(dict.fromkeys(new, time.time()))
                if len(job.ends) == len(job.groups):
                    self._end(job)

    def rest(self, books: Books) -> list[bytes] | None:  # decision 399
        """What a reducer needs to end the fold without a round, once all partials are there: of each group the sum, or its
        partials in a bundle. None where it is too much, or no tree, or another one."""
        if not self._are_all_there(books):
            return None
        self._collect()
        sums = self._sums()
        left = {number: self._group(number) for number in range(len(self._edges) - 1) if number not in sums}
        packed = [each for group in left.values() for each in group]
        is_small = all(len(each) <= HANDED_BYTES for each in (*packed, *sums.values()))
        if not is_small or not self._is_little(len(packed), len(sums)):
            return None
        self._is_rest_given = True
        return [*sums.values(), *(bundle(group, Facts()) for group in left.values())]

    def is_awaited(self, books: Books) -> bool:  # decision 399
        """Whether folds that run still, now that all partials are there, will leave so little that no round is needed. What
        would take the reducer longer than a job is begun beside them."""
        # nor where their sums would be too large to be given to it
        may = self._begun and self._are_all_there(books) and self._here_bytes <= HANDED_BYTES * self._whole
        self._is_waiting = bool(may) and self._is_worth_waiting()
        return self._is_waiting

    def _is_worth_waiting(self) -> bool:
        self._collect()
        now_s = time.monotonic()
        self._await_until_s = self._await_until_s or now_s + AWAIT_S
        over = [job.groups[local] for job in self._jobs for local in job.ends]
        if self._is_enough(over) or now_s > self._await_until_s:
            return False
        if not self._is_enough(self._begun):
            self._begin()
        return len(over) < len(self._begun) and (self._starting is not None or self._is_enough(self._begun))

    @property
    def awaited(self) -> list[Submission]:
        """Those of the folds for which the reducer waits."""
        return [job.submission for job in self._jobs if self._is_waiting and len(job.ends) < len(job.groups)]

    def _are_all_there(self, books: Books) -> bool:
        """Whether each call has given its partial, in one part, and they ask for the tree of which folds have begun."""
        if not self._is_on or not self._edges or books.owed:
            return False
        self._note(books)
        is_whole = self._whole == len(self._calls) and all(len(given) == 1 for given in self._partials.values())
        return is_whole and self._edges_if(1.0) == self._edges

    def _is_enough(self, folded: Collection[int]) -> bool:
        """Whether a reducer folds what is left beside the sums of these groups sooner than a job would."""
        left = len(self._calls) - sum(self._edges[number + 1] - self._edges[number] for number in folded)
        return self._is_little(left, len(folded), JOB_S)

    def _group(self, number: int) -> list[bytes]:
        """The partials of a group, in order."""
        calls = range(self._edges[number], self._edges[number + 1])
        return [packed for call in calls for _, packed in sorted(self._partials[call].items())]

    def _sums(self) -> dict[int, bytes]:
        """Of each group that has been folded its sum."""
        found: dict[int, bytes] = {}
        for job in self._jobs:
            for local, end in job.ends.items():
                number = job.groups[local]
                if self._begun[number] == self._group(number) and (packed := _sum_of(end, self._begun[number])) is not None:
                    found[number] = packed
        return found

    def tell(self, books: Books) -> None:
        """Tell what the folds were of which a reducer was given the sums (see ``rest``), or for which it did not wait."""
        if not self._is_rest_given:
            return
        with contextlib.suppress(RunError):  # of a storage that does not answer any more
            self._collect()
        first = 1 + max(item["call"]["id"] for item in self._plan.iterdata)
        events = list[Event]()
        for job in self._jobs:
            for local, end in job.ends.items():
                number = job.groups[local]
                if (packed := _sum_of(end, self._begun[number])) is not None:
                    envelope = unpack(packed)
                    told = envelope.range_ids, envelope.entries, envelope.facts, end.status, b""
                    events.append(CallEnded(first + number, 1, *told, at=job.seen_at[local]))
        if events:
            books.tell(FoldRoundEnded(0, len(events), tuple(events)))

    def taken_over_by(self, plan: Plan) -> tuple[list[int], Joint] | None:
        """The calls of the round ``plan`` that were begun already, and what tells of them; None where there are none."""
        self.settle()
        call_ids: list[int] = []
        asked: list[tuple[Submission, dict[int, int], dict[int, CallEnd]]] = []
        own = {number: item["call"] for number, item in enumerate(plan.iterdata)}
        same = {number for number, given in self._begun.items() if number in own and own[number]["partials"] == given}
        if len(own) != len(self._edges) - 1:
            same = set()
        for job in self._jobs:
            positions = {}
            for local, number in enumerate(job.groups):
                if number in same:
                    positions[local] = len(call_ids)
                    call_ids.append(own[number]["id"])
            asked.append((job.submission, positions, job.ends))
        if not call_ids:
            return None
        self._is_rest_given = False  # it came to nothing
        return call_ids, Joint(asked)

    def close(self) -> None:
        """End what was begun and is not over, and delete what it wrote."""
        self._is_on = False
        self._is_over.set()
        if self._starting is not None:
            wait([self._starting[0]])
            self._note_start()
        self._starter.shutdown()
        with self._deleter:
            for job in self._jobs:
                self._end(job)
        for deleted in self._deleting:
            deleted.result()
        self._jobs, self._deleting = [], []

    def _end(self, job: _Job) -> None:
        """Nobody asks after a job any more: what runs is stopped, what it wrote is deleted, once and beside what goes on."""
        if not job.is_over:
            job.is_over = True
            job.submission.cancel(RunError("these folds are over"))
            self.delete(job.submission)

    def delete(self, submission: Submission) -> None:
        """Delete what a submission that is over wrote, beside what goes on; ``close`` waits for it."""
        self._deleting.append(self._deleter.submit(submission.forget))

    @property
    def partials(self) -> Iterator[bytes]:
        """Those that have come and been seen, but for halves of ranges."""
        return (packed for given in self._partials.values() for packed in given.values() if packed)


def _sum_of(end: CallEnd, partials: list[bytes]) -> bytes | None:
    """What a call that folded ``partials`` has handed back; None if that is not their sum."""
    try:
        envelope = unpack(end.data or b"")
    except EnvelopeError:
        return None
    wanted = {range_id for packed in partials for range_id in unpack(packed).range_ids}
    is_sum = envelope.error is None and not envelope.inner and set(envelope.range_ids) == wanted
    return end.data if is_sum else None
