"""``Range``: the same entries as local RDataFrame's, whatever the ranges of the run are.

On the dataset itself it is a filter on the entry number. After a filter the entries that pass are counted over the whole
dataset, so a run finds out their numbers first; what comes after is a filter on these.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import PlanError

# isort: split
import ROOT
from ROOT._distrdf import Operation, Proxy

__all__ = ["check_report", "range_of"]

logger = logging.getLogger(__name__)

_FILTERS = ("Filter", "FilterAvailable", "FilterMissing")
MOST_NUMBERS = 10_000  # of single entries that an expression holds
_ENTRY = "rdf_lithops_range_entry"


def range_of(proxy: Any, *args: int, **given: int) -> Any:
    """Return a node that passes entries ``begin``, ``begin + stride``, … before ``end`` (0: all) of those that reach it.

    Arguments are ROOT's: ``end``, or ``begin, end, stride=1``. Raises PlanError for others.
    """
    begin, end, stride = _bounds(args, given)
    node = proxy.proxied_node
    operations = [each.operation.name for each in _up(node) if each.operation is not None]
    if not any(name in _FILTERS for name in operations):
        expression = _numbered(begin, end, stride, _first_of(node.get_head()))
    elif "Vary" in operations:
        raise PlanError(
            "Range cannot follow a Filter that comes after Vary: each variation would count other entries; call Range before"
        )
    else:
        expression = _listed(_passing(proxy), begin, end, stride)
        node.get_head().rdf_lithops_has_late_range = True
        for each in node.get_head().graph_nodes:
            check_report(each.operation, node.get_head())
    made = Proxy._create_new_node(node, Operation.create_op("Filter", expression))
    multithreaded = ROOT.IsImplicitMTEnabled()  # with which ROOT refuses, and we need not
    made.rdf_node = node.rdf_node.Filter(expression) if multithreaded else node.rdf_node.Range(begin, end, stride)
    return Proxy.NodeProxy(made)


def check_report(operation: Any, head: Any) -> None:
    """Raise PlanError for a Report of a graph with a Range after a Filter: local ROOT stops reading at the Range's end, and
    its cuts have seen no more than that."""
    if getattr(operation, "name", "") == "Report" and getattr(head, "rdf_lithops_has_late_range", False):
        raise PlanError(
            "Report cannot count beside a Range that follows a Filter, where local ROOT stops reading: ask for Count of "
            "each node, or call Range before the Filter"
        )


def _bounds(args: Sequence[int], given: dict[str, int]) -> tuple[int, int, int]:
    names = ("end",) if len(args) == 1 and "end" not in given else ("begin", "end", "stride")
    values = {"begin": 0, "end": 0, "stride": 1, **dict(zip(names, args, strict=False)), **given}
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values.values())
    if not (args or given) or len(args) > len(names) or set(values) != {"begin", "end", "stride"} or not whole:
        raise PlanError(f"Range: expected an end, or begin, end and stride, as whole numbers, got {(*args, *given.items())}")
    if not values["stride"] or (values["end"] and values["end"] < values["begin"]):
        raise PlanError(f"Range: expected a stride greater than 0, and an end behind the beginning, got {values}")
    return values["begin"], values["end"], values["stride"]


def _up(node: Any) -> Iterator[Any]:
    while node is not None:
        yield node
        node = node.parent


def _first_of(head: Any) -> int:
    """Return the number of the first entry that the data frame reads: a specification may begin later."""
    selected = getattr(head, "rdf_lithops_selection", None)
    return int(selected.entry_range[0]) if selected is not None and selected.entry_range is not None else 0


def _numbered(begin: int, end: int, stride: int, first: int) -> str:
    """Return the expression that passes entries by their number, counted from ``first``."""
    bounds = [f"rdfentry_ >= {first + begin}ull"]
    bounds += [f"rdfentry_ < {first + end}ull"] if end else []
    bounds += [f"(rdfentry_ - {first + begin}ull) % {stride}ull == 0"] if stride > 1 else []
    return " && ".join(bounds)


def _passing(proxy: Any) -> Any:
    """Return the numbers of the entries that reach ``proxy``, in order, by a run."""
    logger.info("Range after a filter: a run finds out which entries pass")
    return proxy.Define(_ENTRY, "ULong64_t(rdfentry_)").AsNumpy([_ENTRY])[_ENTRY]


def _listed(numbers: Any, begin: int, end: int, stride: int) -> str:
    """Return the expression that passes the entries of ``numbers[begin:end:stride]``, of those in ``numbers``."""
    chosen = numbers[begin : end or None : stride]
    if not len(chosen):
        return "rdfentry_ != rdfentry_"
    if stride == 1:  # all of them that lie between these
        return f"rdfentry_ >= {int(chosen[0])}ull && rdfentry_ <= {int(chosen[-1])}ull"
    if len(chosen) > MOST_NUMBERS:
        raise PlanError(
            f"Range after a Filter: expected a stride of 1, or at most {MOST_NUMBERS} entries, got {len(chosen)}; "
            "call Range before the Filter, or give an end"
        )
    listed = ", ".join(f"{int(number)}ull" for number in chosen)
    return (
        f"return [](ULong64_t rdfl_entry) {{ static const std::vector<ULong64_t> rdfl_chosen{{{listed}}}; "
        "return std::binary_search(rdfl_chosen.begin(), rdfl_chosen.end(), rdfl_entry); }(rdfentry_);"
    )
