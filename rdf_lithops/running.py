"""Run a plan to its end: watch the calls, keep what arrived, run again only what did not. Knows neither Lithops nor ROOT.

    attempt 1: map_reduce over all calls ──> some calls raised, were killed or got lost
    attempt 2: map_reduce over those calls alone; its reducer gets the kept partials too, and folds all in range order

The grouping of ranges into calls stays as planned and the fold is one fold in range order, so a recovered run gives the same
bits as an undisturbed one. A failure of the user's own graph, data or payload is final: it would fail again.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tqdm import tqdm

from .errors import LostRangesError, PayloadError, RangeError, RunError
from .planning import Options, Plan
from .worker.envelope import Envelope, EnvelopeError, unpack

__all__ = ["CallEnd", "Outcome", "Submission", "read_result", "run"]

logger = logging.getLogger(__name__)

FINAL = ("range", "payload")  # kinds of failure that another attempt would only repeat
WATCH_S = 0.25  # how often the calls themselves are looked at when nobody wants to see them arrive


@dataclass(frozen=True)
class CallEnd:
    """How one call ended: with ``data`` (a packed envelope), or without, and ``why``."""

    data: bytes | None = None
    why: str = ""
    log_tail: str = ""


class Submission(Protocol):
    """One ``map_reduce`` under way, as the seam with Lithops offers it. Calls are counted from 0 within it."""

    poll_s: float

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

    kept: dict[int, bytes] = field(default_factory=dict)
    trouble: dict[int, CallEnd] = field(default_factory=dict)
    final: bytes | None = None

    def enter(self, call_id: int, end: CallEnd) -> None:
        """Sort the end of a call into partial, final failure, or trouble that another attempt may cure."""
        if end.data is None:
            self.trouble[call_id] = end
            return
        try:
            error = unpack(end.data).error
        except EnvelopeError as damage:
            self.trouble[call_id] = CallEnd(why=str(damage))
            return
        if error is None:
            self.kept[call_id] = end.data
            self.trouble.pop(call_id, None)
        elif error["kind"] in FINAL:
            self.final = end.data
        else:
            self.trouble[call_id] = CallEnd(why=error["message"], log_tail=error.get("log_tail", ""))


Submit = Callable[[Plan], Submission]


def run(submit: Submit, plan: Plan, options: Options, on_partial: Callable[[bytes], None] | None = None) -> Outcome:
    """Run ``plan`` with as many attempts as ``options`` allows; ``submit`` starts one ``map_reduce`` of a plan.

    ``on_partial`` is told each call's packed envelope as it arrives, once. Raises RunError when no answer is to be had; a
    failure of the user's graph is inside the outcome's envelope (see ``read_result``).
    """
    began = time.perf_counter()
    watch = _Watch(options, len(plan.iterdata), on_partial)
    books, submit_s, repeated = _Books(), 0.0, 0
    with watch.bar:
        for attempt in range(1, options.attempts + 1):
            part = _missing(plan, books)
            books.trouble.clear()
            repeated += len(part.iterdata) if attempt > 1 else 0
            submitting = time.perf_counter()
            submission = submit(part)
            submit_s += time.perf_counter() - submitting
            merged = _attend(submission, part, books, watch)
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
            if end is not None and _is_merged(end):
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


def _is_merged(end: CallEnd) -> bool:
    if end.data is None:
        return False
    try:
        return unpack(end.data).error is None
    except EnvelopeError:
        return False


def _enter_losses(submission: Submission, call_ids: Sequence[int], books: _Books, end: CallEnd | None) -> None:
    """Every call of this attempt without a partial is in trouble; where none is, the reducer was."""
    for call_id in call_ids:
        if call_id not in books.kept:
            books.trouble.setdefault(call_id, CallEnd(why="it never ended: what ran it is gone"))
    if not books.trouble:
        books.trouble[-1] = end or CallEnd(why="the reducer never ended: what ran it is gone")


class _Watch:
    """Looks at a run's calls: for those who want to see them arrive, and for those that will never end."""

    def __init__(self, options: Options, calls: int, on_partial: Callable[[bytes], None] | None) -> None:
        shown = options.progress if options.progress is not None else sys.stderr.isatty()
        self.bar = tqdm(total=calls, desc="calls", unit="call", disable=not shown, leave=False)
        self.on_partial = on_partial
        self.eager = shown or on_partial is not None
        self.next_look = 0.0
        self.deadline_s = options.deadline_s
        self.began = time.monotonic()
        self.ended: set[int] = set()

    def look(self, submission: Submission, call_ids: Sequence[int], books: _Books, last: bool) -> None:
        """Enter the calls that have ended into the books; now and then, or at once if somebody watches."""
        if not (self.eager or last) and time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + WATCH_S
        for position, end in submission.map_ends().items():
            call_id = call_ids[position]
            books.enter(call_id, end)
            if call_id in books.kept and call_id not in self.ended:
                self.ended.add(call_id)
                self.bar.update()
                if self.on_partial is not None:
                    self.on_partial(books.kept[call_id])

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
