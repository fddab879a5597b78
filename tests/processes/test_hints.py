"""What a program foresees while it books reaches its ROOT process, and changes no answer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest
import ROOT
from test_warm import own_fexec  # noqa: F401  # a fixture

from rdf_lithops.processes import hints
from rdf_lithops.worker.root import slots

VARIED = ["all.Define(s,s)", "all.Vary(s,s,l,s)", hints.VARIATIONS_FOR, "all.Histo1D(m,s,s)"]


def varied(frame: Any) -> dict[str, float]:
    """The means of a weighted histogram and its variations."""
    frame = frame.Define("x", "double(rdfentry_)").Define("w", "1.0 + x")
    frame = frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"], "shift")
    means = ROOT.RDF.Experimental.VariationsFor(frame.Histo1D(("x", "", 10, 0.0, 10.0), "x", "w"))
    names = ("nominal", "shift:down", "shift:up")
    return {name: means[name].GetMean() for name in names}


@pytest.mark.slow
def test_first_uses_are_foretold(own_fexec: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """While a program books, the ROOT process is told of each first use of a method, once; the answer is that of ROOT."""
    told: list[str] = []
    monkeypatch.setattr(hints, "give", lambda folder, hint: told.append(hint))
    assert varied(ROOT.RDataFrame(10, executor=own_fexec, npartitions=2)) == varied(ROOT.RDataFrame(10))
    assert told == VARIED
    assert varied(ROOT.RDataFrame(10, executor=own_fexec, npartitions=2)) == varied(ROOT.RDataFrame(10))
    assert told == VARIED


def test_a_graph_has_the_uses_that_were_foretold(own_fexec: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """What a driver foresees of a graph is what its nodes say: of filtered entries, of a class that is not foreseen, too."""
    told: list[str] = []
    monkeypatch.setattr(hints, "give", lambda folder, hint: told.append(hint))
    head = ROOT.RDataFrame(10, executor=own_fexec, npartitions=2)
    frame = head.Define("x", "1.0 * rdfentry_")
    filtered = frame.Filter("x > 1", "cut").Define("y", "2 * x")
    histogram, highest = filtered.Histo1D(("y", "", 9, 0.0, 20.0), "y"), filtered.DefaultValueFor("y", 1.0).Max("y")
    total, mean = frame.Sum("x"), filtered.Mean("y")
    nodes = {node.node_id: node for node in reversed(head._headnode.graph_nodes)}
    assert sorted(hints.first_uses(nodes)) == sorted(told)
    assert [
        "all.Define(s,s)",
        "all.Filter(s,s)",
        "all.Sum(s)",
        "filtered.DefaultValueFor(s,m)",
        "filtered.Define(s,s)",
        "filtered.Histo1D(m,s)",
        "filtered.Mean(s)",
    ] == sorted(told)
    assert (8, 18.0, 45.0, 11.0) == (histogram.GetEntries(), highest.GetValue(), total.GetValue(), mean.GetValue())


def test_a_hint_is_worked_at_while_nobody_asks(tmp_path: Path) -> None:
    """A process that serves a folder makes what it is told of, in the order of the hints; nobody there is no fault."""
    folder = str(tmp_path / "warm")
    hints.give(folder, "all.Sum(s)")
    os.mkdir(folder)
    hints.give(folder, "all.Sum(s)")
    parent = slots.Parent(folder, idle_limit_s=5.0, memory_limit_mib=1000.0)
    made: list[str] = []

    def foreseen(uses: Iterable[str]) -> Generator[None]:
        for use in uses:
            made.append(use)
            yield
        if len(made) == 3:
            shutil.rmtree(folder)  # and so it ends

    for hint in ("all.Filter(s)", "filtered.Count()", hints.VARIATIONS_FOR):
        hints.give(folder, hint)
    try:
        parent.serve(foreseen)
    finally:
        parent.close()
        parent.listener.close()
        parent.epoll.close()
    assert ["all.Filter(s)", "filtered.Count()", hints.VARIATIONS_FOR] == made
