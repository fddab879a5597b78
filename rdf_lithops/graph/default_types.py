"""A default of another type than its column: ROOT would give it to all entries, in silence."""

from __future__ import annotations

from typing import Any

from ..errors import PlanError
from ..frame import default_values

# isort: split
import ROOT

__all__ = ["check"]

# ROOT's numbers of types that it reads alike: long and Long64_t, double and Double32_t, float and Float16_t
_ALIKE = {4: 16, 14: 17, 9: 8, 19: 5}


def check(parent: Any, operation: Any) -> None:  # decision 336
    """Raise PlanError if ``operation``, a DefaultValueFor on a node of ROOT's, is of another type than the column is."""
    column = str(operation.args[0] if operation.args else operation.kwargs.get("column", ""))
    given = default_values.kind_of(operation)
    known = _type_of(parent, column)
    one, other = _number_of(given), _number_of(known)
    if one is not None and other is not None and one != other:
        raise PlanError(
            f"DefaultValueFor: expected a value of column {column!r}, which is {known}, got {given}: ROOT would take it for "
            f'all entries; write DefaultValueFor["{known}"]("{column}", ...)'
        )


def _type_of(node: Any, column: str) -> str:
    try:
        return str(node.GetColumnType(column)) if node.HasColumn(column) else ""
    except Exception:  # whatever ROOT raises for a column of which it knows the name alone
        return ""


def _number_of(kind: str) -> int | None:
    """ROOT's number of a plain type; None for any other."""
    known = ROOT.gROOT.GetType(kind) if kind else None
    number = int(known.GetType()) if known else -1
    return None if number < 0 else _ALIKE.get(number, number)
