"""What histograms sum over all fills is that of local ROOT, also where the weights of a range add up to nothing."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import ROOT

# the weights of entries 0 and 1, one range of four, add up to nothing; their values are no centres of bins
COLUMNS = {"x": "0.3 + 1.4 * rdfentry_ / 4", "w": "rdfentry_ == 1 ? -1.0 : 1.0 + int(rdfentry_ / 2)"}
BOOKED = {
    "Histo1D": (("h", "", 4, 0.0, 4.0), "x", "w"),
    "Histo2D": (("h", "", 4, 0.0, 4.0, 4, 0.0, 4.0), "x", "x", "w"),
    "Histo3D": (("h", "", 4, 0.0, 4.0, 4, 0.0, 4.0, 4, 0.0, 4.0), "x", "x", "x", "w"),
    "Profile1D": (("h", "", 4, 0.0, 4.0), "x", "x", "w"),
    "Profile2D": (("h", "", 4, 0.0, 4.0, 4, 0.0, 4.0), "x", "x", "x", "w"),
}


def columns(frame: Any) -> Any:
    """The frame with a column of values and one of weights."""
    for name, text in COLUMNS.items():
        frame = frame.Define(name, text)
    return frame


def summed(histogram: Any) -> list[float]:
    """All that it sums."""
    sums = numpy.zeros(13)
    histogram.GetStats(sums)
    return [float(each) for each in sums]


@pytest.mark.parametrize("npartitions", [1, 2, 4])
@pytest.mark.parametrize("operation", BOOKED)
def test_weights_that_cancel_in_a_range(operation: str, npartitions: int, fexec: Any) -> None:
    """Mean and standard deviation are local ROOT's also where the weights of a range add up to nothing."""
    local = columns(ROOT.RDataFrame(8))
    distributed = columns(ROOT.RDataFrame(8, executor=fexec, npartitions=npartitions))
    expected, found = (getattr(frame, operation)(*BOOKED[operation]) for frame in (local, distributed))
    assert summed(expected) == pytest.approx(summed(found), rel=1e-12, abs=1e-12)


def test_variations_whose_weights_cancel_in_a_range(fexec: Any) -> None:
    """The same for each variation."""
    vary = ("w", "ROOT::RVecD{rdfentry_ < 2 ? w : 2 * w, rdfentry_ < 4 ? 1.0 : w}", ["up", "flat"])
    frames = columns(ROOT.RDataFrame(8)), columns(ROOT.RDataFrame(8, executor=fexec, npartitions=4))
    booked = [frame.Vary(*vary).Histo1D(*BOOKED["Histo1D"]) for frame in frames]
    expected = ROOT.RDF.Experimental.VariationsFor(booked[0])
    found = ROOT.RDF.Distributed.VariationsFor(booked[1])
    for name in ("nominal", "w:up", "w:flat"):
        assert summed(expected[name]) == pytest.approx(summed(found[name]), rel=1e-12, abs=1e-12)
