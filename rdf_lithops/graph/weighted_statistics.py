"""Stats with weights: where some are below 0, the driver fills it, one entry after the other, as local ROOT does.

A TStatistic leaves out what it is filled with when its sum of weights would become exactly 0. Weights of both signs bring
that about now and then, at other entries in each range than in the whole: neither number nor mean would be local ROOT's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import weighted_values
from .varied_values import VariedValues

# isort: split
import ROOT
from ROOT._distrdf import Proxy

__all__ = ["Statistic", "weight_of"]

_UNSIGNED = ("bool", "Bool_t", "unsigned", "UChar_t", "UShort_t", "UInt_t", "ULong", "uint", "size_t", "std::uint")


def weight_of(name: str, args: Sequence[Any], given: Mapping[str, Any]) -> str:
    """The column of weights of a booking of Stats; empty for one without, and for every other action."""
    return str(args[1] if len(args) > 1 else given.get("weight", "")) if name == "Stats" else ""


class Statistic(Proxy.ResultPtrProxy):  # type: ignore[misc]  # ROOT has no type information  # decision 334
    """The handle of Stats of ``value`` with ``weight``, two columns of the node ``parent``, booked there as ``handle``."""

    __module__ = Proxy.__name__  # ROOT.RDF.RunGraphs and VariationsFor tell DistRDF's handles by the module of their class

    def __init__(self, handle: Any, parent: Any, value: str, weight: str) -> None:
        super().__init__(handle.proxied_node)
        self._booked = handle  # kept: with it its node would go
        self._parent, self._columns = parent, (value, weight)
        self._lowest = _lowest(parent, weight)  # in the same run
        self._is_settled = self._lowest is None

    def GetValue(self) -> Any:  # ROOT's name
        """The TStatistic; runs the graph where it has not run, and once more for its values where weights are below 0."""
        value = super().GetValue()
        if not self._is_settled:
            if self._lowest.GetValue() < 0:
                value = self.proxied_node.value = self._filled(value)
            self._is_settled = True
        return value

    def _filled(self, like: Any) -> Any:
        handle, arrays = weighted_values.booked(self._parent, *self._columns)
        values, weights = arrays(handle.GetValue())
        return ROOT.TStatistic(like.GetName(), len(values), values, weights)

    def create_variations(self) -> Any:  # DistRDF's name
        """The varied statistics; of one with weights below 0, all are made in a second run."""
        varied = super().create_variations()
        return varied if self._lowest is None else _Varied(varied, self, self._lowest, self._of_values)

    def _of_values(self) -> VariedValues:
        def one(_: str, points: Any) -> Any:
            values, weights = weighted_values.points(points)
            return ROOT.TStatistic("", len(values), values, weights)

        return VariedValues(weighted_values.graph(self._parent, *self._columns), self, one)


class _Varied(Proxy.ResultMapProxy):  # type: ignore[misc]  # ROOT has no type information
    """The varied statistics of ``booked``; those of weights with one below 0, by the variations of ``lowest``, are made of
    ``values``."""

    __module__ = Proxy.__name__

    def __init__(self, booked: Any, nominal: Any, lowest: Any, values: Callable[[], VariedValues]) -> None:
        super().__init__(booked.proxied_node)
        self._booked, self._nominal, self._values = booked, nominal, functools.cache(values)
        self._lowest = ROOT.RDF.Experimental.VariationsFor(lowest)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if str(key) == "nominal":
            return self._nominal.GetValue()
        name = str(key) if str(key) in map(str, self._lowest.GetKeys()) else "nominal"
        return self._values()[key] if self._lowest[name] < 0 else value


def _lowest(parent: Any, weight: str) -> Any:
    """The handle of the lowest weight; None for weights that have no sign."""
    node, column = weighted_values.numbers(parent, weight)
    kind = str(node.proxied_node.rdf_node.GetColumnType(column)).rpartition("<")[2]
    return None if kind.startswith(_UNSIGNED) else node.Min(column)
