"""Friends whose entries are found by an index, not by their number: DistRDF refuses them, as its ranges would lose it.

Ours open all files of such a friend, and build its index anew (``frame/opening.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

# isort: split
import ROOT

__all__ = ["set_aside"]

Index = tuple[str, str]  # what TTree::BuildIndex was given: major and minor name


@contextlib.contextmanager
def set_aside(args: tuple[Any, ...]) -> Iterator[list[Index | None] | None]:  # decision 321
    """Yield the index of each friend of a tree or chain, None for one without; None where no friend has one.

    Meanwhile the friends have no index. Others than trees have no friends here.
    """
    friends = list(_friends(args[0])) if isinstance(args[0], ROOT.TTree) else []
    indices = [friend.GetTreeIndex() for friend in friends]
    held = [(friend, index) for friend, index in zip(friends, indices, strict=True) if index]
    if not held:
        yield None
        return
    for friend, _ in held:
        friend.SetTreeIndex(ROOT.nullptr)
    try:
        yield [(str(index.GetMajorName()), str(index.GetMinorName())) if index else None for index in indices]
    finally:
        for friend, index in held:
            friend.SetTreeIndex(index)
            index.SetTree(friend)  # which it was told to forget


def _friends(tree: Any) -> Iterator[Any]:
    for element in tree.GetListOfFriends() or ():
        friend = element.GetTree()
        if friend:
            yield friend
