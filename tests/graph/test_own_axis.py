"""Histograms whose axis the values decide: cell for cell local RDataFrame's, whatever the number of ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ROOT

from rdf_lithops.errors import PlanError

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
    "a model": lambda frame: frame.Histo1D(("h", "t;a;b", 51, 0, 0), "both_ways"),
    "a model of equal limits": lambda frame: frame.Histo1D(("h", "t", 51, 5.0, 5.0), "rising", "weight"),
    "a model of reversed limits": lambda frame: frame.Histo1D(("h", "t", 51, 7.0, 5.0), "rising"),
    "a TH1DModel": lambda frame: frame.Histo1D(ROOT.RDF.TH1DModel("h", "t", 20, 0, 0), "both_ways"),
}


QUICK = ["rising", "both_ways", "several, weighted", "nothing passes", "a model", "a TH1DModel"]


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


def test_it_runs_with_what_else_is_booked(fexec: Any) -> None:
    """It is booked, and not run, before somebody looks; RunGraphs runs it with others, as one run of its data frame."""
    first, second = (ROOT.RDataFrame(40, executor=fexec).Define("x", "double(rdfentry_)") for _ in range(2))
    one, other, count = first.Histo1D("x"), second.Histo1D("x"), first.Count()
    assert 0 == first.GetNRuns()
    ROOT.RDF.RunGraphs([one, other])
    assert (40.0, 40.0, 40) == (one.GetEntries(), other.GetEntries(), count.GetValue())
    assert 1 == first.GetNRuns()


def test_variations_of_it_are_refused(fexec: Any) -> None:
    """Each variation would have an axis of its own: refused in one sentence that says what to give."""
    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", "1.0").Vary("x", "ROOT::RVecD{1., 2.}", ["a", "b"])
    with pytest.raises(PlanError, match=r"VariationsFor: .* limits"):
        ROOT.RDF.Experimental.VariationsFor(frame.Histo1D("x"))
