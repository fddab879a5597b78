"""Every public method of ROOT's ``RInterface``: who answers it, or why it is refused and what works instead.

``docs/operations.md`` is this table. What DistRDF has it does; schema and first rows are the driver's own data frame's
(``answers``); some are made of others (``composed``, ``first_entries``); the rest is refused in one sentence.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import Any

from ..errors import PlanError
from . import answers, composed, first_entries

# isort: split
import ROOT  # noqa: F401  # DistRDF is a part of it
from ROOT._distrdf import Operation

__all__ = ["REFUSED", "answered_here", "method", "no_such", "page", "table"]

REFUSED = {
    "Aggregate": "its function works on a state that ranges would have to merge: use Sum, Min, Max, Histo1D, or AsNumpy and "
    "numpy on its arrays",
    "Book": "it takes an object of a C++ class, of which nothing says how ranges' copies are sent and merged: use Fill's "
    "ready-made sisters (Histo1D, Profile1D, Stats, …), or AsNumpy",
    "Fill": "it takes an object of any class, of which nothing says how ranges' copies are merged: use Histo1D to HistoND, "
    "Profile1D, Graph or Stats, or AsNumpy and fill it from the arrays",
    "Foreach": "what its function does to this process's variables would be done, and lost, on workers: use AsNumpy or Take "
    "and a loop over the values",
    "ForeachSlot": "what its function does to this process's variables would be done, and lost, on workers: use AsNumpy or "
    "Take and a loop over the values",
    "Reduce": "its function would be applied within ranges and between them, in another order: use Sum, Min or Max, or "
    "AsNumpy and functools.reduce over the values",
}
"""The methods that are refused, and why, and what works instead."""

_OURS: dict[str, tuple[Callable[..., Any], str]] = {
    "Cache": (composed.cache, "columns of numbers and texts are fetched at once, and travel with later graphs"),
    "DefineSlot": (composed.define_slot, "each range has one slot, number 0"),
    "DefineSlotEntry": (composed.define_slot_entry, "each range has one slot, number 0"),
    "Range": (first_entries.range_of, "after a Filter it costs a run that finds out which entries pass"),
    "RedefineSlot": (composed.redefine_slot, "each range has one slot, number 0"),
    "RedefineSlotEntry": (composed.redefine_slot_entry, "each range has one slot, number 0"),
    "Take": (
        composed.take,
        "the values of the whole dataset come to the driver, in order; not of types of which ROOT loses something",
    ),
}
_NOTES = {
    "AsNumpy": "not of types of which ROOT loses something (a map without a dictionary, optional values, pointers)",
    "Histo1D": "without limits its values come to the driver, which finds the axis as local ROOT does: not for many of them",
    "Display": "read by the driver from the dataset's beginning, after a Filter until there are as many rows",
    "GetNRuns": "the runs of this data frame",
    "GetNSlots": "1: each range has one",
    "Snapshot": "one file of that name where its parts are small; options.file_mib says otherwise",
    "Report": "not beside a Range that follows a Filter: local ROOT stops reading there",
    "Stats": "with weights below 0 the values come to the driver, in a second run: not for many of them",
    "Sum": "without an initial value",
}


def answered_here() -> frozenset[str]:
    """Return the names of the methods that DistRDF lacks, or that are refused."""
    return frozenset(_OURS) | frozenset(REFUSED) | frozenset(answers.ANSWERS)


def method(name: str, proxy: Any) -> Callable[..., Any]:
    """Return what ``proxy.name`` is, for one of ``answered_here``."""
    if name in REFUSED:
        return functools.partial(_refuse, name)
    answer: Callable[..., Any] = _OURS[name][0] if name in _OURS else answers.ANSWERS[name]
    return functools.partial(answer, proxy)


def _refuse(name: str, *args: Any, **given: Any) -> Any:
    raise PlanError(f"{name} does not run in ranges: {REFUSED[name]}")


def no_such(name: str) -> str:
    """Return the text of the AttributeError for a name that local RDataFrame has not, either."""
    close = difflib.get_close_matches(name, [row[0] for row in table()], 1, 0.7)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"RDataFrame has no method {name!r}{hint}"


def table() -> list[tuple[str, str, str]]:
    """Return name, "runs", "driver", "composed" or "refused", and a remark, of each method, by name."""
    rows = {name: ("refused", why) for name, why in REFUSED.items()}
    rows |= {name: ("driver", _NOTES.get(name, "")) for name in answers.ANSWERS}
    rows |= {name: ("composed", why) for name, (_, why) in _OURS.items()}
    others = set(Operation.SUPPORTED_OPERATIONS) - {"VariationsFor", "Profile3D"}  # not methods of RInterface
    rows |= {name: ("runs", _NOTES.get(name, "")) for name in others if name not in rows}
    return [(name, *rows[name]) for name in sorted(rows)]


_HOW = {
    "runs": "runs in ranges",
    "composed": "runs in ranges, made of others",
    "driver": "answered by the driver, without a run",
    "refused": "refused",
}
_PAGE = """# Methods of RDataFrame

What becomes of each public method of `ROOT::RDF::RInterface` (ROOT 6.40) on a data frame with `executor=`. What is refused
is a `PlanError` when it is called. `tests/graph/test_operations.py` walks ROOT's own class, and compares this page with
`python -c "from rdf_lithops.graph import operations; print(operations.page(), end='')" > docs/operations.md`

| method | here | |
|---|---|---|
"""
_FUNCTIONS = """
Functions of `ROOT.RDF` with our data frames: `RunGraphs`, `Experimental.VariationsFor`, `AsRNode` (the node itself),
`SaveGraph` (drawn by the driver, without a run), `Experimental.AddProgressBar` (turns `options.progress` on). With
`executor=`: `Experimental.FromSpec` and `FromRNTuple` read files; `FromNumpy`, `FromPandas` and `FromCSV` have columns of
numbers and texts that travel with each run, up to 64 MiB; others are refused.
"""


def page() -> str:
    """Return the table as ``docs/operations.md`` has it."""
    lines = [f"| `{name}` | {_HOW[how]} | {remark} |" for name, how, remark in table()]
    return _PAGE + "\n".join(lines) + "\n" + _FUNCTIONS
