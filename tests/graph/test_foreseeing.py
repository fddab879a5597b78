"""What the driver does while it waits for its first results changes none of them, and leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT

from rdf_lithops.graph import foreseeing

BOOKED = {
    "Histo1D": lambda frame: frame.Histo1D(("h", "", 4, 0.0, 4.0), "x"),
    "Histo2D": lambda frame: frame.Histo2D(("h", "", 4, 0.0, 4.0, 4, 0.0, 4.0), "x", "x"),
    "Histo3D": lambda frame: frame.Histo3D(("h", "", 4, 0.0, 4.0, 4, 0.0, 4.0, 4, 0.0, 4.0), "x", "x", "x"),
    "Profile1D": lambda frame: frame.Profile1D(("h", "", 4, 0.0, 4.0), "x", "x"),
    "Profile2D": lambda frame: frame.Profile2D(("h", "", 4, 0.0, 4.0, 4, 0.0, 4.0), "x", "x", "x"),
    "Count": lambda frame: frame.Count(),
    "Mean": lambda frame: frame.Mean("x"),
    "StdDev": lambda frame: frame.StdDev("x"),
    "Sum": lambda frame: frame.Sum("x"),
}


@pytest.mark.parametrize("operation", BOOKED)
@pytest.mark.parametrize("varied", [False, True])
def test_each_kind_of_result_is_met_beforehand(operation: str, varied: bool, capfd: Any) -> None:
    """Every class on the list is one that this ROOT has; nothing is printed, and no histogram is left in a folder."""
    operations = {operation, *(["VariationsFor"] if varied else [])}
    before, foreseeing._foreseen = len(ROOT.gDirectory.GetList()), set()
    for kind in foreseeing._kinds(operations):
        value = getattr(ROOT.Detail.RDF, f"RMergeable{kind}")()
        assert hasattr(value, "GetKeys" if varied else "GetValue")
    foreseeing.prepare(operations)
    assert set(foreseeing._kinds(operations)) == foreseeing._foreseen
    assert len(ROOT.gDirectory.GetList()) == before
    assert ("", "") == capfd.readouterr()


@pytest.mark.slow
def test_results_are_those_of_local_root(fexec: Any) -> None:
    """All of these kinds in one graph, and a histogram's variations: the values of local ROOT."""

    def values(frame: Any) -> list[float]:
        frame = frame.Define("x", "0.5 + rdfentry_ % 3")
        booked = [book(frame) for book in BOOKED.values()]
        varied = frame.Vary("x", "ROOT::RVecD{x - 0.5, x + 0.5}", ["down", "up"]).Histo1D(("v", "", 4, 0.0, 4.0), "x")
        means = ROOT.RDF.Experimental.VariationsFor(varied)
        found = [each.GetValue() for each in booked]
        numbers = [each.GetSumOfWeights() if hasattr(each, "GetSumOfWeights") else float(each) for each in found]
        return [*numbers, *(means[name].GetMean() for name in ("nominal", "x:down", "x:up"))]

    assert values(ROOT.RDataFrame(12)) == pytest.approx(values(ROOT.RDataFrame(12, executor=fexec, npartitions=2)))
