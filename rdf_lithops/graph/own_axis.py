"""Histo1D without limits: the values come to the driver, which fills the histogram one after the other, as local ROOT does.

Local ROOT finds the axis in the first thousand values and doubles it for later ones that lie outside: no range can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import weighted_values
from .composed import Derived, default_column
from .varied_values import VariedValues

# isort: split
import ROOT

__all__ = ["histogram", "is_wanted"]


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
    if model is None:
        model = _models_own(str(names[0]), weight) if names else ("", "", 128, 0.0, 0.0)
    made = ROOT.RDF.TH1DModel(*model) if isinstance(model, tuple) else model
    empty = _empty(made)  # with the settings of histograms as they are when it is booked
    handle, arrays = weighted_values.booked(proxy, value, weight)

    def filled(result: Any) -> Any:
        values, weights = arrays(result)
        if len(values) and not empty.GetEntries():  # an error that ROOT's warning was made to be may have followed a fill
            empty.FillN(len(values), values, weights if weight else ROOT.nullptr)
        return empty

    def varied(nominal: Any) -> Any:
        def one(name: str, points: Any) -> Any:
            histogram = _empty(made)
            histogram.SetName(f"{histogram.GetName()}_{name.replace(':', '_')}")
            values, weights = weighted_values.points(points)
            if len(values):
                histogram.FillN(len(values), values, weights if weight else ROOT.nullptr)
            return histogram

        return VariedValues(weighted_values.graph(proxy, value, weight), nominal, one)

    return Derived(handle, filled, varied)


def _empty(model: Any) -> Any:
    histogram = model.GetHistogram()
    if model.fXLow == model.fXUp:  # and not for limits the wrong way round, as in RInterface::Histo1D
        histogram.SetCanExtend(ROOT.TH1.kAllAxes)
    return histogram


def _models_own(value: str, weight: str) -> tuple[Any, ...]:
    """Return the model that ROOT has where it is given none."""
    if not weight:
        return value, f"{value};{value};count", 128, 0.0, 0.0
    return f"{value}_weighted_{weight}", f"{value}, weights: {weight};{value};count * {weight}", 128, 0.0, 0.0
