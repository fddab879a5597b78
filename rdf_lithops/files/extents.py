"""Byte extents of remote objects: which ones to fetch, and a bounded cache of those that were. Knows no network, no ROOT.

An extent is a pair (start, end) of byte positions, end excluded.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Cache", "Cached", "merge_near", "split", "subtract", "union"]

Extent = tuple[int, int]

WASTE = 0.1  # of what is wanted: bytes between extents that may travel too, to save requests
FEW_REQUESTS = 256  # more than these are merged further, up to once more what is wanted
PART_BYTES = 4 << 20  # longer extents travel in parallel parts


def union(extents: Iterable[Extent]) -> list[Extent]:
    """Return the same bytes as sorted, disjoint extents that do not touch."""
    merged: list[Extent] = []
    for start, end in sorted(extents):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def subtract(extents: Sequence[Extent], present: Sequence[Extent]) -> list[Extent]:
    """Return what of ``extents`` is not in ``present``; both, and the result, are sorted and disjoint."""
    left = []
    for start, end in extents:
        at = max(0, bisect.bisect_right(present, (start, 1 << 62)) - 1)
        for there_start, there_end in present[at:]:
            if there_start >= end:
                break
            if there_end <= start:
                continue
            if there_start > start:
                left.append((start, there_start))
            start = there_end
        if start < end:
            left.append((start, end))
    return left


def merge_near(extents: Sequence[Extent]) -> list[Extent]:  # decision 31
    """Bridge the smallest gaps between sorted, disjoint ``extents``: the bytes wasted stay below WASTE of those wanted, or
    below all of those wanted as long as more than FEW_REQUESTS extents are left."""
    wanted = sum(end - start for start, end in extents)
    gaps = sorted((extents[i + 1][0] - extents[i][1], i) for i in range(len(extents) - 1))
    bridged: set[int] = set()
    wasted = 0
    for gap, i in gaps:
        wasted += gap
        crowded = len(extents) - len(bridged) > FEW_REQUESTS
        if wasted > wanted * (1 if crowded else WASTE):
            break
        bridged.add(i)
    merged: list[Extent] = []
    for i, (start, end) in enumerate(extents):
        if i - 1 in bridged:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def split(extents: Iterable[Extent], part_bytes: int = PART_BYTES) -> list[Extent]:
    """Return the same bytes in extents of at most ``part_bytes``."""
    return [(at, min(at + part_bytes, end)) for start, end in extents for at in range(start, end, part_bytes)]


class Cached:
    """What is here of one version of an object: a sparse file, and the extents of it that are filled in. Thread-safe.

    The file is opened for each use: there may be more objects than a process may have open files.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.bytes = 0
        self._present: list[Extent] = []
        self._dropped = False
        self._lock = threading.Lock()

    def missing(self, extents: Sequence[Extent]) -> list[Extent]:
        """Return what of ``extents`` (sorted, disjoint) is not here."""
        with self._lock:
            return subtract(extents, self._present)

    def copy(self, start: int, into: memoryview) -> list[Extent]:
        """Fill ``into`` with the bytes from ``start`` on, as far as they are here; return the extents that are not."""
        with self._lock:
            wanted = [(start, start + len(into))]
            left = subtract(wanted, self._present)
            there = subtract(wanted, left)
            if there:
                with open(self.path, "rb", buffering=0) as stream:
                    for begin, end in there:
                        if os.preadv(stream.fileno(), [into[begin - start : end - start]], begin) != end - begin:
                            raise OSError(f"{self.path} has lost bytes {begin} to {end}")
            return left

    def store(self, start: int, buffers: Iterable[Any]) -> int:
        """Keep ``buffers``, buffers that follow one another from ``start`` on; return by how many bytes that is more than
        before.

        Raises OSError when the disk is full, and what ``buffers`` raises.
        """
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = start
        try:
            for buffer in buffers:
                with self._lock:
                    end = self._write(descriptor, memoryview(buffer), end)
        finally:
            os.close(descriptor)
        with self._lock:
            if self._dropped:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)  # which has been made anew
                return 0
            before, self._present = self.bytes, union([*self._present, (start, end)])
            self.bytes = sum(stop - begin for begin, stop in self._present)
            return self.bytes - before

    def _write(self, descriptor: int, data: memoryview, at: int) -> int:
        """Write ``data`` at byte ``at``; return where it ends.

        Nothing is written once the file was cut short: its readers must meet an end, and not a hole.
        """
        written = len(data) if self._dropped else 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], at + written)
        return at + len(data)

    def drop(self) -> int:
        """Forget everything, now and later, and give the disk back; return how many bytes that were."""
        with self._lock:
            dropped, self.bytes, self._present, self._dropped = self.bytes, 0, [], True
            with contextlib.suppress(FileNotFoundError):
                os.truncate(self.path, 0)  # whoever has it open meets its end, and the disk has its room
                os.unlink(self.path)
            return dropped


class Cache:
    """Extents of many objects, at most ``limit_bytes`` in all; those of the object that was used longest ago go first.
    Thread-safe."""

    def __init__(self, folder: str, limit_bytes: int) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.folder, self.limit_bytes, self.bytes = folder, limit_bytes, 0
        self._objects: OrderedDict[str, Cached] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str) -> Cached:
        """Return what is here of the object (and version) ``name``."""
        with self._lock:
            if name not in self._objects:
                path = os.path.join(self.folder, f"{hashlib.sha256(name.encode()).hexdigest()[:24]}-{os.urandom(4).hex()}")
                self._objects[name] = Cached(path)
            self._objects.move_to_end(name)
            return self._objects[name]

    def keep(self, cached: Cached, start: int, buffers: Iterable[Any]) -> None:
        """Store ``buffers`` (see Cached.store), and make room for them.

        When the disk is full, all that is kept goes, and nobody fails for that. Raises what ``buffers`` raises.
        """
        try:
            more = cached.store(start, buffers)
        except OSError:
            more, limit_bytes = 0, 0
        else:
            limit_bytes = self.limit_bytes
        with self._lock:
            self.bytes += more
            while self.bytes > limit_bytes and self._objects:
                _, oldest = self._objects.popitem(last=False)
                self.bytes -= oldest.drop()
