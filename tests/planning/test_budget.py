"""A budget is what a run may cost however it goes: with attempts, backups, divided calls, rounds of folding, and merging."""

from __future__ import annotations

import dataclasses
from typing import Any

import inline
import pytest
from copies import Life, Script, failing, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_backups import KILLED, SCRIPTS, options, text_of
from test_cost import outlook

import rdf_lithops
from rdf_lithops.planning.cost import Bill
from rdf_lithops.planning.outlook import Outlook
from rdf_lithops.run import running
from rdf_lithops.run.account import Account

OF_EIGHT = outlook(calls=8, works=None)


def worst_usd(plan: Outlook, attempts: list[list[int]], limits: list[float | None]) -> float:
    """What these submissions cost if each call, and each reducer, runs as long as it may."""
    submitted = zip(attempts, limits, strict=True)
    seconds = sum(len(calls) * (limit or 0.0) + (plan.offer.timeout_s or 0.0) for calls, limit in submitted)
    return Bill.of(seconds, sum(len(calls) + 1 for calls in attempts), plan.offer, plan.prices).cost_usd or 0.0


@given(SCRIPTS, st.integers(1, 4), st.booleans(), st.sampled_from([0.02, 0.06, 0.2, 5.0]), st.integers(1, 3))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_run_costs_more(
    monkeypatch: pytest.MonkeyPatch, script: Script, attempts: int, backups: bool, budget_usd: float, per_call: int
) -> None:
    """Whatever becomes of its calls: what is submitted cannot cost more than the budget, and each call has a limit."""
    known = dataclasses.replace(OF_EIGHT, attempts=attempts, budget_usd=budget_usd)
    plan = inline.text_plan(8, per_call, beat_s=1.0, outlook=known)
    with monkeypatch.context() as patched:
        chosen = options(attempts=attempts, backups=backups, start_s=100.0, deadline_s=2000.0)
        outcome, run = told(patched, plan, script, chosen)
    assert None not in run.limits
    assert worst_usd(known, run.attempts, run.limits) <= budget_usd * (1 + 1e-9)
    assert isinstance(outcome, (running.Outcome, rdf_lithops.RunError))


def test_divided_calls_are_paid_from_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of eight calls is out of memory and becomes ten: they would cost ten times as much, and are given less time."""
    known = dataclasses.replace(OF_EIGHT, attempts=2, budget_usd=0.1)
    script: dict[tuple[int, int], Life] = {(call_id, 1): failing("memory", call_id) for call_id in range(8)}
    outcome, run = told(monkeypatch, inline.text_plan(8, 10, beat_s=1.0, outlook=known), script, options(attempts=2))
    assert " ".join(map(str, range(80))) == text_of(outcome)
    assert [8, 80] == [len(calls) for calls in run.attempts]
    first, second = run.limits
    assert first is not None and second is not None and second < first / 5
    assert worst_usd(known, run.attempts, run.limits) <= 0.1


def test_a_backup_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup, and the attempt after it, are in the ceiling of the plan."""
    known = dataclasses.replace(OF_EIGHT, budget_usd=0.1)
    script = {(7, 1): Life(ends_s=20.0, end=KILLED), (7, 2): Life(ends_s=20.0, end=KILLED)}
    outcome, run = told(monkeypatch, inline.text_plan(8, beat_s=1.0, outlook=known), script, options())
    assert "0 1 2 3 4 5 6 7" == text_of(outcome)
    assert [8, 1, 1] == [len(calls) for calls in run.attempts]
    assert known.ceiling is not None and known.ceiling.cost_usd == pytest.approx(0.1)
    assert worst_usd(known, run.attempts, run.limits) < 0.1


def test_merging_is_in_the_ceiling() -> None:
    """The calls that merge a Snapshot's files are counted before the run begins, and share its budget."""
    merging = dataclasses.replace(OF_EIGHT, merge_calls=4, merges=1)
    assert merging.ceiling is not None and OF_EIGHT.ceiling is not None
    assert 3 * 5 == merging.ceiling.requests - OF_EIGHT.ceiling.requests
    assert merging.ceiling.billed_gb_s == pytest.approx(2 * 3 * (12 * 300.0 + 2 * 300.0))
    assert "of which 4 calls merge files" in "\n".join(merging.lines())
    budgeted = dataclasses.replace(merging, budget_usd=0.2)
    assert budgeted.ceiling is not None and budgeted.ceiling.cost_usd == pytest.approx(0.2)
    account = Account(budgeted)
    for _ in range(3):
        for calls in (8, 4):
            assert account.draw(calls) == pytest.approx(budgeted.call_limit_s)
    assert account.set_aside_usd == pytest.approx(0.2)
    with pytest.raises(rdf_lithops.RunError, match=r"the budget of 0\.2 USD does not pay for 1 calls more"):
        account.draw(1)


def test_no_budget_no_limit() -> None:
    """Where nobody pays, or no budget is set, calls run as long as the backend lets them."""
    found: list[Any] = [None, OF_EIGHT, outlook(budget_usd=1.0, prices=None)]
    assert [None] * 3 == [Account(known).draw(1000) for known in found]
