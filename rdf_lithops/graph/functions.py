"""Functions of ``ROOT.RDF`` that take a node, for nodes of our data frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from . import backend, drawn_graph

# isort: split
import ROOT  # noqa: F401  # DistRDF is a part of it
from ROOT._distrdf import DataFrame, Proxy

__all__ = ["FUNCTIONS", "is_ours"]


def is_ours(node: Any) -> bool:
    """Return whether ``node`` is a data frame that runs on Lithops, or a node or result of one."""
    head = _head(node)
    return head is not None and isinstance(head.backend, backend.LithopsBackend)


def _head(node: Any) -> Any:
    if isinstance(node, DataFrame.RDataFrame):
        return node._headnode
    return node.proxied_node.get_head() if isinstance(node, Proxy.Proxy) else None


def _as_node(node: Any) -> Any:
    """Return the node: in Python they are all of one kind."""
    return node


def _add_progress_bar(node: Any) -> None:
    """Have the runs of the data frame of ``node`` show how far they are, unless its options say otherwise."""
    ours = _head(node).backend
    if ours.options.progress is None:
        ours.options = dataclasses.replace(ours.options, progress=True)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "AddProgressBar": _add_progress_bar,
    "AsRNode": _as_node,
    "SaveGraph": drawn_graph.save,
}
"""By name, what is called with a node of ours."""
