"""Run a plan to its end: watch the calls, keep what arrived, run again only what did not. Knows neither Lithops nor ROOT.

    attempt 1: map_reduce over all calls ──> some calls raised, were killed or got lost
    attempt 2: map_reduce over those calls alone; its reducer gets the kept partials too, and folds all in range order

The grouping of ranges into calls stays as planned and the fold is one fold in range order, so a recovered run gives the same
bits as an undisturbed one. A failure of the user's own graph, data or payload is final: it would fail again.

Where partials are too many or too large for one reducer, it hands them on instead of a result, and they are folded in rounds
(``folding``), each of which is attempted in the same way.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import LostRangesError, PayloadError, RangeError, RunError
from .events import (
    AttemptBegan,
    AttemptEnded,
    CallBegan,
    CallEnded,
    CallFailed,
    CallProgressed,
    Consumer,
    Event,
    FoldRoundEnded,
    ReduceEnded,
    RunBegan,
    RunEnded,
)
from .folding import next_round
from .planning import Options, Plan
from .worker.envelope import Envelope, EnvelopeError, unpack

__all__ = ["CallEnd", "Outcome", "Submission", "finish", "read_result", "run"]

logger = logging.getLogger(__name__)

FINAL = ("range", "payload")  # kinds of failure that another attempt would only repeat
WATCH_S = 0.25  # how often the calls themselves are looked at when nobody wants to see them arrive
SHOWN_WATCH_S = 0.05  # and when somebody does


@dataclass(frozen=True)
class CallEnd:
    """How one call ended: with ``data`` (a packed envelope), or without, and ``why``; Lithops' own figures of it."""

    data: bytes | None = None
    why: str = ""
    log_tail: str = ""
    status: dict[str, Any] = field(default_factory=dict)


class Submission(Protocol):
    """One ``map_reduce`` under way, as the seam with Lithops offers it. Calls are counted from 0 within it."""

    poll_s: float

    @property
    def job_key(self) -> str:
        """Lithops' name of the map job."""

    def beats(self) -> dict[int, dict[str, Any]]:
        """The latest sign of life of each call that has not ended, where there is one."""

    def map_ends(self) -> dict[int, CallEnd]:
        """Calls that have ended since the last time this was asked."""

    def lost(self) -> set[int]:
        """Calls that will never end: what should run them is gone."""

    def reduce_end(self) -> CallEnd | None:
        """How the reducer ended, or None while it has not."""

    def reduce_lost(self) -> bool:
        """Whether the reducer will never end."""

    def cancel(self, error: BaseException) -> None:
        """Stop what still runs, where the backend can."""

    def forget(self) -> None:
        """Delete what it wrote."""


@dataclass(frozen=True)
class Outcome:
    """The merged result of a run as it came back; seconds; attempts made; calls that had to be run again."""

    envelope: Envelope
    submit_s: float
    wait_s: float
    attempts: int
    repeated_calls: int


@dataclass
class _Books:
    """What is known of a run: partials by call id, and in this attempt the trouble of each call that gave none."""

    consumers: tuple[Consumer, ...] = ()
    attempt: int = 0
    kept: dict[int, bytes] = field(default_factory=dict)
    trouble: dict[int, CallEnd] = field(default_factory=dict)
    final: bytes | None = None

    def tell(self, event: Event) -> None:
        """Hand ``event`` to all who want to know."""
        for consumer in self.consumers:
            consumer(event)

    def enter(self, call_id: int, end: CallEnd) -> None:
        """Sort the end of a call into partial, final failure, or trouble that another attempt may cure; and tell of it."""
        if call_id in self.kept:  # delivered twice
            return
        data = end.data
        if data is None:
            self._fail(call_id, "lost", end)
            return
        try:
            envelope = unpack(data)
        except EnvelopeError as error:
            self._fail(call_id, "damaged", dataclasses.replace(end, data=None, why=str(error)))
            return
        failure = envelope.error
        if failure is not None:
            end = dataclasses.replace(end, why=failure["message"], log_tail=failure.get("log_tail", ""))
            self._fail(call_id, failure["kind"], end)
            return
        self.kept[call_id] = data
        self.trouble.pop(call_id, None)
        found = envelope.range_ids, envelope.entries, envelope.facts, end.status, data
        self.tell(CallEnded(call_id, self.attempt, *found))

    def _fail(self, call_id: int, kind: str, end: CallEnd) -> None:
        final = kind in FINAL
        if final:
            self.final = end.data
        else:
            self.trouble[call_id] = end
        self.tell(CallFailed(call_id, self.attempt, kind, end.why, final, end.log_tail, end.status))


Submit = Callable[[Plan], Submission]


def run(submit: Submit, plan: Plan, options: Options, consumers: tuple[Consumer, ...] = (), run_id: str = "") -> Outcome:
    """Run ``plan`` with as many attempts as ``options`` allows; ``submit`` starts one ``map_reduce`` of a plan.

    ``consumers`` are told each event as it happens. Raises RunError when no answer is to be had; a failure of the user's
    graph is inside the outcome's envelope (see ``read_result``).
    """
    began = time.perf_counter()
    books = _Books(consumers)
    books.tell(RunBegan(plan, run_id))
    error: str | None = "interrupted"
    try:
        outcome = finish(submit, plan, options, _attempt_until_done(submit, plan, options, books), consumers)
        found = outcome.envelope.error
        error = None if found is None else str(found["message"]).partition("\n")[0]
        return outcome
    except Exception as failure:
        error = str(failure).partition("\n")[0]
        raise
    finally:
        books.tell(RunEnded(books.attempt, time.perf_counter() - began, error))


def finish(submit: Submit, plan: Plan, options: Options, outcome: Outcome, consumers: tuple[Consumer, ...] = ()) -> Outcome:
    """Fold in rounds what the reducer of ``plan`` handed on, if it did; the outcome of all together."""
    number = 0
    while outcome.envelope.parts:
        number += 1
        plan = next_round(plan, outcome.envelope)
        events: list[Event] = []
        books = _Books((events.append,))
        last = _attempt_until_done(submit, plan, options, books)
        outcome = dataclasses.replace(
            last,
            submit_s=outcome.submit_s + last.submit_s,
            wait_s=outcome.wait_s + last.wait_s,
            attempts=outcome.attempts + last.attempts - 1,
            repeated_calls=outcome.repeated_calls + last.repeated_calls,
        )
        for consumer in consumers:
            consumer(FoldRoundEnded(number, plan.calls, tuple(events)))
    return outcome


def _attempt_until_done(submit: Submit, plan: Plan, options: Options, books: _Books) -> Outcome:
    began, submit_s, repeated = time.perf_counter(), 0.0, 0
    watch = _Watch(options, plan)
    for attempt in range(1, options.attempts + 1):
        books.attempt = attempt
        part = _missing(plan, books)
        books.trouble.clear()
        repeated += len(part.iterdata) if attempt > 1 else 0
        submitting = time.perf_counter()
        submission = submit(part)
        this_submit_s = time.perf_counter() - submitting
        submit_s += this_submit_s
        call_ids = tuple(item["call"]["id"] for item in part.iterdata)
        books.tell(AttemptBegan(attempt, call_ids, this_submit_s, submission.job_key))
        merged = _attend(submission, part, books, watch)
        books.tell(AttemptEnded(attempt, tuple(call_id for call_id in call_ids if call_id not in books.kept)))
        if merged is not None:
            wait_s = time.perf_counter() - began - submit_s
            return Outcome(unpack(merged), submit_s, wait_s, attempt, repeated)
        logger.warning("attempt %d of %d: %s", attempt, options.attempts, _list_trouble(books))
    raise _gave_up(plan, books, options)


def _missing(plan: Plan, books: _Books) -> Plan:
    """The part of the plan that has no partial yet, with a reducer that folds the kept ones in.

    With nothing missing (the reducer itself was lost) the last call runs again: map_reduce wants one.
    """
    items = [item for item in plan.iterdata if item["call"]["id"] not in books.kept] or plan.iterdata[-1:]
    again = {item["call"]["id"] for item in items}
    items = [{"call": {**item["call"], "attempt": books.attempt}} for item in items]
    kept = tuple(data for call_id, data in books.kept.items() if call_id not in again)
    reduce_task = dataclasses.replace(plan.reduce_task, kept=kept)
    return dataclasses.replace(plan, iterdata=items, reduce_task=reduce_task)


def _attend(submission: Submission, part: Plan, books: _Books, watch: _Watch) -> bytes | None:
    """Wait for one submission: the merged result (or a final failure), or None when calls must run again."""
    call_ids = [item["call"]["id"] for item in part.iterdata]
    try:
        while True:
            end = submission.reduce_end()
            watch.look(submission, call_ids, books, end is not None)
            if books.final is not None:
                submission.cancel(RunError("another call of this run failed for good"))
                return books.final
            stuck = end is None and watch.stuck(submission, call_ids, books)
            end = submission.reduce_end() if stuck else end  # it may have delivered just before it went
            if end is not None and end.data is not None and (facts := _merged_facts(end.data)) is not None:
                books.tell(ReduceEnded(books.attempt, facts, end.status))
                return end.data
            if end is not None or stuck:
                _enter_losses(submission, call_ids, books, end)
                submission.cancel(RunError("this attempt is over"))
                return None
            watch.check_deadline(call_ids, books)
            time.sleep(submission.poll_s)
    except BaseException as error:
        submission.cancel(error)
        raise
    finally:
        submission.forget()


def _merged_facts(data: bytes) -> dict[str, Any] | None:
    """The facts of a fold that went well, or None."""
    try:
        envelope = unpack(data)
    except EnvelopeError:
        return None
    return None if envelope.error is not None else envelope.facts


def _enter_losses(submission: Submission, call_ids: Sequence[int], books: _Books, end: CallEnd | None) -> None:
    """Every call of this attempt without a partial is in trouble; where none is, the reducer was."""
    for call_id in call_ids:
        if call_id not in books.kept:
            books.trouble.setdefault(call_id, CallEnd(why="it never ended: what ran it is gone"))
    if not books.trouble:
        books.trouble[-1] = end or CallEnd(why="the reducer never ended: what ran it is gone")


class _Watch:
    """Looks at a run's calls: for those who want to see them arrive, and for those that will never end."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self.next_look = self.next_beats = 0.0
        self.deadline_s = options.deadline_s
        self.began = time.monotonic()
        beats = plan.map_task.surroundings.beats
        self.beat_s: float | None = None if beats is None else beats["every_s"]
        self.seen: dict[tuple[int, int], int] = {}  # the last beat of each call in each attempt

    def look(self, submission: Submission, call_ids: Sequence[int], books: _Books, last: bool) -> None:
        """Enter the calls that have ended into the books, now and then."""
        now = time.monotonic()
        if now < self.next_look and not last:
            return
        self.next_look = now + (SHOWN_WATCH_S if books.consumers else WATCH_S)
        for position, end in submission.map_ends().items():
            books.enter(call_ids[position], end)
        if self.beat_s is not None and now >= self.next_beats and not last:
            self.next_beats = now + self.beat_s
            self._listen(submission, call_ids, books)

    def _listen(self, submission: Submission, call_ids: Sequence[int], books: _Books) -> None:
        """Tell of the calls that have beaten since the last time."""
        for position, beat in submission.beats().items():
            call_id, known = call_ids[position], (call_ids[position], books.attempt)
            if beat["beat"] == self.seen.get(known):
                continue
            if known not in self.seen:
                books.tell(CallBegan(call_id, books.attempt))
            self.seen[known] = beat["beat"]
            books.tell(CallProgressed(call_id, books.attempt, beat["entries"], beat["cpu_s"], beat["host"]))

    def stuck(self, submission: Submission, call_ids: Sequence[int], books: _Books) -> bool:
        """Whether waiting longer is in vain: every call has ended or is lost, and some without a partial; or no reducer."""
        lost = submission.lost()
        if lost:
            self.look(submission, call_ids, books, True)  # what is gone may have delivered just before it went
        if books.final is not None:
            return False  # seen just now: the loop ends with it
        if all(call_id in books.kept for call_id in call_ids):
            return submission.reduce_lost()
        return all(call_id in books.kept or call_id in books.trouble or i in lost for i, call_id in enumerate(call_ids))

    def check_deadline(self, call_ids: Sequence[int], books: _Books) -> None:
        """Raise once the run has taken longer than it may."""
        if self.deadline_s is None or time.monotonic() - self.began < self.deadline_s:
            return
        waiting = [call_id for call_id in call_ids if call_id not in books.kept]
        what = f"no result after the deadline of {self.deadline_s} s; calls without a result: {waiting or 'the reducer'}"
        raise RunError(what, next_command="raise options.deadline_s, or use more and smaller ranges (npartitions)")


def _list_trouble(books: _Books) -> str:
    names = {call_id: "the reducer" if call_id < 0 else f"call {call_id}" for call_id in books.trouble}
    listed = [f"{names[call_id]}: {end.why}" for call_id, end in sorted(books.trouble.items())]
    return "; ".join(listed[:5]) + (f"; and {len(listed) - 5} more" if len(listed) > 5 else "")


def _gave_up(plan: Plan, books: _Books, options: Options) -> RunError:
    lost = [item["call"] for item in plan.iterdata if item["call"]["id"] not in books.kept]
    range_ids = tuple(plain["id"] for call in lost for plain in call["ranges"])
    return LostRangesError(
        f"ranges {list(range_ids)} gave no result in {options.attempts} attempts",
        where=f"calls {[call['id'] for call in lost]} of {plan.calls}",
        why=_list_trouble(books),
        log_tail=next((end.log_tail for end in books.trouble.values() if end.log_tail), ""),
        next_command="see the log's tail; if memory ran out, use more ranges (npartitions) or a larger runtime_memory",
        range_ids=range_ids,
    )


def read_result(envelope: Envelope) -> bytes:
    """The merged result's pickle; raises the error that the envelope carries instead, if it does."""
    error = envelope.error
    if error is None:
        return envelope.body
    if error["kind"] == "payload":
        raise PayloadError(error["what"], error["message"].removeprefix(f"{error['what']}: "), error["log_tail"])
    ranges = ", ".join(map(str, error["range_ids"]))
    if error["kind"] == "range":
        failure = RangeError(
            f"range {ranges} failed: {error['message']}",
            where=f"call {error['call_id']}, {error['where']}",
            why=error["traceback"].strip(),
            range_ids=tuple(error["range_ids"]),
            call_id=error["call_id"],
        )
        failure.type_name = error["type"]
        raise failure
    raise RunError(
        f"ranges {ranges}: {error['message']}",
        why=error.get("traceback", ""),
        log_tail=error.get("log_tail", ""),
        range_ids=tuple(error["range_ids"]),
        call_id=error.get("call_id"),
    )
