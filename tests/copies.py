"""Runs whose calls begin, beat, end, fall silent or get lost as a test says, on a clock of their own: none of it takes time.

    clock = Clock()                                  # in the place of the time module, see ``told``
    script = {(3, 1): Life(ends_s=None)}             # the copy of call 3 in attempt 1 never ends; all others take a second
    outcome, run = told(monkeypatch, inline.text_plan(4, beat_s=1.0), script, Options(backups=True))
    run.attempts                                     # [[0, 1, 2, 3], [3]]

It counts what no run may do: cancel a copy that lives and whose partial nobody has (``healthy_cancelled``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from inline import Inline

from rdf_lithops.options import Options
from rdf_lithops.planning.plans import Plan
from rdf_lithops.run import running, watch
from rdf_lithops.run.books import CallEnd, Halve, never_halved
from rdf_lithops.run.events import Event
from rdf_lithops.travels.envelope import Envelope, pack

__all__ = ["Clock", "Life", "Script", "Told", "failing", "told"]

TICK_S = 0.05
BEGAN_S = 1000.0


class Clock:
    """Stands in for the module ``time``: sleeping is what makes it go on."""

    def __init__(self) -> None:
        self.now_s = BEGAN_S
        self.alarms: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now_s

    perf_counter = time = monotonic

    def thread_time(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += max(seconds, 1e-6)
        assert self.now_s < 4000, "this run never ends"
        due = [alarm for at, alarm in self.alarms if at <= self.now_s]
        self.alarms = [(at, alarm) for at, alarm in self.alarms if at > self.now_s]
        for alarm in due:
            alarm()


@dataclass(frozen=True)
class Life:
    """What becomes of one copy of a call, in seconds from its attempt's submission; None is never.

    ``end`` is how it ends, where it is not with its partial. It beats from its begin to ``silent_s``; ``lost_s`` is when
    what runs it says that it is gone.
    """

    begins_s: float | None = 0.0
    ends_s: float | None = 1.0
    end: CallEnd | None = None
    silent_s: float = math.inf
    lost_s: float | None = None

    def lives(self, after_s: float) -> bool:
        """Whether it works now, and would deliver if it was let."""
        begun = self.begins_s is not None and after_s >= self.begins_s and after_s < self.silent_s
        ends = self.end is None and self.ends_s is not None and self.ends_s > after_s
        return begun and ends and (self.lost_s is None or self.ends_s < self.lost_s)  # type: ignore[operator]


Script = dict[tuple[int, int], Life]  # by call and attempt; -1 is the reducer, whose times count from the last partial


def failing(kind: str, call_id: int, ends_s: float = 1.0, **more: Any) -> Life:
    """A copy that hands back an error of this kind."""
    error = {"kind": kind, "message": f"{kind} on purpose", "range_ids": [call_id], "call_id": call_id, **more}
    error |= {"type": "E", "where": "a test", "what": "it", "traceback": "", "log_tail": ""}
    return Life(ends_s=ends_s, end=CallEnd(pack(Envelope((call_id,), None, "", error=error))))


@dataclass
class Told:
    """All submissions of a run, and what was done to them."""

    clock: Clock
    script: Script
    attempts: list[list[int]] = field(default_factory=list)
    limits: list[float | None] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    healthy_cancelled: list[tuple[int, int]] = field(default_factory=list)
    delivered: set[int] = field(default_factory=set)
    merged: bool = False
    away_s: ClassVar[tuple[float, float]] = (math.inf, math.inf)  # when nobody answers

    @property
    def is_away(self) -> bool:
        return self.away_s[0] <= self.clock.now_s - BEGAN_S < self.away_s[1]

    def submit(self, part: Plan) -> _Scripted:
        self.attempts.append([item["call"]["id"] for item in part.iterdata])
        self.limits.append(part.call_limit_s)
        return _Scripted(part, self, len(self.attempts))

    def adopted(self, plan: Plan, calls: list[int]) -> tuple[list[int], _Scripted] | None:
        """Calls that another driver has begun, which are attempt 0 of the script."""
        some = [item for item in plan.iterdata if item["call"]["id"] in calls]
        return (calls, _Scripted(dataclasses.replace(plan, iterdata=some), self, 0)) if calls else None


class _Scripted(Inline):
    """One attempt: what an inline submission has at once, it has when the script says so."""

    poll_s = TICK_S

    def __init__(self, part: Plan, run: Told, number: int) -> None:
        super().__init__(part)
        self.run, self.number, self.began_s = run, number, run.clock.now_s
        self.calls = [item["call"]["id"] for item in part.iterdata]
        self.lives = {position: self._life(call_id) for position, call_id in enumerate(self.calls)}
        self.told: dict[int, CallEnd] = {}
        self.complete_s: float | None = None
        self.is_deaf = False

    def _life(self, call_id: int) -> Life:
        return self.run.script.get((call_id, self.number), Life())

    @property
    def _after_s(self) -> float:
        return self.run.clock.now_s - self.began_s

    def map_ends(self) -> dict[int, CallEnd]:
        self.is_deaf = self.run.is_away
        if self.is_deaf:
            return {}
        ended = {i: life for i, life in self.lives.items() if life.ends_s is not None and life.ends_s <= self._after_s}
        ends = {i: life.end or self.ends[i] for i, life in ended.items() if i not in self.told}
        self.told.update(ends)
        self.run.delivered |= {self.calls[i] for i in ends if ended[i].end is None}
        return ends

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        """Only now the reducer begins, as where calls are paid."""
        if self.complete_s is None:
            self.complete_s = max(life.ends_s or 0.0 for life in self.lives.values())

    def begun(self) -> set[int]:
        if self.run.is_away:
            return set()
        return {i for i, life in self.lives.items() if life.begins_s is not None and life.begins_s <= self._after_s}

    def beats(self) -> dict[int, dict[str, Any]]:
        listened_s = {i: min(self._after_s, self.lives[i].silent_s) for i in self.begun() - self.told.keys()}
        if self.run.is_away:
            return {}
        return {i: {"beat": 1 + int(s), "entries": int(s), "cpu_s": s, "host": "here"} for i, s in listened_s.items()}

    def queued(self) -> set[int]:
        return set()

    def lost(self) -> set[int]:
        lost = {i for i, life in self.lives.items() if life.lost_s is not None and life.lost_s <= self._after_s}
        return lost - self.told.keys()

    @property
    def _reduced_s(self) -> float | None:
        """For how long the reducer has had all partials."""
        return None if self.complete_s is None else self._after_s - self.complete_s

    def reduce_end(self) -> CallEnd | None:
        self.is_deaf = self.run.is_away
        if self.is_deaf:
            return None
        life = self.run.script.get((-1, self.number), Life(ends_s=0.0))
        if self._reduced_s is None or life.ends_s is None or self._reduced_s < life.ends_s:
            return None
        if life.end is not None:
            return life.end
        self.run.merged = True
        self.partials = [end.data for end in self.told.values() if end.data is not None]
        return super().reduce_end()

    def reduce_beat(self) -> int | None:
        self.is_deaf = self.run.is_away
        if self.is_deaf:
            return None
        life = self.run.script.get((-1, self.number), Life(ends_s=0.0))
        if self._reduced_s is None or life.begins_s is None or self._reduced_s < life.begins_s:
            return None
        return int(min(self._reduced_s, life.silent_s))

    def reduce_lost(self) -> bool:
        life = self.run.script.get((-1, self.number), Life(ends_s=0.0))
        return life.lost_s is not None and self._reduced_s is not None and self._reduced_s >= life.lost_s

    def cancel(self, error: BaseException) -> None:
        self.run.cancelled.append(self.number)
        alive = {call_id for call_id, life in zip(self.calls, self.lives.values(), strict=True) if life.lives(self._after_s)}
        if not self.run.merged:
            self.run.healthy_cancelled += [(call_id, self.number) for call_id in sorted(alive - self.run.delivered)]

    def forget(self) -> None:
        self.run.forgotten.append(self.number)


def told(
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan,
    script: Script,
    options: Options,
    halve: Halve = never_halved,
    kept: dict[int, tuple[bytes, ...]] | None = None,
    under_way: list[int] | None = None,
) -> tuple[running.Outcome | Exception, Told]:
    """Run ``plan`` to its outcome, or the error that it ends in; and what was done. ``kept`` and ``under_way`` are of
    another driver."""
    clock = Clock()
    monkeypatch.setattr(running, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    run = Told(clock, script)
    try:
        given: dict[str, Any] = {"halve": halve, "kept": kept, "under_way": run.adopted(plan, under_way or [])}
        outcome: Any = running.run(run.submit, plan, options, (run.events.append,), **given)
    except Exception as error:
        outcome = error
    first = 0 if under_way else 1
    assert sorted(run.forgotten) == list(range(first, len(run.attempts) + 1)), "each attempt is forgotten once"
    return outcome, run
