"""Stragglers, backups, silence and loss, on the tests' own clock: a run with backups is never weaker than one without."""

from __future__ import annotations

import itertools
from typing import Any

import inline
import pytest
from copies import Life, Script, Told, failing, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rdf_lithops
from rdf_lithops.options import Options
from rdf_lithops.run import outcomes, running
from rdf_lithops.run.books import CallEnd
from rdf_lithops.run.events import BackupStarted, CallFailed

LATE = Life(ends_s=40.0)  # where the others take a second: a backup begins after six or seven
KILLED = CallEnd(why="killed", kind="killed")


def options(**given: Any) -> Options:
    """Backups, and patience."""
    return Options(**{"backups": True, "silence_s": 20.0, "start_s": 600.0, "progress": False, **given})


def text_of(outcome: running.Outcome | Exception) -> str:
    """What a run of ``inline.text_plan`` gave; raises what it ended in."""
    if isinstance(outcome, Exception):
        raise outcome
    return bytes(outcome.envelope.body).decode()


def run_four(monkeypatch: pytest.MonkeyPatch, script: Script, **given: Any) -> tuple[str, Told]:
    """A run of four calls, which gives what it should."""
    outcome, run = told(monkeypatch, inline.text_plan(4, beat_s=1.0), script, options(**given))
    assert "0 1 2 3" == text_of(outcome)
    return text_of(outcome), run


def test_a_run_in_this_process() -> None:
    """What running.run asks of a submission is what tests/inline.py has, and no more."""
    assert "0 1 2" == text_of(running.run(inline.submit, inline.text_plan(3), Options()))


def test_a_straggler_gets_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that takes much longer than the others runs a second time, and the first result counts."""
    _, run = run_four(monkeypatch, {(3, 1): LATE})
    assert [[0, 1, 2, 3], [3]] == run.attempts
    assert [(3,)] == [event.call_ids for event in run.events if isinstance(event, BackupStarted)]
    assert run.clock.now_s < 1010


@pytest.mark.parametrize("attempts", [2, 3])
@pytest.mark.parametrize(
    "dies",
    [
        Life(ends_s=10.0, end=KILLED),
        Life(ends_s=None, lost_s=10.0),
        Life(ends_s=40.0, silent_s=8.0),
        failing("memory", 3, 10.0),
        failing("died", 3, 10.0, crashes=1),
        failing("transfer", 3, 10.0),
        failing("range", 3, 10.0),
        failing("credentials", 3, 10.0),
        failing("output", 3, 10.0),
    ],
    ids=["killed", "lost", "silent", "memory", "died", "transfer", "range", "credentials", "output"],
)
def test_a_backup_whose_original_dies(monkeypatch: pytest.MonkeyPatch, dies: Life, attempts: int) -> None:
    """The copy goes on, and delivers: it is not cancelled for what happened to the other one."""
    _, run = run_four(monkeypatch, {(3, 1): dies, (3, 2): Life(ends_s=60.0)}, attempts=attempts)
    assert [] == run.healthy_cancelled
    assert [[0, 1, 2, 3], [3]] == run.attempts[:2]
    assert 3 > len(run.attempts) or attempts > 2


@pytest.mark.parametrize(
    "dies",
    [
        Life(ends_s=2.0, end=KILLED),
        Life(ends_s=None, lost_s=2.0),
        Life(ends_s=40.0, silent_s=1.0),
        Life(begins_s=None, ends_s=None),
        failing("memory", 3, 2.0),
        failing("range", 3, 2.0),
        failing("payload", 3, 2.0),
    ],
    ids=["killed", "lost", "silent", "never begun", "memory", "range", "payload"],
)
def test_an_original_whose_backup_dies(monkeypatch: pytest.MonkeyPatch, dies: Life) -> None:
    """The other way round: the original, which is late and well, is waited for."""
    _, run = run_four(monkeypatch, {(3, 1): LATE, (3, 2): dies}, attempts=2)
    assert [] == run.healthy_cancelled
    assert [[0, 1, 2, 3], [3]] == run.attempts


@pytest.mark.parametrize("attempts", [1, 2, 3, 4])
def test_a_backup_is_an_attempt(monkeypatch: pytest.MonkeyPatch, attempts: int) -> None:
    """However late calls are, and however many copies die, there are no more attempts than the options say."""
    script = {(3, number): LATE if number % 2 else Life(ends_s=30.0, end=KILLED) for number in range(1, 9)}
    script |= {(3, 1): Life(ends_s=40.0, end=KILLED)}
    outcome, run = told(monkeypatch, inline.text_plan(4, beat_s=1.0), script, options(attempts=attempts))
    assert len(run.attempts) <= attempts
    assert [] == run.healthy_cancelled
    assert isinstance(outcome, rdf_lithops.LostRangesError) or "0 1 2 3" == text_of(outcome)


def test_a_failure_of_both_copies_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last copy of a call is gone too, a failure of the user's own graph that one of them met is the run's."""
    script = {(3, 1): failing("range", 3, 9.0), (3, 2): Life(ends_s=5.0, end=KILLED)}
    outcome, run = told(monkeypatch, inline.text_plan(4, beat_s=1.0), script, options())
    assert isinstance(outcome, running.Outcome)
    with pytest.raises(rdf_lithops.RangeError, match="range on purpose"):
        outcomes.read_result(outcome.envelope)
    assert [[0, 1, 2, 3], [3]] == run.attempts
    assert {False, True} == {event.final for event in run.events if isinstance(event, CallFailed)}


def test_each_attempt_misses_another_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """All partials are there, and neither of two attempts can fold: what is there is folded, and one call runs again."""
    script = {
        (6, 1): Life(ends_s=30.0),
        (7, 1): Life(ends_s=31.0, end=KILLED),
        (6, 2): Life(ends_s=2.0, end=KILLED),
        (7, 2): Life(ends_s=60.0),
    }
    for attempts in (2, 3):
        outcome, run = told(monkeypatch, inline.text_plan(8, beat_s=1.0), dict(script), options(attempts=attempts))
        assert "0 1 2 3 4 5 6 7" == text_of(outcome)
        assert [6, 7] == run.attempts[1]
        assert [[7]] == run.attempts[2:]
        assert [] == run.healthy_cancelled


def test_the_other_attempt_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that has delivered, and whose reducer gets lost: the original goes on and folds."""
    script = {(3, 1): LATE, (-1, 2): Life(ends_s=None, lost_s=0.0)}
    _, run = run_four(monkeypatch, script, attempts=2)
    assert [[0, 1, 2, 3], [3]] == run.attempts


def test_a_straggler_beside_a_killed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was killed does not keep the one that is late from its copy: both run again, at once."""
    script = {(6, 1): Life(ends_s=1.0, end=KILLED), (7, 1): Life(ends_s=500.0)}
    outcome, run = told(monkeypatch, inline.text_plan(8, beat_s=1.0), script, options())
    assert "0 1 2 3 4 5 6 7" == text_of(outcome)
    assert [6, 7] == run.attempts[1]
    assert run.clock.now_s < 1010


def test_calls_that_wait_for_a_worker_are_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a call that has begun, and then takes much longer than the others did, gets a copy."""
    script = {(call_id, 1): Life(10.0 * call_id, 10.0 * call_id + 10.0) for call_id in range(7)}
    for last, attempts, backup_s in ((Life(500.0, 515.0), 1, None), (Life(500.0, 600.0), 2, 1520.0)):
        outcome, run = told(monkeypatch, inline.text_plan(8, beat_s=1.0), {**script, (7, 1): last}, options())
        assert "0 1 2 3 4 5 6 7" == text_of(outcome)
        assert attempts == len(run.attempts)
        assert backup_s is None or backup_s < run.clock.now_s < backup_s + 5.0


def test_a_call_is_not_divided_while_a_copy_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory in one copy: the call stays whole as long as another copy has it, and is divided when none has."""
    for second, expected in ((Life(ends_s=20.0), [[7]]), (failing("memory", 7, 3.0), [[7], [8, 9]])):
        plan = inline.text_plan(8, per_call=2, beat_s=1.0)
        script = {(7, 1): failing("memory", 7, 9.0), (7, 2): second}
        outcome, run = told(monkeypatch, plan, script, options(attempts=len(expected) + 1))
        assert " ".join(map(str, range(16))) == text_of(outcome)
        assert [] == run.healthy_cancelled
        assert expected == run.attempts[1:]


def test_the_reducers_own_call_is_lost_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reducer that was lost brings a call back that had delivered; where that one is killed the run does not hang."""
    script = {(-1, 1): Life(ends_s=None, lost_s=0.0), (3, 2): Life(ends_s=1.0, end=KILLED)}
    _, run = run_four(monkeypatch, script)
    assert [[0, 1, 2, 3], [3], [3]] == run.attempts


def test_a_reducer_that_nobody_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not begun within start_s: its call and it run again."""
    script = {(-1, 1): Life(begins_s=None, ends_s=None)}
    _, run = run_four(monkeypatch, script, start_s=30.0)
    assert [[0, 1, 2, 3], [3]] == run.attempts


def test_a_deadline_ends_copies_that_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """deadline_s is the run's, however many copies of a call there are."""
    script = {(3, number): Life(ends_s=None) for number in range(1, 9)}
    outcome, run = told(monkeypatch, inline.text_plan(4, beat_s=1.0), script, options(deadline_s=50.0))
    assert isinstance(outcome, rdf_lithops.RunError) and "deadline of 50" in str(outcome)
    assert 1050 <= run.clock.now_s < 1052
    assert [1, 2] == sorted(run.cancelled)


ENDS = st.one_of(
    st.builds(Life, begins_s=st.sampled_from([0.0, 3.0]), ends_s=st.sampled_from([1.0, 2.0, 15.0, 45.0])),
    st.builds(lambda at: Life(ends_s=at, end=KILLED), st.sampled_from([0.5, 4.0, 12.0])),
    st.builds(lambda at: Life(ends_s=None, lost_s=at), st.sampled_from([0.5, 12.0])),
    st.builds(lambda at: Life(ends_s=300.0, silent_s=at), st.sampled_from([1.0, 12.0])),
    st.just(Life(begins_s=None, ends_s=None)),
    st.builds(lambda at: failing("memory", 0, at), st.sampled_from([0.5, 12.0])),
    st.builds(lambda at: failing("range", 0, at), st.sampled_from([0.5, 12.0])),
)
SCRIPTS = st.dictionaries(st.tuples(st.integers(-1, 7), st.integers(1, 4)), ENDS, max_size=8)


@given(SCRIPTS, st.integers(1, 4), st.booleans())
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_happens(monkeypatch: pytest.MonkeyPatch, script: Script, attempts: int, backups: bool) -> None:
    """Any fates of any copies: right, or an error within the attempts; nothing healthy is cancelled, and nothing hangs."""
    with monkeypatch.context() as patched:
        outcome, run = told(
            patched, inline.text_plan(8, beat_s=1.0), script, options(attempts=attempts, backups=backups, start_s=100.0)
        )
    if isinstance(outcome, running.Outcome) and outcome.envelope.error is None:
        assert "0 1 2 3 4 5 6 7" == text_of(outcome)
        assert [] == run.healthy_cancelled
    elif isinstance(outcome, Exception):
        assert isinstance(outcome, rdf_lithops.LostRangesError)
        assert [] == run.healthy_cancelled
    began = [event for event in run.events if isinstance(event, BackupStarted)]
    assert len(run.attempts) <= attempts + len(began)
    assert sum(map(len, run.attempts)) <= attempts * 8, "what the plan's ceiling counts"


@pytest.mark.slow
def test_backups_make_nothing_weaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of two late calls and of their copies, a run that succeeds without backups succeeds with them."""
    fates = [Life(), Life(ends_s=30.0), Life(ends_s=30.0, end=KILLED), Life(ends_s=None, lost_s=12.0)]
    for first, second, third, fourth in itertools.product(fates, repeat=4):
        script = {(6, 1): first, (7, 1): second, (6, 2): third, (7, 2): fourth}
        found = []
        for backups in (False, True):
            outcome, run = told(
                monkeypatch, inline.text_plan(8, beat_s=1.0), dict(script), options(backups=backups, attempts=3)
            )
            found.append(outcome)
            assert [] == run.healthy_cancelled
        assert isinstance(found[1], running.Outcome), script
        assert text_of(found[1]) == text_of(found[0])


@pytest.mark.parametrize("calls_end_s", [100.0, 700.0])
def test_a_network_that_is_away(monkeypatch: pytest.MonkeyPatch, calls_end_s: float) -> None:
    """Nobody answers for ten minutes, thirty times as long as a call may be silent: nothing is given up or runs again."""
    monkeypatch.setattr(Told, "away_s", (50.0, 650.0))
    script = {(call, 1): Life(ends_s=calls_end_s) for call in range(4)} | {(-1, 1): Life(ends_s=30.0)}
    _, run = run_four(monkeypatch, script, start_s=100.0)
    assert [[0, 1, 2, 3]] == run.attempts
    assert [] == [event for event in run.events if isinstance(event, CallFailed)]
    assert 650 < run.clock.now_s - 1000 < 800


def test_what_dies_while_the_network_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that falls silent meanwhile is found, and runs again, once there are answers."""
    monkeypatch.setattr(Told, "away_s", (50.0, 650.0))
    script = {(call, 1): Life(ends_s=100.0) for call in range(3)} | {(3, 1): Life(ends_s=None, silent_s=60.0)}
    _, run = run_four(monkeypatch, script, start_s=100.0)
    assert [[0, 1, 2, 3], [3]] == run.attempts
    assert 650 < run.clock.now_s - 1000 < 700
