"""The data frame of one range: DistRDF's builders in our words, so that what is read is what local ROOT would read.

A range that begins in a later file is compiled for the dataset's first one, as local ROOT is: where the two hold different
columns, the first file stands before the range's own, and none of its entries is read. Samples keep their order, number and
metadata; a tree that is called otherwise than its key is opened by the key.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Sequence
from typing import Any

from . import samples
from .schema import Look, TypeChange, look, type_change

__all__ = ["SOURCES", "bounds", "data_frame", "tell_first_entry"]

# DistRDF's head nodes whose ranges are opened here
SOURCES = {
    "EmptySourceHeadNode": "entries",
    "TreeHeadNode": "tree",
    "RDatasetSpecHeadNode": "spec",
    "RNTupleHeadNode": "rntuple",
}
Pair = tuple[str, str, int | None]  # a file, the key of the tree in it, and which of the dataset's samples it belongs to


def tell_first_entry(entry: int) -> None:
    """Set the C++ variable ``rdf_lithops::first_entry``."""
    import ROOT

    ROOT.rdf_lithops.first_entry = entry % 2**64


def data_frame(source: str, item: Any) -> Any:  # decision 93
    """Return DistRDF's TaskObjects of a range that ``ranges.from_fields`` made: a data frame, and the entries of its files.

    There is no frame where there is nothing to read. Raises TypeChange where something would be read wrongly.
    """
    from ROOT._distrdf import Ranges
    from ROOT._distrdf.HeadNode import TaskObjects

    if source == "entries":
        return TaskObjects(_entries(item), None)
    reference = item.shared.get("reference") or {}
    seen = [_look(source, name, tree, reference) for name, tree in zip(item.filenames, item.treenames, strict=True)]
    own = slice(item.first_file_idx, item.last_file_idx)
    start, end = bounds(item, seen)
    pairs = list(zip(item.filenames, item.treenames, seen, strict=True))
    entries = {f"{name}/{tree}": each.entries for name, tree, each in pairs[own]}
    counted = Ranges.TaskTreeEntries(end - start, entries)
    if start == end and not (item.shared.get("is_empty") and item.id == 0):
        return TaskObjects(None, counted)
    compiled_for = next((index for index, each in enumerate(seen) if each.entries), 0)  # friends may begin before our own
    for index in {compiled_for, *range(*own.indices(len(seen)))}:
        _check_types(source, reference, item.filenames[index], seen[index])
    if item.friendinfo is not None:
        _check_friends(item, reference)
    positions = item.positions or [None] * len(item.filenames)
    files = list(zip(item.filenames, item.treenames, positions, strict=True))[: _reached(seen, start, end)]
    before = _stands_before(source, item, reference, seen)
    if before is not None:
        files, start, end = [before, *files], start + reference["entries"], end + reference["entries"]
        tell_first_entry(item.first_entry - reference["entries"])
    if item.shared.get("tells_samples"):
        samples.tell(_local_samples(item, pairs))
    if source == "rntuple":
        held = [reference["entries"]] * (before is not None) + [each.entries for each in seen]
        held = held[: len(files)]
        return TaskObjects(_ntuple(files, held, start, end), counted)
    named_otherwise = (each.name != tree.rpartition("/")[2] for each, tree in zip(seen, item.treenames, strict=True))
    is_odd = any(named_otherwise) or reference.get("is_odd", False) or any("#" in name for name in item.filenames)
    is_odd = source == "tree" and item.friendinfo is None and is_odd
    return TaskObjects(_tree(item, files, start, end, is_odd), counted)


def _look(source: str, name: str, tree: str, reference: dict[str, Any]) -> Look:
    return look(name, tree, reference.get("columns", ()), source == "rntuple")


def bounds(item: Any, seen: Sequence[Look]) -> tuple[int, int]:
    """Return the first entry of the range and the one behind it, in the chain of all that it opens; the same where it is
    empty."""
    first, last = item.first_file_idx, item.last_file_idx - 1
    before = list(itertools.accumulate((each.entries for each in seen), initial=0))
    starts, ends = item.first_tree_start_perc, item.last_tree_end_perc
    if first == last:
        start, end, _ = _in_clusters(starts, ends, seen[first])
    else:
        start, end = _in_clusters(starts, 1, seen[first])[0], _in_clusters(0, ends, seen[last])[1]
    return before[first] + start, max(before[first] + start, before[last] + end)


def _reached(seen: Sequence[Look], start: int, end: int) -> int:
    """How many files a range needs. ROOT looks into the one behind its end, too, and fails over a column that it lacks."""
    ends = list(itertools.accumulate(each.entries for each in seen))
    return bisect.bisect_left(ends, end) + 1 if start < end else len(ends)


def _in_clusters(start: float, end: float, seen: Look) -> tuple[int, int, int]:
    from ROOT._distrdf import Ranges

    found: tuple[int, int, int] = Ranges.get_entryrange_at_cluster_boundaries(start, end, seen.entries, seen.boundaries)
    return found


def _check_types(source: str, reference: dict[str, Any], name: str, seen: Look) -> None:
    """Raise TypeChange for a file ``name`` that cannot be read as the dataset's first one is."""
    if not reference or not seen.entries:
        return
    missing = sorted(reference["types"].keys() - seen.types.keys())
    if source != "rntuple":  # whose fields ROOT converts, or refuses by itself
        wrong = type_change(reference["types"], reference["file"], seen.types, name)
    elif missing:  # which would abort ROOT
        wrong = f"field {missing[0]!r} of {reference['file']} is not in {name}: an RNTuple's files need the same fields"
    else:
        wrong = ""
    if wrong:
        raise TypeChange(wrong)


def _check_friends(item: Any, reference: dict[str, Any]) -> None:
    """Check the friends' files as ``_check_types`` does; narrowed ones must hold the columns that the first file holds."""
    for (_, names, trees), known in zip(_friends(item.friendinfo), reference.get("friends", ()), strict=False):
        for name, tree in zip(names, trees, strict=False):
            seen = look(name, tree, known["columns"], False)
            wrong = type_change(known["types"], known["file"], seen.types, name) if seen.entries else ""
            if not wrong and item.is_narrow and seen.entries and seen.types.keys() != known["types"].keys():
                name_of = min(seen.types.keys() ^ known["types"].keys())
                wrong = f"column {name_of!r} is not in all files of a friend ({known['file']}, {name})"
            if wrong:
                raise TypeChange(wrong)


def _stands_before(source: str, item: Any, reference: dict[str, Any], seen: Sequence[Look]) -> Pair | None:
    """Return the file for which the range is compiled, if that is not its own first one and holds other columns."""
    if not reference or (item.friendinfo is not None and not item.is_narrow):
        return None
    first = next((each for each in seen if each.entries or source == "rntuple"), seen[0])
    alike = first.types == reference["types"] if source == "rntuple" else first.types.keys() == reference["types"].keys()
    if alike or not reference["entries"]:
        return None
    if item.is_narrow:  # its friends would not stand beside its own entries any more
        raise TypeChange(f"{item.filenames[0]} has other columns than {reference['file']}, and friends")
    return reference["file"], reference["tree"], reference["sample"]


def _local_samples(item: Any, pairs: Sequence[tuple[str, str, Look]]) -> list[tuple[str, tuple[int, int], int, int]]:
    """Return what local RDataFrame tells of each file: all of its entries, or the range of the specification."""
    given = item.shared.get("entry_range")
    numbers = [-1 if at is None else item.shared["samples"][at]["number"] for at in item.positions or [None] * len(pairs)]
    return [
        (
            "/".join([name, *tree.split("/")[:-1], each.name]),
            (given[0], given[1]) if given else (0, each.entries),
            given[1] if given else each.entries,
            number,
        )
        for (name, tree, each), number in zip(pairs, numbers, strict=True)
    ]


def _entries(item: Any) -> Any:
    """The graph's frame, moved to the range: it does not know how many entries the dataset has, so it serves others."""
    import ROOT
    from ROOT._distrdf import _graph_cache

    if item.exec_id not in _graph_cache._RDF_REGISTER:
        _graph_cache._ACTIONS_REGISTER.pop(item.exec_id, None)  # they would be those of another frame
        _graph_cache._RDF_REGISTER[item.exec_id] = ROOT.RDataFrame(1)
    frame = _graph_cache._RDF_REGISTER[item.exec_id]
    ROOT.Internal.RDF.ChangeEmptyEntryRange(ROOT.RDF.AsRNode(frame), _pair()(item.start, item.end))
    return frame


@functools.cache
def _pair() -> Any:
    """What ROOT takes; of a tuple PyROOT makes one anew each time, in 3 ms."""
    import ROOT

    return ROOT.std.pair["ULong64_t", "ULong64_t"]


def _ntuple(files: Sequence[Pair], held: Sequence[int], start: int, end: int) -> Any:
    import ROOT

    names = [name for (name, _, _), entries in zip(files, held, strict=True) if entries]  # ROOT 6.40 crashes in empty ones
    if not names:
        return ROOT.RDataFrame(files[0][1], [name for name, _, _ in files])
    return ROOT.Internal.RDF.FromRNTuple(files[0][1], names, (start, end))


def _tree(item: Any, files: Sequence[Pair], start: int, end: int, is_odd: bool) -> Any:
    """Return a frame of the range's own where a tree's key is not its name; else the graph's, moved to the range."""
    import ROOT
    from ROOT._distrdf import _graph_cache

    has_masks, indices = bool(item.shared.get("has_masks")), item.shared.get("friend_indices")
    if is_odd or has_masks or indices:
        _graph_cache._RDF_REGISTER.pop(item.exec_id, None)
        _graph_cache._ACTIONS_REGISTER.pop(item.exec_id, None)
        return _of_chain(files, start, end, files[0][1] if has_masks else "", _friends(item.friendinfo), indices)
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    for position, group in itertools.groupby(files, key=lambda pair: pair[2]):
        pairs = list(group)
        trees, names = [tree for _, tree, _ in pairs], [name for name, _, _ in pairs]
        spec.AddSample(_sample(item, position, trees, names))
    if end > start:
        spec.WithGlobalRange((start, end))
    for alias, names, trees in _friends(item.friendinfo):
        spec.WithGlobalFriends(trees, names, alias)
    if item.exec_id not in _graph_cache._RDF_REGISTER:
        _graph_cache._ACTIONS_REGISTER.pop(item.exec_id, None)  # they would be those of another frame
        _graph_cache._RDF_REGISTER[item.exec_id] = ROOT.RDataFrame(spec)
    else:
        node = ROOT.RDF.AsRNode(_graph_cache._RDF_REGISTER[item.exec_id])
        ROOT.Internal.RDF.ChangeSpec(node, ROOT.std.move(spec))
    return _graph_cache._RDF_REGISTER[item.exec_id]


def _sample(item: Any, position: int | None, trees: list[str], names: list[str]) -> tuple[Any, ...]:
    """Return what RDatasetSpec takes: a name, trees and files, and the metadata of a sample that has some."""
    if position is None:
        return ("", trees, names)
    sample = item.samples_of_dataset[position]._sample
    return (sample.GetSampleName(), trees, names, sample.GetMetaData())


def _friends(info: Any) -> list[tuple[str, list[str], list[str]]]:
    """Return the alias, the files and the trees of each friend."""
    if info is None:
        return []
    triples = zip(info.fFriendNames, info.fFriendFileNames, info.fFriendChainSubNames, strict=True)
    return [(alias, names, list(trees) or [name] * len(names)) for (name, alias), names, trees in triples]


_chains: list[Any] = []  # those that the newest frame reads: ROOT's frames do not own them


def _of_chain(
    files: Sequence[Pair],
    start: int,
    end: int,
    name: str,
    friends: Sequence[tuple[str, list[str], list[str]]],
    indices: Sequence[Sequence[str] | None] | None,
) -> Any:
    """Return a frame over a chain of that ``name``, by which ROOT finds masks; a specification has no name, and no index for
    its friends."""
    import ROOT

    chains = [_chain(name, [(file, tree) for file, tree, _ in files])]
    for (alias, names, trees), index in zip(friends, indices or itertools.repeat(None), strict=False):
        chains.append(_chain(trees[0], list(zip(names, trees, strict=True))))
        if index is not None:
            chains[-1].BuildIndex(*index)
        chains[0].AddFriend(chains[-1], alias)
    _chains[:] = chains
    frame = ROOT.RDataFrame(chains[0])
    ROOT.Internal.RDF.ChangeBeginAndEndEntries(ROOT.RDF.AsRNode(frame), start, end)
    return frame


def _chain(name: str, files: Sequence[tuple[str, str]]) -> Any:
    import ROOT

    chain = ROOT.TChain(name)
    for file, tree in files:
        chain.AddFile(file, ROOT.TTree.kMaxEntries, tree)
    return chain
