"""Sum, Min and Max of a type that the program gave in brackets, as ``Sum["Long64_t"]``: they return a value of that type.

Without one they return a double, in local ROOT as here, and whole numbers beyond 2^53 are rounded.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NAMES", "booked", "type_name"]

NAMES = ("Sum", "Min", "Max")


def type_name(template: Any) -> str:
    """What C++ calls a type that was given in brackets: a text, a class of ROOT's, or a type of Python's by its name."""
    return template if isinstance(template, str) else str(getattr(template, "__cpp_name__", template.__name__))


def booked(parent: Any, operation: Any) -> Any:
    """The result that DistRDF's ``operation``, one of ``NAMES``, has of the node ``parent`` of ROOT's; None for others, and
    for those whose type is ROOT's to find out."""
    kind = getattr(operation, "template", "") if operation.name in NAMES else ""
    return getattr(parent, operation.name)[kind](*operation.args, **operation.kwargs) if kind else None
