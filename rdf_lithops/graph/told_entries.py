"""Chains that were told how many entries of each file to read (``TChain.Add(file, entries)``)."""

from __future__ import annotations

from typing import Any

import ROOT

from ..dataset.survey import read_layouts
from ..errors import PlanError

__all__ = ["check"]

_INSTEAD = (
    "workers read all of a file: make the chain anew, without numbers, and select entries by a TEntryList, WithGlobalRange "
    'of an RDatasetSpec, or Filter("rdfentry_ < ...")'
)


def check(given: Any) -> None:  # decision 422
    """Raise PlanError where the chain ``given``, or a friend of it, was told numbers of entries, and not those of all files.

    ROOT then reads what nobody asked for: the first entries of all, one file of three, or none.
    """
    if not isinstance(given, ROOT.TTree):
        return
    for tree in (given, *(friend.GetTree() for friend in given.GetListOfFriends() or ())):
        if isinstance(tree, ROOT.TChain) and tree.GetListOfFiles().GetEntries() > 1:
            _check_chain(str(tree.GetName()), list(tree.GetListOfFiles()))


def _check_chain(name: str, elements: list[Any]) -> None:
    numbers = [int(each.GetEntries()) for each in elements]
    known = [entries != ROOT.TTree.kMaxEntries for entries in numbers]  # those of files that ROOT has read are known, too
    told = sum(known)
    if known != sorted(known, reverse=True):
        raise PlanError(f"TChain {name!r} was told the number of entries of {told} of {len(known)} files; {_INSTEAD}")
    files = [str(each.GetTitle()) for each in elements[:told]]
    layouts = read_layouts(files, [str(each.GetName()) for each in elements[:told]], frozenset(), False) if told else ()
    for file, entries, layout in zip(files, numbers, layouts or (), strict=False):  # unreadable ones are told of elsewhere
        if layout.entries != entries:
            what = (
                f"TChain {name!r} was told, or knows from before, that {file} has {entries} entries: it has {layout.entries}"
            )
            raise PlanError(f"{what}; {_INSTEAD}")
