"""DistRDF's graph said in other words, where the ones that the user chose mean something else on a worker.

Default branches, which DistRDF takes from the user and loses on the way; and ``rdfentry_``, which it counts within a task's
own chain, and which here is the entry number in the whole dataset.
"""

from __future__ import annotations

import copy
from typing import Any

from ..errors import PlanError
from ..worker.root import execute
from .statements import in_code

# isort: split
from ROOT._distrdf.Node import Node
from ROOT._distrdf.Operation import Action, InstantAction, create_op

__all__ = ["COLUMNS_OF_ACTIONS", "GLOBAL_ENTRY", "made_node", "with_default_columns", "with_global_entry_numbers"]

# -- default branches: DistRDF takes them from the user and loses them on the way to the worker -------------------------

COLUMNS_OF_ACTIONS = {  # operation: (arguments before the columns, columns that it reads)
    "Histo1D": (1, 1),
    "Histo2D": (1, 2),
    "Histo3D": (1, 3),
    "Profile1D": (1, 2),
    "Profile2D": (1, 3),
    "Profile3D": (1, 4),
    "Graph": (0, 2),
    "GraphAsymmErrors": (0, 6),
    **dict.fromkeys(("Max", "Mean", "Min", "Stats", "StdDev", "Sum"), (0, 1)),
}


def with_default_columns(nodes: dict[int, Any]) -> dict[int, Any]:
    """The graph with the data frame's default branches named where an action names no column."""
    defaults = [str(name) for name in getattr(nodes[min(nodes)], "defaultbranches", None) or ()]
    filled = dict(nodes)
    for node_id, node in nodes.items() if defaults else ():
        leading, columns = COLUMNS_OF_ACTIONS.get(getattr(node.operation, "name", ""), (-1, 0))
        if len(getattr(node.operation, "args", ())) == leading and not node.operation.kwargs:
            operation = copy.copy(node.operation)
            operation.args = [*operation.args, *defaults[:columns]]
            filled[node_id] = made_node(operation, node.parent_id)
    return filled


# -- rdfentry_: DistRDF counts it within a task's own chain; here it is the entry number in the whole dataset ---------

GLOBAL_ENTRY = "(rdfentry_ + ::rdf_lithops::first_entry)"
_NAMES = ("rdfentry_", "tdfentry_")  # the second is its older name, which ROOT still has
_EXPRESSION_AT = {"Filter": 0, "Define": 1, "Redefine": 1, "Vary": 1}  # where these take C++; their other strings are names


def with_global_entry_numbers(nodes: dict[int, Any]) -> tuple[dict[int, Any], bool]:
    """The graph with ``rdfentry_`` meaning the entry number in the dataset, and whether it is used at all.

    C++ expressions add the range's first entry; a transformation that names the column itself gets a helper column to read,
    and an action, behind which nothing comes, finds the column redefined: its name is in titles and in files.
    """
    renumbered: dict[int, Any] = {}
    helper_id = max(nodes) + 1
    for node_id, node in nodes.items():
        operation, parent_id = node.operation, node.parent_id
        if isinstance(operation, (Action, InstantAction)) and _names_column(operation, _NAMES[0]):
            renumbered[helper_id] = made_node(create_op("Redefine", _NAMES[0], GLOBAL_ENTRY), parent_id)
            renumbered[node_id] = made_node(operation, helper_id)
            helper_id += 1
            continue
        prefix = f"{execute.ENTRY_COLUMN}{helper_id}_"
        copied = None if operation is None else _renumber(operation, prefix)
        if copied is None:
            renumbered[node_id] = node
            continue
        for name in _NAMES:
            if _reads(copied, prefix + name):
                renumbered[helper_id] = made_node(create_op("Define", prefix + name, GLOBAL_ENTRY), parent_id)
                parent_id, helper_id = helper_id, helper_id + 1
        renumbered[node_id] = made_node(copied, parent_id)
    return renumbered, any(renumbered[node_id] is not node for node_id, node in nodes.items())


def _renumber(operation: Any, prefix: str) -> Any | None:
    """The operation with its uses of ``rdfentry_`` rewritten, as a column to one with ``prefix``; None if no use."""
    if operation.name == "Snapshot":
        if _names_column(operation, _NAMES[1]):
            raise PlanError(f"Snapshot: {_NAMES[1]} counts within a range; write {_NAMES[0]}, which is its newer name")
        return None
    given = (*operation.args, *operation.kwargs.values())
    if not any(name in value for value in given if isinstance(value, (str, list)) for name in _NAMES):
        return None
    position = _EXPRESSION_AT.get(operation.name)
    copied = copy.copy(operation)
    copied.args = [
        _in_expression(value) if index == position else _as_column(value, prefix, position is None)
        for index, value in enumerate(operation.args)
    ]
    copied.kwargs = {
        name: _in_expression(value) if name == "expression" else _as_column(value, prefix, position is None)
        for name, value in operation.kwargs.items()
    }
    return None if (copied.args, copied.kwargs) == (operation.args, operation.kwargs) else copied


def _names_column(operation: Any, column: str) -> bool:
    """Whether ``column`` is an argument, or in a list, tuple or vector of names that is one."""
    for value in (*operation.args, *operation.kwargs.values()):
        texts = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else ()
        if str(getattr(type(value), "__cpp_name__", "")).startswith(("std::vector<string", "std::vector<std::string")):
            texts = list(map(str, value))
        if any(isinstance(text, str) and text == column for text in texts):
            return True
    return False


def _reads(operation: Any, column: str) -> bool:
    given = [*operation.args, *operation.kwargs.values()]
    return any(value == column if isinstance(value, str) else isinstance(value, list) and column in value for value in given)


def _in_expression(value: Any) -> Any:
    return in_code("[rt]dfentry_", GLOBAL_ENTRY, value) if isinstance(value, str) else value


def _as_column(value: Any, prefix: str, strings_are_columns: bool) -> Any:
    """``rdfentry_`` as the name of a column: a string of its own (in an action or Alias), or one in a list of names."""
    if isinstance(value, str) and strings_are_columns:
        return prefix + value if value in _NAMES else value
    if isinstance(value, list) and any(name in value for name in _NAMES):
        return [prefix + item if item in _NAMES else item for item in value]
    return value


def made_node(operation: Any, parent_id: int) -> Any:
    """A node as workers get it: an operation and the id of its parent, and nothing of the user's data frame."""
    made = Node.__new__(Node)
    made.__setstate__({"operation": operation, "parent_id": parent_id})
    return made
