"""What a run will take and cost: GB-s from seconds, USD from a dated table, a budget that is kept, limits that are met."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
import ROOT
from datasets import ENTRIES, Datasets
from hypothesis import given
from hypothesis import strategies as st

import rdf_lithops
from rdf_lithops.cost import Bill, Measured, Offer, Speeds, default_calls, prices_of
from rdf_lithops.limits import limits_of
from rdf_lithops.outlook import Outlook

LAMBDA = Offer("aws_lambda", "eu-central-1", is_local=False, workers=100, memory_mib=2048, timeout_s=300.0)


def outlook(**changed: Any) -> Outlook:
    """Ten calls of 8 s of loop on Lambda, with three attempts."""
    given: dict[str, Any] = {
        "offer": LAMBDA,
        "limits": limits_of("aws_lambda", {"runtime_memory": 2048, "runtime_timeout": 300}),
        "speeds": Speeds(start_s=1.0, compile_s=2.0, handling_s=0.0),
        "prices": prices_of(LAMBDA),
        "calls": 10,
        "loads_s": (8.0,) * 10,
        "attempts": 3,
        "deadline_s": None,
        "budget_usd": None,
        "fold": (1,),
    }
    return Outlook(**{**given, **changed})


def test_a_bill() -> None:
    """GB-s are seconds times memory; USD are the list price of GB-s, of calls, and of reads and writes of storage."""
    prices = prices_of(LAMBDA)
    assert prices is not None
    assert "2025-10-01" == prices.as_of
    bill = Bill.of(100.0, 11, LAMBDA, prices)
    assert 200.0 == bill.billed_gb_s
    assert bill.cost_usd == pytest.approx(200 * 0.0000166667 + 11 * (0.2e-6 + 2 * 5.4e-6 + 3 * 0.43e-6))


def test_prices_by_region_and_of_ones_own() -> None:
    """Dearer regions are in the table; a price of one's own replaces it; of an unknown backend no price is known."""
    cape_town, here = prices_of(dataclasses.replace(LAMBDA, region="af-south-1")), prices_of(LAMBDA)
    assert cape_town is not None
    assert here is not None
    assert cape_town.gb_s > here.gb_s
    mine = prices_of(dataclasses.replace(LAMBDA, backend="k8s"), 0.5)
    assert mine is not None
    assert 0.5 == mine.gb_s
    assert prices_of(dataclasses.replace(LAMBDA, backend="k8s")) is None
    assert "free" == str(prices_of(Offer()))


def test_expected_and_ceiling() -> None:
    """An undisturbed run takes what its calls and its fold take; at most, every call of every attempt runs to its limit."""
    given = outlook()
    assert given.expected is not None
    assert given.ceiling is not None
    assert given.expected.billed_gb_s == pytest.approx(2 * (10 * 11.0 + given.folds_s[0]))
    assert given.ceiling.billed_gb_s == pytest.approx(2 * 3 * (10 * 300.0 + 300.0))
    assert (11, 33) == (given.expected.requests, given.ceiling.requests)
    assert given.expected.cost_usd is not None
    assert given.ceiling.cost_usd is not None
    assert given.expected.cost_usd < given.ceiling.cost_usd


def test_a_deadline_lowers_the_ceiling() -> None:
    """No call runs longer than the run may take."""
    assert 60.0 == outlook(deadline_s=60.0).call_limit_s
    assert 300.0 == outlook(deadline_s=600.0).call_limit_s


def test_later_calls_are_warm() -> None:
    """A call for which no worker was free at first finds ROOT started and the graph compiled; all do, if it ran just now."""
    few = outlook(offer=dataclasses.replace(LAMBDA, workers=4)).calls_s
    assert few is not None
    assert [11.0] * 4 + [8.0] * 6 == pytest.approx(few)
    assert [8.0] * 10 == pytest.approx(outlook(is_warm=True).calls_s)


def test_less_than_a_processor() -> None:
    """Half the memory of a whole processor makes a call take twice as long; more than one is no gain for one thread."""
    half = dataclasses.replace(LAMBDA, memory_mib=885)
    assert outlook(offer=half).calls_s == pytest.approx([11.0 * 1769 / 885] * 10)
    assert outlook(offer=dataclasses.replace(LAMBDA, memory_mib=8000)).calls_s == pytest.approx([11.0] * 10)


def test_a_budget_is_a_promise() -> None:
    """With a budget, calls are ended so early that no run, however it goes, costs more."""
    free = outlook(offer=dataclasses.replace(LAMBDA, timeout_s=900.0))
    budgeted = dataclasses.replace(free, budget_usd=0.15)
    budgeted.validate()
    assert free.ceiling is not None
    assert budgeted.ceiling is not None
    assert free.ceiling.cost_usd is not None
    assert free.ceiling.cost_usd > 0.15
    assert budgeted.ceiling.cost_usd == pytest.approx(0.15)
    assert budgeted.call_limit_s is not None
    assert 11.0 < budgeted.call_limit_s < 900.0


def test_too_dear() -> None:
    """A plan that needs more than its budget, or has a budget and no price, is refused with what would help."""
    with pytest.raises(rdf_lithops.PlanError, match=r"nothing was invoked\n  budget: 0.01 USD for 3 attempts of 10 calls"):
        outlook(budget_usd=0.01).validate()
    with pytest.raises(rdf_lithops.PlanError, match=r"no price is known for aws_lambda; set options\.usd_per_gb_s"):
        outlook(budget_usd=0.01, prices=None).validate()
    outlook(budget_usd=1e-9, offer=Offer(), prices=prices_of(Offer())).validate()


def test_what_does_not_fit() -> None:
    """Calls that would run longer, or need more memory, than the backend gives are refused before anything is invoked."""
    with pytest.raises(rdf_lithops.PlanError, match="time: 403 s asked, at most 300 granted"):
        outlook(loads_s=(400.0,) * 10).validate()
    with pytest.raises(rdf_lithops.PlanError, match="memory: 768 MiB asked, at most 256 granted"):
        outlook(limits=limits_of("aws_lambda", {"runtime_memory": 256})).validate()
    outlook().validate()


def test_the_number_of_calls() -> None:
    """Where calls are paid each gets enough to do; where they are free every worker gets one."""
    assert 1 == default_calls(3.0, LAMBDA, None)
    assert 50 == default_calls(500.0, LAMBDA, None)
    assert 100 == default_calls(5e6, LAMBDA, None)
    assert 20 == default_calls(500.0, LAMBDA, 25.0)
    assert 8 == default_calls(0.1, Offer(workers=8), None)
    assert 2 == default_calls(1.0, Offer(workers=8), 0.5)


@given(
    st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 10**9), st.integers(1, 9)), min_size=1, max_size=20),
    st.floats(0.1, 50.0),
)
def test_a_second_run_is_predicted(works: list[tuple[int, int, int]], pace: float) -> None:
    """Speeds learned from calls of any sizes give those calls' seconds back, cold and warm, where work is proportional."""
    loads = [dataclasses.replace(Speeds(), pace=pace).load(*work) for work in works]
    cold = [Measured(work, load + 3.7, load + 3.5, 1.5, 2.0, 1000, 600.0) for work, load in zip(works, loads, strict=True)]
    learned = Speeds().learn(cold, 0.1)
    for work, load in zip(works, loads, strict=True):
        assert math.isclose(load + 3.7, learned.call_s(learned.load(*work), 1.0, False), rel_tol=1e-6)
        assert math.isclose(load + 0.1, learned.call_s(learned.load(*work), 1.0, True), rel_tol=1e-6)
    warm = [Measured(work, load + 0.2, load, 0.0, 0.0, 1000, 600.0) for work, load in zip(works, loads, strict=True)]
    again = learned.learn(warm, 0.1)
    assert (learned.start_s, learned.compile_s) == (again.start_s, again.compile_s)
    assert learned == Speeds().learn(cold, 0.1)
    assert Speeds() == Speeds().learn([], 0.0)


def test_a_plan_on_this_machine(files: Datasets, fexec: Any) -> None:
    """A printed plan and its JSON say entries, bytes, memory, deadline, expected and ceiling; here all of it is free."""
    options = {"survey": True, "deadline_s": 100.0}
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=4, options=options)
    plan = rdf_lithops.plan(frame.Filter("x > 2").Sum("y"))
    plan.validate()
    text = str(plan)
    for fact in ("reads     400 entries", "runs on   localhost", "memory ", "deadline  100 s", "expected  0 GB-s", "free"):
        assert fact in text
    told = json.loads(plan.to_json())
    assert (4, ENTRIES, plan.read_bytes) == (told["ranges"], told["entries"], told["read_bytes"])
    assert 0 == told["expected"]["cost_usd"] == told["ceiling"]["cost_usd"]
    assert plan.iterdata == told["iterdata"]
    assert [1] == told["fold"]


def test_a_run_teaches_the_next_plan(fexec: Any) -> None:
    """Once a graph has run, the plan of the same graph on other data says what was measured, and that ROOT is warm."""

    def outlook_of(entries: int) -> Outlook:
        frame = ROOT.RDataFrame(entries, executor=fexec, npartitions=2)
        booked.append(frame.Define("taught", "double(rdfentry_)").Sum("taught"))
        found = rdf_lithops.plan(booked[-1]).outlook
        assert found is not None
        return found

    booked: list[Any] = []
    before = outlook_of(1000)
    assert (False, False) == (before.speeds.is_measured, before.is_warm)
    booked[-1].GetValue()
    after = outlook_of(2000)
    assert (True, True) == (after.speeds.is_measured, after.is_warm)
