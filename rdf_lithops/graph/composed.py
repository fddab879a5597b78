"""Methods that DistRDF lacks and that others amount to: Take and Cache by AsNumpy, columns of slots by Define."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import PlanError

# isort: split
import ROOT
from ROOT._distrdf import Proxy

from . import unfetched, varied_values, weighted_values

__all__ = [
    "Derived",
    "cache",
    "default_column",
    "define_per_sample",
    "define_slot",
    "define_slot_entry",
    "redefine_slot",
    "redefine_slot_entry",
    "take",
]


_CHARS = {
    "std::vector<char>": "short({})",
    "std::vector<ROOT::VecOps::RVec<char> >": "ROOT::RVec<short>({0}.begin(), {0}.end())",
}
"""By what Take gives, the numbers of characters."""


class Derived(Proxy.ResultPtrProxy):  # type: ignore[misc]  # ROOT has no type information
    """A result handle whose value is made, once, of that of another one's node."""

    __module__ = Proxy.__name__  # ROOT.RDF.RunGraphs and VariationsFor tell DistRDF's handles by the module of their class

    def __init__(self, handle: Any, made: Callable[[Any], Any], varied: Callable[[Any], Any]) -> None:
        super().__init__(handle.proxied_node)
        self._source, self._made = handle, made  # the source is kept: with it its node would go
        self._varied = varied
        self._values: list[Any] = []

    def GetValue(self) -> Any:  # ROOT's name
        """Return the value; runs the graph where it has not run."""
        if not self._values:
            self._values.append(self._made(super().GetValue()))
        return self._values[0]

    def create_variations(self) -> Any:  # DistRDF's name
        """Return the handles of the value's variations."""
        return self._varied(self)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.GetValue())


def take(proxy: Any, *args: Any, template: list[Any] | tuple[Any, ...] = ()) -> Derived:
    """Return the handle of all values of a column, as a std::vector of the type that the brackets have:
    ``Take["float"]("x")``. Raises PlanError without a type, or for another collection."""
    if len(template) == 2 and _is_vector_of(template[1], template[0]):
        template = template[:1]
    if len(template) != 1 or len(args) > 1 or _has_several(str(*template)):
        raise PlanError(
            'Take: expected one type in brackets and a column, as in Take["float"]("x"); other collections '
            "can be made of its std::vector"
        )
    column = next(iter(args), None) or default_column(proxy, "Take")
    kind = next(iter(template))
    known = str(proxy.proxied_node.rdf_node.GetColumnType(column))
    if _name_of_vector(kind) != _name_of_vector(known):
        raise PlanError(f"Take: expected the type of column {column!r}, {known}, got {kind}")
    unfetched.refuse("Take", column, known)
    _keep_for_its_objects(ROOT.std.vector[kind])
    name, node = _fetched(proxy, column, kind)

    def vector(arrays: Any) -> Any:
        return _vector(kind, _values_of(arrays)[name])

    def varied(taken: Any) -> Any:
        points = weighted_values.exact(proxy, column, known)

        def of(_: str, graph: Any) -> Any:
            return _vector(kind, points.values(graph))

        return varied_values.VariedValues(points.booked, taken, of)

    return Derived(node.AsNumpy([name], lazy=True), vector, varied)


def _keep_for_its_objects(vector: Any) -> None:  # decision 417
    """Have objects that are taken out of vectors of that class keep the vector, as those of local ROOT's results do."""
    for name in ("_getitem__unchecked", "at", "front", "back"):
        method = getattr(vector, name, None)
        if method is not None and hasattr(method, "__set_lifeline__"):
            method.__set_lifeline__ = True  # PyROOT looks at it when the method is first called


def _fetched(proxy: Any, column: str, kind: Any) -> tuple[str, Any]:
    """Return the name of what is fetched for a ``column``, and its node: PyROOT makes texts of characters, and cannot of
    those of 128 and more, so they travel as numbers."""
    if not (number := _CHARS.get(_name_of_vector(kind))):
        return column, proxy
    hidden = f"rdf_lithops_{re.sub(r'[^0-9A-Za-z_]', '_', column)}_"
    return hidden, proxy.Define(hidden, number.format(column))


def _has_several(types: str) -> bool:
    """Return whether a template's arguments, in one text, are more than one type."""
    depth = [types[:place].count("<") - types[:place].count(">") for place, sign in enumerate(types) if sign == ","]
    return 0 in depth


def _is_vector_of(collection: Any, kind: Any) -> bool:
    """Return whether the type ``collection`` is what Take makes of itself."""
    spelt = str(getattr(collection, "__cpp_name__", collection)).replace(" ", "")
    return spelt.removeprefix("std::") == _name_of_vector(kind).replace(" ", "").removeprefix("std::")


def _name_of_vector(kind: Any) -> str:
    return str(ROOT.std.vector[kind].__cpp_name__)


def _values_of(arrays: Any) -> Any:
    return arrays.GetValue() if hasattr(arrays, "GetValue") else arrays


def default_column(proxy: Any, name: str) -> str:
    """Return the column that the method of that ``name`` takes where it is given none. PlanError without defaults."""
    defaults = [str(name) for name in getattr(proxy.proxied_node.get_head(), "defaultbranches", None) or ()]
    if not defaults:
        raise PlanError(f"{name}: expected a column, got none, and the data frame has no default columns")
    return defaults[0]


def _vector(kind: Any, array: Any) -> Any:
    if _name_of_vector(kind) in _CHARS:
        return _vector_of_characters(kind, array)
    made = ROOT.std.vector[kind]()
    if array.dtype != object and array.dtype != bool:
        return ROOT.std.vector[kind](array)
    made.reserve(len(array))
    for value in array.tolist() if array.dtype == bool else array:
        made.push_back(ROOT.VecOps.AsRVec(value) if hasattr(value, "__array_interface__") else value)
    return made


def _vector_of_characters(kind: Any, array: Any) -> Any:
    if array.dtype != object:
        return _characters(ROOT.std.vector[kind], array)
    made = ROOT.std.vector[kind]()
    made.reserve(len(array))
    for value in array:
        made.push_back(_characters(ROOT.VecOps.RVec["char"], value))
    return made


def _characters(kind: Any, array: Any) -> Any:
    """Return an object of ``kind`` with the characters of these numbers, and a 0 behind them: PyROOT reads up to one."""
    numbers = ROOT.std.vector["short"](array)
    numbers.push_back(0)
    made = kind(numbers.begin(), numbers.end())
    made.pop_back()
    return made


def cache(proxy: Any, columns: Any = "") -> Any:
    """Return a data frame, on the same executor, of the values that ``columns`` (names, or a regular expression; all) have
    now. The graph runs at once. Raises PlanError for columns that do not travel."""
    from . import in_memory

    named = _matching(proxy, columns) if isinstance(columns, str) else [str(name) for name in columns]
    types = {name: str(proxy.proxied_node.rdf_node.GetColumnType(name)) for name in named}
    arrays = proxy.AsNumpy(named)
    backend = proxy.proxied_node.get_head().backend
    return in_memory.data_frame(backend, {name: arrays[name] for name in types}, None)


def _matching(proxy: Any, pattern: str) -> list[str]:
    names = [str(name) for name in proxy.proxied_node.rdf_node.GetColumnNames()]
    found = [name for name in names if not pattern or re.fullmatch(pattern, name)]
    if not found:
        raise PlanError(f"Cache: expected columns that match {pattern!r}, found none")
    return found


def define_per_sample(book: Callable[[str, str], Any], name: str, expression: str) -> Any:  # decision 323
    """Define a column of samples, with ``book``, under a name of ours, and the column of that ``name`` as a copy of it: ROOT
    6.40 aborts where something that varies reads the first kind."""
    hidden = f"rdf_lithops_{name}_"  # which ROOT takes for one of its own, and tells nobody
    return book(hidden, expression).Define(name, hidden)


def define_slot(proxy: Any, name: str, function: Any, columns: Sequence[str] = ()) -> Any:
    """Define a column by a function of the slot's number and ``columns``."""
    return proxy.Define(name, function, ["rdfslot_", *columns])


def define_slot_entry(proxy: Any, name: str, function: Any, columns: Sequence[str] = ()) -> Any:
    """Define a column by a function of the slot's number, the entry's and ``columns``."""
    return proxy.Define(name, function, ["rdfslot_", "rdfentry_", *columns])


def redefine_slot(proxy: Any, name: str, function: Any, columns: Sequence[str] = ()) -> Any:
    """As define_slot, for a column that there is."""
    return proxy.Redefine(name, function, ["rdfslot_", *columns])


def redefine_slot_entry(proxy: Any, name: str, function: Any, columns: Sequence[str] = ()) -> Any:
    """As define_slot_entry, for a column that there is."""
    return proxy.Redefine(name, function, ["rdfslot_", "rdfentry_", *columns])
