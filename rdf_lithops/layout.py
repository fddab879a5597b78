"""How a dataset lies on disk, as a value, and where it is cut into ranges. Pure: no ROOT, no Lithops.

    files ──survey──> FileLayout: clusters, each with its entries and the compressed bytes of the columns that are read
                          │
                          └─ cut(layouts, count, load) ──> Piece: whole clusters, in order, of about the same load

A cluster is what ROOT reads and decompresses at once. Two ranges that share one both pay for all of it, so pieces end
where clusters do.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["FileLayout", "Load", "Piece", "cut", "even_edges"]

Load = Callable[[int, int, int], float]  # (entries, bytes, files opened) -> seconds, or any other measure of work


@dataclass(frozen=True)
class FileLayout:
    """One tree in one file: of each cluster the entry after its last one, and the compressed bytes of what is read."""

    file: str
    tree: str
    ends: tuple[int, ...]
    read_bytes: tuple[int, ...]

    @property
    def entries(self) -> int:
        """Entries of the tree."""
        return self.ends[-1] if self.ends else 0


@dataclass(frozen=True)
class Piece:
    """Whole clusters in a row: from entry ``start`` of file ``first_file`` up to entry ``end`` of file ``last_file``.

    Both files belong to it; ``start`` and ``end`` count within their files. ``first_entry`` is the entry number, in the
    dataset, of the first file's first entry. Files without entries belong to the piece before them.
    """

    first_file: int
    last_file: int
    start: int
    end: int
    first_entry: int
    clusters: int
    entries: int
    read_bytes: int
    load: float


@dataclass(frozen=True)
class _Cluster:
    file: int
    start: int
    end: int
    read_bytes: int
    load: float


def cut(layouts: Sequence[FileLayout], count: int, load: Load) -> list[Piece]:
    """Cut a dataset into ``count`` pieces of about the same load, none empty, which hold each entry once, in order.

    There are fewer where the dataset has fewer clusters, and one where it has no entries at all.
    """
    clusters = [cluster for index, layout in enumerate(layouts) for cluster in _clusters(index, layout, load)]
    if not clusters:
        return [Piece(0, len(layouts) - 1, 0, 0, 0, 0, 0, 0, load(0, 0, len(layouts)))]
    edges = even_edges([cluster.load for cluster in clusters], count)
    parts = [clusters[start:end] for start, end in itertools.pairwise(edges)]
    before = list(itertools.accumulate((layout.entries for layout in layouts), initial=0))
    return [
        _piece(part, parts[number + 1] if number + 1 < len(parts) else None, number == 0, before, len(layouts))
        for number, part in enumerate(parts)
    ]


def _clusters(index: int, layout: FileLayout, load: Load) -> list[_Cluster]:
    starts = (0, *layout.ends)
    return [
        _Cluster(index, start, end, size, load(end - start, size, int(start == 0)))
        for start, end, size in zip(starts, layout.ends, layout.read_bytes, strict=False)
    ]


def _piece(part: list[_Cluster], following: list[_Cluster] | None, leading: bool, before: list[int], files: int) -> Piece:
    last_file = files - 1 if following is None else following[0].file - (following[0].start == 0)
    first_file = 0 if leading else part[0].file
    return Piece(
        first_file,
        last_file,
        0 if leading else part[0].start,
        part[-1].end if last_file == part[-1].file else 0,
        before[first_file],
        len(part),
        sum(cluster.end - cluster.start for cluster in part),
        sum(cluster.read_bytes for cluster in part),
        sum(cluster.load for cluster in part),
    )


def even_edges(loads: Sequence[float], count: int) -> list[int]:
    """Where to cut a row of loads into ``count`` parts (fewer, if there are fewer loads), as indices from 0 to the end.

    Each cut is the one nearest to its share of the sum, so a part differs from the mean by one load at most, unless a
    single load is larger than that. Where such a load leaves cuts over, they go to the heaviest parts.
    """
    before = list(itertools.accumulate(loads, initial=0.0))
    wanted = min(max(1, count), len(loads))
    shares = (before[-1] * number / wanted for number in range(1, wanted))
    edges = {0, len(loads), *(_nearest(before, share, 0, len(loads)) for share in shares)}
    heaviest = [_part(before, start, end) for start, end in itertools.pairwise(sorted(edges))]
    heapq.heapify(heaviest)
    while len(edges) - 1 < wanted:
        _, start, end = heapq.heappop(heaviest)
        if end - start > 1:
            middle = min(max(_nearest(before, (before[start] + before[end]) / 2, start, end), start + 1), end - 1)
            edges.add(middle)
            heapq.heappush(heaviest, _part(before, start, middle))
            heapq.heappush(heaviest, _part(before, middle, end))
    return sorted(edges)


def _part(before: list[float], start: int, end: int) -> tuple[float, int, int]:
    return before[start] - before[end], start, end


def _nearest(before: list[float], value: float, low: int, high: int) -> int:
    """The index between ``low`` and ``high`` whose sum is nearest to ``value``."""
    after = min(bisect_left(before, value, low, high + 1), high)
    return after if after == low or before[after] - value <= value - before[after - 1] else after - 1
