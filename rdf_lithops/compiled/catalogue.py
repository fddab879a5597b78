"""What a base library holds: the actions, classes and nodes that analyses use most, whatever their cuts and binnings.

Actions are the heavy part of compiling a graph; those over the types of NanoAOD-like columns serve graphs that nobody has
seen. A line costs the compiler half a second and the library 50 KiB.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .instantiation_lines import action, countings, interface, node, result, taking, variations

__all__ = ["catalogue"]

_SCALARS = ("float", "double", "int", "unsigned int")
_VECTORS = tuple(f"ROOT::VecOps::RVec<{of}>" for of in ("float", "double", "int"))
_OTHERS = ("bool", "unsigned long long", "Long64_t")
_REALS = ("float", "double")
_NUMBERS = ("float", "double", "int")
_ENTRY = "unsigned long long"  # of rdfentry_


def catalogue() -> list[str]:
    """The instantiations of the base library, one line of C++ each, those that save most first."""
    kinds = _interfaces(), _histograms(), _numbers(), _nodes(), _results(), _variations(), _arrays()
    return list(dict.fromkeys(itertools.chain(*kinds)))


def _interfaces() -> Iterator[str]:
    yield from (interface(node) for node in ("RLoopManager", "RJittedFilter", "RNodeBase"))
    for node_class in ("RLoopManager", "RJittedFilter"):
        yield from countings(node_class)


def _histograms() -> Iterator[str]:
    columns = (*_SCALARS, *_VECTORS, *_OTHERS)
    yield from (action("Histo1D", [column], "TH1D") for column in columns)
    weighted = (*_NUMBERS, "ROOT::VecOps::RVec<float>", "ROOT::VecOps::RVec<double>")
    yield from (action("Histo1D", [column, weight], "TH1D") for column in weighted for weight in _REALS)
    pairs = [(x, y) for x in _REALS for y in _REALS]
    yield from (action("Histo2D", pair, "TH2D") for pair in pairs)
    yield from (action("Profile1D", pair, "TProfile") for pair in pairs)


def _numbers() -> Iterator[str]:
    for tag in ("Sum", "Mean", "Min", "Max", "StdDev"):
        yield from (action(tag, [column], "double") for column in _NUMBERS)


def _nodes() -> Iterator[str]:
    define = "ROOT::Internal::RDF::DefineTypes::RDefineTag"
    for column in ("float", "double", "int", "unsigned int", "bool"):
        yield node("JitFilterHelper", "", f"bool ({column})")
    for column in _VECTORS:
        yield node("JitFilterHelper", "", f"bool ({column}&)")
        yield node("JitDefineHelper", define, f"{column} ({column}&)")
    for column in _NUMBERS:
        yield node("JitDefineHelper", define, f"{column} ({column})")
    yield node("JitDefineHelper", define, "double ()")
    yield node("JitDefineHelper", define, f"double ({_ENTRY})")
    yield node("JitFilterHelper", "", f"bool ({_ENTRY})")


def _results() -> Iterator[str]:
    for kind in ("TH1D", "TH2D", "TProfile", "double", "ULong64_t"):
        yield from result(kind)


def _variations() -> Iterator[str]:
    for kind in ("TH1D", "TH2D", "double"):
        yield from variations(kind)
    for column in _REALS:
        yield node("JitVariationHelper", "true", f"ROOT::VecOps::RVec<{column}> ({column})")
    jets = "ROOT::VecOps::RVec<float>"
    yield node("JitVariationHelper", "true", f"ROOT::VecOps::RVec<{jets} > ({jets}&)")


def _arrays() -> Iterator[str]:
    columns = (*_SCALARS, *_VECTORS, *_OTHERS)
    yield from (taking(node, column) for node in ("RLoopManager", "RJittedFilter") for column in columns)
