"""Bring ROOT up, in a process that may use it, and have ready what every graph needs. Stop where somebody waits."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import pickle
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from ...compiled import library, ours
from ...compiled.compiling import compiling_quickly
from ...files import ranged
from ...fold import arrays
from ...frame import settings
from ...processes import restored
from ...processes.seconds import watch_reads
from . import first_uses

__all__ = [
    "entries_counter",
    "foreseen",
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


def warm_up(at_once: bool = False, hints: Iterable[str] = ()) -> Generator[None]:
    """Compile and run, in steps, what most graphs share, and what ``hints`` say of the one to come, once that is done; the
    caller may stop after any of them."""
    if instantiated:
        yield from first_uses.make(first_uses.COMMON)
        yield from first_uses.make(hints)
        ranged.install()
    else:
        with compiling_quickly() if at_once else contextlib.nullcontext():
            yield from _instantiated_here(at_once)
            ranged.install()
    yield
    if not at_once or restored.is_snapshot():  # else a first call may do without
        ranged.read_plugins()
    yield


def foreseen(uses: Iterable[str], runs: bool = True) -> Generator[None]:
    """Make first uses, in steps, where libraries have what that runs."""
    if instantiated:
        yield from first_uses.make(uses, runs)


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
