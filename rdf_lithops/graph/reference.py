"""The file of a dataset that says which columns there are and of which types, as it does for local ROOT. Opens it.

That is the first file with entries, or of an RNTuple the first file. A range that begins later is compiled for it, so it
must be told (``frame/opening.py``). After a run local ROOT stands at the last file, and looks up in both what is booked
then.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from ..dataset.columns import columns_named
from ..dataset.look_cache import looked
from ..errors import PlanError
from ..frame import ranges as adapter
from ..frame.fields import DatasetFields, FriendReferenceFields
from ..frame.schema import Look

# isort: split
import ROOT
from ROOT._distrdf import HeadNode

__all__ = ["add_reference", "has_run", "keep_folder", "settle_names"]

logger = logging.getLogger(__name__)


def has_run(head: Any) -> None:
    """To be told when a graph of DistRDF's ``head`` has run: what is booked from now on local ROOT looks up elsewhere."""
    head.rdf_lithops_booked = {node.node_id for node in head.graph_nodes}
    head.rdf_lithops_runs = getattr(head, "rdf_lithops_runs", 0) + 1


def settle_names(head: Any, args: tuple[Any, ...]) -> None:
    """Have DistRDF's ``head`` call files and trees by names that mean the same elsewhere: variables and the home folder are
    this process's, and of a tree it takes the tree's own name, or a path from the root of its file, where its key counts.

    Raises PlanError for a tree whose key cannot be known.
    """
    if hasattr(head, "inputfiles"):
        head.inputfiles = [adapter.expanded(str(name)) for name in head.inputfiles]
    if getattr(head, "sampleMap", None):
        head.sampleMap = {adapter.expanded(name): sample for name, sample in head.sampleMap.items()}
    head.rdf_lithops_folder = _working_folder()
    if not isinstance(head, HeadNode.TreeHeadNode):
        return
    head.subtreenames = [name.lstrip("/") for name in head.subtreenames]
    if isinstance(args[0], ROOT.TTree) and not isinstance(args[0], ROOT.TChain):
        folder, _, name = head.subtreenames[0].rpartition("/")
        keys = _keys_of(args[0])
        if name not in keys:
            if len(keys) != 1:
                raise PlanError(
                    f"expected a tree that one key of its file stands for, got {name!r}, and the keys {keys}; "
                    "give the key and the file's name instead of the tree"
                )
            head.subtreenames = [f"{folder}/{keys[0]}".lstrip("/")]


def _working_folder() -> str:
    """Return this process's working folder; empty where it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def keep_folder(head: Any) -> None:
    """Have DistRDF's ``head`` read the files that it was made of, also where the program has changed its folder since."""
    folder = getattr(head, "rdf_lithops_folder", "")
    if not folder or folder == _working_folder() or not hasattr(head, "inputfiles"):
        return
    head.rdf_lithops_folder = ""

    def whole(name: str) -> str:
        return name if "://" in name else os.path.join(folder, name)

    head.inputfiles = [whole(str(name)) for name in head.inputfiles]
    if getattr(head, "sampleMap", None):
        head.sampleMap = {whole(name): sample for name, sample in head.sampleMap.items()}
    info = getattr(head, "friendinfo", None)
    for files in () if info is None else info.fFriendFileNames:
        for number, name in enumerate(list(files)):
            files[number] = whole(str(name))


def _keys_of(tree: Any) -> list[str]:
    """The keys under which a tree may be kept: those of that name, else those of trees with as many entries."""
    found = [key for key in tree.GetDirectory().GetListOfKeys() if str(key.GetClassName()).startswith(("TTree", "TNtuple"))]
    named = [str(key.GetName()) for key in found if key.GetName() == tree.GetName()]
    if named:
        return named[:1]
    alike = (key for key in found if (kept := key.ReadObj()).GetName() == tree.GetName() and _same(kept, tree))
    return list(dict.fromkeys(str(key.GetName()) for key in alike))


def _same(one: Any, other: Any) -> bool:
    return bool(one.GetEntries() == other.GetEntries() and one.GetTotBytes() == other.GetTotBytes())


def add_reference(head: Any, dataset: DatasetFields) -> None:
    """Write into what all ranges share of ``head``'s dataset which file tells its columns, and whether it has entries.

    Nothing is written where no file can be read: that is for the workers to say. Raises PlanError for what local ROOT
    refuses, too: a column that was booked after a run, and that is not in both the first and the last file.
    """
    is_ntuple = isinstance(head, HeadNode.RNTupleHeadNode)
    files = [str(name) for name in head.inputfiles]
    trees = [str(name) for name in (head.subnames if is_ntuple else head.subtreenames)]
    named = columns_named(head.graph_nodes)
    columns = None if named is None else sorted(named)
    try:
        first, index = _first_with_entries(files, trees, columns, is_ntuple)
        index, seen = _where_local_root_stands(head, files, trees, columns, index, first)
        friends = [] if getattr(head, "friendinfo", None) is None else _friends(head.friendinfo, columns)
    except PlanError:
        raise
    except RuntimeError as problem:
        logger.info("no file tells the columns of the dataset, as one could not be read: %s", problem)
        return
    dataset["is_empty"] = first.entries == 0
    if is_ntuple and dataset["is_empty"]:
        raise PlanError(f"expected entries, got RNTuples without entries ({files[0]}): ROOT 6.40 crashes when it reads them")
    if is_ntuple and index:
        index, seen = 0, looked(files[0], trees[0], columns, is_ntuple)
    samples = getattr(head, "sampleMap", None) or {}
    dataset["reference"] = {
        "file": files[index],
        "tree": trees[index],
        "entries": seen.entries,
        "types": seen.types,
        "columns": columns,
        "sample": adapter.sample_position(samples.get(f"{files[index]}/{trees[index]}"), dataset),
        "is_odd": seen.name != trees[index].rpartition("/")[2],
        "friends": friends,
    }


def _first_with_entries(
    files: Sequence[str], trees: Sequence[str], columns: Sequence[str] | None, is_ntuple: bool
) -> tuple[Look, int]:
    """What is in the first file that has entries, and which it is; the first file where none has any."""
    found = None
    for index, (file, tree) in enumerate(zip(files, trees, strict=True)):
        seen = looked(file, tree, columns, is_ntuple)
        if seen.entries:
            return seen, index
        found = found or seen
    if found is None:
        raise RuntimeError("there is no file")
    return found, 0


def _where_local_root_stands(
    head: Any, files: Sequence[str], trees: Sequence[str], columns: Sequence[str] | None, index: int, first: Look
) -> tuple[int, Look]:
    """Which file tells the columns: the first one with entries, or, for what is booked after a run, the last one."""
    booked = getattr(head, "rdf_lithops_booked", None)
    if booked is None or isinstance(head, HeadNode.RNTupleHeadNode) or getattr(head, "rdf_lithops_selection", None):
        return index, first
    last = looked(files[-1], trees[-1], columns, False)
    differ = {name for name in first.types.keys() | last.types.keys() if first.types.get(name) != last.types.get(name)}
    newer = columns_named(node for node in head.graph_nodes if node.node_id not in booked)
    older = columns_named(node for node in head.graph_nodes if node.node_id in booked)
    newly = differ if newer is None else differ & newer
    missing = sorted(name for name in newly if not (name in first.types and name in last.types))
    if missing:
        where = files[-1] if missing[0] in first.types else files[index]
        raise PlanError(
            f"expected columns of the first and the last file after a run, got {missing[0]!r}, which is not in {where}: "
            "ROOT then stands at the last file; book all results before you ask for one, or make a new data frame"
        )
    return (len(files) - 1, last) if newly and older is not None and not differ & older else (index, first)


def _friends(info: Any, columns: Sequence[str] | None) -> list[FriendReferenceFields]:
    """Of each friend in ROOT's ``info`` its first file with entries: name, types of what may be its columns, and these
    columns."""
    found: list[FriendReferenceFields] = []
    for (name, alias), names, subnames in zip(
        info.fFriendNames, info.fFriendFileNames, info.fFriendChainSubNames, strict=True
    ):
        files = [str(each) for each in names]
        trees = [str(each) for each in subnames] or [str(name)] * len(files)
        wanted = _of_friend(columns, (str(alias), str(name)))
        seen, index = _first_with_entries(files, trees, wanted, False)
        found.append({"file": files[index], "types": seen.types, "columns": wanted})
    return found


def _of_friend(columns: Sequence[str] | None, prefixes: Sequence[str]) -> list[str] | None:
    """The columns as the friend's own tree calls them."""
    if columns is None:
        return None
    own = [name[len(prefix) + 1 :] for name in columns for prefix in prefixes if prefix and name.startswith(f"{prefix}.")]
    return sorted({*columns, *own})
