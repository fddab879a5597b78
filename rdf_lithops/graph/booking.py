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
