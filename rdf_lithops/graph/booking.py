"""What is refused when it is booked, because ranges cannot give local ROOT's answer."""

from __future__ import annotations

from typing import Any

from ..errors import PlanError

__all__ = ["check"]


def check(operation: Any) -> None:
    """Raise PlanError if ranges cannot give what ``operation`` (a DistRDF operation) gives locally."""
    name, arguments, given = operation.name, operation.args, operation.kwargs
    if name == "Sum" and (len(arguments) > 1 or "initValue" in given):
        raise PlanError("Sum: expected a column, got an initial value too, which each range would add: add it to the result")
    if name == "Histo1D" and _is_upside_down(arguments[0] if arguments else given.get("model")):
        raise PlanError(
            "Histo1D: expected an axis with limits, or none, got one that ends before it begins: give some that you know "
            "('h', '', 100, low, high), or the column's name alone"
        )


def _is_upside_down(model: Any) -> bool:
    """Whether the axis of a one-dimensional model ends before it begins; one of no width never comes here."""
    if isinstance(model, tuple):
        return len(model) == 5 and not model[3] < model[4]
    edges = getattr(model, "fBinXEdges", ())
    return hasattr(model, "fXLow") and not len(edges) and not model.fXLow < model.fXUp
