"""ROOT's global settings that change results mean on workers what they mean here, run by run."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import lithops
import numpy
import pytest
import ROOT
from kinds import quickly

from rdf_lithops.errors import PlanError
from rdf_lithops.frame import settings

ENTRIES = 40


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    """Each test leaves ROOT's settings as it found them."""
    kept, sumw2, directory = settings.here(), ROOT.TH1.GetDefaultSumw2(), ROOT.TH1.AddDirectoryStatus()
    yield
    settings._set(kept)
    ROOT.TH1.SetDefaultSumw2(sumw2)
    ROOT.TH1.AddDirectory(directory)


def frames(fexec: lithops.FunctionExecutor, npartitions: int = 3) -> list[Any]:
    """The same data frame, local and distributed."""
    made = ROOT.RDataFrame(ENTRIES), ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=npartitions)
    return [frame.Define("x", "1.5 * double(rdfentry_)").Define("y", "x * x") for frame in made]


def booked(node: Any) -> list[Any]:
    """Histograms and profiles, most entries of which lie outside."""
    return [
        node.Histo1D(("h", "", 4, 0.0, 10.0), "x"),
        node.Histo1D(("w", "", 4, 0.0, 10.0), "x", "y"),
        node.Histo2D(("h2", "", 4, 0.0, 10.0, 3, 0.0, 8.0), "x", "y"),
        node.Profile1D(("p", "", 4, 0.0, 10.0), "x", "y"),
    ]


def said(results: list[Any]) -> list[Any]:
    """Their statistics and errors."""
    told = []
    for result in results:
        h, statistics = result.GetValue(), numpy.zeros(20)
        h.GetStats(statistics)
        told.append((h.GetSumw2N(), h.GetEntries(), statistics.tolist(), [h.GetBinError(i) for i in range(h.GetNcells())]))
    return told


@pytest.mark.parametrize("npartitions", [2, 7])
def test_overflows_in_statistics(fexec: lithops.FunctionExecutor, npartitions: int) -> None:
    """TH1::StatOverflows holds where it was set for a run, and not for the next without it, on the same workers."""
    told = {}
    for overflows in (True, False):
        ROOT.TH1.StatOverflows(overflows)
        local, remote = (said(booked(node)) for node in frames(fexec, npartitions))
        assert local == remote
        told[overflows] = local
    assert told[True] != told[False]


@pytest.mark.parametrize("npartitions", [2, 7])
def test_squares_of_weights(fexec: lithops.FunctionExecutor, npartitions: int) -> None:
    """TH1::SetDefaultSumw2 holds for what is booked while it is set, and for nothing else of the graph."""
    results = []
    for node in frames(fexec, npartitions):
        some = booked(node)
        ROOT.TH1.SetDefaultSumw2(True)
        more = booked(node)
        ROOT.TH1.SetDefaultSumw2(False)
        results.append(said(some + more + booked(node)))
    assert results[0] == results[1]
    assert [0, 6, 0] == [told[0] for told in results[1][::4]]


def test_results_belong_to_nobody(fexec: lithops.FunctionExecutor) -> None:
    """With TH1::AddDirectory, too, a result is in no folder of ROOT's, as locally."""
    ROOT.TH1.AddDirectory(True)
    assert [None, None] == [booked(node)[0].GetValue().GetDirectory() or None for node in frames(fexec)]


def drawn(fexec: lithops.FunctionExecutor, seed: int = 1) -> list[float]:
    """Numbers that workers have drawn."""
    frame = ROOT.RDataFrame(6, executor=fexec, npartitions=2, options={"seed": seed})
    return list(frame.Define("r", "gRandom->Rndm()").AsNumpy(["r"])["r"])


@pytest.mark.parametrize("kind", quickly(["TRandom1", "TRandomMixMax"], "TRandom1"))
def test_the_kind_of_random_numbers(fexec: lithops.FunctionExecutor, kind: str) -> None:
    """The generator that gRandom is here draws on the workers, and the next run's is its own again."""
    usual = drawn(fexec)
    ROOT.gInterpreter.ProcessLine(f"TRandom *usual_{kind} = gRandom; gRandom = new {kind}(1);")
    other = drawn(fexec)
    ROOT.gInterpreter.ProcessLine(f"delete gRandom; gRandom = usual_{kind};")
    assert usual == drawn(fexec)
    assert not set(usual) & set(other)
    assert 6 == len(set(other))


def test_a_histogram_with_edges(fexec: lithops.FunctionExecutor) -> None:
    """Edges of bins are an axis."""
    _, node = frames(fexec)
    edges = numpy.array([0.0, 10.0, 60.0])
    assert [7.0, 33.0] == [node.Histo1D(("h", "", 2, edges), "x").GetValue().GetBinContent(i) for i in (1, 2)]


def test_a_sum_that_begins_elsewhere_is_refused(fexec: lithops.FunctionExecutor) -> None:
    """Each range would add the initial value."""
    _, node = frames(fexec)
    with pytest.raises(PlanError, match="add it to the result"):
        node.Sum("x", ctypes.c_double(100.0))
