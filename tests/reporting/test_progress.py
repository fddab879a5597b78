"""What a run is doing: counted right whatever happens, shown where somebody looks, and not at all on demand."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from scripted import BEGAN, ended, plan, quiet_run
from tqdm import tqdm

from rdf_lithops.reporting import progress
from rdf_lithops.reporting.progress import Bar, Lines, Tally
from rdf_lithops.run.events import (
    AttemptBegan,
    BackupStarted,
    CallBegan,
    CallFailed,
    CallProgressed,
    Event,
    RunBegan,
    RunEnded,
)


def tallied(events: list[Event]) -> Tally:
    """The tally after these events."""
    tally = Tally()
    for event in events:
        tally.count(event)
    return tally


def began(calls: int, entries: int | None = 1000) -> list[Event]:
    """A run that has just been submitted."""
    ids = tuple(range(calls))
    return [
        RunBegan(at=BEGAN, plan=plan(calls, entries), run_id="x"),
        AttemptBegan(at=BEGAN, number=1, call_ids=ids, submit_s=0),
    ]


def beat(call_id: int, entries: int, at: float) -> CallProgressed:
    """A heartbeat."""
    return CallProgressed(at=BEGAN + at, call_id=call_id, attempt=1, entries=entries, cpu_s=0.0)


def test_entries_are_counted_once() -> None:
    """Heartbeats count until the call has ended, its own figure afterwards; late beats of a backup change nothing."""
    events = [*began(2), CallBegan(at=BEGAN + 1, call_id=0, attempt=1), beat(0, 400, 2.0), beat(0, 300, 2.1)]
    assert (400, 1, 0) == (tallied(events).entries, len(tallied(events).running), len(tallied(events).finished))
    events += [ended(0, (0, 0, 1, 1), 3.0, entries=1000), beat(0, 999, 3.1)]
    assert (1000, 0, 1) == (tallied(events).entries, len(tallied(events).running), len(tallied(events).finished))


def test_pace_and_time_left() -> None:
    """Entries per second since the first ones came, and the rest at that pace; nobody can tell before."""
    assert tallied(began(4)).left_s is None
    events = [*began(4), beat(0, 500, 2.0), beat(1, 500, 2.0)]
    tally = tallied(events)
    assert (4000, 500.0) == (tally.total, tally.entries_per_s)
    tally = tallied([*events, beat(0, 1000, 7.0), beat(1, 1000, 7.0)])
    assert (300.0, pytest.approx(2000 / 300)) == (tally.entries_per_s, tally.left_s), "start-up is over and does not count"


def test_nothing_is_said_of_the_time_left_until_the_pace_is_known() -> None:
    """The first entries come when workers have started and compiled, which the rest need not: they would say hours."""
    events = [*began(4, 10**9), beat(0, 1000, 10.0), beat(0, 2000, 10.4)]
    assert tallied(events).left_s is None
    assert tallied(events).brief().endswith("00:10 gone")
    assert "left" not in tallied(events).line()
    assert tallied([*events, beat(0, 2000, 11.5)]).left_s == pytest.approx((4e9 - 2000) / (1000 / 1.5))
    assert tallied([*began(4), beat(0, 500, 2.0), CallBegan(at=BEGAN + 4, call_id=1, attempt=1)]).left_s is None, "a halt"


def test_without_entries_calls_are_the_measure() -> None:
    """Where the plan does not know how many entries there are, calls that have ended tell how far it is."""
    tally = tallied([*began(4, None), ended(0, (0, 0, 1, 1), 2.0, entries=None)])
    assert (None, 6.0) == (tally.total, tally.left_s)


def test_failures_and_attempts() -> None:
    """A failed call is one until it runs again; attempts and backups are said."""
    lost = CallFailed(at=BEGAN + 1, call_id=1, attempt=1, kind="lost", why="killed", final=False)
    tally = tallied([*began(2), CallBegan(at=BEGAN, call_id=1, attempt=1), lost])
    assert "calls: 0 running, 0 of 2 done, 1 failed" == tally.states()
    again = [
        AttemptBegan(at=BEGAN + 2, number=2, call_ids=(1,), submit_s=0.0),
        BackupStarted(at=BEGAN + 3, call_ids=(1,), attempt=2),
    ]
    for event in again:
        tally.count(event)
    assert "calls: 0 running, 0 of 2 done, 0 failed, attempt 2, 1 backups" == tally.states()


def test_the_end_is_said() -> None:
    """All calls done, the reducer at work, then that too."""
    *until_reduced, reduce, _ = quiet_run(3)
    tally = tallied(until_reduced)
    assert "3 calls done, reducing" == tally.states()
    tally.count(reduce)
    assert "3 calls done" == tally.states()


def test_the_bar_shows_entries() -> None:
    """Share, entries, pace, calls by state; and it is gone when the run has ended."""
    screen = io.StringIO()
    bar = Bar(lambda **given: tqdm(file=screen, mininterval=0, **{**given, "dynamic_ncols": False, "ncols": 150}))
    for event in [*began(4), CallBegan(at=BEGAN + 1, call_id=0, attempt=1), beat(0, 400, 2.0), beat(0, 800, 3.0)]:
        bar(event)
    shown = screen.getvalue().split("\r")[-1]
    assert " 20%|" in shown
    said = "800/4.00k entries, 400/s, calls: 1 running, 0/4 done, 0 failed, 00:08 left"
    assert shown.endswith(f"| {said}")
    bar(RunEnded(at=BEGAN + 3, attempts=1, wall_s=3.0))
    assert "" == screen.getvalue().split("\r")[-2].strip()


def test_the_bar_fits_into_a_terminal() -> None:
    """Millions of entries, hundreds of calls: nothing is cut off at the right of 100 columns, and there is a bar yet."""
    screen = io.StringIO()
    bar = Bar(lambda **given: tqdm(file=screen, mininterval=0, **{**given, "dynamic_ncols": False, "ncols": 100}))
    beats = [beat(i, number * 1_234_567, 1.0 + number) for number in (1, 2) for i in range(250)]
    for event in [*began(400, 123_456_789), *beats]:
        bar(event)
    shown = screen.getvalue().split("\r")[-1]
    assert shown.endswith(" left")
    assert len(shown.split("|")[1]) >= 8
    bar(RunEnded(at=BEGAN + 3, attempts=1, wall_s=3.0))


def test_a_bar_survives_more_entries_than_planned() -> None:
    """A file that has grown since it was looked at must not break the bar."""
    bar = Bar(lambda **given: tqdm(file=io.StringIO(), **given))
    for event in [*began(1, 10), beat(0, 50, 1.0)]:
        bar(event)
    assert 10 == bar.bar.n
    bar(RunEnded(at=BEGAN + 3, attempts=1, wall_s=3.0))


def test_lines_come_now_and_then() -> None:
    """A short run writes nothing; a long one some lines in growing gaps, with all that there is to say, and a last one."""
    lines: list[str] = []
    short = Lines(lines.append)
    for event in quiet_run(3):
        short(event)
    assert [] == lines
    long = Lines(lines.append)
    for event in began(2, 100_000):
        long(event)
    for second in range(1, 3601):
        long(beat(0, 10 * second, float(second)))
    long(RunEnded(at=BEGAN + 3601, attempts=1, wall_s=3601.0, error="the end"))
    assert 10 < len(lines) < 25
    assert "100 of 200,000 entries, 10/s, calls: 1 running, 0 of 2 done, 0 failed, 00:10 gone, 5:33:10 left" == lines[0]
    assert lines[-1].endswith(": the end")


@pytest.mark.parametrize("terminal", [False, True])
def test_where_progress_is_shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on a terminal, lines in a file; nothing at all on demand."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    kind: Any = Bar if terminal else Lines
    assert isinstance(progress.consumer(None), kind)
    assert isinstance(progress.consumer(True), kind)
    assert progress.consumer(False) is None


def test_a_short_run_has_no_bar() -> None:
    """What is over within a second does not flash."""
    screen = io.StringIO()
    bar = Bar(lambda **given: tqdm(file=screen, mininterval=0, **given))
    for event in [*began(1), beat(0, 500, 0.5), RunEnded(at=BEGAN + 0.9, attempts=1, wall_s=0.9)]:
        bar(event)
    assert "" == screen.getvalue()
