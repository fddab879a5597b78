"""First uses of RDataFrame's methods from Python (see ``hints``), made beforehand on a frame of one entry.

What PyROOT compiles for one is no part of an event loop, and takes 0.05 s without optimisation, three times as long with
that of a loop. What the frame then runs comes from libraries of instantiations: methods stand here for which it does.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Generator, Iterable
from typing import Any

from ...compiled.compiling import compiling_quickly
from ...processes.hints import VARIATIONS_FOR
from . import clones

__all__ = ["COMMON", "USES", "make"]

COMMON = ("all.Define(s,s)", "all.Filter(s)", "filtered.Define(s,s)", "filtered.Histo1D(m,s)")  # of most graphs
_X, _Y, _CUT = "rdf_lithops_first_", "rdf_lithops_first_y_", "rdf_lithops_first_ > 0"
_BINS = 2, 0.0, 2.0
_VARIED, _TAGS = f"ROOT::RVecD{{{_X}, {_X}}}", ["down", "up"]
_TRANSFORMATIONS: dict[str, Callable[[Any], Any]] = {
    "Alias(s,s)": lambda node: node.Alias(_Y, _X),
    "Define(s,s)": lambda node: node.Define(_Y, f"{_X} + 1"),
    "Filter(s)": lambda node: node.Filter(_CUT),
    "Filter(s,s)": lambda node: node.Filter(_CUT, "warm_up"),
    "Redefine(s,s)": lambda node: node.Redefine(_X, f"{_X} + 1"),
    "Vary(s,s,i)": lambda node: node.Vary(_X, _VARIED, 2),
    "Vary(s,s,i,s)": lambda node: node.Vary(_X, _VARIED, 2, "warm_up"),
    "Vary(s,s,l)": lambda node: node.Vary(_X, _VARIED, _TAGS),
    "Vary(s,s,l,s)": lambda node: node.Vary(_X, _VARIED, _TAGS, "warm_up"),
}
_ACTIONS: dict[str, Callable[[Any], Any]] = {
    "Count()": lambda node: node.Count(),
    "Histo1D(m,s)": lambda node: node.Histo1D(("warm_up", "", *_BINS), _X),
    "Histo1D(m,s,s)": lambda node: node.Histo1D(("warm_up", "", *_BINS), _X, _X),
    "Histo2D(m,s,s)": lambda node: node.Histo2D(("warm_up", "", *_BINS, *_BINS), _X, _X),
    "Max(s)": lambda node: node.Max(_X),
    "Mean(s)": lambda node: node.Mean(_X),
    "Min(s)": lambda node: node.Min(_X),
    "Profile1D(m,s,s)": lambda node: node.Profile1D(("warm_up", "", *_BINS), _X, _X),
    "StdDev(s)": lambda node: node.StdDev(_X),
    "Sum(s)": lambda node: node.Sum(_X),
}
USES = frozenset({f"{of}.{use}" for of in ("all", "filtered") for use in (*_TRANSFORMATIONS, *_ACTIONS)} | {VARIATIONS_FOR})
_made: set[str] = set()  # in this process, and in whatever it is a fork of


def make(uses: Iterable[str], runs: bool = True) -> Generator[None]:  # decision 405
    """Make those of ``uses`` that were not made here yet, in steps; the caller may stop after any of them. ``runs``: and run
    them, take their results, and clone them; else ROOT compiles what is booked with the next graph."""
    import ROOT

    frame: Any = None
    results: list[Any] = []
    with contextlib.suppress(Exception):  # then the graph itself says what is wrong
        for use in uses:
            if use not in USES or use in _made:
                continue
            _made.add(use)
            frame = ROOT.RDataFrame(1) if frame is None else frame
            with compiling_quickly():
                results += _booked(frame.Define(_X, "1.0"), use)
            yield
        if frame is None or not runs:
            return
        with compiling_quickly():  # its own first use: what is booked is compiled with the next
            ROOT.RDF.SaveGraph(ROOT.RDF.AsRNode(ROOT.RDataFrame(1)))
        yield
        ROOT.Internal.RDF.TriggerRun(ROOT.RDF.AsRNode(frame))
        yield
        for result in results:
            with compiling_quickly():
                mergeable = ROOT.Detail.RDF.GetMergeableValue(result)
                ROOT.Detail.RDF.MergeValues(mergeable, pickle.loads(pickle.dumps(mergeable)))
            yield
        for result in results:
            with compiling_quickly():
                if not clones.is_bad(result):
                    clones.of(result, 0)
            yield


def _booked(node: Any, use: str) -> list[Any]:
    """Make one of ``USES`` of what ``node`` gives; the results that it has."""
    if use == VARIATIONS_FOR:
        return [_varied(node)]
    of, _, method = use.partition(".")
    node = node if of == "all" else node.Filter(_CUT)
    if method in _TRANSFORMATIONS:
        _TRANSFORMATIONS[method](node)
        return []
    return [_ACTIONS[method](node)]


def _varied(node: Any) -> Any:
    import ROOT

    varied = node.Vary(_X, _VARIED, _TAGS, "warm_up")
    return ROOT.RDF.Experimental.VariationsFor(varied.Histo1D(("warm_up", "", *_BINS), _X))
