"""What a killed driver has left, on the tests' own clock: it is kept or waited for, and nothing runs twice that need not."""

from __future__ import annotations

import dataclasses
from typing import Any

import inline
import pytest
from copies import Life, Script, Told, failing, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdf_lithops.options import Options
from rdf_lithops.run import fold_rounds, outcomes
from rdf_lithops.run.books import CallEnd
from rdf_lithops.run.events import CallsTakenUp
from rdf_lithops.travels.envelope import Envelope, pack, unpack
from rdf_lithops.worker.fold_task import FoldTask

CALLS = 4
FOLD = CALLS  # the call of the round that folds what is there
KILLED = CallEnd(why="killed", kind="killed")


class TextRound(FoldTask):
    """A round of the fold that needs no ROOT."""

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        envelopes = sorted(map(unpack, call["partials"]), key=lambda each: each.range_ids)
        range_ids = tuple(range_id for each in envelopes for range_id in each.range_ids)
        body = " ".join(bytes(each.body).decode() for each in envelopes)
        return pack(Envelope(range_ids, sum(each.entries or 0 for each in envelopes), "6", body.encode()))


def take_up(monkeypatch: pytest.MonkeyPatch, kept: list[int], under_way: list[int], script: Script, **more: Any) -> Told:
    """A run of four calls of which some are there, and some under way; its answer is right."""
    outcome, run = attempted(monkeypatch, kept, under_way, script, **more)
    assert not isinstance(outcome, Exception), outcome
    assert b"0 1 2 3" == bytes(outcome.envelope.body)
    return run


def attempted(
    monkeypatch: pytest.MonkeyPatch, kept: list[int], under_way: list[int], script: Script, **more: Any
) -> tuple[outcomes.Outcome | Exception, Told]:
    monkeypatch.setattr(fold_rounds, "FoldTask", TextRound)
    options = Options(**{"silence_s": 20.0, "progress": False, **more})
    partials = {call: (pack(Envelope((call,), 1, "6", str(call).encode())),) for call in kept}
    plan = inline.text_plan(CALLS, beat_s=1.0)
    folding = dataclasses.replace(plan.reduce_task, groups=tuple((call,) for call in range(CALLS)))
    plan = dataclasses.replace(plan, reduce_task=folding)
    return told(monkeypatch, plan, script, options, kept=partials, under_way=under_way)


def test_what_is_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two partials are there, a call is under way: the fourth alone begins, and a round folds all of them."""
    run = take_up(monkeypatch, [0, 1], [2], {(2, 0): Life(ends_s=50.0)})
    assert [[3], [FOLD]] == run.attempts
    assert [] == run.healthy_cancelled
    assert [(0, 1)] == [event.call_ids for event in run.events if isinstance(event, CallsTakenUp)]


def test_what_is_under_way_may_be_done_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reducer of what began later lacks what came before: it is not asked."""
    run = take_up(monkeypatch, [0, 1], [2], {(3, 1): Life(ends_s=50.0)})
    assert [[3], [FOLD]] == run.attempts


@pytest.mark.parametrize("kept", [[], [0, 1], [0, 1, 2, 3]])
def test_nothing_is_left_to_begin(monkeypatch: pytest.MonkeyPatch, kept: list[int]) -> None:
    """All that is not there is under way: nothing runs but the fold."""
    run = take_up(monkeypatch, kept, [call for call in range(CALLS) if call not in kept], {})
    assert [[FOLD]] == run.attempts


@pytest.mark.parametrize(
    "life",
    [Life(ends_s=None, silent_s=5.0), Life(ends_s=5.0, end=KILLED), failing("memory", 2, 5.0)],
    ids=["silent", "killed", "memory"],
)
@pytest.mark.parametrize("slow_s", [1.0, 80.0])
def test_what_was_under_way_is_gone(monkeypatch: pytest.MonkeyPatch, life: Life, slow_s: float) -> None:
    """A call of the other driver that ends without a partial, or falls silent, begins anew, and its attempt folds."""
    run = take_up(monkeypatch, [0, 1], [2], {(2, 0): life, (3, 1): Life(ends_s=slow_s)})
    assert [3] == run.attempts[0]
    assert [2] == run.attempts[1]
    assert 2 == len(run.attempts)


def test_what_was_begun_is_killed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of our own that is killed runs again beside those that are under way."""
    run = take_up(monkeypatch, [0, 1], [2], {(2, 0): Life(ends_s=50.0), (3, 1): Life(ends_s=2.0, end=KILLED)})
    assert [[3], [3], [FOLD]] == run.attempts
    assert run.clock.now_s < 1060


def test_a_failure_of_the_users_own_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in the user's graph failed before, too: nothing runs again."""
    outcome, run = attempted(monkeypatch, [0, 1, 3], [2], {(2, 0): failing("range", 2, 5.0)})
    assert isinstance(outcome, outcomes.Outcome)
    assert outcome.envelope.error is not None
    assert [] == run.attempts


LIVES = st.one_of(
    st.builds(Life, ends_s=st.floats(0.5, 60.0)),
    st.builds(Life, ends_s=st.floats(0.5, 60.0), end=st.just(KILLED)),
    st.builds(Life, ends_s=st.none(), silent_s=st.floats(0.5, 30.0)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    states=st.lists(st.sampled_from(["kept", "under way", "owed"]), min_size=CALLS, max_size=CALLS),
    lives=st.dictionaries(st.tuples(st.integers(0, CALLS - 1), st.integers(0, 2)), LIVES),
)
def test_whatever_happens(monkeypatch: pytest.MonkeyPatch, states: list[str], lives: dict[tuple[int, int], Life]) -> None:
    """The answer is right, no partial that was there is computed again, and no call runs beside its copy that lives."""
    kept, under_way, owed = ([i for i in range(CALLS) if states[i] == state] for state in ("kept", "under way", "owed"))
    with monkeypatch.context() as patched:
        run = take_up(patched, kept, under_way, lives, attempts=8)
    assert [] == run.healthy_cancelled
    again = {call for calls in run.attempts for call in calls if call < CALLS}
    well = {call for call in under_way if lives.get((call, 0), Life()).end is None and lives.get((call, 0), Life()).ends_s}
    assert again <= set(owed) | (set(under_way) - well)
