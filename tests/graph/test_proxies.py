"""Nodes and results of distributed data frames behave in Python as those of local ones do."""

from __future__ import annotations

import gc
import threading
from typing import Any

import lithops
import pytest
import ROOT
from kinds import quickly
from ROOT._distrdf import Proxy

from rdf_lithops.errors import PlanError


def test_methods_taken_before_the_first_is_called(fexec: lithops.FunctionExecutor) -> None:
    """Methods may be taken, kept and called later, in any order: each does what its own name says."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
    define, keep, count = frame.Define, frame.Filter, frame.Count
    node = define("x", "double(rdfentry_)")
    total, mean, largest = node.Sum, node.Mean, node.Max
    results = [total("x"), mean("x"), largest("x"), keep("rdfentry_ < 4").Count(), count()]
    assert [45.0, 4.5, 9.0, 4, 10] == [result.GetValue() for result in results]


def test_methods_of_a_result(fexec: lithops.FunctionExecutor) -> None:
    """The same holds for the methods of a histogram that is not there yet."""
    node = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    result = node.Histo1D(("h", "a title", 5, 0.0, 10.0), "x")
    title, entries, mean, fill = result.GetTitle, result.GetEntries, result.GetMean, result.Fill
    assert ("a title", 10.0, 4.5) == (title(), entries(), mean())
    fill(3.0)
    assert 11.0 == entries()


def test_what_a_result_does_not_have(fexec: lithops.FunctionExecutor) -> None:
    """A program may ask what a result has: a histogram has bins, a number has none, here as with local ROOT."""
    found = []
    for given in ({}, {"executor": fexec, "npartitions": 2}):
        node = ROOT.RDataFrame(10, **given).Define("x", "double(rdfentry_)")
        handles = [node.Histo1D(("h", "", 5, 0.0, 10.0), "x"), node.Histo1D("x"), node.Take["double"]("x"), node.Stats("x")]
        names = ("GetNbinsX", "GetN", "size", "nothing")
        found.append([[hasattr(handle, name) for name in names] for handle in handles])
        found[-1].append([getattr(handles[0], "nothing", 7), getattr(handles[0], "GetNbinsX", 7)()])
        with pytest.raises(AttributeError, match="nothing"):
            handles[0].nothing()
    assert found[0] == found[1]


def test_the_nominal_of_variations_is_the_result(fexec: lithops.FunctionExecutor) -> None:
    """Whoever changes the nominal histogram of a map of variations changes the one that was varied, as with local ROOT."""
    found = []
    for given in ({}, {"executor": fexec, "npartitions": 2}):
        frame = ROOT.RDataFrame(10, **given).Define("x", "double(rdfentry_)")
        histogram = frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"], "x").Histo1D(("h", "", 5, 0.0, 10.0), "x")
        varied = ROOT.RDF.Experimental.VariationsFor(histogram)
        varied["nominal"].SetBinError(2, 7.0)
        varied["x:up"].SetBinError(2, 3.0)
        found.append([h.GetBinError(2) for h in (histogram, histogram.GetValue(), varied["nominal"], varied["x:up"])])
    assert [7.0, 7.0, 7.0, 3.0] == found[0] == found[1]


def test_a_nominal_that_was_there_before(fexec: lithops.FunctionExecutor) -> None:
    """Variations that are asked for after the result was there leave it as it is, and share it."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    histogram = frame.Vary("x", "ROOT::RVecD{x + 100}", ["up"], "x").Histo1D(("h", "", 5, 0.0, 10.0), "x")
    histogram.SetBinContent(1, 40.0)
    varied = ROOT.RDF.Experimental.VariationsFor(histogram)
    assert [40.0, 0.0] == [varied[key].GetBinContent(1) for key in ("nominal", "x:up")]


MODELS = {
    "Histo1D": (("h", "", 10, 0.0, 10.0), "x", "w"),
    "Histo2D": (("h", "", 10, 0.0, 10.0, 2, 0.0, 2.0), "x", "w", "w"),
    "Histo3D": (("h", "", 10, 0.0, 10.0, 2, 0.0, 2.0, 2, 0.0, 2.0), "x", "w", "w", "w"),
    "Profile1D": (("p", "", 10, 0.0, 10.0), "x", "w", "w"),
    "Profile2D": (("p", "", 10, 0.0, 10.0, 2, 0.0, 2.0), "x", "w", "w"),
    "Sum": ("w",),
}


@pytest.mark.parametrize("operation", quickly(MODELS, "Histo1D", "Sum"))
def test_what_is_kept_of_a_map_outlives_it(fexec: lithops.FunctionExecutor, operation: str) -> None:
    """A program may keep a variation and drop the map, the handles and the data frame, as with local ROOT."""

    def kept(**given: Any) -> list[Any]:
        frame = ROOT.RDataFrame(10, **given).Define("x", "double(rdfentry_)").Define("w", "1.0")
        varied = frame.Vary("w", "ROOT::RVecD{0.9 * w, 1.1 * w}", ["down", "up"])
        maps = [ROOT.RDF.Experimental.VariationsFor(getattr(varied, operation)(*MODELS[operation])) for _ in range(8)]
        return [of[key] for of in maps for key in ("nominal", "w:down", "w:up")]

    def described(values: list[Any]) -> list[Any]:
        gc.collect()
        others = [bytearray(size) for size in range(16, 6000, 8)], [ROOT.TH1D(str(n), "", 10, 0.0, 1.0) for n in range(50)]
        seen = [v if isinstance(v, float) else (v.GetName(), v.GetEntries(), v.GetSumOfWeights()) for v in values]
        del others
        return seen

    assert described(kept()) == described(kept(executor=fexec, npartitions=2))


@pytest.mark.parametrize("operation", quickly([name for name in MODELS if name != "Sum"], "Histo1D", "Profile1D"))
def test_histograms_say_when_they_are_deleted(fexec: lithops.FunctionExecutor, operation: str) -> None:
    """A legend forgets a histogram that is gone, as with local ROOT, and does not draw what was one."""

    def left(**given: Any) -> list[bool]:
        frame = ROOT.RDataFrame(10, **given).Define("x", "double(rdfentry_)").Define("w", "1.0")
        result = getattr(frame.Vary("w", "ROOT::RVecD{2 * w}", ["up"]), operation)(*MODELS[operation])
        varied = ROOT.RDF.Experimental.VariationsFor(result)
        legend = ROOT.TLegend(0.1, 0.1, 0.3, 0.3)
        for histogram in (result.GetValue(), varied["nominal"], varied["w:up"]):
            legend.AddEntry(histogram, "", "l")
        seen = [bool(entry.GetObject()) for entry in legend.GetListOfPrimitives()]
        ROOT.gROOT.GetListOfCleanups().Add(legend)
        del frame, result, varied, histogram
        gc.collect()
        after = [bool(entry.GetObject()) for entry in legend.GetListOfPrimitives()]
        ROOT.gROOT.GetListOfCleanups().Remove(legend)
        return [*seen, *after]

    was_on = ROOT.TH1.AddDirectoryStatus()
    ROOT.TH1.AddDirectory(True)  # ROOT's own default, on which it depends
    try:
        assert [True] * 3 + [False] * 3 == left() == left(executor=fexec, npartitions=2)
    finally:
        ROOT.TH1.AddDirectory(was_on)


def test_a_loop_over_variations(fexec: lithops.FunctionExecutor) -> None:
    """Gives keys and what belongs to them, before anybody has asked for one."""

    def found(**given: Any) -> list[dict[str, float]]:
        frame = ROOT.RDataFrame(10, **given).Define("x", "double(rdfentry_)")
        results = frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"]).Histo1D(("h", "", 5, 0.0, 10.0), "x")
        varied = ROOT.RDF.Experimental.VariationsFor(results)
        return [{str(key): histogram.GetMean() for key, histogram in varied} for _ in range(2)]

    assert found() == found(executor=fexec, npartitions=2)


def test_handles_of_results(fexec: lithops.FunctionExecutor) -> None:
    """What a handle itself has, it has here: whether the result is there, and the result; partial results are refused."""
    node = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    handle = node.Histo1D(("h", "", 5, 0.0, 10.0), "x")
    assert not handle.IsReady()
    assert 10 == handle.GetPtr().GetEntries()
    assert handle.IsReady()
    with pytest.raises(PlanError, match="OnPartialResult is not for distributed"):
        handle.OnPartialResult(1, print)


def test_threads_that_book_on_one_node(fexec: lithops.FunctionExecutor) -> None:
    """Two threads may take methods of one node at the same time: each gets what it asked for."""
    node = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    both, booked = threading.Barrier(2, timeout=30), {}

    def book(name: str) -> None:
        for _ in range(5):
            method = getattr(node, name)
            both.wait()
            booked.setdefault(name, []).append(method("x"))

    threads = [threading.Thread(target=book, args=(name,)) for name in ("Sum", "Mean")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {"Sum": [45.0] * 5, "Mean": [4.5] * 5} == {
        name: [r.GetValue() for r in handles] for name, handles in booked.items()
    }


class Elsewhere:
    """A head node of another back end."""

    backend = None


def test_nodes_of_other_back_ends_stay_roots() -> None:
    """What Dask and Spark get is ROOT's own; once ROOT keeps the name with the method, ``proxies`` can go."""
    node = Proxy.Node(Elsewhere)
    proxy = Proxy.NodeProxy(node)
    total = proxy.Sum
    assert (total, "Sum") == (proxy._create_new_op, node._new_op_name)
    assert proxy.Mean == total
