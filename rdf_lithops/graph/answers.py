"""What the driver's own data frame answers, without a run: names, types, descriptions, the first rows.

DistRDF's nodes keep a node of a local RDataFrame each, with every transformation that was booked and no action.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

# isort: split
import ROOT

__all__ = ["ANSWERS", "Description", "keys_of", "runs_of"]


def runs_of(head: Any) -> int:
    """Return how many times the graph of DistRDF's ``head`` has run."""
    return int(getattr(head, "rdf_lithops_runs", 0))


class Description:
    """ROOT's RDFDescription, with the runs that its data frame has had on workers."""

    def __init__(self, told: Any, runs: int) -> None:
        self._told, self._runs = told, runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._told, name)

    def AsString(self, shortFormat: bool = False) -> str:  # ROOT's names
        """Return the text that ROOT prints."""
        text = str(self._told.AsString(shortFormat))
        text = re.sub(r"(?m)^(Event loops run +)\d+", rf"\g<1>{self._runs}", text)
        return re.sub(r"(?m)^(Processing slots +)\d+", r"\g<1>1", text)

    def Print(self, shortFormat: bool = False) -> None:  # ROOT's names
        """Print the text."""
        sys.stdout.write(self.AsString(shortFormat) + "\n")

    def __str__(self) -> str:
        return self.AsString()

    __repr__ = __str__


def keys_of(action: Any) -> list[str]:
    """Return the names of the variations of an ``action``, DistRDF's node: it is booked on the driver's own node, and let
    go."""
    operation = action.operation
    booked = getattr(action.parent.rdf_node, operation.name)(*operation.args, **operation.kwargs)
    return [str(key) for key in ROOT.RDF.Experimental.VariationsFor(booked).GetKeys()]


def _asked(name: str) -> Callable[..., Any]:
    def ask(proxy: Any, *args: Any, **given: Any) -> Any:
        return getattr(proxy.proxied_node.rdf_node, name)(*args, **given)

    return ask


def _describe(proxy: Any) -> Description:
    node = proxy.proxied_node
    return Description(node.rdf_node.Describe(), runs_of(node.get_head()))


def _get_n_runs(proxy: Any) -> int:
    return runs_of(proxy.proxied_node.get_head())


def _get_n_slots(proxy: Any) -> int:
    return 1


_NAMES = (
    "Display",
    "GetColumnNames",
    "GetColumnType",
    "GetDatasetTopLevelFieldNames",
    "GetDefinedColumnNames",
    "GetFilterNames",
    "GetNFiles",
    "GetVariations",
    "HasColumn",
)
ANSWERS: dict[str, Callable[..., Any]] = {
    **{name: _asked(name) for name in _NAMES},
    "Describe": _describe,
    "GetNRuns": _get_n_runs,
    "GetNSlots": _get_n_slots,
}
"""By name, what is called with the proxy of a node and the method's arguments."""
