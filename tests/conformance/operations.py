"""What is booked: each operation of DistRDF, and how its result is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ROOT
from plain_results import arrays, cut_flow, graph, histogram, many_dimensions, number, snapshot, statistic, variations


@dataclass
class Written:
    """A Snapshot's result, and where it writes."""

    result: Any
    rdf_lithops_written: tuple[str, str]

    def GetValue(self) -> Any:
        return self.result.GetValue()


@dataclass(frozen=True)
class Check:
    """One result: what it covers, how to book it on the prepared nodes of a frame, how to read it."""

    covers: tuple[str, ...]
    book: Callable[[Nodes], Any]
    read: Callable[[Any], Any]


@dataclass
class Nodes:
    """The nodes that checks book on: ``base`` has the dataset's columns and more, ``cut`` has two named filters."""

    base: Any
    cut: Any
    varied: Any
    folder: Path


def prepare(frame: Any, folder: Path) -> Nodes:
    """Transformations that every source shares."""
    base = (
        frame.Alias("position", "x")
        .Define("q", "position * y + 0.01 * i")
        .Define("vsum", "double(Sum(v)) + 0.125")
        .Define("u", "double(y)")
        .Redefine("w", "w * 0.5f")
        .DefinePerSample("sample_weight", 'rdfsampleinfo_.Contains("main_c") ? 2.25 : 1.5')
    )
    cut = base.Filter("i % 3 != 0", "not a multiple of three").Filter("v.empty() || v[0] > 1.f", "leading v")
    varied = (
        base.Vary("z", "ROOT::RVecD{z * 0.9, z * 1.1}", ["down", "up"])
        .Vary(["x", "u"], "ROOT::RVec<ROOT::RVecD>{{x - 0.5, x + 0.5}, {u * 0.8, u * 1.2}}", 2, "shape")
        .Define("zx", "z + 0.5 * x")
        .Filter("zx > 4 && u > 2", "varied cut")
    )
    return Nodes(base, cut, varied, folder)


def lazy_snapshot(nodes: Nodes) -> Written:
    """Book a lazy Snapshot of scalars, a defined column and an array."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kTTree  # else ROOT warns where it reads an RNTuple
    result = nodes.cut.Snapshot("out", str(nodes.folder / "out.root"), ["i", "x", "y", "q", "n", "v"], options)
    return Written(result, ("out", str(nodes.folder / "out*.root")))


def with_variations(nominal: Any) -> tuple[Any, Any]:
    """The nominal result and the map of its variations."""
    return nominal, ROOT.RDF.Experimental.VariationsFor(nominal)


def per_sample(node: Any) -> Any:
    """Sums what DefinePerSample gave."""
    return node.Sum("sample_weight")


CHECKS = {
    "count": Check(("Count",), lambda n: n.cut.Count(), number),
    "count, no filter": Check(("Count",), lambda n: n.base.Count(), number),
    "sum of integers": Check(("Sum",), lambda n: n.cut.Sum("i"), number),
    "sum": Check(("Sum", "Define"), lambda n: n.cut.Sum("q"), number),
    "sum of an alias": Check(("Alias",), lambda n: n.cut.Sum("position"), number),
    "sum of a redefined column": Check(("Redefine",), lambda n: n.cut.Sum("w"), number),
    "sum over arrays": Check(("Sum",), lambda n: n.cut.Sum("v"), number),
    "mean": Check(("Mean",), lambda n: n.cut.Mean("q"), number),
    "max": Check(("Max",), lambda n: n.cut.Max("x"), number),
    "max of integers": Check(("Max",), lambda n: n.cut.Max("i"), number),
    "min": Check(("Min",), lambda n: n.cut.Min("y"), number),
    "standard deviation": Check(("StdDev",), lambda n: n.cut.StdDev("q"), number),
    "statistic": Check(("Stats",), lambda n: n.cut.Stats("q"), statistic),
    "weighted statistic": Check(("Stats",), lambda n: n.cut.Stats("q", "w"), statistic),
    "per sample": Check(("DefinePerSample",), lambda n: per_sample(n.cut), number),
    "graph": Check(("Graph",), lambda n: n.cut.Graph("x", "q"), graph),
    "graph with errors": Check(
        ("GraphAsymmErrors",), lambda n: n.cut.GraphAsymmErrors("x", "q", "y", "z", "w", "vsum"), graph
    ),
    "histogram": Check(("Histo1D", "Filter"), lambda n: n.cut.Histo1D(("h1", "title;q", 20, 0.0, 40.0), "q"), histogram),
    "weighted histogram": Check(("Histo1D",), lambda n: n.cut.Histo1D(("h1w", "", 20, 0.0, 12.0), "x", "w"), histogram),
    "histogram of arrays": Check(
        ("Histo1D",), lambda n: n.base.Histo1D(ROOT.RDF.TH1DModel("h1v", "", 10, 0.0, 10.0), "v"), histogram
    ),
    "histogram 2D": Check(
        ("Histo2D",), lambda n: n.cut.Histo2D(("h2", "", 6, 0.0, 12.0, 5, 0.0, 40.0), "x", "q", "w"), histogram
    ),
    "histogram 3D": Check(
        ("Histo3D",),
        lambda n: n.cut.Histo3D(("h3", "", 4, 0.0, 12.0, 3, 0.0, 40.0, 4, 0.0, 12.0), "x", "q", "z", "w"),
        histogram,
    ),
    "profile 1D": Check(("Profile1D",), lambda n: n.cut.Profile1D(("p1", "", 8, 0.0, 12.0), "x", "q", "w"), histogram),
    "profile 2D": Check(
        ("Profile2D",), lambda n: n.cut.Profile2D(("p2", "", 4, 0.0, 12.0, 3, 0.0, 12.0), "x", "z", "q"), histogram
    ),
    "lazy arrays": Check(("AsNumpy",), lambda n: n.cut.AsNumpy(["i", "x", "y", "q"], lazy=True), arrays),
    "lazy snapshot": Check(("Snapshot",), lazy_snapshot, snapshot),
    "variations of a count": Check(
        ("Vary", "VariationsFor"), lambda n: with_variations(n.varied.Count()), variations(number)
    ),
    "variations of a sum": Check(
        ("Vary", "VariationsFor"), lambda n: with_variations(n.varied.Sum("zx")), variations(number)
    ),
    "variations of a histogram": Check(
        ("Vary", "VariationsFor"),
        lambda n: with_variations(n.varied.Histo1D(("hv", "", 10, 0.0, 20.0), "zx", "u")),
        variations(histogram),
    ),
    "variations of a profile": Check(
        ("Vary", "VariationsFor"),
        lambda n: with_variations(n.varied.Profile1D(("pv", "", 5, 0.0, 20.0), "zx", "u")),
        variations(histogram),
    ),
    "entry number defined": Check(("Define",), lambda n: n.base.Define("number", "rdfentry_ * 2").Sum("number"), number),
    "entry number filtered": Check(("Filter",), lambda n: n.base.Filter("rdfentry_ % 7 == 3").Sum("i"), number),
    "entry number in a histogram": Check(
        ("Histo1D",), lambda n: n.base.Histo1D(("he", "", 40, 0.0, 400.0), "rdfentry_"), histogram
    ),
    "entry number in arrays": Check(("AsNumpy",), lambda n: n.cut.AsNumpy(["rdfentry_", "i"], lazy=True), arrays),
    "nothing passes": Check(("Count",), lambda n: n.base.Filter("i < 0").Count(), number),
    "sum of nothing": Check(("Sum",), lambda n: n.base.Filter("i < 0").Sum("x"), number),
}

# ROOT does not clone these actions rightly for another range: a cut flow crashes, for arrays of arrays a symbol is missing,
# an ND histogram keeps its number of entries and a sparse one its errors. A query of their own shows whether the graph is
# built again instead.
UNCLONED_CHECKS = {
    "histogram ND": Check(
        ("HistoND",),
        lambda n: n.cut.HistoND(("hn", "", 4, [3, 4, 3, 2], [0.0] * 4, [12.0, 40.0, 12.0, 12.0]), ["x", "q", "z", "y"]),
        many_dimensions,
    ),
    "sparse histogram": Check(
        ("HistoNSparseD",),
        lambda n: n.cut.HistoNSparseD(
            ("hs", "", 4, [3, 4, 3, 2], [0.0] * 4, [12.0, 40.0, 12.0, 12.0]), ["x", "q", "z", "y", "w"]
        ),
        many_dimensions,
    ),
    "cut flow": Check(("Report", "Filter"), lambda n: n.cut.Report(), cut_flow),
    "lazy arrays of arrays": Check(("AsNumpy",), lambda n: n.cut.AsNumpy(["v"], lazy=True), arrays),
}

# Only on the sources that can have missing values.
MISSING_CHECKS = {
    "available": Check(
        ("FilterAvailable",), lambda n: n.base.FilterAvailable("maybe").Filter("i % 2 == 0", "even").Sum("i"), number
    ),
    "missing": Check(("FilterMissing",), lambda n: n.base.FilterMissing("maybe").Sum("i"), number),
    "default": Check(
        ("DefaultValueFor",),
        lambda n: n.base.DefaultValueFor("maybe", -5).Histo1D(("hm", "", 30, -10.0, 20.0), "maybe"),
        histogram,
    ),
}

FRIEND_CHECKS = {
    "friend columns": Check((), lambda n: n.cut.Define("both", "fr.fx * x").Sum("both"), number),
    "friends are aligned": Check((), lambda n: n.base.Filter("fr.fi == i").Count(), number),
}

SPEC_CHECKS = {
    "metadata": Check(
        ("DefinePerSample",),
        lambda n: n.cut.DefinePerSample("xsec", 'rdfsampleinfo_.GetD("xsec")').Histo1D(("hx", "", 8, 0.0, 4.0), "xsec", "w"),
        histogram,
    ),
    "metadata, integer": Check(
        ("DefinePerSample",),
        lambda n: n.base.DefinePerSample("year", 'rdfsampleinfo_.GetI("year")').Sum("year"),
        number,
    ),
    "sample name": Check(
        ("DefinePerSample",),
        lambda n: n.base.DefinePerSample("is_signal", 'int(rdfsampleinfo_.GetS("kind") == "sig")').Sum("is_signal"),
        number,
    ),
}

COVERED_ELSEWHERE = {"Profile3D": "test_profile_3d_is_not_an_operation_of_rdataframe"}
