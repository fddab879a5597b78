"""LiveVisualize: a run is seen while it lasts, and ends as any other."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT
from datasets import ENTRIES, Datasets
from plain_results import histogram, same

import rdf_lithops

_seen: list[float] = []
_names: list[str] = []


def _note_entries(drawn: Any) -> None:  # ROOT parses a callback's source: it cannot be indented
    _seen.append(drawn.GetEntries())


def _note_name(drawn: Any) -> None:
    _names.append(drawn.GetName())


def test_live_visualize(files: Datasets, fexec: Any) -> None:
    """Callbacks see growing numbers of entries, the last of them all; the final result is local RDataFrame's."""
    given = {"executor": fexec, "npartitions": 6, "options": {"ranges_per_call": 1}}
    frame = ROOT.RDataFrame("events", files.main, **given)
    histogram_1, histogram_2 = frame.Histo1D(("l1", "", 10, 0.0, 12.0), "x"), frame.Histo1D(("l2", "", 10, 0.0, 12.0), "z")
    count = frame.Count()
    _seen.clear()
    _names.clear()
    ROOT.RDF.Distributed.LiveVisualize({histogram_1: _note_entries, histogram_2: None}, _note_name)
    expected = histogram(ROOT.RDataFrame("events", files.main).Histo1D(("l1", "", 10, 0.0, 12.0), "x"))
    assert [] == same(expected, histogram(histogram_1))
    assert ENTRIES == count.GetValue()
    assert sorted(_seen) == _seen
    assert len(_seen) >= 2
    assert float(ENTRIES) == _seen[-1]
    assert {"l1", "l2"} == set(_names)
    assert ENTRIES == frame.Count().GetValue()  # nothing that is drawn is left to run


def test_live_visualize_of_a_graph_that_fails(fexec: Any) -> None:
    """A failure in a live run is raised like any other."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Filter('throw std::runtime_error("spoilt"); return true;')
    booked = frame.Histo1D(("lf", "", 10, 0.0, 10.0), "rdfentry_")
    ROOT.RDF.Distributed.LiveVisualize([booked])
    with pytest.raises(rdf_lithops.RangeError, match="spoilt"):
        booked.GetValue()
