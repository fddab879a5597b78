"""Which entries of a dataset the user's arguments mean, and a graph that reads no others.

A TEntryList of a tree or chain, and the range of a specification: DistRDF ignores both. Ranges are cut as ever; the first
node of the graph lets the selected entries pass (``frame/selection.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError
from ..frame import samples, selection
from .rewriting import GLOBAL_ENTRY, made_node
from .statements import in_code

# isort: split
import ROOT
from ROOT._distrdf.Operation import create_op

__all__ = ["Selection", "of_arguments", "with_local_samples", "with_selection"]

WHOLE = 2**63 - 1  # RDatasetSpec's default for the end of its range


@dataclass(frozen=True)
class Selection:
    """The selected entries, ``packed``; ``entry_range`` is that of a specification, None with a TEntryList."""

    packed: str
    entry_range: tuple[int, int] | None


def of_arguments(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Selection | None]:
    """The arguments for DistRDF, which takes a specification apart: a copy of the user's, without its range; and what is
    selected. Raises PlanError for an entry list of another kind."""
    if isinstance(args[0], ROOT.RDF.Experimental.RDatasetSpec):
        spec = ROOT.RDF.Experimental.RDatasetSpec(args[0])
        begin, end = int(spec.GetEntryRangeBegin()), int(spec.GetEntryRangeEnd())
        if (begin, end) == (0, WHOLE):
            return (spec, *args[1:]), None
        spec.WithGlobalRange((0, WHOLE))
        return (spec, *args[1:]), Selection(selection.packed([begin], [end]), (begin, end))
    if isinstance(args[0], ROOT.TTree) and args[0].GetEntryList():
        if "TEntryListArray" in str(args[0].GetEntryList().ClassName()):
            raise PlanError(
                "expected a TEntryList or TEventList, got a TEntryListArray: RDataFrame reads no parts of entries"
            )
        return args, Selection(_of_entry_list(args[0]), None)
    return args, None


def _of_entry_list(tree: Any) -> str:
    """The entry numbers, in the whole dataset, that the entry list of ``tree`` has, as intervals."""
    ROOT.gInterpreter.Declare(
        """
        #ifndef RDF_LITHOPS_ENTRY_LIST
        #define RDF_LITHOPS_ENTRY_LIST
        #include <TEntryList.h>
        #include <TTree.h>
        namespace rdf_lithops {
        inline std::vector<Long64_t> entries_of(TTree &tree)
        {
           std::vector<Long64_t> found(tree.GetEntryList()->GetN());
           for (std::size_t number = 0; number < found.size(); ++number)
              found[number] = tree.GetEntryNumber(number);
           return found;
        }
        }
        #endif
        """
    )
    import numpy

    entries = numpy.array(ROOT.rdf_lithops.entries_of(tree), dtype="i8")
    if (entries < 0).any():
        raise PlanError("expected an entry list of this tree or chain, got one that names entries which it does not have")
    starts = numpy.concatenate([entries[:1] >= 0, numpy.diff(entries) != 1])
    return selection.packed(entries[starts], entries[numpy.roll(starts, -1)] + 1)


def with_selection(nodes: dict[int, Any], selected: Selection) -> dict[int, Any]:
    """The graph with a first node that lets the selected entries pass. With an entry list ``rdfentry_`` counts these."""
    head_id, filter_id = next(iter(nodes)), max(nodes) + 1
    passes = create_op("Filter", f"{selection.IS_SELECTED}({GLOBAL_ENTRY})")
    found = {head_id: nodes[head_id], filter_id: made_node(passes, head_id)}
    for node_id, node in list(nodes.items())[1:]:
        operation = node.operation
        if selected.entry_range is None:
            operation = _replaced(operation, lambda text: text.replace(GLOBAL_ENTRY, f"{selection.RANK}{GLOBAL_ENTRY}"))
        parent_id = filter_id if node.parent_id == head_id else node.parent_id
        found[node_id] = made_node(operation, parent_id)
    return found


def with_local_samples(nodes: dict[int, Any]) -> tuple[dict[int, Any], bool]:
    """The graph with ``rdfsampleinfo_`` telling what it tells locally, and whether it is used at all."""
    found = {}
    for node_id, node in nodes.items():
        operation = node.operation
        if operation is not None and operation.name == "DefinePerSample":
            operation = _replaced(operation, _telling_as_locally, first=1)
        found[node_id] = node if operation is node.operation else made_node(operation, node.parent_id)
    return found, any(found[node_id] is not node for node_id, node in nodes.items())


def _telling_as_locally(expression: str) -> str:
    return in_code("rdfsampleinfo_", f"{samples.AS_LOCAL}(rdfsampleinfo_)", expression)


def _replaced(operation: Any, change: Callable[[str], str], first: int = 0) -> Any:
    """The operation with its strings changed, from its argument number ``first`` on; itself where that changes nothing."""
    copied = copy.copy(operation)
    copied.args = [
        change(value) if isinstance(value, str) and number >= first else value for number, value in enumerate(operation.args)
    ]
    copied.kwargs = {
        key: change(value) if isinstance(value, str) and key != "name" else value for key, value in operation.kwargs.items()
    }
    return operation if (copied.args, copied.kwargs) == (operation.args, operation.kwargs) else copied
