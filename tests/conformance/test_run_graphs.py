"""RunGraphs: several graphs at once, each with local RDataFrame's result, or its own failure."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest
import ROOT
from conftest import jobs_of
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
