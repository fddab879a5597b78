"""How a dataset lies on disk, as a value, and where that is cut into ranges: the arithmetic. Pure: no ROOT, no Lithops.

    files ──survey──> FileLayout: clusters, each with its entries and the compressed bytes of the columns that are read
                          │
                          └─ cut(layouts, count, load) ──> Piece: whole clusters, in order, of about the same load

A cluster is what ROOT reads and decompresses at once. Two ranges that share one both pay for all of it, so pieces end
where clusters do.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["EVEN", "FileLayout", "Load", "Piece", "cluster_loads", "cut", "even_count", "even_edges", "unevenness"]

EVEN = 0.15  # parts whose loads are this near to their mean are taken for even
SWEEPS = 4  # over the cuts, each of which is put to the middle between its neighbours
Load = Callable[[int, int, int], float]  # (entries, bytes, files opened) -> seconds, or any other measure of work


@dataclass(frozen=True)
class FileLayout:
    """One tree in one file, cluster by cluster.

    ``ends`` are, for each cluster, the number of the entry after its last one; ``read_bytes`` the compressed bytes of the
    columns that are read; ``has`` is the same number for trees that have the same of the columns that were asked for.
    """

    file: str
    tree: str
    ends: tuple[int, ...]
    read_bytes: tuple[int, ...]
    has: int = 0

    @property
    def entries(self) -> int:
        """The number of entries of the tree."""
        return self.ends[-1] if self.ends else 0


@dataclass(frozen=True)
class Piece:
    """Whole clusters in a row: from entry ``start`` of file ``first_file`` up to, and without, entry ``end`` of file
    ``last_file``.

    Files are indices into the dataset's list; both belong to the piece. ``start`` and ``end`` count within their files.
    ``first_entry`` is the entry number, in the dataset, of the first file's first entry. Files without entries belong to the
    piece before them. ``load`` is in the unit of the Load that it was cut by.
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
    clusters = _all_clusters(layouts, load)
    if not clusters:
        return [Piece(0, len(layouts) - 1, 0, 0, 0, 0, 0, 0, load(0, 0, len(layouts)))]
    edges = even_edges([cluster.load for cluster in clusters], count)
    parts = [clusters[start:end] for start, end in itertools.pairwise(edges)]
    before = list(itertools.accumulate((layout.entries for layout in layouts), initial=0))
    return [
        _piece(part, parts[number + 1] if number + 1 < len(parts) else None, number == 0, before, len(layouts))
        for number, part in enumerate(parts)
    ]


def cluster_loads(layouts: Sequence[FileLayout], load: Load) -> list[float]:
    """Return the load of each cluster of the dataset: no piece can have a smaller one."""
    return [cluster.load for cluster in _all_clusters(layouts, load)]


def _all_clusters(layouts: Sequence[FileLayout], load: Load) -> list[_Cluster]:
    return [cluster for index, layout in enumerate(layouts) for cluster in _clusters(index, layout, load)]


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
    """Cut a row of loads into ``count`` parts (fewer, if there are fewer loads); return the indices of the cuts, from 0 to
    the end.

    The heaviest part is as light as it can be. Within that, each cut is the one nearest to its share of the sum, or to the
    middle between its neighbours, where that is more even.
    """
    before = list(itertools.accumulate(loads, initial=0.0))
    wanted = min(max(1, count), len(loads))
    most = _lightest_maximum(before, max(loads, default=0.0), wanted)
    earliest, edges = _earliest_edges(before, most, wanted), [0]
    for number in range(1, wanted):
        latest = min(_furthest(before, edges[-1], most), len(loads) - wanted + number)
        edges.append(min(max(_nearest(before, before[-1] * number / wanted), earliest[number], edges[-1] + 1), latest))
    edges += [len(loads)] if wanted else []
    for position in [*range(1, len(edges) - 1)] * SWEEPS:
        start, end = edges[position - 1], edges[position + 1]
        edges[position] = min(max(_nearest(before, (before[start] + before[end]) / 2), start + 1), end - 1)
    return edges


def even_count(loads: Sequence[float], count: int) -> int:  # decision 80
    """Return into how many parts, ``count`` at most, to cut a row of loads: fewer, if those are more even and hardly
    heavier.

    Two clusters each for eighteen workers take as long as two each for four workers and one each for twenty-eight.
    """
    if not loads or _unevenness_of(loads, count) <= EVEN:
        return count
    before = list(itertools.accumulate(loads, initial=0.0))
    most = max(_parts_of(before, even_edges(loads, count)))
    fewer = (_fewest(before, most * (1 + EVEN * share / 3)) for share in range(4))
    candidates = [count, *(each for each in fewer if each < count)]
    even = (each for each in candidates if _unevenness_of(loads, each) <= EVEN)
    return next(even, min(candidates, key=lambda each: _unevenness_of(loads, each)))


def unevenness(parts: Sequence[float]) -> float:
    """Return how far the farthest of ``parts`` is from their mean, as a fraction of the mean; 0 for none."""
    mean = sum(parts) / max(1, len(parts))
    return max((abs(part / mean - 1) for part in parts), default=0.0) if mean > 0 else 0.0


def _unevenness_of(loads: Sequence[float], count: int) -> float:
    return unevenness(_parts_of(list(itertools.accumulate(loads, initial=0.0)), even_edges(loads, count)))


def _parts_of(before: list[float], edges: Sequence[int]) -> list[float]:
    return [before[end] - before[start] for start, end in itertools.pairwise(edges)]


def _lightest_maximum(before: list[float], least: float, count: int) -> float:
    """Return the least value that no part of some cut into ``count`` parts exceeds; no part can be below ``least``."""
    low = max(least, before[-1] / max(1, count))
    if _fewest(before, low) <= count:
        return low
    high = low + least  # what cuts at equal shares would give
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _fewest(before, middle) <= count else (middle, high)
    return high


def _fewest(before: list[float], most: float) -> int:
    """Return how few parts of at most this load hold everything."""
    start = parts = 0
    while start < len(before) - 1:
        start, parts = _furthest(before, start, most), parts + 1
    return parts


def _furthest(before: list[float], start: int, most: float) -> int:
    """Return the last index at which a part that begins at ``start`` may end; a part holds one load at least."""
    return min(max(bisect_right(before, before[start] + most) - 1, start + 1), len(before) - 1)


def _earliest_edges(before: list[float], most: float, count: int) -> list[int]:
    """Return, for each edge, the first index from which on the parts behind it hold what is left."""
    found = [len(before) - 1]
    for left in range(count - 1, -1, -1):
        found.append(max(left, min(bisect_left(before, before[found[-1]] - most), found[-1] - 1)))
    return found[::-1]


def _nearest(before: list[float], value: float) -> int:
    """Return the index whose sum is nearest to ``value``."""
    after = min(bisect_left(before, value), len(before) - 1)
    return after if after == 0 or before[after] - value <= value - before[after - 1] else after - 1
