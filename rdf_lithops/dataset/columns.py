"""Which of a dataset's columns a graph reads, guessed from its text. Pure: no ROOT, no Lithops.

Only the estimate of work depends on it: a name too many or too few shifts the balance of calls and never a result.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["columns_named", "columns_read", "shape_of"]

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_READS_ALL = {"Snapshot": 2, "AsNumpy": 0}  # they take every column unless told which: arguments before the list of columns


def columns_read(nodes: Iterable[Any]) -> frozenset[str] | None:
    """Return the names, in the operations of a DistRDF graph's ``nodes``, that may be columns of the dataset; None means all
    of them.

    Names with dots are kept whole: ``muons.pt`` is a column, or a member of the column ``muons``.
    """
    names: set[str] = set()
    for node in nodes:
        names.update(_NAME.findall(" ".join(map(str, getattr(node, "defaultbranches", None) or ()))))
        operation = getattr(node, "operation", None)
        if operation is None:
            continue
        if operation.name in _READS_ALL and not _says_columns(operation, _READS_ALL[operation.name]):
            return None
        names.update(_names_in([*operation.args, operation.kwargs]))
    return frozenset(names)


def columns_named(nodes: Iterable[Any]) -> frozenset[str] | None:
    """Return what ``columns_read`` does, without what is surely another name: of an object, a tree, a file or a cut."""
    names: set[str] = set()
    for node in nodes:
        names.update(_NAME.findall(" ".join(map(str, getattr(node, "defaultbranches", None) or ()))))
        operation = getattr(node, "operation", None)
        if operation is None:
            continue
        if operation.name in _READS_ALL and not _says_columns(operation, _READS_ALL[operation.name]):
            return None
        others = _other_names(operation)
        columns = [value for number, value in enumerate(operation.args) if number not in others]
        names.update(_names_in([*columns, {key: value for key, value in operation.kwargs.items() if key != "name"}]))
    return frozenset(names)


def _other_names(operation: Any) -> set[int]:
    """Return the positions of those arguments of an operation that name no columns."""
    if operation.name == "Snapshot":
        return {0, 1}
    if operation.name.startswith(("Histo", "Profile")):
        return set() if operation.args and isinstance(operation.args[0], str) else {0}
    if operation.name == "Filter":
        return {1} if len(operation.args) > 1 and isinstance(operation.args[1], str) else set()
    return {0} if operation.name in ("Define", "DefinePerSample") else set()


def shape_of(nodes: Iterable[Any]) -> str:
    """Return a name (a SHA-256) for what a graph does, whatever data it reads: its operations and the texts in them."""
    digest = hashlib.sha256()
    for node in nodes:
        operation = getattr(node, "operation", None)
        if operation is not None:
            digest.update(f"{operation.name} {' '.join(_names_in([*operation.args, operation.kwargs]))};".encode())
    return digest.hexdigest()


def _says_columns(operation: Any, leading: int) -> bool:
    """Return whether an operation lists its columns after ``leading`` arguments; a pattern does not say which they are."""
    given = [*operation.args[leading:], *(operation.kwargs.get(name) for name in ("columnList", "columns"))]
    return any(not isinstance(value, (str, Mapping)) and hasattr(value, "__iter__") and len(value) > 0 for value in given)


def _names_in(value: Any) -> Iterable[str]:
    if isinstance(value, str) or type(value).__name__ in ("string", "string_view"):
        return _NAME.findall(str(value))
    if isinstance(value, Mapping):
        return [name for inner in value.values() for name in _names_in(inner)]
    if isinstance(value, (list, tuple)) or type(value).__name__.startswith("vector<"):
        return [name for inner in value for name in _names_in(inner)]
    code = getattr(value, "__code__", None)  # a Python function reads the columns that its parameters are called by
    return code.co_varnames[: code.co_argcount] if code is not None else ()
