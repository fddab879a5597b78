"""Decide of each call of a run: ended, alive, late, or dead, killed without a word. Pure: clocks and a submission's answers.

what is wrong                                           how it is noticed, and when
what should run the calls is gone (this machine)        the submission says so; at once
a call that beat has fallen silent                      no new beat for options.silence_s
calls, or a reducer, that never began                   options.start_s in which no call of the run began or ended, unless
                                                        the back end itself says that they wait in its queue
a slot that stands still                                the task itself, by entries and CPU time (options.stall_s)
a call that is late (most are done long since)          twice the median and 5 s more; ``running`` begins a second copy
a call that was killed, and Lithops says so             its status (``executor.statuses``), entered into the ``books``
the run as a whole                                      options.deadline_s
"""

from __future__ import annotations

import bisect
import math
import time
from collections import defaultdict
from dataclasses import dataclass

from ..errors import RunError
from ..options import Options
from ..planning.plans import Plan
from . import interrupts
from .attempts import Attempt
from .books import Books, CallEnd
from .events import CallBegan, CallProgressed

__all__ = ["Watch"]

WATCH_S = 0.25  # how often the calls themselves are looked at when nobody wants to see them arrive, and no reducer waits
SHOWN_WATCH_S = 0.05  # and when somebody does
LOOKING_SHARE = 0.05  # of the driver's time at most goes into looks: they become rarer as they take longer
SILENT_BEATS = 20  # missing ones after which a call is given up, unless options.silence_s says otherwise
SILENCE_LEAST_S = 10.0  # and not sooner: a machine may be busy
SUSPENDED_BEATS = 5  # not listened to: the driver itself was suspended, or its network was away
STRAGGLER_SHARE = 0.75  # of the calls must have delivered before the others count as late
STRAGGLER_FACTOR = 2.0  # times the median duration, and
STRAGGLER_LEAST_S = 5.0  # this much longer


@dataclass
class _Sign:
    """The last that was heard of a call: which beat, and when."""

    beat: object
    at_s: float


class Watch:
    """What has been seen of the calls of one run, and when."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self.options = options
        beats = plan.map_task.surroundings.beats
        self.beat_s = None if beats is None else float(beats["every_s"])
        self._silence_s = options.silence_s or max(SILENT_BEATS * (self.beat_s or 0.0), SILENCE_LEAST_S)
        self.began_s = time.monotonic()
        self._next_look_s: dict[int, float] = {}  # by attempt
        self._look_cost_s: dict[int, float] = {}  # by attempt: of the last look, in seconds of the processor
        self._next_beats_s: dict[int, float] = {}
        self._submitted_s: dict[int, float] = {}
        self._signs: defaultdict[int, dict[int, _Sign]] = defaultdict(dict)  # by attempt and call, of those under way
        self._reducers: dict[int, _Sign] = {}  # by attempt
        self._next_patience_s: dict[int, float] = {}  # by attempt: when it is asked again who has been silent for too long
        self._begun_s: dict[tuple[int, int], float] = {}  # when a call was first heard of
        self._queued_s: dict[tuple[int, int], float] = {}  # until when a call is known to have waited in a queue
        self._durations_s: list[float] = []  # of the calls that delivered, in order
        self._next_straggler_s = 0.0
        self._last_news_s = self._last_listened_s = self.began_s

    def expect(self, attempt: int) -> None:
        """An attempt was submitted just now."""
        self._submitted_s[attempt] = self._last_news_s = time.monotonic()

    def look(self, attempt: Attempt, books: Books, last: bool) -> None:
        """Enter the calls that have ended into the books, and listen to the others; now and then, or at once if ``last``."""
        now_s = time.monotonic()
        if now_s < self._next_look_s.get(attempt.number, 0.0) and not last:
            return
        busy_s = time.thread_time()
        ends = attempt.submission.map_ends()
        for position, end in ends.items():
            self._enter(attempt, attempt.calls[position], end, books, now_s)
        if ends:  # what has ended has to be read once, and more of it may wait  # decision 350
            busy_s = time.thread_time()
        is_due = self.beat_s is not None and now_s >= self._next_beats_s.get(attempt.number, 0.0)
        if self.beat_s is not None and is_due and not last and not attempt.submission.is_deaf:
            self._next_beats_s[attempt.number] = now_s + self.beat_s
            self._listen(attempt, books, now_s)
        cost_s = time.thread_time() - busy_s
        pause_s = min(cost_s, self._look_cost_s.get(attempt.number, 0.0)) / LOOKING_SHARE  # the first one has code to load
        self._look_cost_s[attempt.number] = cost_s
        if not attempt.submission.holds_reducer:
            pause_s = max(pause_s, SHOWN_WATCH_S if books.consumers else WATCH_S)
        self._next_look_s[attempt.number] = now_s + pause_s

    def _enter(self, attempt: Attempt, call_id: int, end: CallEnd, books: Books, now_s: float) -> None:
        self._last_news_s = now_s
        self._signs[attempt.number].pop(call_id, None)
        begun_s = self._begun_s.get((call_id, attempt.number), self._submitted_s[attempt.number])
        is_first = call_id not in books.kept
        if books.enter(call_id, attempt.number, end):
            if is_first:
                bisect.insort(self._durations_s, now_s - begun_s)
            attempt.delivered.add(call_id)

    def _listen(self, attempt: Attempt, books: Books, now_s: float) -> None:
        """Take down who has begun and who has beaten since the last time, and tell of it."""
        signs, under_way = self._signs[attempt.number], books.under_way[attempt.number]
        if (pause_s := now_s - self._last_listened_s) > SUSPENDED_BEATS * (self.beat_s or 0.0):
            told = [*self._reducers.values(), *(sign for each in self._signs.values() for sign in each.values())]
            for sign in told:  # it was us who did not listen
                sign.at_s += pause_s
            self._last_news_s = min(now_s, self._last_news_s + pause_s)
        self._last_listened_s = now_s
        for call_id in (attempt.calls[position] for position in attempt.submission.begun()):
            if call_id not in signs and call_id in under_way:
                signs[call_id] = _Sign(0, now_s)
                self._begun_s[call_id, attempt.number] = self._last_news_s = now_s
                books.tell(CallBegan(call_id, attempt.number))
        for position, beat in attempt.submission.beats().items():
            call_id = attempt.calls[position]
            sign = signs.get(call_id, _Sign(0, now_s))
            if beat["beat"] != sign.beat and call_id in under_way:
                signs[call_id] = _Sign(beat["beat"], now_s)
                if "entries" in beat:
                    books.tell(CallProgressed(call_id, attempt.number, beat["entries"], beat["cpu_s"], beat["host"]))

    def is_over(self, attempt: Attempt, books: Books, reducer_over: bool) -> bool:
        """Whether nothing more is to be had of an attempt that has not merged: it runs no call that is owed, and no reducer.

        A call that runs, and that another attempt has delivered meanwhile, is waited for only if this attempt can merge yet.
        """
        lost = {attempt.calls[position] for position in attempt.submission.lost()}
        if lost:
            self.look(attempt, books, True)  # what is gone may have delivered just before it went
        for call_id in lost:
            books.lose(call_id, attempt.number, "it never ended: what ran it is gone")
        self._give_up_silent(attempt, books)
        under_way = books.under_way[attempt.number]
        if any(map(books.owes, under_way)):
            return False
        if attempt.has_delivered:
            return reducer_over or attempt.submission.reduce_lost() or self._is_reducer_silent(attempt)
        return reducer_over or len(attempt.delivered) + len(under_way) < len(attempt.calls)

    def _give_up_silent(self, attempt: Attempt, books: Books) -> None:
        """Calls that have stopped to beat, or that nobody began for too long, count as lost."""
        now_s = time.monotonic()
        if self.beat_s is None or now_s < self._next_patience_s.get(attempt.number, 0.0):
            return
        self._next_patience_s[attempt.number] = now_s + min(WATCH_S, self.beat_s)
        if now_s - self._last_listened_s > SUSPENDED_BEATS * self.beat_s:
            return
        silence_s, signs = self._silence_s, self._signs[attempt.number]
        for call_id in [call_id for call_id, sign in signs.items() if now_s - sign.at_s > silence_s + self.beat_s]:
            del signs[call_id]
            books.lose(call_id, attempt.number, f"its worker has not said that it lives for {silence_s:g} s")
            attempt.submission.given_up([attempt.calls.index(call_id)])
        queued = {attempt.calls[position] for position in attempt.submission.queued()}
        self._queued_s.update(dict.fromkeys(((call_id, attempt.number) for call_id in queued), now_s))
        if now_s - self._last_news_s > self.options.start_s:
            self._give_up_unbegun(attempt, books, now_s)

    def _give_up_unbegun(self, attempt: Attempt, books: Books, now_s: float) -> None:
        unbegun = books.under_way[attempt.number] - self._signs[attempt.number].keys()
        for call_id in sorted(unbegun):
            if now_s - self._queued_s.get((call_id, attempt.number), 0.0) > self.options.start_s:
                books.lose(call_id, attempt.number, f"no worker began it within {self.options.start_s:g} s")

    def _is_reducer_silent(self, attempt: Attempt) -> bool:
        """Whether the reducer, with all partials there, does not begin, or has begun and does not say that it lives."""
        now_s = time.monotonic()
        if self.beat_s is None or now_s < self._next_beats_s.get(-attempt.number, 0.0):
            return False
        self._next_beats_s[-attempt.number] = now_s + self.beat_s
        beat = attempt.submission.reduce_beat()
        if attempt.submission.is_deaf:
            return False
        since_s, limit_s, why = self._last_news_s, self.options.start_s, "no worker began the reducer within"
        if beat is not None:
            sign = self._reducers.setdefault(attempt.number, _Sign(beat, now_s))
            if sign.beat != beat:
                sign.beat, sign.at_s = beat, now_s
            since_s, limit_s, why = sign.at_s, self._silence_s, "the reducer has not said that it lives for"
        if is_silent := now_s - since_s > limit_s:
            attempt.why = f"{why} {limit_s:g} s"
        return is_silent

    def is_straggling(self, attempt: Attempt, books: Books) -> bool:
        """Whether most calls have delivered and each of the others takes much longer than they did.

        A call that nobody has begun waits for a worker, as its copy would: it is not late.
        """
        now_s = time.monotonic()
        if now_s < self._next_straggler_s or len(books.kept) < STRAGGLER_SHARE * len(books.calls) or not self._durations_s:
            return False
        self._next_straggler_s = now_s + WATCH_S
        ordered = self._durations_s
        median_s = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        limit_s = max(STRAGGLER_FACTOR * median_s, median_s + STRAGGLER_LEAST_S)
        is_any_late = False
        for call_id in filter(books.owes, books.under_way[attempt.number]):
            begun_s = self._begun_s.get((call_id, attempt.number))
            if self.beat_s is None:  # nobody says when a call begins
                begun_s = self._submitted_s[attempt.number]
            if begun_s is None or now_s - begun_s <= limit_s:
                return False
            is_any_late = True
        return is_any_late

    def pause(self, pause_s: float, books: Books) -> None:
        """Wait before the next attempt, within the deadline."""
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0:
            interrupts.check()
            self.check_deadline(books)
            time.sleep(min(left_s, 0.1))

    def rest(self, pause_s: float, books: Books) -> None:
        """Sleep so long, or until the deadline: calls that end then, too, are not heard of before it is noticed."""
        self.check_deadline(books)
        left_s = math.inf if self.options.deadline_s is None else self.began_s + self.options.deadline_s - time.monotonic()
        time.sleep(max(0.0, min(pause_s, left_s)))

    def check_deadline(self, books: Books) -> None:
        """Raise once the run has taken longer than it may."""
        deadline_s = self.options.deadline_s
        if deadline_s is None or time.monotonic() - self.began_s < deadline_s:
            return
        what = f"no result after the deadline of {deadline_s} s; calls without a result: {books.owed or 'the reducer'}"
        raise RunError(what, next_command="raise options.deadline_s, or use more and smaller ranges (npartitions)")
