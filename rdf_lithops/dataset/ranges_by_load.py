"""DistRDF's ranges, which mean what ``layout`` has cut instead of percentages of files. One of the seams with ROOT.

DistRDF's own range says "from this fraction of the first file to that fraction of the last", and the worker rounds both up
to the next cluster. Here the fractions are chosen so that they round to the very clusters at which a piece was cut
(``Cut``). So nothing on the far side changes: friends, samples, RNTuple and the check that each entry was processed once
are DistRDF's own. With friends DistRDF gives
all files to each range, and opens them there; here a range has those that it needs (``friends.py``).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# isort: split
from ROOT._distrdf import HeadNode, Ranges

from ..files.fingerprints import fingerprints
from ..frame.opening import bounds
from ..frame.schema import Look
from . import survey
from .columns import columns_named, columns_read
from .friends import Friend, entries_before, first_needed, narrowed
from .layout import FileLayout, Load, Piece, cluster_loads, cut, even_count
from .look_cache import looked

__all__ = ["CutRange", "cut_by_load", "empty_range", "fraction", "has_no_entries", "reads_files"]

logger = logging.getLogger(__name__)

FEW_FILES = 16  # more of them fill any number of ranges, and looking into each takes a while
SMALL_BYTES = 16 * 2**20  # a dataset on this machine that is read in a blink: a survey would take as long


Pinned = Callable[[list[str]], contextlib.AbstractContextManager[dict[str, str]]]


@dataclass
class CutRange(Ranges.TreeRangePerc):  # type: ignore[misc]  # ROOT has no type information
    """DistRDF's range of files, with the piece of the dataset that it stands for.

    ``first_entry`` is the entry number, in the dataset, of its first file's first entry. ``is_narrow``: its list of friends
    has only the files that it needs. ``versions``, by name and of local files too, are those in which all this is true;
    ``file_entries`` the entries of each of its files.
    """

    piece: Piece
    first_entry: int = 0
    is_narrow: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    file_entries: list[int] = field(default_factory=list)  # of each of its files


@dataclass(frozen=True)
class _Files:
    """The files of a dataset and the tree in each; its friends (None: not known), and the versions that were looked at."""

    files: list[str]
    trees: list[str]
    layouts: list[FileLayout]
    friends: list[Friend] | None
    versions: dict[str, str]


def reads_files(head: Any) -> bool:
    """Return whether the dataset of DistRDF's head node lies in files that it cuts by percentages."""
    return isinstance(head, (HeadNode.TreeHeadNode, HeadNode.RDatasetSpecHeadNode, HeadNode.RNTupleHeadNode))


def empty_range(head: Any) -> list[Any]:
    """Return the one range of a dataset of no entries, of which DistRDF makes none."""
    return [Ranges.EmptySourceRange(head.exec_id, 0, 0, 0)]


def has_no_entries(head: Any) -> bool:
    """Return whether DistRDF's head node stands for a number of entries, and that number is 0."""
    return isinstance(head, HeadNode.EmptySourceHeadNode) and not head.nentries


def cut_by_load(
    head: Any,
    ranges: list[Any],
    wanted: bool | None,
    is_free: bool,
    load: Load,
    count: Callable[[float], int],
    pinned: Pinned,
) -> list[Any]:
    """Return the ranges of ``head``, cut by load; ``ranges``, DistRDF's own, if its files were not surveyed.

    There are as many as the user asked for, or ``count(load)`` for the load of the whole dataset, or fewer and more even
    ones. ``wanted`` asks for a survey or forbids it; None leaves it out where calls are free (``is_free``) and the files are
    small. While ``pinned(files)`` lasts, remote files are opened in the versions that it gives.
    """
    if wanted is None:
        size = survey.size_on_disk([str(name) for name in head.inputfiles])
        wanted = size is None or size >= SMALL_BYTES or not is_free
    surveyed = _surveyed(head, pinned) if wanted else None
    if surveyed is None:
        return ranges if wanted else _without_empty_ones(head, ranges)
    layouts = surveyed.layouts
    whole = load(sum(each.entries for each in layouts), sum(sum(each.read_bytes) for each in layouts), len(layouts))
    given = head.npartitions if head._user_specified_npartitions else None
    asked = even_count(cluster_loads(layouts, load), count(whole)) if given is None else given
    pieces = cut(layouts, asked, load)
    logger.debug("%d files, %.3g s of work, %d ranges", len(layouts), whole, len(pieces))
    return [_range(head, number, piece, surveyed) for number, piece in enumerate(pieces)]


def _without_empty_ones(head: Any, ranges: list[Any]) -> list[Any]:
    """Those of DistRDF's ``ranges`` of a few small files in which a cluster begins: a worker is of more use elsewhere.

    A file is in one of them still: DistRDF counts files when a run is over. All are left where a file cannot be read.
    """
    if len(head.inputfiles) > FEW_FILES or len(ranges) < 2 or any(item.friendinfo is not None for item in ranges):
        return ranges
    is_ntuple = isinstance(head, HeadNode.RNTupleHeadNode)
    columns = columns_named(head.graph_nodes)
    named = None if columns is None else sorted(columns)
    try:
        seen = {
            pair: looked(*pair, named, is_ntuple)
            for item in ranges
            for pair in zip(map(str, item.filenames), map(str, item.treenames), strict=True)
        }
    except RuntimeError:  # for the workers to say
        return ranges
    _number(ranges, seen)
    filled = [item for item in ranges if _has_entries(item, seen)]
    held = {str(name) for item in filled for name in _own_files(item)}
    return [item for item in ranges if item in filled or not held.issuperset(map(str, _own_files(item)))]


def _number(ranges: list[Any], seen: dict[tuple[str, str], Look]) -> None:
    """Tell each range the entries before its first file, as ``entries_before``: those of ranges that are left out count."""
    before = 0
    for item in ranges:
        item.entries_before = before
        pairs = list(zip(map(str, item.filenames), map(str, item.treenames), strict=True))
        before += sum(seen[pair].entries for pair in (pairs if item.last_tree_end_perc == 1 else pairs[:-1]))


def _own_files(item: Any) -> list[Any]:
    return list(item.filenames[item.first_file_idx : item.last_file_idx])


def _has_entries(item: Any, seen: dict[tuple[str, str], Look]) -> bool:
    pairs = zip(map(str, item.filenames), map(str, item.treenames), strict=True)
    start, end = bounds(item, [seen[pair] for pair in pairs])
    return end > start


def _surveyed(head: Any, pinned: Pinned) -> _Files | None:
    """Return what is in the files of ``head``, friends' included; None if one of the dataset's own is unreadable."""
    files, trees = [str(name) for name in head.inputfiles], [str(name) for name in _trees(head)]
    is_ntuple = isinstance(head, HeadNode.RNTupleHeadNode)
    columns, info = columns_read(head.graph_nodes), getattr(head, "friendinfo", None)
    theirs = [] if info is None else [str(name) for names in info.fFriendFileNames for name in names]
    with pinned([*files, *theirs]) as remote:
        versions = {**fingerprints([*files, *theirs]), **remote}
        layouts = survey.read_layouts(files, trees, columns, is_ntuple, versions)
        if layouts is None:
            return None
        # a range whose files have other columns than the dataset's first one is compiled for that, which stands before it:
        # friends of its own would then not stand beside its entries
        alike = len({each.has for each in layouts if each.entries}) < 2
        by_number = getattr(head, "rdf_lithops_friend_indices", None) is None  # else each range needs all of them
        friends = [] if info is None else _friends(info, versions) if alike and by_number else None
        return _Files(files, trees, layouts, friends, versions)


def _friends(info: Any, versions: dict[str, str]) -> list[Friend] | None:
    """Return the friends that ROOT's RFriendInfo names, with the entries of their files; None if one is unreadable."""
    found = []
    for (name, alias), names, subnames in zip(
        info.fFriendNames, info.fFriendFileNames, info.fFriendChainSubNames, strict=True
    ):
        files = tuple(map(str, names))
        trees = tuple(map(str, subnames)) or (str(name),) * len(files)
        layouts = survey.read_layouts(files, trees, frozenset(), False, versions)
        if layouts is None:
            return None
        found.append(Friend(str(name), str(alias), files, trees, entries_before(layouts)))
    return found


def _trees(head: Any) -> Any:
    return head.subnames if isinstance(head, HeadNode.RNTupleHeadNode) else head.subtreenames


def _range(head: Any, number: int, piece: Piece, known: _Files) -> Any:
    """Make range ``number`` as DistRDF does, with those files of the dataset and its friends that it needs."""
    friends, samples = getattr(head, "friendinfo", None), getattr(head, "sampleMap", None)
    before = entries_before(known.layouts)
    first: int | None = piece.first_file
    if friends is not None:
        first = None if known.friends is None else first_needed(before, known.friends, piece.first_file)
        if first is not None:
            friends = narrowed(known.friends or (), before[first], before[piece.last_file] + piece.end)
    held = slice(first, None if first is None else piece.last_file + 1)
    return CutRange(
        head.exec_id,
        number,
        known.trees[held],
        known.files[held],
        piece.first_file - (first or 0),
        piece.last_file + 1 - (first or 0),
        fraction(piece.start, known.layouts[piece.first_file].entries),
        fraction(piece.end, known.layouts[piece.last_file].entries),
        friends,
        None
        if samples is None
        else [samples.get(f"{file}/{tree}") for file, tree in zip(known.files[held], known.trees[held], strict=True)],
        piece,
        before[first or 0],
        friends is not None and first is not None,
        known.versions,
        [layout.entries for layout in known.layouts[held]],
    )


def fraction(entry: int, entries: int) -> float:  # decision 57
    """Return the fraction of a file that DistRDF takes for the cluster which begins at ``entry``.

    DistRDF computes ``int(fraction * entries)`` and goes to the next cluster: a quarter of an entry more than the exact
    value survives both roundings, up to 2**49 entries.
    """
    return 1.0 if entry == entries else 0.0 if entry == 0 else (entry + 0.25) / entries
