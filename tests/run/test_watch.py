"""How often the calls of a run are looked at, on the tests' own clock."""

from __future__ import annotations

from typing import ClassVar

import copies
import inline
import pytest
from copies import Clock, Life, Told, told

from rdf_lithops.errors import RunError
from rdf_lithops.options import Options
from rdf_lithops.planning.plans import Plan
from rdf_lithops.run import running, watch
from rdf_lithops.run.books import CallEnd

CALLS, READ_S = 200, 0.05


class BusyClock(Clock):
    """A clock that is told what the driver does."""

    busy_s = 0.0

    def thread_time(self) -> float:
        return self.busy_s


class OneByOne(copies._Scripted):
    """An attempt whose ends are read one at a time, however many there are."""

    def map_ends(self) -> dict[int, CallEnd]:
        assert isinstance(self.run.clock, BusyClock)
        self.run.clock.busy_s += READ_S
        self.waiting = {**getattr(self, "waiting", {}), **super().map_ends()}
        return dict([self.waiting.popitem()]) if self.waiting else {}


class Submitted(Told):
    """What was submitted, as attempts of a kind."""

    kind: ClassVar[type[copies._Scripted]] = OneByOne

    def submit(self, part: Plan) -> copies._Scripted:
        self.attempts.append([item["call"]["id"] for item in part.iterdata])
        return self.kind(part, self, len(self.attempts))


def test_ends_that_wait_to_be_read_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends of two hundred calls, each of which takes a moment to read, are in after as many looks."""
    clock = BusyClock()
    monkeypatch.setattr(running, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    told = Submitted(clock, {})
    outcome = running.run(told.submit, inline.text_plan(CALLS, beat_s=60.0), Options(progress=False), (told.events.append,))
    assert 1 == outcome.attempts
    assert clock.now_s - copies.BEGAN_S < 1.0 + 2 * CALLS * watch.SHOWN_WATCH_S


class DearAtFirst(copies._Scripted):
    """An attempt whose first look takes long: there is code to load."""

    def map_ends(self) -> dict[int, CallEnd]:
        assert isinstance(self.run.clock, BusyClock)
        self.run.clock.busy_s += 0.0 if hasattr(self, "seen") else READ_S
        self.seen = True
        return super().map_ends()


def test_a_first_look_that_takes_long_puts_off_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it took long says nothing of the next ones: a call that ends soon after it is seen to end."""
    clock = BusyClock()
    monkeypatch.setattr(running, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    monkeypatch.setattr(Submitted, "kind", DearAtFirst)
    told = Submitted(clock, {(0, 1): Life(ends_s=0.1), (-1, 1): Life(ends_s=0.0)})
    running.run(told.submit, inline.text_plan(1, beat_s=60.0), Options(progress=False), (told.events.append,))
    assert clock.now_s - copies.BEGAN_S < 0.5 < READ_S / watch.LOOKING_SHARE


@pytest.mark.parametrize(
    ("life", "why"),
    [
        (Life(begins_s=None, ends_s=None), "no worker began the reducer within 40 s"),
        (Life(ends_s=None, silent_s=3.0), "the reducer has not said that it lives for 20 s"),
        (Life(ends_s=None, lost_s=3.0), "the reducer never ended: what ran it is gone"),
    ],
)
def test_a_reducer_that_gives_nothing(monkeypatch: pytest.MonkeyPatch, life: Life, why: str) -> None:
    """Why a reducer was given up is said as it was: nobody began it, it fell silent, or what ran it is gone."""
    options = Options(attempts=1, start_s=40.0)
    error, _ = told(monkeypatch, inline.text_plan(4, beat_s=1.0), {(-1, 1): life}, options)
    assert isinstance(error, RunError)
    assert why in str(error)


def test_the_deadline_is_noticed_before_what_ends_at_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls have the deadline for their limit, too: the driver ends them, and does not tell that the platform has."""
    monkeypatch.setattr(copies._Scripted, "poll_s", 0.5)
    ended = Life(ends_s=20.3, end=CallEnd(None, "Function exceeded maximum time of 20.1 seconds"))
    script = dict.fromkeys([(0, 1), (1, 1)], ended)
    error, run = told(monkeypatch, inline.text_plan(2, beat_s=1.0), script, Options(deadline_s=20.1))
    assert isinstance(error, RunError)
    assert "no result after the deadline of 20.1 s" in str(error)
    assert ([[0, 1]], [1], "") == (run.attempts, run.cancelled, caplog.text)
