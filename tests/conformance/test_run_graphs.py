"""RunGraphs: several graphs at once, each with local RDataFrame's result, or its own failure."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG, jobs_of
from datasets import Datasets
from plain_results import number, same

import rdf_lithops


@pytest.mark.parametrize("module", ["RDF", "Distributed"])
def test_run_graphs(module: str, files: Datasets, fexec: Any) -> None:
    """RunGraphs, ROOT's and DistRDF's, runs each distinct graph once, all as one run, and fills every handle."""
    run_graphs = ROOT.RDF.RunGraphs if module == "RDF" else ROOT.RDF.Distributed.RunGraphs
    frames = [ROOT.RDataFrame("events", file, executor=fexec, npartitions=2) for file in files.main]
    handles = [handle for frame in frames for handle in (frame.Count(), frame.Sum("x"))]
    before = jobs_of(fexec)
    assert 3 == run_graphs(handles)
    ran = jobs_of(fexec)
    assert before + 1 == ran
    expected = [
        value
        for frame in (ROOT.RDataFrame("events", file) for file in files.main)
        for value in (number(frame.Count()), number(frame.Sum("x")))
    ]
    assert [] == same(expected, [number(handle) for handle in handles])
    assert ran == jobs_of(fexec)


LISTS: dict[str, Callable[[Any, Any], list[Any]]] = {
    "none": lambda one, other: [],
    "all ready": lambda one, other: [ready(one.Count()), ready(other.Sum("x"))],
    "one of two graphs ready": lambda one, other: [ready(one.Count()), other.Sum("x")],
    "one ready of one graph": lambda one, other: [ready(one.Count()), one.Sum("x")],
    "one ready of one graph, named last": lambda one, other: [ready(one.Count()), one.Sum("x")][::-1],
    "the same handle twice": lambda one, other: [count := one.Count(), other.Sum("x"), count],
    "several of one graph": lambda one, other: [one.Count(), one.Sum("x"), one.Max("x")],
    "made of all values": lambda one, other: [one.Histo1D("x"), other.Take["double"]("x"), other.Stats("x", "w")],
    "made of all values, ready": lambda one, other: [ready(one.Histo1D("x")), ready(one.Stats("x", "w")), other.Count()],
}


def ready(handle: Any) -> Any:
    """The handle, after somebody has looked at its value."""
    handle.GetValue()
    return handle


@pytest.mark.filterwarnings("ignore:Got .* handles")  # local ROOT's words
@pytest.mark.parametrize("name", LISTS)
def test_lists_of_handles(name: str, fexec: Any) -> None:
    """Whatever handles a list has, RunGraphs returns what local ROOT's does, and every value is there afterwards."""
    given: tuple[dict[str, Any], ...] = ({}, {"executor": fexec, "npartitions": 2})
    found = []
    for options in given:
        one, other = (
            ROOT.RDataFrame(n, **options).Define("x", "1.5 * rdfentry_").Define("w", "1. + rdfentry_ % 2") for n in (10, 20)
        )
        handles = LISTS[name](one, other)
        returned = ROOT.RDF.RunGraphs(handles)
        runs = [frame.GetNRuns() for frame in (one, other)]
        values = [plain(handle.GetValue()) for handle in handles]
        found.append((returned, values))
        assert runs == [frame.GetNRuns() for frame in (one, other)]
    assert found[0] == found[1]


def plain(value: Any) -> Any:
    """A result as numbers."""
    if isinstance(value, ROOT.TH1):
        return [value.GetBinContent(cell) for cell in range(value.GetNcells())]
    if isinstance(value, ROOT.TStatistic):
        return value.GetN(), value.GetMean(), value.GetW()
    return value if isinstance(value, (int, float)) else list(value)


@pytest.mark.filterwarnings("ignore:Got .* handles")  # local ROOT's words, of those that are ready
def test_handles_of_two_executors_and_of_local_frames(fexec: Any) -> None:
    """Each graph is run where it belongs, ready ones are not run again, and all values are there."""
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) as second:
        places: list[dict[str, Any]] = [{}, {"executor": fexec}, {"executor": second}]
        frames = [ROOT.RDataFrame(10 + n, **place) for n, place in enumerate([*places, *places])]
        handles = [frame.Count() for frame in frames]
        assert [10, 11, 12] == [handle.GetValue() for handle in handles[:3]]
        before = jobs_of(fexec), jobs_of(second)
        ROOT.RDF.RunGraphs([*handles, handles[4]])
        assert (before[0] + 1, before[1] + 1) == (jobs_of(fexec), jobs_of(second))
        assert [10, 11, 12, 13, 14, 15] == [handle.GetValue() for handle in handles]
        assert (before[0] + 1, before[1] + 1) == (jobs_of(fexec), jobs_of(second))


def test_what_is_no_handle(fexec: Any) -> None:
    """What is no handle is refused in one sentence, before anything runs."""
    frame = ROOT.RDataFrame(10, executor=fexec)
    before = jobs_of(fexec)
    for wrong in (frame, frame.Define("x", "1"), 7, None, "h"):
        with pytest.raises(rdf_lithops.PlanError, match="RunGraphs: expected results"):
            ROOT.RDF.RunGraphs([frame.Count(), wrong])
    assert before == jobs_of(fexec)


def test_run_graphs_that_ran_already(fexec: Any) -> None:
    """A graph that has its results is not run again by RunGraphs."""
    done, fresh = (ROOT.RDataFrame(n, executor=fexec, npartitions=2).Count() for n in (11, 12))
    assert 11 == done.GetValue()
    before = jobs_of(fexec)
    ROOT.RDF.RunGraphs([done, fresh])
    assert (11, 12, before + 1) == (done.GetValue(), fresh.GetValue(), jobs_of(fexec))


def test_run_graphs_of_which_one_fails(fexec: Any) -> None:
    """The failure is raised, the other graphs keep their results, and nothing is run twice."""
    good = [ROOT.RDataFrame(n, executor=fexec, npartitions=2).Define("x", "1").Sum("x") for n in (10, 20)]
    bad = (
        ROOT.RDataFrame(10, executor=fexec, npartitions=2).Filter('throw std::runtime_error("spoilt"); return true;').Count()
    )
    before = jobs_of(fexec)
    with pytest.raises(rdf_lithops.RangeError, match="spoilt"):
        ROOT.RDF.RunGraphs([good[0], bad, good[1]])
    assert before + 1 == jobs_of(fexec)
    assert [10, 20] == [handle.GetValue() for handle in good]
    assert before + 1 == jobs_of(fexec)


def test_run_graphs_of_which_several_fail(fexec: Any) -> None:
    """Several failures are one error that lists each of them."""
    bad = [
        ROOT.RDataFrame(4, executor=fexec, npartitions=1).Filter(f'throw std::runtime_error("{why}"); return true;').Count()
        for why in ("spoilt", "rotten")
    ]
    with pytest.raises(rdf_lithops.RdfLithopsError, match=r"(?s)2 of 2 graphs failed.*spoilt.*rotten"):
        ROOT.RDF.RunGraphs(bad)


def test_run_graphs_of_nothing() -> None:
    """No handles, no graphs: 0, as upstream."""
    assert 0 == ROOT.RDF.Distributed.RunGraphs([])


def test_graphs_from_several_threads(fexec: Any) -> None:
    """Results asked for in several threads at once come out right: jobs are numbered apart."""
    handles = [ROOT.RDataFrame(100 + n, executor=fexec, npartitions=2).Count() for n in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        values = list(pool.map(lambda handle: handle.GetValue(), handles, timeout=120))
    assert [100, 101, 102, 103] == values
