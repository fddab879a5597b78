"""Columns whose values ranges cannot hand out: AsNumpy, Take and Cache of them are refused when they are booked.

Values of a class travel as ROOT writes them. Without a dictionary it writes a class by its members, and no collection but
vectors: a map, a set or an optional number came back empty or as another, and nobody said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import PlanError

# isort: split
import ROOT

__all__ = ["check", "refuse"]

_TAKEN_APART = re.compile(r"\b(?:variant|pair)<|RVec<(?:std::)?tuple<")  # in which PyROOT fails, or crashes
_VARIANT = re.compile(r"\bvariant<")
_ARRAY = re.compile(r"(?:std::)?array<(.*),[^,]*>")


def check(operation: Any, parent: Any) -> None:
    """Raise PlanError if ``operation`` (DistRDF's, on its node ``parent``) is an AsNumpy of such a column."""
    if operation.name == "AsNumpy":
        for column in _columns(operation, parent.rdf_node):
            refuse("AsNumpy", column, str(parent.rdf_node.GetColumnType(column)))


def refuse(method: str, column: str, kind: str) -> None:  # decision 404
    """Raise PlanError for a ``column`` of such a ``kind``, C++'s name of its type."""
    lost = kind if _TAKEN_APART.search(kind) or kind.endswith("*") else _lost(kind)
    if lost:
        why = "" if lost == kind else f", of which ROOT can neither write nor read the {lost}"
        raise PlanError(
            f"{method}: ranges cannot hand out values of {kind} (column {column!r}){why}: Define what you need of them, as "
            "numbers, texts or vectors"
        )


def _columns(operation: Any, node: Any) -> Iterator[str]:
    """The columns that an AsNumpy is of, as far as they are there."""
    given = operation.kwargs.get("columns") or (operation.args[0] if operation.args else ())
    excluded = set(map(str, operation.kwargs.get("exclude") or (operation.args[1] if len(operation.args) > 1 else ()) or ()))
    for name in map(str, given or node.GetColumnNames()):
        if name not in excluded and node.HasColumn(name):
            yield name


def _lost(kind: str) -> str:
    """The first of the types that make up ``kind`` whose values ROOT loses, or nothing."""
    known = _class_of(kind)  # none of numbers and enumerations
    return _lost_of(known, set(), is_member=False) if known else ""


def _class_of(kind: str) -> Any:
    """ROOT's class of that name; asked for a constant collection, it would make another, and use it from then on."""
    return ROOT.TClass.GetClass(re.sub(r"^(?:(?:const|volatile) )+", "", kind))


def _lost_of(known: Any, seen: set[str], is_member: bool) -> str:
    name = str(known.GetName())
    if name in seen or known.HasDictionary():
        return ""
    seen.add(name)
    if _VARIANT.match(name):
        return name
    if known.GetCollectionProxy():
        value = known.GetCollectionProxy().GetValueClass()
        if known.GetCollectionType() not in (ROOT.ROOT.kSTLvector, ROOT.ROOT.kROOTRVec):
            return name
        return _lost_of(value, seen, is_member=False) if value else ""
    if array := _ARRAY.fullmatch(name):
        if _ARRAY.fullmatch(array[1]) and not is_member:
            return name
        return _lost(array[1])
    return next(filter(None, _lost_members(known, seen)), "")


def _lost_members(known: Any, seen: set[str]) -> Iterator[str]:
    """What is lost of a class that ROOT writes member by member."""
    for base in known.GetListOfBases() or ():
        described = base.GetClassPointer()
        yield _lost_of(described, seen, is_member=True) if described else str(base.GetName())
    for member in known.GetListOfDataMembers() or ():
        if member.Property() & ROOT.kIsStatic or not member.IsPersistent():
            continue
        if member.IsaPointer():
            yield f"{known.GetName()}::{member.GetName()}"
        elif not member.IsBasic() and not member.IsEnum():
            kind = str(member.GetTrueTypeName())
            inner = _class_of(kind)
            yield _lost_of(inner, seen, is_member=True) if inner else kind
