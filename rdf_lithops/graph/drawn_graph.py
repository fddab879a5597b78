"""``ROOT.RDF.SaveGraph`` of one of our data frames: drawn by ROOT itself, of the driver's own nodes, without a run.

The driver's nodes have no actions. Those that were booked are booked on them for the drawing, and let go.
"""

from __future__ import annotations

from typing import Any

# isort: split
import ROOT
from ROOT._distrdf import DataFrame, Operation

__all__ = ["save"]


def save(node: Any, path: str = "") -> str | None:
    """Return the drawing, in the dot language, or write it to ``path``. A result's has only what leads to it."""
    proxied = node._headnode if isinstance(node, DataFrame.RDataFrame) else node.proxied_node
    head = proxied.get_head()
    if proxied.rdf_node is None:  # of a result
        drawn, kept = _booked(proxied), []
    else:
        drawn, kept = proxied.rdf_node, [_booked(each) for each in reversed(head.graph_nodes) if _is_action(each)]
    text = str(ROOT.RDF.SaveGraph._original(drawn))
    del kept
    if not path:
        return text
    with open(path, "w") as stream:
        stream.write(text)
    return None


def _is_action(node: Any) -> bool:
    return isinstance(node.operation, Operation.Action) and not isinstance(node.operation, Operation.VariationsFor)


def _booked(node: Any) -> Any:
    operation = node.operation
    return getattr(node.parent.rdf_node, operation.name)(*operation.args, **operation.kwargs)
