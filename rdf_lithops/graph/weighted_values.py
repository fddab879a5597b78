"""The values of a column, each with its weight, one after the other at the driver, which fills them as local ROOT does.

Single values come by AsNumpy. AsNumpy makes a Python object of each collection; the action of Graph puts their values into
one array, in C++, and merges these in the order of the ranges.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import PlanError

# isort: split
import ROOT

__all__ = ["Exact", "booked", "exact", "graph", "numbers", "points"]

_CHARACTERS = ("char", "Char_t")
_OF_ONE_SIZE = (
    "if ({value}.size() != {weight}.size()) "
    'throw std::runtime_error("Cannot fill histogram with values in containers of different sizes."); '
)  # ROOT's own words

_DTYPES = {  # NumPy's, by the class of their vector
    "std::vector<double>": "f8",
    "std::vector<float>": "f4",
    "std::vector<bool>": "?",
    "std::vector<char>": "i2",  # of which the numbers are taken
    "std::vector<signed char>": "i1",
    "std::vector<unsigned char>": "u1",
    "std::vector<short>": "i2",
    "std::vector<unsigned short>": "u2",
    "std::vector<int>": "i4",
    "std::vector<unsigned int>": "u4",
    "std::vector<long>": "i8",
    "std::vector<unsigned long>": "u8",
    "std::vector<long long>": "i8",
    "std::vector<Long64_t>": "i8",
    "std::vector<unsigned long long>": "u8",
    "std::vector<ULong64_t>": "u8",
}

Arrays = tuple[Any, Any]


def booked(proxy: Any, value: str, weight: str = "") -> tuple[Any, Callable[[Any], Arrays]]:  # decision 365
    """Book what brings the values to the driver; returns the handle, and what makes of its result the values and their
    weights (the values once more where there is no ``weight``), two arrays of double.

    Either column may have a collection for each entry; one value or weight stands for each of the other's collection. The
    arrays are for as long as the result is.
    """
    if not any(_is_collection(proxy, name) for name in (value, weight) if name):
        return _single_values(proxy, value, weight)
    return graph(proxy, value, weight), points


def graph(proxy: Any, value: str, weight: str = "") -> Any:
    """Book a Graph with a point for each value and its weight (the value once more where there is no ``weight``), in
    order; the columns are as for ``booked``."""
    collections = [bool(name) and _is_collection(proxy, name) for name in (value, weight)]
    if not any(collections):
        proxy, value = numbers(proxy, value)
        proxy, weight = numbers(proxy, weight) if weight else (proxy, value)
        return proxy.Graph(value, weight)
    proxy, value = _named(proxy, value)
    if not weight:
        proxy, value = _defined(proxy, f"return ROOT::RVecD({value}.begin(), {value}.end());")
        return proxy.Graph(value, value)
    proxy, weight = _named(proxy, weight)
    names = {"value": value, "weight": weight}
    checked = _OF_ONE_SIZE.format(**names) if all(collections) else ""
    columns = []
    for (this, other), is_collection in zip((("value", "weight"), ("weight", "value")), collections, strict=True):
        listed = "ROOT::RVecD({0}.begin(), {0}.end())" if is_collection else "ROOT::RVecD({1}.size(), double({0}))"
        proxy, column = _defined(proxy, f"{checked}return {listed.format(names[this], names[other])};")
        columns.append(column)
    return proxy.Graph(*columns)


class Exact(NamedTuple):
    """A booked Graph, and what makes of its TGraph the numbers of a column, an array of their type."""

    booked: Any
    values: Callable[[Any], Any]


def exact(proxy: Any, column: str, kind: str) -> Exact:
    """Book a Graph that brings the numbers of a column of that type, each as it is: a double for the upper half of a whole
    number, and one for the lower. PlanError for what is no number."""
    dtype = _DTYPES.get(str(getattr(ROOT.std.vector[kind], "__cpp_name__", "")))
    if dtype is None:
        raise PlanError(
            f"VariationsFor of Take: expected a column of numbers, got {column!r}, which is {kind}: take its "
            "numbers, each in a column of its own, or fill a histogram"
        )
    proxy, name = _named(proxy, column)
    if dtype.startswith("f"):
        return Exact(proxy.Graph(name, name), lambda found: points(found)[0].astype(dtype))
    proxy, upper = _defined(proxy, f"return double(static_cast<long long>({name}) >> 32);")
    proxy, lower = _defined(proxy, f"return double(static_cast<long long>({name}) & 0xffffffffll);")

    def values(found: Any) -> Any:
        high, low = (half.astype("i8") for half in points(found))
        return ((high << 32) | low).astype(dtype)

    return Exact(proxy.Graph(upper, lower), values)


def numbers(proxy: Any, column: str) -> tuple[Any, str]:
    """Return a node, and its column that has the values of ``column`` as numbers: AsNumpy does not know characters."""
    kind = _kind(proxy, column)
    if kind in _CHARACTERS:
        proxy, column = _named(proxy, column)
        return _defined(proxy, f"return int({column});")
    if kind == "ROOT::VecOps::RVec<char>":
        proxy, column = _named(proxy, column)
        return _defined(proxy, f"return ROOT::RVecI({column}.begin(), {column}.end());")
    return proxy, column


def _single_values(proxy: Any, *columns: str) -> tuple[Any, Callable[[Any], Arrays]]:
    named = []
    for column in filter(None, columns):
        proxy, name = numbers(proxy, column)
        named.append(name)

    def arrays(result: Any) -> Arrays:
        import numpy  # where it is wanted: its import takes as long as a third of ROOT's

        result = result.GetValue() if hasattr(result, "GetValue") else result
        doubles = [numpy.ascontiguousarray(result[name].astype(numpy.float64)) for name in named]
        return doubles[0], doubles[-1]

    return proxy.AsNumpy(list(dict.fromkeys(named)), lazy=True), arrays


def points(graph: Any) -> Arrays:
    """Return x and y of a TGraph's points, as long as it is."""
    import numpy

    count = graph.GetN()
    if not count:
        return numpy.zeros(0), numpy.zeros(0)
    values, weights = (numpy.frombuffer(points, numpy.float64, count) for points in (graph.GetX(), graph.GetY()))
    return values, weights


def _kind(proxy: Any, column: str) -> str:
    return str(proxy.proxied_node.rdf_node.GetColumnType(column))


def _is_collection(proxy: Any, column: str) -> bool:
    """Return whether RDataFrame takes the column for a collection, of which each value is filled."""
    return bool(ROOT.Internal.RDF.IsDataContainer[_kind(proxy, column)].value)


def _named(proxy: Any, column: str) -> tuple[Any, str]:
    """Return a node, and a name of ``column`` there that C++ can have: a branch's own may be anything."""
    if re.fullmatch(r"[A-Za-z_][\w.]*", column):
        return proxy, column
    name = _free(proxy)
    return proxy.Alias(name, column), name


def _defined(proxy: Any, statements: str) -> tuple[Any, str]:
    name = _free(proxy)
    return proxy.Define(name, statements), name


def _free(proxy: Any) -> str:
    """Return a name that nothing of this node has; the same one for the same bookings, which are then compiled once."""
    taken = {str(name) for name in proxy.proxied_node.rdf_node.GetColumnNames()}
    return next(name for number in itertools.count() if (name := f"rdf_lithops_list_{number}") not in taken)
