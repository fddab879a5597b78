"""What a program foresees while it books reaches its ROOT process, and changes no answer."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT
from test_warm import own_fexec  # noqa: F401  # a fixture

from rdf_lithops.executor import registry
from rdf_lithops.processes import hints


def varied(frame: Any) -> dict[str, float]:
    """The means of a weighted histogram and its variations."""
    frame = frame.Define("x", "double(rdfentry_)").Define("w", "1.0 + x")
    frame = frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"], "shift")
    means = ROOT.RDF.Experimental.VariationsFor(frame.Histo1D(("x", "", 10, 0.0, 10.0), "x", "w"))
    names = ("nominal", "shift:down", "shift:up")
    return {name: means[name].GetMean() for name in names}


@pytest.mark.parametrize("varies", [True, False])
def test_variations_are_foretold(own_fexec: Any, varies: bool) -> None:  # noqa: F811
    """A ROOT process is told of variations when they are booked, and of none where there are none."""
    frame = ROOT.RDataFrame(10, executor=own_fexec, npartitions=2)
    if varies:
        assert varied(frame) == varied(ROOT.RDataFrame(10))
    else:
        assert frame.Count().GetValue() == 10
    folder = registry.session_of(own_fexec).processes.warm_folder
    assert hints.is_given(folder, hints.VARIATIONS) == varies
