"""Run a plan to its end: watch the calls, keep what arrived, run again only what did not. Knows neither Lithops nor ROOT.

    attempt 1: map_reduce over all calls ──> some calls raised, were killed or got lost
    attempt 2: map_reduce over those calls alone; its reducer gets the kept partials too, and folds all in range order
    backup:    where one call takes much longer than the others, such an attempt begins while the first one still runs; both
               go on until one of them delivers, whatever becomes of the other

The fold is always that of the plan (ranges within their call, then calls, in order), so a recovered run gives the same bits
as an undisturbed one, unless a single range had to be cut in two. A failure of the user's graph, data or payload is final.

Where partials are too many or too large for one reducer, it hands them on instead of a result, and they are folded in rounds
(``fold_rounds``), each of which is attempted in the same way. Groups of the first round whose partials are all there begin
while the last calls run (``early_folds``).

What the driver of an earlier run has left when it was killed may be taken up: partials, and calls that are under way still.
Those are attempt 0, which has no reducer; where a reducer would lack their partials, all that is there is folded in a round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping

from ..errors import RunError, SubmissionError
from ..options import Options
from ..planning.plans import Plan
from ..travels.arrived import HANDED_BYTES
from ..travels.envelope import Envelope, unpack
from . import heap, interrupts
from .account import Account
from .attempts import Attempt, Submission
from .books import ADOPTED, REDUCER, Books, CallEnd, Halve, Trouble, never_halved, reducer_trouble
from .early_folds import FEWEST_CALLS, EarlyFolds
from .events import (
    AttemptBegan,
    AttemptEnded,
    BackupStarted,
    CallsTakenUp,
    Consumer,
    Event,
    FoldRoundEnded,
    ReduceEnded,
    RunBegan,
    RunEnded,
)
from .fold_rounds import all_there, handed_on, next_round
from .outcomes import Outcome, raised
from .watch import Watch

__all__ = ["CallEnd", "Outcome", "Submission", "finish", "run"]

logger = logging.getLogger(__name__)

Submit = Callable[[Plan], Submission]
Adopted = tuple[list[int], Submission]  # calls, and what tells of them in this order


def run(
    submit: Submit,
    plan: Plan,
    options: Options,
    consumers: tuple[Consumer, ...] = (),
    run_id: str = "",
    halve: Halve = never_halved,
    account: Account | None = None,
    kept: Mapping[int, tuple[bytes, ...]] | None = None,
    under_way: Adopted | None = None,
) -> Outcome:
    """Run ``plan`` with as many attempts as ``options`` allows; ``submit`` starts one ``map_reduce`` of a plan.

    ``consumers`` are told each event as it happens; ``halve`` gives the two halves of a range that was too much for a
    worker, or nothing; every submission draws on ``account``, the plan's own if none is given; ``kept`` are partials that
    are there already, by call, and ``under_way`` calls that another driver has begun. Raises RunError when no
    answer is to be had; a failure of the user's graph is inside the outcome's envelope (see ``outcomes.read_result``).
    """
    account = account or Account(plan.outlook)
    early = EarlyFolds(submit, plan) if plan.calls >= FEWEST_CALLS else None
    running = _Run(submit, plan, options, Books(plan, consumers, halve), account, early)
    running.books.kept.update(kept or {})
    error: str | None = "interrupted"
    failed: dict[int, str] = {}
    try:
        running.books.tell(RunBegan(plan, run_id))  # who hears of it may be interrupted, too
        if kept:
            running.books.tell(_taken_up(kept))
        if under_way is not None:
            running.adopt(*under_way)
        with heap.set_aside(plan.calls):
            outcome = finish(submit, plan, options, running.until_done(), consumers, account, early)
        if early is not None:
            early.tell(running.books)
        error = outcome.failure
        failed = outcome.failures if len(outcome.results) > 1 else {}
        return outcome
    except Exception as failure:
        error = str(failure).partition("\n")[0]
        raise
    finally:
        with contextlib.suppress(RunError):  # of a storage that does not answer: what is left goes with the executor
            if early is not None:
                early.close()
        over = RunEnded(running.attempts, time.perf_counter() - running.began, error, tuple(failed.items()))
        running.books.tell(over)


def finish(
    submit: Submit,
    plan: Plan,
    options: Options,
    outcome: Outcome,
    consumers: tuple[Consumer, ...] = (),
    account: Account | None = None,
    early: EarlyFolds | None = None,
) -> Outcome:
    """Fold in rounds what the reducer of ``plan`` handed on, if it did, graph by graph; the outcome of all together. The
    first round takes over what was begun ``early``."""
    account = account or Account(plan.outlook)
    for graph, result in enumerate(outcome.results):
        if isinstance(result, Envelope) and result.inner:
            try:
                outcome = _finish_one(submit, plan.alone(graph), options, outcome, graph, consumers, account, early)
            except RunError as failure:
                if plan.graphs == 1:
                    raise
                outcome = outcome.replaced(graph, failure)
    return outcome


def _finish_one(
    submit: Submit,
    plan: Plan,
    options: Options,
    outcome: Outcome,
    graph: int,
    consumers: tuple[Consumer, ...],
    account: Account,
    early: EarlyFolds | None,
) -> Outcome:
    number, result = 0, raised(outcome.results[graph])
    while result.inner:
        number += 1
        plan = next_round(plan, result, early.partials if early is not None and number == 1 else ())
        events: list[Event] = []
        left_s = options.deadline_s and max(0.001, options.deadline_s - outcome.submit_s - outcome.wait_s)
        books = Books(plan, (events.append,))
        this = _Run(submit, plan, dataclasses.replace(options, deadline_s=left_s), books, account)
        if early is not None and number == 1 and (begun := early.taken_over_by(plan)) is not None:
            this.adopt(*begun, may_wait=True)
        last = this.until_done()
        result = last.envelope
        outcome = dataclasses.replace(
            outcome.replaced(graph, result),
            submit_s=outcome.submit_s + last.submit_s,
            wait_s=outcome.wait_s + last.wait_s,
            attempts=outcome.attempts + last.attempts - 1,
            repeated_calls=outcome.repeated_calls + last.repeated_calls,
        )
        for consumer in consumers:
            consumer(FoldRoundEnded(number, plan.calls, tuple(events)))
    return outcome


class _Run:
    """One run: the attempts under way (one; two while a backup runs) and what is known of the calls."""

    def __init__(
        self,
        submit: Submit,
        plan: Plan,
        options: Options,
        books: Books,
        account: Account,
        early: EarlyFolds | None = None,
    ) -> None:
        self.account, self.early = account, early
        self.may_wait = False  # whether a reducer is held back for what was adopted
        self.submit, self.plan, self.options, self.books = submit, plan, options, books
        self.watch = Watch(options, plan)
        self.live: list[Attempt] = []
        self.attempts = self.repeated = self.submitted = self.backups = self.folds = 0
        self.reducers = 0  # that were given all partials
        self.submit_s = 0.0
        self.began = time.perf_counter()

    def adopt(self, calls: list[int], submission: Submission, may_wait: bool = False) -> None:
        """Wait for calls that another driver has begun. Or this one, early: then a reducer ``may_wait`` for them."""
        self.may_wait = may_wait
        self.live.append(Attempt(ADOPTED, calls, submission, lacks=True))
        self.books.expect(calls, ADOPTED)
        self.watch.expect(ADOPTED)

    def until_done(self) -> Outcome:
        """Attempt after attempt until each graph has its result or its failure; all that runs is cancelled and forgotten
        when this ends. What ends the run as a whole ends the graphs that have neither; where one is alone it is raised."""
        with self._cleaned_up():
            try:
                while self.books.unfinished:
                    self._go_on()
            except RunError as failure:
                if len(self.books.graphs) == 1:
                    raise
                self.books.failed.update(dict.fromkeys(self.books.unfinished, failure))
            return self._outcome()

    def _go_on(self) -> None:
        interrupts.check()
        if not self.live or self._has_idle_calls():
            self._begin_next()
        for attempt in list(self.live):
            self._attend(attempt)
            if not self.books.unfinished:
                return
            if self.early is not None and attempt.submission.holds_reducer:
                self.early.look(self.books)
        if self.live:
            self._back_up()
            asked = (*(attempt.submission for attempt in self.live), *(self.early.awaited if self.early is not None else ()))
            self.watch.rest(min(submission.poll_s for submission in asked), self.books)

    def _has_idle_calls(self) -> bool:
        """Whether calls are owed that nobody works at, while nothing runs but what another driver has begun."""
        is_busy = any(attempt.number != ADOPTED for attempt in self.live) or (self.attempts and not self.books.trouble)
        return not is_busy and any(not self.books.copies[call_id] for call_id in self.books.owed)

    def _outcome(self) -> Outcome:
        wait_s = time.perf_counter() - self.began - self.submit_s
        failed = {graph: unpack(each) if isinstance(each, bytes) else each for graph, each in self.books.failed.items()}
        found = {**failed, **{graph: unpack(packed) for graph, packed in self.books.folded.items()}}
        results = tuple(found[graph] for graph in sorted(self.books.graphs))
        if len(results) == 1:
            raised(results[0])
        return Outcome(results, self.submit_s, wait_s, self.attempts, self.repeated)

    def _begin_next(self) -> None:
        """Begin the next attempt, after a pause that doubles. When attempts are used up, graphs end that have no partial of
        some range; those that have all are folded in one attempt more."""
        if not self.reducers and not self.books.owed and self._fold_what_is_there():
            return
        if self.attempts:
            logger.warning("attempt %d of %d: %s", self.attempts, self.options.attempts, self.books.describe())
            if self._are_used_up():
                self.books.give_up(self.attempts)
                if not self.books.unfinished:
                    return
            self.watch.pause(self.options.backoff_s * 2 ** (self.attempts - 1), self.books)
        self._begin()

    def _fold_what_is_there(self) -> bool:
        """Whether all partials are there before there was a reducer for them, and go into a round of the fold."""
        bundled = all_there(self.plan, (each for some in self.books.kept.values() for each in some))
        return bundled is not None and self.books.take(bundled) is not None

    def _are_used_up(self) -> bool:
        """Whether there was attempt enough. Where a backup took one, and nothing is missing but a fold that no attempt could
        make, one more is within what so many whole attempts would have been."""
        if self.attempts < self.options.attempts or self.books.owed:
            return self.attempts >= self.options.attempts
        has_room = self.submitted < self.options.attempts * self.plan.calls and self.folds < self.options.attempts
        return not has_room or self.attempts >= self.options.attempts + self.backups

    def _begin(self) -> None:
        part = self.books.next_plan(self.attempts + 1)
        part = dataclasses.replace(part, call_limit_s=self.account.draw(len(part.iterdata)))
        lacks = bool(self.books.under_way[ADOPTED]) and not self.may_wait
        self.attempts += 1
        self.reducers += not lacks
        self.submitted += len(part.iterdata)
        self.repeated += len(part.iterdata) if self.attempts > 1 else 0
        submitting = time.perf_counter()
        try:
            if self.early is not None:
                self.early.settle()
            submission = self.submit(part)
        except SubmissionError as trouble:
            self.books.trouble[REDUCER, self.attempts] = Trouble("submit", str(trouble))
            return
        self.submit_s += (submit_s := time.perf_counter() - submitting)
        calls = [item["call"]["id"] for item in part.iterdata]
        given = frozenset(self.books.kept.keys() - set(calls))
        self.live.append(Attempt(self.attempts, calls, submission, given, lacks=lacks))
        self.books.expect(calls, self.attempts)
        self.watch.expect(self.attempts)
        self.books.tell(AttemptBegan(self.attempts, tuple(calls), submit_s, submission.job_key))

    def _back_up(self) -> None:
        """Begin a second copy of calls that take much longer than the others did: it is one of the attempts."""
        may = self.options.backups and self.attempts < self.options.attempts and len(self.live) == 1
        if may and not self.live[0].lacks and self.watch.is_straggling(self.live[0], self.books):
            self.backups += 1
            self.books.tell(BackupStarted(tuple(self.books.owed), self.attempts + 1))
            self._begin()

    def _attend(self, attempt: Attempt) -> None:
        """Look at one attempt: it goes on, has merged, or is over."""
        end = attempt.submission.reduce_end()
        self.watch.look(attempt, self.books, end is not None)
        if attempt.has_delivered and attempt.lacks:
            if attempt.number == ADOPTED or not any(other.number == ADOPTED for other in self.live):
                self._close(attempt, None)
            return
        if attempt.has_delivered and not attempt.is_asked:
            early = self.early if attempt.submission.holds_reducer and not attempt.given else None
            if (self.may_wait and self._lacks_others(attempt)) or (early is not None and early.is_awaited(self.books)):
                return
            attempt.is_asked = True
            given: tuple[dict[int, tuple[bytes, ...]], list[bytes]] = {}, []
            if attempt.submission.holds_reducer:
                rest = early.rest(self.books) if early is not None else None
                if rest is None and self._hand_on(attempt):
                    return
                given = self._for_the_reducer(attempt, rest), self._more(attempt) if rest is None else rest
            attempt.submission.maps_delivered(*given)
        is_over = not self.books.unfinished or self.watch.is_over(attempt, self.books, end is not None)
        if not self.books.unfinished:  # what ends the run may have been seen just now, in the last look at what was gone
            return
        if is_over and end is None:
            end = attempt.submission.reduce_end()  # it may have delivered just before it went
        if end is not None and end.data is not None and (facts := self.books.take(end.data)) is not None:
            attempt.merged = end.data
            self.books.tell(ReduceEnded(attempt.number, facts, end.status))
        if attempt.merged is not None or is_over:
            self._close(attempt, end)

    def _hand_on(self, attempt: Attempt) -> bool:
        """Whether all is there, and too much for one reducer: one that has not begun need not begin only to say so."""
        if self.books.owed:
            return False
        kept = (each for some in self.books.kept.values() for each in some)
        attempt.merged = handed_on(self.plan, kept)
        if attempt.merged is None:
            return False
        self.books.take(attempt.merged)
        attempt.submission.cancel(RunError("it is folded in rounds"))
        self._close(attempt, None, hurry=True)
        return True

    def _for_the_reducer(self, attempt: Attempt, rest: list[bytes] | None) -> dict[int, tuple[bytes, ...]]:  # decision 346
        """By position, the partials that its reducer would fetch and that are small, as handing them on is less trouble; of
        a call that nobody wants any more, or whose partial is in the ``rest`` that it is given, none."""
        if rest is not None:
            return dict.fromkeys(range(len(attempt.calls)), ())
        found = {position: self.books.kept.get(call_id, ()) for position, call_id in enumerate(attempt.calls)}
        return {position: some for position, some in found.items() if all(len(each) <= HANDED_BYTES for each in some)}

    def _more(self, attempt: Attempt) -> list[bytes]:
        """What its reducer needs of calls that others have delivered since it was submitted."""
        own = attempt.given.union(attempt.calls)
        return [each for call_id, some in self.books.kept.items() if call_id not in own for each in some]

    def _lacks_others(self, attempt: Attempt) -> bool:
        """Whether its reducer is held back for calls that were begun early; if nobody works at one any more, it has none."""
        owed = self.books.owed
        attempt.lacks = any(not self.books.copies[call_id] for call_id in owed)
        return bool(owed)

    def _close(self, attempt: Attempt, end: CallEnd | None, hurry: bool = False) -> None:
        """An attempt is over: what it did not deliver is in trouble; where nothing is, the reducer was. In a ``hurry`` what
        it left is deleted while the run goes on."""
        if attempt.merged is None:
            had_reducer = attempt.has_delivered and not attempt.lacks
            self.folds += had_reducer
            for call_id in attempt.calls:
                self.books.lose(call_id, attempt.number, "it never ended: what ran it is gone")
            if had_reducer:
                self.books.trouble[REDUCER, attempt.number] = reducer_trouble(end, attempt.why)
        self.live.remove(attempt)
        self._stop(attempt, "this attempt is over", hurry)
        missing = tuple(call_id for call_id in attempt.calls if self.books.owes(call_id))
        self.books.tell(AttemptEnded(attempt.number, missing))

    def _stop(self, attempt: Attempt, why: BaseException | str, hurry: bool = False) -> None:
        try:
            if attempt.merged is None:
                attempt.submission.cancel(RunError(why) if isinstance(why, str) else why)
        finally:
            if hurry and self.early is not None:
                self.early.delete(attempt.submission)
            else:
                attempt.submission.forget()

    @contextlib.contextmanager
    def _cleaned_up(self) -> Iterator[None]:
        """Whatever ends the run, nothing of it goes on or stays."""
        why: BaseException | str = "the run is over"
        try:
            yield
        except BaseException as failure:
            why = failure
            raise
        finally:
            for attempt in self.live:
                self._stop(attempt, why)


def _taken_up(kept: Mapping[int, tuple[bytes, ...]]) -> CallsTakenUp:
    entries = [unpack(packed).entries for some in kept.values() for packed in some]
    return CallsTakenUp(tuple(kept), None if None in entries else sum(filter(None, entries)))
