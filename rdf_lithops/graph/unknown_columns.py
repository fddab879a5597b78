"""Actions on columns that do not exist are refused when they are booked, as local ROOT does; DistRDF asks the workers."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from ..errors import PlanError
from .rewriting import COLUMNS_OF_ACTIONS

__all__ = ["check"]


def check(operation: Any, parent: Any) -> None:
    """Raise PlanError if ``operation``, an action of DistRDF on its node ``parent``, names a column that is not there."""
    node = parent.rdf_node
    missing = [name for name in _named(operation) if not name.startswith("#") and not node.HasColumn(name)]
    if missing and _is_refused(operation, node):
        known = [str(name) for name in node.GetColumnNames()]
        close = difflib.get_close_matches(missing[0], known, 1, 0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise PlanError(f"{operation.name}: unknown column {missing[0]!r}{hint}")


def _named(operation: Any) -> Iterator[str]:
    """The columns that an action names, but for expressions and patterns."""
    args = operation.args
    if operation.name in COLUMNS_OF_ACTIONS:
        leading, _ = COLUMNS_OF_ACTIONS[operation.name]
        yield from (str(value) for value in args[leading:] if isinstance(value, str) and value)
    elif operation.name == "AsNumpy":
        yield from map(str, operation.kwargs.get("columns") or (args[0] if args else ()) or ())
    elif operation.name == "Snapshot" and len(args) > 2 and not isinstance(args[2], str):
        yield from map(str, args[2])


def _is_refused(operation: Any, node: Any) -> bool:
    """Whether local ROOT refuses it: it knows more names than it tells, as those of leaves."""
    if operation.name in ("AsNumpy", "Snapshot"):
        return True
    try:
        getattr(node, operation.name)(*operation.args, **operation.kwargs)
    except Exception:  # whatever ROOT raises
        return True
    return False
