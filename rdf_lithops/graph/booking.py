"""What is refused when it is booked, because ranges cannot give local ROOT's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import PlanError

__all__ = ["check", "check_limits"]


def check(operation: Any) -> None:
    """Raise PlanError if ranges cannot give what ``operation`` (a DistRDF operation) gives locally."""
    name, arguments, given = operation.name, operation.args, operation.kwargs
    if name == "Sum" and (len(arguments) > 1 or "initValue" in given):
        raise PlanError("Sum: expected a column, got an initial value too, which each range would add: add it to the result")


def check_limits(name: str, args: Sequence[Any], given: dict[str, Any]) -> None:
    """Raise PlanError for a Histo1D that leaves its axis to the data, of which each range sees its own part."""
    if name == "Histo1D" and _has_no_limits(args[0] if args else given.get("model", "")):
        raise PlanError(
            "Histo1D: expected an axis with limits, got none, for which each range would find its own, and lose what is "
            "outside of another's: give some that you know, or that Min and Max find: ('h', '', 100, low, high)"
        )


def _has_no_limits(model: Any) -> bool:
    """Return whether a model, or a column's name in its place, leaves the limits of the axis to the data."""
    if isinstance(model, str):
        return True
    if isinstance(model, tuple):
        return len(model) == 3 or (len(model) == 5 and not model[3] < model[4])
    edges = getattr(model, "fBinXEdges", ())
    return hasattr(model, "fXLow") and not len(edges) and not model.fXLow < model.fXUp
