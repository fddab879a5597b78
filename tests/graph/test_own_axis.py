"""Histograms whose axis the values decide: cell for cell local RDataFrame's, whatever the number of ranges."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ROOT

from rdf_lithops.errors import PlanError, RangeError

COLUMNS = {
    "rising": "rdfentry_ * 0.37 - 5",
    "both_ways": "(rdfentry_ % 2 ? 1. : -1.) * rdfentry_ * rdfentry_",
    "constant": "3.0",
    "nans": 'rdfentry_ == 50 ? std::nan("") : double(rdfentry_)',
    "infinite": "rdfentry_ == 50 ? 1 / 0. : double(rdfentry_)",
    "flag": "rdfentry_ % 2 == 0",
    "letter": "char(rdfentry_ % 100)",
    "large": "(Long64_t)rdfentry_ * 1000000000000ll",
    "several": "ROOT::RVecF{float(rdfentry_), -2 * float(rdfentry_)}",
    "some": "std::vector<double>(rdfentry_ % 3, double(rdfentry_))",
    "letters": "ROOT::RVec<char>{1, char(rdfentry_ % 7)}",
    "flags": "ROOT::RVec<bool>{true, rdfentry_ % 3 == 0}",
    "three": "std::array<float, 3>{1.f, float(rdfentry_), 2.5f}",
    "weight": "0.5 + rdfentry_ % 3",
    "weights": "ROOT::RVecD{1., 2.}",
}
BOOKINGS: dict[str, Callable[[Any], Any]] = {
    **{name: lambda frame, name=name: frame.Histo1D(name) for name in COLUMNS},
    "weighted": lambda frame: frame.Histo1D("rising", "weight"),
    "several, weighted": lambda frame: frame.Histo1D("several", "weights"),
    "several, one weight": lambda frame: frame.Histo1D("several", "weight"),
    "one, several weights": lambda frame: frame.Histo1D("rising", "weights"),
    "nothing passes": lambda frame: frame.Filter("rising < -5").Histo1D("several", "weights"),
    "some, one weight": lambda frame: frame.Histo1D("some", "weight"),
    "an entry's number, several weights": lambda frame: frame.Histo1D("rdfentry_", "weights"),
    "a model": lambda frame: frame.Histo1D(("h", "t;a;b", 51, 0, 0), "both_ways"),
    "a model of equal limits": lambda frame: frame.Histo1D(("h", "t", 51, 5.0, 5.0), "rising", "weight"),
    "a model of reversed limits": lambda frame: frame.Histo1D(("h", "t", 51, 7.0, 5.0), "rising"),
    "a TH1DModel": lambda frame: frame.Histo1D(ROOT.RDF.TH1DModel("h", "t", 20, 0, 0), "both_ways"),
}


QUICK = ["rising", "both_ways", "some", "several, weighted", "nothing passes", "a model", "a TH1DModel"]


def with_columns(frame: Any) -> Any:
    """``frame`` with all COLUMNS."""
    for name, expression in COLUMNS.items():
        frame = frame.Define(name, expression)
    return frame


def shown(handle: Any) -> str:
    """All that a histogram says; as text, in which nan equals nan."""
    histogram = handle.GetValue()
    histogram.BufferEmpty()
    axis, cells = histogram.GetXaxis(), range(histogram.GetNcells())
    titles = histogram.GetName(), histogram.GetTitle(), axis.GetTitle(), histogram.GetYaxis().GetTitle()
    moments = histogram.GetEntries(), histogram.GetMean(), histogram.GetStdDev(), histogram.GetSumw2N()
    contents = [(histogram.GetBinContent(cell), histogram.GetBinError(cell)) for cell in cells]
    return repr((titles, (axis.GetNbins(), axis.GetXmin(), axis.GetXmax()), moments, contents))


# local ROOT finds the axis in the first 1000 values
@pytest.mark.parametrize(
    ("entries", "names"),
    [
        pytest.param(3000, QUICK, id="3000"),
        pytest.param(60, list(BOOKINGS), marks=pytest.mark.slow, id="60, all"),
        pytest.param(3000, list(BOOKINGS), marks=pytest.mark.slow, id="3000, all"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*underflow or overflow in the axis")  # ROOT's, of infinite values
def test_cell_for_cell(fexec: Any, entries: int, names: list[str]) -> None:
    """Axis, titles, moments, contents and errors are local ROOT's, for all types of columns and weights."""
    local = with_columns(ROOT.RDataFrame(entries))
    ours = with_columns(ROOT.RDataFrame(entries, executor=fexec, npartitions=3))
    expected, actual = ({name: BOOKINGS[name](frame) for name in names} for frame in (local, ours))
    assert {name: shown(expected[name]) for name in names} == {name: shown(actual[name]) for name in names}


def test_collections_of_two_sizes(fexec: Any) -> None:
    """Values and weights of two sizes are the error that they are locally: no weight is taken for another value."""
    frame = with_columns(ROOT.RDataFrame(60))
    with pytest.raises(Exception, match="containers of different sizes"):
        frame.Histo1D("some", "weights").GetValue()
    for book in (lambda node: node.Histo1D("some", "weights"), lambda node: node.Histo1D("weights", "some")):
        with pytest.raises(RangeError, match="containers of different sizes"):
            book(with_columns(ROOT.RDataFrame(60, executor=fexec, npartitions=3))).GetValue()


def test_names_that_are_no_identifiers(fexec: Any) -> None:
    """A branch may have any name: values and weights of such are filled as locally."""
    with ROOT.TFile("odd.root", "RECREATE") as file:
        tree = ROOT.TTree("t", "")
        values, weight = ROOT.std.vector["float"](), array("d", [0.0])
        tree.Branch("jet-pt", values)
        tree.Branch("weight 1", weight, "w/D")
        for entry in range(20):
            values.assign(entry % 3, 1.5 * entry)
            weight[0] = entry % 4
            tree.Fill()
        file.WriteObject(tree, "t")
    for columns in (["jet-pt"], ["jet-pt", "weight 1"]):
        expected = ROOT.RDataFrame("t", "odd.root").Histo1D(*columns)
        assert shown(expected) == shown(ROOT.RDataFrame("t", "odd.root", executor=fexec, npartitions=2).Histo1D(*columns))


def test_it_is_not_drawn_live(fexec: Any) -> None:
    """It has no axis before all values are there: refused with what to give."""
    frame = with_columns(ROOT.RDataFrame(60, executor=fexec))
    for column in ("rising", "several"):
        with pytest.raises(PlanError, match=r"LiveVisualize: .* limits"):
            ROOT.RDF.Distributed.LiveVisualize([frame.Histo1D(column)])


def test_it_runs_with_what_else_is_booked(fexec: Any) -> None:
    """It is booked, and not run, before somebody looks; RunGraphs runs it with others, as one run of its data frame."""
    first, second = (ROOT.RDataFrame(40, executor=fexec).Define("x", "double(rdfentry_)") for _ in range(2))
    one, other, count = first.Histo1D("x"), second.Histo1D("x"), first.Count()
    assert 0 == first.GetNRuns()
    ROOT.RDF.RunGraphs([one, other])
    assert (40.0, 40.0, 40) == (one.GetEntries(), other.GetEntries(), count.GetValue())
    assert 1 == first.GetNRuns()


@pytest.mark.parametrize("args", [(), ("",), (("h", "t", 4, 0.0, 0.0),)])
def test_default_columns(args: tuple[Any, ...], fexec: Any, tmp_path: Path) -> None:
    """Of default columns the histogram has the name that it has locally: none."""
    path = str(tmp_path / "few.root")
    ROOT.RDataFrame(20).Define("x", "sin(rdfentry_)").Define("weight", "2.").Snapshot("t", path)

    def found(**executor: Any) -> Any:
        return shown(ROOT.RDataFrame("t", path, ["x"], **executor).Histo1D(*args))

    assert found() == found(executor=fexec, npartitions=2)
