"""A plan is a value: it can be read, dumped, driven by hand with a bare executor, and delivered."""

from __future__ import annotations

import dataclasses
import json
import pickle
import typing
from typing import Any

import pytest
import ROOT
from datasets import ENTRIES, Datasets

import rdf_lithops
from rdf_lithops.frame import fields
from rdf_lithops.planning.plans import pack_calls
from rdf_lithops.travels.envelope import Envelope, pack, unpack


@pytest.fixture(scope="module")
def partials(fexec: Any) -> tuple[rdf_lithops.Plan, list[bytes]]:
    """A plan of 4 ranges in 4 calls, and what its map tasks give when they are called here."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=4, options={"ranges_per_call": 1})
    _kept.append(frame.Define("x", "double(rdfentry_)").Sum("x"))
    plan = rdf_lithops.plan(_kept[-1])
    return plan, [plan.map_task(**item) for item in plan.iterdata]


_kept: list[Any] = []


def test_driven_by_hand(files: Datasets, fexec: Any) -> None:
    """A bare map_reduce with the plan's parts, and deliver(), fill what was booked; nothing runs again."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=3)
    cut = frame.Filter("x > 2", "x above 2")
    histogram, count, report = cut.Histo1D(("h", "", 10, 0.0, 12.0), "x"), cut.Count(), cut.Report()
    plan = rdf_lithops.plan(frame)
    futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
    plan.deliver(fexec.get_result(futures))
    ran = fexec.total_jobs
    local = ROOT.RDataFrame("events", files.main).Filter("x > 2", "x above 2")
    expected = local.Histo1D(("h", "", 10, 0.0, 12.0), "x")
    assert local.Count().GetValue() == count.GetValue()
    assert [expected.GetBinContent(i) for i in range(12)] == [histogram.GetBinContent(i) for i in range(12)]
    assert [ENTRIES] == [cut.GetAll() for cut in report.GetValue()]
    assert ran == fexec.total_jobs


def test_planning_invokes_nothing(files: Datasets, fexec: Any) -> None:
    """Making and printing a plan submits no job and fills no result; the graph can still run as usual."""
    count = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=2).Count()
    before = fexec.total_jobs
    text = str(rdf_lithops.plan(count))
    assert before == fexec.total_jobs
    assert text.startswith("plan: 2 ranges in ")
    assert ENTRIES == count.GetValue()
    assert before + 1 == fexec.total_jobs


def test_iterdata_are_plain(files: Datasets, fexec: Any) -> None:
    """Iterdata survive JSON, name every range once, in order, and a call holds as many as was asked for."""
    options = {"ranges_per_call": 3}
    plan = rdf_lithops.plan(ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=7, options=options).Count())
    assert plan.iterdata == json.loads(json.dumps(plan.iterdata, allow_nan=False))
    assert [[0, 1, 2], [3, 4, 5], [6]] == [[plain["id"] for plain in item["call"]["ranges"]] for item in plan.iterdata]
    assert [0, 1, 2] == [item["call"]["id"] for item in plan.iterdata]
    assert (3, 7) == (plan.calls, plan.ranges)


def foreign_types(value: Any) -> set[type]:
    """Types that are neither built in nor dataclasses of the far side."""
    if isinstance(value, (dict, list, tuple)):
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        return set().union(*map(foreign_types, inner)) if inner else set()
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith(
        ("rdf_lithops.worker.", "rdf_lithops.travels.", "rdf_lithops.fold.")
    ):
        return foreign_types([getattr(value, field.name) for field in dataclasses.fields(value)])
    return {type(value)} - {str, bytes, int, float, bool, type(None)}


def test_no_root_object_travels(files: Datasets, fexec: Any) -> None:
    """Tasks hold plain values and bytes all the way down, with friends, samples and models in the graph."""
    frame = ROOT.RDF.Experimental.FromSpec(files.spec, executor=fexec, npartitions=3)
    booked = frame.Histo1D(ROOT.RDF.TH1DModel("h", "", 10, 0.0, 12.0), "x")
    plan = rdf_lithops.plan(booked)
    assert set() == foreign_types([plan.map_task, plan.iterdata, plan.reduce_task])
    for task in (plan.map_task, plan.reduce_task):
        assert task == pickle.loads(pickle.dumps(task))


def undeclared(value: Any, kind: Any) -> set[str]:
    """Fields of dictionaries in ``value`` that ``kind``, a TypedDict or what is made of such, does not have."""
    if isinstance(value, dict) and typing.is_typeddict(kind):
        known = typing.get_type_hints(kind)
        unknown = {f"{kind.__name__}.{name}" for name in value.keys() - known.keys()}
        return unknown.union(*(undeclared(value[name], known[name]) for name in value.keys() & known.keys()))
    inner = value if isinstance(value, list) else [value]
    return set().union(*(undeclared(item, each) for item in inner for each in typing.get_args(kind)))


@pytest.mark.parametrize("given", ["specification", "files"])
def test_what_travels_has_declared_fields(files: Datasets, fexec: Any, given: str) -> None:
    """Calls, their ranges and what these share have the fields that ``frame.fields`` describes, and no others."""
    options = {"survey": True}
    if given == "files":
        frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=3, options=options)
    else:
        frame = ROOT.RDF.Experimental.FromSpec(files.spec, executor=fexec, npartitions=3, options=options)
    plan = rdf_lithops.plan(frame.Define("number", "rdfentry_ * 2").Sum("number"))
    assert set() == undeclared([item["call"] for item in plan.iterdata], list[fields.CallFields])
    assert set() == undeclared(plan.map_task.dataset, fields.DatasetFields)
    assert {"CallFields.nonsense"} == undeclared([{"id": 0, "nonsense": 1}], list[fields.CallFields])
    assert {"RangeFields.x"} == undeclared({"ranges": [{"x": 1}]}, fields.CallFields)


def test_tasks_do_not_depend_on_how_often_they_are_planned(files: Datasets, fexec: Any) -> None:
    """Planning twice gives the same tasks and iterdata: the graph's digest names the same compiled graph."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=3)
    booked = frame.Define("q", "x * 2").Histo1D(("h", "", 10, 0.0, 12.0), "q")
    first, second = rdf_lithops.plan(booked), rdf_lithops.plan(booked)
    assert first.iterdata == second.iterdata
    assert first.map_task.graph_digest == second.map_task.graph_digest


def test_print(files: Datasets, fexec: Any) -> None:
    """A printed plan says calls and ranges, and for each call which part of which files it reads."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=3, options={"ranges_per_call": 1})
    lines = str(rdf_lithops.plan(frame.Count())).splitlines()
    assert "plan: 3 ranges in 3 calls, then 1 reduce call" == lines[0]
    assert [f"  call {i}: range {i}: 0% to 100% of {file}" for i, file in enumerate(files.main)] == lines[-3:]


def test_print_a_long_plan(fexec: Any) -> None:
    """A long plan is cut short, saying how much more there is."""
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=100, options={"ranges_per_call": 5})
    text = str(rdf_lithops.plan(frame.Count()))
    assert "plan: 100 ranges in 20 calls" in text
    assert "range 0: entries 0 to 10; range 1: entries 10 to 20; range 2: entries 20 to 30; 2 more" in text
    assert "… and 10 more calls" in text
    assert len(text.splitlines()) <= 21


def test_pack_calls() -> None:
    """Ranges go into calls in order, evenly: no call is empty and none has over one range more than another."""
    for count in (1, 2, 5, 17):
        for workers in (1, 2, 3, 16, 40):
            plain = [{"id": i} for i in range(count)]
            calls = [item["call"]["ranges"] for item in pack_calls(plain, workers, None)]
            sizes = [len(ranges) for ranges in calls]
            assert plain == [one for ranges in calls for one in ranges]
            assert min(count, workers) == len(sizes)
            assert max(sizes) - min(sizes) <= 1
            assert min(sizes) >= 1


def test_reduce_in_any_order(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """However the partials arrive they are folded in range order: the same envelope's body, each entry counted."""
    plan, outputs = partials
    forward, backward = unpack(plan.reduce_task(outputs)), unpack(plan.reduce_task(outputs[::-1]))
    assert (None, (0, 1, 2, 3), 100) == (forward.error, forward.range_ids, forward.entries)
    assert (forward.range_ids, forward.body) == (backward.range_ids, backward.body)


def test_a_partial_delivered_twice_counts_once(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """A duplicate of a partial changes nothing."""
    plan, outputs = partials
    once, twice = unpack(plan.reduce_task(outputs)), unpack(plan.reduce_task([*outputs, outputs[1], outputs[0]]))
    assert (once.range_ids, once.entries, once.body) == (twice.range_ids, twice.entries, twice.body)


def test_missing_ranges_are_named(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """A shortfall is an error that names the ranges, not a smaller result."""
    plan, outputs = partials
    error = unpack(plan.reduce_task([outputs[0], outputs[2]])).error
    assert error is not None
    assert "missing [1, 3]" in error["message"]


def test_overlapping_ranges_are_named(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """Two different partials that hold the same range are an error that names it, as is a range that nobody planned."""
    plan, outputs = partials
    overlap = pack(dataclasses.replace(unpack(outputs[1]), range_ids=(1, 2)))
    error = unpack(plan.reduce_task([*outputs, overlap])).error
    assert error is not None
    assert "more than once [1, 2]" in error["message"]
    stranger = pack(dataclasses.replace(unpack(outputs[1]), range_ids=(9,)))
    error = unpack(plan.reduce_task([*outputs, stranger])).error
    assert error is not None
    assert "unknown [9]" in error["message"]


def test_a_shortfall_does_not_deliver(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """deliver() raises what the reduce found, and the ranges are in the error."""
    plan, outputs = partials
    with pytest.raises(rdf_lithops.RunError, match=r"missing \[3\]"):
        plan.deliver(plan.reduce_task(outputs[:3]))


def test_damaged_partial(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """A partial that was damaged on the way is an error, never a result."""
    plan, outputs = partials
    damaged = outputs[2][:-1] + bytes([outputs[2][-1] ^ 1])
    error = unpack(plan.reduce_task([outputs[0], outputs[1], damaged, outputs[3]])).error
    assert error is not None
    assert "SHA-256" in error["message"]


def test_failed_partial(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """The error of a call goes through the reduce as it is."""
    plan, outputs = partials
    fields = {
        "kind": "range",
        "message": "spoilt",
        "range_ids": [2],
        "call_id": 2,
        "where": "",
        "type": "E",
        "traceback": "",
    }
    failed = pack(Envelope((2,), None, "", error=fields))
    assert fields == unpack(plan.reduce_task([outputs[0], failed, outputs[1], outputs[3]])).error
    with pytest.raises(rdf_lithops.RangeError, match="range 2 failed: spoilt"):
        plan.deliver(failed)


def test_delivered_bytes_are_checked(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """deliver() takes nothing that is not a whole envelope."""
    plan, outputs = partials
    for damaged in (b"", outputs[0][:-3], "text"):
        with pytest.raises(ValueError, match="expected"):
            plan.deliver(damaged)


def test_a_plan_of_a_graph_that_changed(fexec: Any) -> None:
    """A result is not delivered to other actions than those that were planned."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
    count = frame.Count()
    plan = rdf_lithops.plan(frame)
    outputs = [plan.map_task(**item) for item in plan.iterdata]
    total = frame.Sum("rdfentry_")
    with pytest.raises(rdf_lithops.PlanError, match="plan it again"):
        plan.deliver(plan.reduce_task(outputs))
    assert (10, 45.0) == (count.GetValue(), total.GetValue())


def test_what_cannot_be_planned(fexec: Any) -> None:
    """A graph without actions, one that has run, and things that are no data frame each have an error of their own."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
    with pytest.raises(rdf_lithops.PlanError, match="at least one action"):
        rdf_lithops.plan(frame)
    count = frame.Count()
    assert 10 == count.GetValue()
    with pytest.raises(rdf_lithops.PlanError, match="expected at least one action"):
        rdf_lithops.plan(count)
    for thing in (None, 3, ROOT.RDataFrame(10)):
        with pytest.raises(TypeError, match="expected a distributed RDataFrame, a node or a result of one, got"):
            rdf_lithops.plan(thing)


def test_reduce_task_refuses_what_is_no_partial(partials: tuple[rdf_lithops.Plan, list[bytes]]) -> None:
    """A map output that is no envelope is an error inside the result, as the reduce never raises."""
    plan, outputs = partials
    error = unpack(plan.reduce_task([*outputs[:3], None])).error  # type: ignore[list-item]
    assert error is not None
    assert "expected an envelope" in error["message"]
    assert [0, 1, 2, 3] == error["range_ids"]
