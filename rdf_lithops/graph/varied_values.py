"""VariationsFor of what the driver makes of all values: each variation's values come to it as the points of a Graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# isort: split
import ROOT
from ROOT._distrdf import Proxy

__all__ = ["VariedValues"]


class VariedValues(Proxy.ResultMapProxy):  # type: ignore[misc]  # ROOT has no type information  # decision 429
    """The variations of ``result``, a handle of ours: ``made`` is given the name of one and its values, the TGraph that
    ``graph``, DistRDF's handle of one on the same node, has of it."""

    __module__ = Proxy.__name__  # ROOT.RDF.RunGraphs tells DistRDF's handles by the module of their class

    def __init__(self, graph: Any, result: Any, made: Callable[[str, Any], Any]) -> None:
        booked = ROOT.RDF.Experimental.VariationsFor(graph)
        super().__init__(booked.proxied_node)
        self._kept = graph, booked  # with them their nodes would go
        self._result, self._made = result, made
        self._values: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        """The variation of that name, "nominal" for the result itself; runs the graph where it has not run. KeyError for a
        name that none has."""
        points = super().__getitem__(key)
        name = str(key) if str(key) in self.GetKeys() else "nominal"
        if name == "nominal":
            return self._result.GetValue()
        if name not in self._values:
            self._values[name] = self._made(name, points)
        return self._values[name]
