"""VariationsFor of results that the driver makes of all values: Histo1D without limits, Take, Stats with weights below 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ROOT
from kinds import quickly

import rdf_lithops

VARIED = ROOT.RDF.Experimental.VariationsFor
NUMBERS = {
    "float": "float(sin(rdfentry_))",
    "bool": "rdfentry_ % 3 == 0",
    "char": "char(60 + rdfentry_)",
    "short": "short(-100 * rdfentry_)",
    "unsigned int": "4294967290u + (unsigned int)(rdfentry_ % 5)",
    "Long64_t": "(Long64_t(1) << 60) - 3 * Long64_t(rdfentry_)",
    "ULong64_t": "ULong64_t(-1) - rdfentry_",
}


def frame(**executor: Any) -> Any:
    """A data frame of 40 entries, of which a number, its weight and a collection vary."""
    made = ROOT.RDataFrame(40, **executor)
    for name, expression in {
        "x": "sin(rdfentry_)",
        "w": "cos(2. * rdfentry_)",
        "several": "ROOT::RVecF{float(x), float(w)}",
        "weights": "ROOT::RVecD{w, 1.}",
    }.items():
        made = made.Define(name, expression)
    made = made.Vary("x", "ROOT::RVecD{0.5 * x, 3 * x}", ["down", "up"])
    made = made.Vary("w", "ROOT::RVecD{w - 1, w + 2}", ["down", "up"], "weight")
    return made.Vary("several", "ROOT::RVec<ROOT::RVecF>{several * float(2), several + float(1)}", 2)


def shown(value: Any) -> Any:
    """What there is to compare of a histogram, a statistic or a vector."""
    if isinstance(value, ROOT.TH1):
        axis, content = value.GetXaxis(), [value.GetBinContent(index) for index in range(value.GetNcells())]
        names = value.GetName(), value.GetTitle(), axis.GetTitle(), bool(value.GetDirectory())
        return names, axis.GetXmin(), axis.GetXmax(), content, value.GetEntries(), value.GetMean()
    if isinstance(value, ROOT.TStatistic):
        return value.GetN(), pytest.approx(value.GetMean()), pytest.approx(value.GetRMS()), pytest.approx(value.GetW())
    return type(value).__cpp_name__, [value[index] for index in range(value.size())]  # list() reads on behind characters


BOOKINGS: dict[str, Callable[[Any], Any]] = {
    "column": lambda node: node.Histo1D("x"),
    "weight and titles": lambda node: node.Filter("x > 0").Histo1D(("h", "t;a;b", 20, 0.0, 0.0), "x", "w"),
    "limits the wrong way round": lambda node: node.Histo1D(("h", "", 10, 2.0, 1.0), "x"),
    "collections": lambda node: node.Histo1D(("h", "", 10, 1.0, 1.0), "several", "weights"),
    "what does not vary": lambda node: node.Histo1D("rdfentry_"),
    "nothing": lambda node: node.Filter("x > 10").Histo1D("x"),
    "statistic": lambda node: node.Stats("x", "w"),
    "statistic of collections": lambda node: node.Stats("several", "weights"),
    "taken": lambda node: node.Filter("x > 0").Take["double"]("x"),
}


@pytest.mark.parametrize("name", quickly(BOOKINGS, "weight and titles", "collections", "statistic", "taken"))
def test_variations(name: str, fexec: Any) -> None:
    """Names, axes and numbers of each variation are local ROOT's; the nominal one is the result itself."""
    expected, found = ((handle, VARIED(handle)) for handle in map(BOOKINGS[name], (frame(), frame(executor=fexec))))
    keys = [str(key) for key in expected[1].GetKeys()]
    assert keys == [str(key) for key in found[1].GetKeys()]
    for key in keys:
        assert shown(expected[1][key]) == shown(found[1][key]), key
    assert found[1]["nominal"] is found[0].GetValue()
    with pytest.raises(KeyError, match="no-such"):
        found[1]["no-such"]


@pytest.mark.parametrize("kind", quickly(NUMBERS, "char", "ULong64_t"))
def test_taken_numbers(kind: str, fexec: Any) -> None:
    """Of each type, exactly."""

    def found(**executor: Any) -> list[Any]:
        made = ROOT.RDataFrame(20, **executor).Define("n", NUMBERS[kind])
        varied = VARIED(made.Vary("n", f"ROOT::RVec<{kind}>{{n, static_cast<{kind}>(n + 1)}}", 2).Take[kind]("n"))
        return [shown(varied[f"n:{number}"]) for number in (0, 1)]

    assert found() == found(executor=fexec, npartitions=3)


def test_it_is_one_run(fexec: Any) -> None:
    """Result and variations that are booked before anybody looks come of one run; names cost none."""
    node = frame(executor=fexec, npartitions=2)
    handle = node.Histo1D("x")
    varied = VARIED(handle)
    assert 3 == len(varied.GetKeys())
    assert 0 == node.GetNRuns()
    assert handle.GetEntries() == varied["x:up"].GetEntries()
    assert 1 == node.GetNRuns()


def test_taken_collections(fexec: Any) -> None:
    """They have no exact way as numbers: refused, with what to do."""
    with pytest.raises(rdf_lithops.PlanError, match=r"Take: expected a column of numbers, got 'several'.*histogram"):
        VARIED(frame(executor=fexec).Take["ROOT::RVecF"]("several"))
