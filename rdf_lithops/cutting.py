"""DistRDF's ranges, cut by what they cost instead of by percentages of files. One of the seams with ROOT.

DistRDF's own range says "from this fraction of the first file to that fraction of the last", and the worker rounds both up
to the next cluster. Here the fractions are chosen so that they round to the very clusters at which a piece was cut
(``Cut``). So nothing on the far side changes: friends, samples, RNTuple and the check that each entry was processed once
are DistRDF's own; and should a file have changed since it was surveyed, ranges still tile it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# isort: split
from ROOT._distrdf import HeadNode, Ranges

from . import survey
from .columns import columns_read
from .layout import FileLayout, Load, Piece, cut

__all__ = ["CutRange", "cut_by_load", "fraction", "reads_files"]

logger = logging.getLogger(__name__)

SMALL_BYTES = 16 * 2**20  # a dataset on this machine that is read in a blink: a survey would take as long


@dataclass
class CutRange(Ranges.TreeRangePerc):  # type: ignore[misc]  # ROOT has no type information
    """DistRDF's range of files, with the piece of the dataset that it stands for."""

    piece: Piece


def reads_files(head: Any) -> bool:
    """Whether the dataset of DistRDF's head node lies in files that it cuts by percentages."""
    return isinstance(head, (HeadNode.TreeHeadNode, HeadNode.RDatasetSpecHeadNode, HeadNode.RNTupleHeadNode))


def cut_by_load(head: Any, wanted: bool | None, is_free: bool, load: Load, count: Callable[[float], int]) -> list[Any]:
    """The ranges of ``head``: as many as the user asked for, or ``count`` of the whole load; DistRDF's if not surveyed.

    ``wanted`` asks for a survey or forbids it; None leaves it out where calls are free and the files are small.
    """
    ranges = list(type(head)._build_ranges(head))
    files, trees = [str(name) for name in head.inputfiles], [str(name) for name in _trees(head)]
    size = survey.size_on_disk(files)
    if wanted is None:
        wanted = size is None or size >= SMALL_BYTES or not is_free
    is_ntuple = isinstance(head, HeadNode.RNTupleHeadNode)
    layouts = survey.read_layouts(files, trees, columns_read(head.graph_nodes), is_ntuple) if wanted else None
    if layouts is None:
        return ranges
    whole = load(sum(each.entries for each in layouts), sum(sum(each.read_bytes) for each in layouts), len(layouts))
    asked = head.npartitions if head._user_specified_npartitions else count(whole)
    pieces = cut(layouts, asked, load)
    logger.debug("%d files, %.3g s of work, %d ranges", len(layouts), whole, len(pieces))
    return [_range(head, number, piece, layouts, files, trees) for number, piece in enumerate(pieces)]


def _trees(head: Any) -> Any:
    return head.subnames if isinstance(head, HeadNode.RNTupleHeadNode) else head.subtreenames


def _range(head: Any, number: int, piece: Piece, layouts: list[FileLayout], files: list[str], trees: list[str]) -> Any:
    """As DistRDF makes them: with friends each range has all files, without them its own."""
    friends, samples = getattr(head, "friendinfo", None), getattr(head, "sampleMap", None)
    own = slice(piece.first_file, piece.last_file + 1)
    held = slice(None) if friends is not None else own
    return CutRange(
        head.exec_id,
        number,
        trees[held],
        files[held],
        piece.first_file if friends is not None else 0,
        piece.last_file + 1 if friends is not None else own.stop - own.start,
        fraction(piece.start, layouts[piece.first_file].entries),
        fraction(piece.end, layouts[piece.last_file].entries),
        friends,
        None
        if samples is None
        else [samples.get(f"{file}/{tree}") for file, tree in zip(files[held], trees[held], strict=True)],
        piece,
    )


def fraction(entry: int, entries: int) -> float:
    """The fraction of a file that DistRDF takes for the cluster which begins at ``entry``.

    It computes ``int(fraction * entries)`` and goes to the next cluster: a quarter of an entry more than the exact value
    survives both roundings, up to 2**49 entries.
    """
    return 1.0 if entry == entries else 0.0 if entry == 0 else (entry + 0.25) / entries
