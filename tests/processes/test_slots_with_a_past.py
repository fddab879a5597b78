"""What a ROOT process has run before is no reason for a graph to fail."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT

import rdf_lithops

RUNS = 'gInterpreter->ProcessLine("{}"); return 1.0;'  # C++ at run time, of which no worker but its own hears


def spoil(fexec: Any, npartitions: int) -> None:
    """Have the processes that are there run a graph after which another one does not compile."""
    frame = ROOT.RDataFrame(8, executor=fexec, npartitions=npartitions)
    assert 8 == frame.Define("one", RUNS.format("#define fabs ) (")).Sum("one").GetValue()


@pytest.mark.parametrize("npartitions", [1, 2])
@pytest.mark.parametrize("kind", ["alone", "RunGraphs"])
def test_a_graph_that_fails_for_what_ran_before(kind: str, npartitions: int, fexec: Any) -> None:
    """A graph that does not compile in a process that has run others is tried in a new one, where it is right."""
    spoil(fexec, npartitions)
    frames = [ROOT.RDataFrame(6, executor=fexec, npartitions=npartitions) for _ in range(1 if kind == "alone" else 3)]
    results = [frame.Define("x", "fabs(-2.5)").Sum("x") for frame in frames]
    if kind == "RunGraphs":
        ROOT.RDF.RunGraphs(results)
    assert [15.0] * len(results) == [result.GetValue() for result in results]
    assert 0 == rdf_lithops.report(results[0]).repeated


def test_a_graph_that_fails_everywhere(fexec: Any) -> None:
    """A graph that fails everywhere fails as in a new program, with the compiler's words."""
    spoil(fexec, 1)
    ROOT.RDataFrame(1).Define("one", RUNS.format("double rdf_lithops_known_here = 3;")).Sum("one").GetValue()
    result = ROOT.RDataFrame(6, executor=fexec, npartitions=1).Define("x", "rdf_lithops_known_here").Sum("x")
    with pytest.raises(rdf_lithops.RangeError, match="rdf_lithops_known_here"):
        result.GetValue()
