"""A Snapshot's small parts as one file, which then has the very name that the program gave."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from ..files import snapshot_parts, stores
from . import manifest
from .snapshots import Destination, parts

# isort: split
import ROOT

__all__ = ["SINGLE_BYTES", "by_name", "joined"]

logger = logging.getLogger(__name__)

SINGLE_BYTES = 64 * 2**20  # of parts in a folder of this machine, which its driver makes one of in a second or less
_MASKS = "R_rdf_column_to_bitmask_mapping_"  # and the tree's name: which bit says that a column's value is valid
_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


def joined(destination: Destination, files: Sequence[str]) -> list[str]:
    """Return the parts ``files`` of a Snapshot, or the one file of all of them, in their order, that this process has made.

    That is where all of them lie in a folder of this machine, have no more than ``SINGLE_BYTES``, and hold a tree alone, or
    with what a Snapshot with variations writes beside it. Where merging fails the parts stay, with a warning.
    """
    given = list(files)
    if len(given) < 2 or not manifest.is_local(destination.folder) or not all(map(os.path.exists, given)):
        return given
    if sum(map(os.path.getsize, given)) > SINGLE_BYTES or not _is_tree_alone(given[0]):
        return given
    target = snapshot_parts.part_url({**destination.fields(), "run": destination.run[:-1] + "1"}, 0)
    try:
        with tempfile.TemporaryDirectory(prefix="rdf_lithops-merge-") as folder:
            snapshot_parts.merge(given, target, folder)
    except stores.StoreFailure as failure:
        logger.warning("the parts of %s stay as they are: %s", destination.url, failure)
        return given
    return [target]


def _is_tree_alone(file: str) -> bool:
    with ROOT.TFile.Open(file, "READ_WITHOUT_GLOBALREGISTRATION") as opened:
        return _trees_in(opened) == 1


def _trees_in(folder: Any) -> int:
    """Return how many trees a folder of a file holds; 2 where there is something else."""
    found = 0
    for key in folder.GetListOfKeys():
        kind = str(key.GetClassName())
        if kind.startswith("TDirectory"):
            found += _trees_in(folder.Get(key.GetName()))
        elif str(key.GetName()).startswith(_MASKS):  # the same in all parts
            continue
        else:
            found += 1 if kind in _TREES else 2
    return found


def by_name(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a constructor's arguments with the files of a Snapshot in place of its name, where no file has that name."""
    name = args[1] if len(args) > 1 and isinstance(args[1], str) else ""
    if not name.endswith(".root") or urlsplit(name).scheme:
        return args
    path = os.path.expanduser(os.path.expandvars(name))
    if os.path.exists(path) or not os.path.exists(path.removesuffix(".root") + manifest.END):
        return args
    return (args[0], parts(name), *args[2:])
