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
from rdf_lithops.planning.cost import Bill, Offer, Speeds, Work, default_calls, prices_of
from rdf_lithops.planning.limits import limits_of
from rdf_lithops.planning.outlook import Outlook
from rdf_lithops.reporting import Call
from rdf_lithops.reporting.experience import STAYS_WARM_S, Experience

LAMBDA = Offer("aws_lambda", "eu-central-1", is_local=False, workers=100, memory_mib=2048, timeout_s=300.0)


def outlook(**changed: Any) -> Outlook:
    """Ten calls of 8 s of loop on Lambda, with three attempts."""
    given: dict[str, Any] = {
        "offer": LAMBDA,
        "limits": limits_of("aws_lambda", {"runtime_memory": 2048, "runtime_timeout": 300}),
        "speeds": Speeds(start_s=1.0, compile_s=2.0, handling_s=0.0, result_s=0.0, range_s=0.0),
        "prices": prices_of(LAMBDA),
        "calls": 10,
        "works": (Work(32_000_000, 0, 0),) * 10,
        "attempts": 3,
        "deadline_s": None,
        "budget_usd": None,
        "fold": (1,),
        "starting": 10,
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
    """A call that starts a worker takes longer than one that only compiles, and than one that finds all ready."""
    assert [11.0] * 2 + [10.0] * 3 + [8.0] * 5 == pytest.approx(outlook(starting=2, compiling=3).calls_s)
    assert [8.0] * 10 == pytest.approx(outlook(starting=0).calls_s)


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
        outlook(works=(Work(1_600_000_000, 0, 0),) * 10).validate()
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


def a_call(number: int, work: Work, truth: Speeds, vcpus: float, starts: bool, compiles: bool) -> Call:
    """A call of a place and a graph of which ``truth`` is true, as a report has it, in a worker of its own."""
    scale = min(1.0, vcpus)
    parts = {
        "cold start": (truth.start_s / scale if starts else 0.0) + truth.handling_s,
        "graph": truth.range_s / scale * work.ranges,
        "compilation": truth.compile_s / scale if compiles else 0.0,
        "open": truth.open_s * work.files / scale,
        "decompression": truth.pace * work.read_bytes / truth.bytes_per_s / scale,
        "loop": truth.pace * work.entries / truth.entries_per_s / scale,
        "upload": truth.result_s,
    }
    ended = NOW + math.fsum(parts.values())
    return Call("map", number, 1, pid=number, began_at=NOW, ended_at=ended, seen_at=ended, parts=parts, cold=starts)


def calls_of(calls: list[Call], truth: Speeds) -> list[Call]:
    """Those of a run of these, and a reducer."""
    reduce = Call("reduce", 0, 1, began_at=NOW, ended_at=NOW + truth.fold_handling_s, seen_at=NOW + 9, parts={})
    return [*calls, reduce]


NOW = 1_800_000_000.0
WORKS = st.builds(Work, st.integers(1, 10**7), st.integers(0, 10**9), st.integers(0, 9), st.integers(1, 30))


@given(
    st.lists(WORKS, min_size=2, max_size=20),
    st.builds(Speeds, **{name: st.floats(0.1, 5.0) for name in ("start_s", "compile_s", "handling_s", "result_s", "pace")}),
    st.floats(0.3, 3.0),
)
def test_a_second_run_is_predicted(works: list[Work], truth: Speeds, vcpus: float) -> None:
    """Of whatever speeds, works and share of a processor: what a run of some teaches gives the seconds of all."""
    starts = [number % 3 == 0 for number in range(len(works))]
    compiles = [number % 3 < 2 for number in range(len(works))]
    calls = [a_call(i, work, truth, vcpus, starts[i], compiles[i]) for i, work in enumerate(works)]
    experience = Experience()
    earlier = [number for number in range(len(works)) if not compiles[number]]  # workers that have run the graph already
    warm = [a_call(number, works[number], truth, vcpus, False, False) for number in earlier]
    experience.learn("graph", {}, calls_of(warm, truth), vcpus)
    assert not experience.speeds("graph").is_measured, "works were not known"
    experience.learn("graph", dict(enumerate(works)), calls_of(calls, truth), vcpus)
    learned = experience.speeds("graph")
    for call, work, start, new in zip(calls, works, starts, compiles, strict=True):
        assert call.worker_s == pytest.approx(learned.call_s(work, vcpus, start, new), rel=0.02, abs=0.15)
    assert truth.fold_handling_s == pytest.approx(learned.fold_handling_s)
    if not all(starts):
        assert truth.handling_s == pytest.approx(experience.speeds("another graph").handling_s)
    assert not experience.speeds("another graph").is_measured


def test_workers_are_remembered() -> None:
    """A plan counts on workers that ended a call minutes ago, and on graphs that they have compiled; not for longer."""
    experience, truth = Experience(), Speeds()
    calls = [a_call(number, Work(10, 0, 0), truth, 1.0, True, True) for number in range(3)]
    experience.learn("graph", {}, calls_of(calls, truth), 1.0)
    soon, late = NOW + 60.0, NOW + STAYS_WARM_S + 60.0
    assert (0, 0) == experience.begins("graph", 3, 100, soon)
    assert (0, 3) == experience.begins("another", 8, 3, soon)
    assert (5, 0) == experience.begins("graph", 8, 100, soon)
    assert (5, 3) == experience.begins("another", 8, 100, soon)
    assert (3, 0) == experience.begins("graph", 3, 100, late)


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
    assert not before.speeds.is_measured
    assert before.starting + before.compiling == min(2, before.offer.workers)
    booked[-1].GetValue()
    after = outlook_of(2000)
    assert after.speeds.is_measured
    assert 0 == after.starting
    assert after.compiling < before.starting + before.compiling
