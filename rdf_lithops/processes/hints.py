"""What a driver foresees while it books its first graph, told to the ROOT process beside it, which has time until then.

PyROOT instantiates a method, and compiles its own way into it, at the first use in a process. Which use that is depends on
what the method is called of, and on the kinds of its arguments, and not on the graph: a hint says both, as
``filtered.Histo1D(m,s,s)``. Late or lost, it costs time and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import wire

__all__ = ["VARIATIONS_FOR", "first_use", "first_uses", "give", "names_upwards"]

VARIATIONS_FOR = "VariationsFor"
_KINDS = {str: "s", int: "i", list: "l"}  # of arguments: all others are m, as models of histograms are
_OF_THE_SAME_CLASS = frozenset({"Alias", "Define", "Redefine", "Vary"})  # as what they are called of


def first_use(name: str, args: Sequence[Any], named: Mapping[str, Any], above: Iterable[str]) -> str | None:
    """The use of the method ``name`` with these arguments, called of what the operations ``above`` have given, the last one
    first; None where it is called of a class that is not foreseen."""
    if name == VARIATIONS_FOR:
        return name
    last = next((each for each in above if each not in _OF_THE_SAME_CLASS), None)
    if last not in (None, "Filter") or named:
        return None
    return f"{'filtered' if last else 'all'}.{name}({','.join(_KINDS.get(type(each), 'm') for each in args)})"


def first_uses(nodes: Mapping[int, Any]) -> list[str]:
    """Those of all nodes of a graph of DistRDF's, by its numbers of them, in its order."""
    found = []
    for node in nodes.values():
        operation = node.operation
        if operation is not None:
            above = names_upwards(nodes.get(node.parent_id), lambda each: nodes.get(each.parent_id))
            found.append(first_use(operation.name, operation.args, operation.kwargs, above))
    return [use for use in dict.fromkeys(found) if use]


def names_upwards(node: Any, parent_of: Callable[[Any], Any]) -> Iterator[str]:
    """The names of the operations of ``node``, of what it was called of, and so on up to the head."""
    while node is not None and node.operation is not None:
        yield node.operation.name
        node = parent_of(node)


def give(folder: str, hint: str) -> None:
    """Tell the ROOT process of ``folder``, if there is one."""
    with contextlib.suppress(OSError), wire.connect(folder) as connection:
        wire.send(connection, {"op": "hint", "hint": hint})
