"""Histo1D without limits: the values come to the driver, which fills the histogram one after the other, as local ROOT does.

Local ROOT finds the axis in the first thousand values and doubles it for later ones that lie outside: no range can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .composed import Derived, default_column

# isort: split
import ROOT

__all__ = ["histogram", "is_wanted", "numbers", "pairs"]


def is_wanted(name: str, args: Sequence[Any]) -> bool:
    """Return whether a booking is of a Histo1D that leaves the limits of its axis to the data."""
    return name == "Histo1D" and _has_no_limits(args[0] if args else "")


def _has_no_limits(model: Any) -> bool:
    """Return whether a model, or a column's name in its place, leaves the limits of the axis to the data."""
    if isinstance(model, str):
        return True
    if isinstance(model, tuple):
        return len(model) == 3 or (len(model) == 5 and not model[3] < model[4])
    edges = getattr(model, "fBinXEdges", ())
    return hasattr(model, "fXLow") and not len(edges) and not model.fXLow < model.fXUp


def histogram(proxy: Any, *args: Any) -> Derived:
    """Return the handle of what ``Histo1D`` with these arguments, ROOT's own, is locally."""
    model, *names = args if args and not isinstance(args[0], str) else (None, *args)
    value = str(names[0]) if names and names[0] else default_column(proxy, "Histo1D")
    weight = str(names[1]) if len(names) > 1 else ""
    model = _models_own(value, weight) if model is None else model
    made = ROOT.RDF.TH1DModel(*model) if isinstance(model, tuple) else model
    empty = made.GetHistogram()  # with the settings of histograms as they are when it is booked
    if made.fXLow == made.fXUp:  # and not for limits the wrong way round, as in RInterface::Histo1D
        empty.SetCanExtend(ROOT.TH1.kAllAxes)
    columns = [value, *([weight] if weight else [])]
    for number, column in enumerate(columns):
        proxy, columns[number] = numbers(proxy, column)

    def filled(arrays: Any) -> Any:
        arrays = arrays.GetValue() if hasattr(arrays, "GetValue") else arrays
        values, weights = pairs(*(arrays[column] for column in columns))
        if len(values) and not empty.GetEntries():  # an error that ROOT's warning was made to be may have followed a fill
            empty.FillN(len(values), values, weights if weight else ROOT.nullptr)
        return empty

    return Derived(proxy.AsNumpy(columns, lazy=True), filled)


def numbers(proxy: Any, column: str) -> tuple[Any, str]:
    """Return a node, and its column that has the values of ``column``: AsNumpy does not know characters."""
    kind = str(proxy.proxied_node.rdf_node.GetColumnType(column))
    as_numbers = {"char": "int({})", "Char_t": "int({})", "ROOT::VecOps::RVec<char>": "ROOT::RVecI({0}.begin(), {0}.end())"}
    if kind not in as_numbers:
        return proxy, column
    name = f"rdf_lithops_numbers_{column}"
    known = [str(each) for each in proxy.proxied_node.rdf_node.GetDefinedColumnNames()]
    return (proxy if name in known else proxy.Define(name, as_numbers[kind].format(column))), name


def _models_own(value: str, weight: str) -> tuple[Any, ...]:
    """Return the model that ROOT has where it is given none."""
    if not weight:
        return value, f"{value};{value};count", 128, 0.0, 0.0
    return f"{value}_weighted_{weight}", f"{value}, weights: {weight};{value};count * {weight}", 128, 0.0, 0.0


def pairs(values: Any, weights: Any = None) -> tuple[Any, Any]:
    """Return all values, and of each its weight (1, where there are none), as arrays of double.

    Either may have a collection for each entry; one value or weight stands for each of the other's collection.
    """
    import numpy  # where it is wanted: its import takes as long as a third of ROOT's

    ones = numpy.ones(len(values))
    weights = ones if weights is None else weights
    counts = [_counts(each) for each in (values, weights)]
    flat = [_flat(each) for each in (values, weights)]
    for one, other in ((0, 1), (1, 0)):
        if counts[one] is None and counts[other] is not None:
            flat[one] = numpy.repeat(flat[one], counts[other])
    return tuple(numpy.ascontiguousarray(each) for each in flat)  # type: ignore[return-value]  # two


def _counts(column: Any) -> Any:
    """Return how many values each entry has; None for a column of single values."""
    return [len(entry) for entry in column] if column.dtype == object else None


def _flat(column: Any) -> Any:
    import numpy

    if column.dtype != object:
        return column.astype(numpy.float64)
    entries = [numpy.asarray(entry, numpy.float64) for entry in column]
    return numpy.concatenate(entries) if entries else numpy.zeros(0)
