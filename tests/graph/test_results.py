"""Results of all kinds are those of local RDataFrame, also where ranges select nothing."""

from __future__ import annotations

import math
from typing import Any

import lithops
import numpy
import pytest
import ROOT
from kinds import quickly

from rdf_lithops.fold import moments

ENTRIES = 40
RANGES = (1, 2, 3, 5, 8)
CUTS = {
    "nothing anywhere": "rdfentry_ < 0",
    "nothing in most ranges": "rdfentry_ < 6",
    "nothing in the first ranges": "rdfentry_ >= 34",
    "nothing in the middle": "rdfentry_ < 4 || rdfentry_ > 36",
    "one entry": "rdfentry_ == 23",
    "all": "true",
}
NUMBERS = {  # actions by column
    "x": ("Sum", "Mean", "StdDev", "Min", "Max"),
    "f": ("Sum", "Min"),
    "i": ("Sum", "Max"),
    "u": ("Sum", "Mean", "Min"),
    "v": ("Mean", "StdDev"),
}


def same(mine: Any, theirs: Any) -> bool:
    """Whether two values of plain Python are the same; floats to nine digits, infinities and not-a-number as they are."""
    if isinstance(mine, (list, tuple)):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(mine, dict):
        return list(mine) == list(theirs) and same(list(mine.values()), list(theirs.values()))
    if isinstance(mine, float):
        return mine == theirs or (mine != mine and theirs != theirs) or math.isclose(mine, theirs, rel_tol=1e-9)
    return bool(mine == theirs)


def axes(histogram: Any) -> list[tuple[int, float, float]]:
    """What the axes of a histogram are."""
    known = (histogram.GetXaxis(), histogram.GetYaxis(), histogram.GetZaxis())
    return [(axis.GetNbins(), axis.GetXmin(), axis.GetXmax()) for axis in known]


def histogram(h: Any) -> dict[str, Any]:
    """All that a histogram or profile says."""
    cells = range(h.GetNcells())
    statistics = numpy.zeros(20)
    h.GetStats(statistics)
    return {
        "name": h.GetName(),
        "title": h.GetTitle(),
        "axes": axes(h),
        "entries": h.GetEntries(),
        "sumw2": h.GetSumw2N(),
        "statistics": statistics.tolist(),
        "bins": [(h.GetBinContent(i), h.GetBinError(i)) for i in cells],
    }


def sparse(h: Any) -> dict[str, Any]:
    """What an N-dimensional histogram holds, by cell."""
    where = numpy.zeros(h.GetNdimensions(), numpy.int32)
    held = {}
    for number in range(h.GetNbins()):
        content = h.GetBinContent(number, where)
        held[str(where.tolist())] = (content, h.GetBinError2(number))
    filled = {cell: value for cell, value in sorted(held.items()) if any(value)}
    return {"entries": h.GetEntries(), "sumw2": h.GetCalculateErrors(), **filled}


def graph(g: Any) -> dict[str, Any]:
    """The points of a graph, in their order."""
    n = range(g.GetN())
    errors = [[getattr(g, f"GetError{kind}")(i) for kind in ("Xlow", "Xhigh", "Ylow", "Yhigh")] for i in n]
    return {"points": [(g.GetPointX(i), g.GetPointY(i)) for i in n], "errors": errors}


def statistic(t: Any) -> list[float]:
    """What a TStatistic says."""
    names = ("GetN", "GetNeff", "GetM2", "GetMean", "GetMeanErr", "GetRMS", "GetVar", "GetW", "GetW2", "GetMin", "GetMax")
    return [float(getattr(t, name)()) for name in names]


def cut_flow(report: Any) -> list[tuple[str, int, int]]:
    """The lines of a cut-flow report."""
    return [(str(cut.GetName()), cut.GetPass(), cut.GetAll()) for cut in report]


def prepared(frame: Any, cut: str) -> Any:
    """A node of ``frame`` behind ``cut``, with columns of many kinds."""
    return (
        frame.Define("x", "1.5 * double(rdfentry_) - 20")
        .Define("f", "float(0.1) * float(rdfentry_)")
        .Define("i", "int(rdfentry_) - 7")
        .Define("u", "ULong64_t(rdfentry_) + 9007199254740993ull")
        .Define("w", "0.5 + double(rdfentry_ % 3)")
        .Define("v", "ROOT::RVecD{x, -x, 2 * x}")
        .Filter(cut, "the cut")
    )


def booked(frame: Any, cut: str) -> dict[str, Any]:
    """Results of all kinds that ROOT clones, by name: the handle, and what makes plain Python of its value."""
    node = prepared(frame, cut)
    numbers = {f"{name} of {column}": (getattr(node, name)(column), plain) for column in NUMBERS for name in NUMBERS[column]}
    model = ("h", "t", 7, -25.0, 30.0)
    return {
        **numbers,
        "Count": (node.Count(), plain),
        "Stats": (node.Stats("x"), statistic),
        "Stats with weights": (node.Stats("x", "w"), statistic),
        "Histo1D": (node.Histo1D(model, "x"), histogram),
        "Histo1D with weights": (node.Histo1D(model, "x", "w"), histogram),
        "Histo2D": (node.Histo2D(("h2", "", 3, -25.0, 30.0, 4, 0.0, 4.0), "x", "f"), histogram),
        "Profile1D": (node.Profile1D(("p1", "", 3, -25.0, 30.0), "x", "f"), histogram),
        "Profile1D with weights": (node.Profile1D(("p1", "", 3, -25.0, 30.0, 0.0, 3.0, "s"), "x", "f", "w"), histogram),
        "Graph": (node.Graph("x", "f"), graph),
        "GraphAsymmErrors": (node.GraphAsymmErrors("x", "f", "w", "w", "x", "f"), graph),
    }


def booked_anew(frame: Any, cut: str) -> dict[str, Any]:
    """Results of the other kinds, likewise."""
    node = prepared(frame, cut)
    return {
        "Histo3D": (node.Histo3D(("h3", "", 2, -25.0, 30.0, 2, 0.0, 4.0, 2, 0.0, 3.0), "x", "f", "w"), histogram),
        "Profile2D": (node.Profile2D(("p2", "", 3, -25.0, 30.0, 2, 0.0, 4.0), "x", "f", "w"), histogram),
        "HistoND": (node.HistoND(("hn", "", 2, [2, 3], [-25.0, 0.0], [30.0, 4.0]), ["x", "f"]), sparse),
        "HistoNSparseD": (node.HistoNSparseD(("hs", "", 2, [2, 3], [-25.0, 0.0], [30.0, 4.0]), ["x", "f"]), sparse),
        "Report": (node.Report(), cut_flow),
    }


def plain(value: Any) -> Any:
    """A number is what it is."""
    return value


def said(results: dict[str, Any]) -> dict[str, Any]:
    """The values of results that were booked."""
    return {name: read(handle.GetValue()) for name, (handle, read) in results.items()}


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """What is not the same, by name."""
    return {name: (mine[name], wanted) for name, wanted in theirs.items() if not same(mine[name], wanted)}


@pytest.mark.parametrize("cut", CUTS)
def test_results_are_those_of_local(fexec: lithops.FunctionExecutor, cut: str) -> None:
    """Each kind of result is the local one, whatever the ranges select and however many they are."""
    local = said(booked(ROOT.RDataFrame(ENTRIES), CUTS[cut]))
    for npartitions in RANGES:
        frame = ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=npartitions)
        assert {} == differences(said(booked(frame, CUTS[cut])), local), npartitions


@pytest.mark.parametrize("cut", quickly(["nothing anywhere", "nothing in the middle"], "nothing in the middle"))
def test_results_that_are_built_anew(fexec: lithops.FunctionExecutor, cut: str) -> None:
    """Histograms of many dimensions and cut flows are the local ones, whatever the ranges select."""
    local = said(booked_anew(ROOT.RDataFrame(ENTRIES), CUTS[cut]))
    for npartitions in (2, 5):
        frame = ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=npartitions)
        assert {} == differences(said(booked_anew(frame, CUTS[cut])), local), npartitions


def varied(frame: Any, cut: str, variations_for: Any) -> dict[str, Any]:
    """The values of results of each kind that can vary, by variation."""
    node = frame.Define("x", "1.5 * double(rdfentry_)").Vary("x", "ROOT::RVecD{x - 10, x + 30}", 2, "v").Filter(cut)
    names = ("Sum", "Mean", "StdDev", "Min", "Max")
    booked = {name: (variations_for(getattr(node, name)("x")), plain) for name in names}
    booked["Count"] = variations_for(node.Count()), plain
    booked["Histo1D"] = variations_for(node.Histo1D(("h", "t", 7, -5.0, 90.0), "x")), histogram
    booked["Profile1D"] = variations_for(node.Profile1D(("p", "t", 7, -5.0, 90.0), "x", "x")), histogram
    return {name: {key: read(map_of[key]) for key in ("nominal", "v:0", "v:1")} for name, (map_of, read) in booked.items()}


@pytest.mark.parametrize("cut", ["x < -100", "x > 60", "x < 12", "x == 31.5", "x < 1000"])
def test_variations_are_those_of_local(fexec: lithops.FunctionExecutor, cut: str) -> None:
    """Each variation of each kind of result is the local one, also where one selects nothing and another does."""
    local = varied(ROOT.RDataFrame(ENTRIES), cut, ROOT.RDF.Experimental.VariationsFor)
    for npartitions in RANGES:
        frame = ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=npartitions)
        assert {} == differences(varied(frame, cut, ROOT.RDF.Distributed.VariationsFor), local), npartitions


def varied_in_turn(frame: Any, variations_for: Any, together: bool = False) -> list[Any]:
    """Histograms and sums of nodes that nobody holds; then, of one after another, or two at a time, the variations."""
    node = frame.Define("x", "1.5 * double(rdfentry_)").Vary("x", "ROOT::RVecD{x - 10, x + 30}", 2, "v")
    cuts = [node.Filter(f"x > {10 * number}") for number in range(3)]
    booked = [each for cut in cuts for each in (cut.Histo1D(("h", "t", 7, -5.0, 90.0), "x"), cut.Sum("x"))]
    del node, cuts
    nominal = [booked[0].GetMean(), *(each.GetValue() for each in booked[1::2])]
    found = []
    for first, second in zip(booked[::2], booked[1::2], strict=True):
        maps = [variations_for(first), variations_for(second)]
        if together:
            ROOT.RDF.RunGraphs(maps)
        found += [histogram(maps[0]["v:0"]), histogram(maps[0]["nominal"]), maps[1]["v:1"], maps[1]["nominal"]]
    return [nominal, found, booked[2].GetMean(), booked[3].GetValue()]


@pytest.mark.parametrize("together", [False, True])
def test_variations_that_are_asked_for_in_turn(fexec: lithops.FunctionExecutor, together: bool) -> None:
    """Variations of results that have run, asked for one after another, are local ones; the results stay what they were."""
    local = varied_in_turn(ROOT.RDataFrame(ENTRIES), ROOT.RDF.Experimental.VariationsFor)  # to RunGraphs, they have run
    for npartitions in (1, 3):
        frame = ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=npartitions)
        assert varied_in_turn(frame, ROOT.RDF.Distributed.VariationsFor, together) == local, npartitions


@pytest.mark.parametrize("expression", ["1e9 + x", "1e9 + sin(x)", "1e12 + rdfentry_ % 3", "-1e6 * x"])
@pytest.mark.parametrize("npartitions", [2, 7])
def test_a_spread_far_from_zero(fexec: lithops.FunctionExecutor, expression: str, npartitions: int) -> None:
    """A standard deviation is the local one within what a double can say at the distance of the mean."""
    local, remote = (
        frame.Define("x", "double(rdfentry_)").Define("y", expression)
        for frame in (ROOT.RDataFrame(ENTRIES), ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=npartitions))
    )
    resolution = numpy.spacing(abs(local.Mean("y").GetValue()))
    wanted, got = local.StdDev("y"), remote.StdDev("y")
    assert math.isclose(wanted.GetValue(), got.GetValue(), rel_tol=1e-9, abs_tol=4 * resolution)


def merged_by_root(action: str) -> float:
    """What ROOT makes of two results of ``action`` for which nothing was selected."""
    frame = ROOT.RDataFrame(4).Define("x", "double(rdfentry_)").Filter("x < 0")
    into, other = (getattr(frame, action)("x") for _ in range(2))
    into, other = ROOT.Detail.RDF.GetMergeableValue(into), ROOT.Detail.RDF.GetMergeableValue(other)
    ROOT.Detail.RDF.MergeValues(into, other)
    return float(into.GetValue())


@pytest.mark.parametrize("action", ["Mean", "StdDev"])
def test_root_still_merges_nothing_into_no_number(action: str) -> None:
    """As long as this holds our own merge of means and deviations is needed; once it does not, ``moments`` can go."""
    assert math.isnan(merged_by_root(action))


@pytest.mark.parametrize("kind", ["Sum", "Max"])
def test_other_numbers_are_left_to_root(kind: str) -> None:
    """Only means and standard deviations are merged by us."""
    frame = ROOT.RDataFrame(4).Define("x", "double(rdfentry_)")
    into, other = (ROOT.Detail.RDF.GetMergeableValue(getattr(frame, kind)("x")) for _ in range(2))
    assert not moments.merged(into, other)


@pytest.mark.slow
def test_vectors_of_objects(fexec: Any) -> None:
    """AsNumpy of vectors of vectors and of texts: as locally, whatever their lengths."""

    def columns(frame: Any) -> dict[str, list[Any]]:
        code = "ROOT::RVec<ROOT::RVecF> r; for (int i = 0; i < int(rdfentry_ % 5); ++i) r.emplace_back(i * 7, i); return r;"
        texts = "ROOT::RVec<std::string>{\"a\", std::string(rdfentry_ % 40, 'x')}"
        arrays = frame.Define("v", code).Define("s", texts).AsNumpy(["v", "s"], lazy=True).GetValue()
        vectors = [[[float(number) for number in inner] for inner in outer] for outer in arrays["v"]]
        return {"v": vectors, "s": [[str(text) for text in texts] for texts in arrays["s"]]}

    expected = columns(ROOT.RDataFrame(30))
    assert {4, 40 - 11} == {max(map(len, expected["v"])), max(len(texts[1]) for texts in expected["s"])}
    assert expected == columns(ROOT.RDataFrame(30, executor=fexec, npartitions=3))
