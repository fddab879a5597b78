"""Bring ROOT up, in a process that may use it, and have ready what every graph needs. Stop where somebody waits."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import pickle
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ...compiled import library, ours
from ...compiled.compiling import compiling_quickly
from ...files import ranged
from ...fold import arrays
from ...frame import settings
from ...processes import restored
from ...processes.seconds import watch_reads

__all__ = [
    "entries_counter",
    "initialise",
    "instantiated",
    "leave_crashes_to_the_kernel",
    "prepare",
    "warm_up",
]

_SOURCE_HEADER = """
#ifndef RDF_LITHOPS_FIRST_ENTRY
#define RDF_LITHOPS_FIRST_ENTRY
namespace rdf_lithops { ULong64_t first_entry = 0; } // not inline: decision 356
#endif
"""
instantiated: set[str] = set()  # the lines of C++ that came from libraries


@functools.lru_cache(maxsize=1)
def initialise() -> str:
    """Bring ROOT up once, in batch mode and thread-safe; returns its version. Call it first in the main thread."""
    import ROOT

    ROOT.gROOT.SetBatch(True)
    ROOT.EnableThreadSafety()
    ROOT.gInterpreter.Declare(_SOURCE_HEADER)
    if library.is_wanted():
        instantiated.update(library.load_all())
    for name in ("Detail", "Internal", "RDF"):  # which PyROOT seeks anew at each use, DistRDF's per histogram: 0.15 ms
        vars(ROOT)[name] = getattr(ROOT, name)
    ROOT.TH1.AddDirectory(False)
    arrays.register()
    return str(ROOT.gROOT.GetVersion())


def prepare() -> None:
    """Load what every graph is built with: takes as long as a driver takes to book its first graph."""
    import ROOT

    with compiling_quickly():  # what calls C++ from Python, once a range
        ROOT.RDF.Experimental.RDatasetSpec().AddSample(("", [""], [""]))
        ROOT.RDF.AsRNode(ROOT.RDataFrame(1))  # nothing is booked: what is, ROOT would compile with the first graph
        watch_reads()
        settings.prepare()
        entries_counter()


@functools.lru_cache(maxsize=1)
def entries_counter() -> Any:
    """Has the event loop of a node add entries, each so many at a time, to what lies at an address."""
    return ours.function("loop", "count_entries", None, ctypes.c_void_p, ctypes.c_ulonglong, ctypes.c_void_p)


def warm_up(at_once: bool = False, varies: Callable[[], bool] = lambda: False) -> Generator[None]:
    """Compile and run, in steps, what most graphs share; the caller may stop after any of them. ``varies`` is asked late
    whether the graph to come has variations."""
    with compiling_quickly() if instantiated or at_once else contextlib.nullcontext():
        yield from _called_from_python() if instantiated else _instantiated_here(at_once)
        ranged.install()
        yield
        if instantiated and varies():
            yield from _called_for_variations()
    if not at_once or restored.is_snapshot():  # else a first call may do without
        ranged.read_plugins()
    yield


def _called_from_python() -> Iterator[None]:
    """With a library of instantiations: what is left are Python's ways into C++, which any graph takes."""
    import ROOT

    names = "rdf_lithops_warm_", "rdf_lithops_warmer_"
    filtered = ROOT.RDF.AsRNode(ROOT.RDataFrame(1)).Define(names[0], "1.0").Filter(f"{names[0]} > 0")
    yield
    defined = filtered.Define(names[1], f"{names[0]} + 1")
    histogram = defined.Histo1D(("warm_up", "", 2, 0.0, 2.0), names[1])
    yield
    node = ROOT.RDF.AsRNode(defined)
    ROOT.RDF.SaveGraph(node)
    yield
    ROOT.Internal.RDF.TriggerRun(node)
    pickle.loads(pickle.dumps(ROOT.Detail.RDF.GetMergeableValue(histogram)))
    yield


def _called_for_variations() -> Iterator[None]:
    """The same for weighted histograms and for variations."""
    import ROOT

    number, numbers = "rdf_lithops_varied_", "rdf_lithops_all_varied_"
    defined = ROOT.RDF.AsRNode(ROOT.RDataFrame(1)).Define(number, "1.0").Define(numbers, "ROOT::RVecF{1.0f}")
    filtered = defined.Filter(f"{number} > 0")
    weighted = filtered.Histo1D(("warm_up", "", 2, 0.0, 2.0), number, number)
    yield
    names = ["down", "up"]
    varied = filtered.Vary(number, f"ROOT::RVecD{{{number}, {number}}}", names, "warm_up")
    varied = varied.Vary(numbers, f"ROOT::RVec<ROOT::RVecF>{{{numbers}, {numbers}}}", names, "warm_up_again")
    yield
    histogram = varied.Histo1D(("warm_up", "", 2, 0.0, 2.0), number)
    yield
    variations = ROOT.RDF.Experimental.VariationsFor(histogram)
    yield
    ROOT.Internal.RDF.TriggerRun(ROOT.RDF.AsRNode(defined))
    for result in (weighted, variations):
        mergeable = ROOT.Detail.RDF.GetMergeableValue(result)
        ROOT.Detail.RDF.MergeValues(mergeable, pickle.loads(pickle.dumps(mergeable)))
    yield


def _instantiated_here(at_once: bool) -> Iterator[None]:
    """Without: templates that any graph instantiates. ``at_once``: in one graph, which filters, too, and does not count:
    that takes less in all, and spares a first graph more."""
    import ROOT

    frame = ROOT.RDataFrame(1)
    if not at_once:
        frame.Count().GetValue()
        yield
    defined = frame.Define("x", "1.0")
    if at_once:
        defined = defined.Filter("x > 0")
    histogram = defined.Histo1D(("warm_up", "", 2, 0.0, 2.0), "x")
    ROOT.RDF.SaveGraph(ROOT.RDF.AsRNode(defined))
    yield
    ROOT.Internal.RDF.TriggerRun(ROOT.RDF.AsRNode(defined))
    pickle.loads(pickle.dumps(ROOT.Detail.RDF.GetMergeableValue(histogram)))
    yield


def leave_crashes_to_the_kernel() -> None:
    """Undo ROOT's signal handlers: they run a debugger for 3 to 4 s and turn every signal into exit code 129."""
    import ROOT

    ROOT.gSystem.ResetSignals()
    faulthandler.enable()
