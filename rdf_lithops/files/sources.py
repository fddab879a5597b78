"""What a reader has of remote files: which versions are known, which of their bytes are here, and which on their way."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import object_stores, remote
from .extents import Cache, Cached, Extent, merge_near, split, subtract, union

__all__ = ["KeptGrant", "Source", "Sources", "Traffic"]

PARALLEL = 32  # requests at a time
MAX_KNOWN = 10_000
HEAD_BYTES = 32 << 10  # a file's beginning, which is read in small steps, comes at once
_SECRET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE")


class Traffic:  # decision 85
    """Bytes of files that travelled for somebody, and requests: counted when they are asked for, and mended where fewer
    come."""

    def __init__(self) -> None:
        self.bytes = self.requests = 0
        self._lock = threading.Lock()

    def add(self, count: int, requests: int = 0) -> None:
        """Count so many bytes more (fewer, where ``count`` is negative), in so many requests."""
        with self._lock:
            self.bytes += count
            self.requests += requests

    def mended(self, buffers: Iterable[Any], expected: int) -> Iterator[Any]:
        """Yield ``buffers``; take away again what of ``expected`` bytes, which are counted, has not come by their end."""
        came, ended = 0, False
        try:
            for buffer in buffers:
                came += len(buffer)
                yield buffer
            ended = True
        finally:
            if not ended:
                self.add(came - expected)

    @property
    def fields(self) -> dict[str, int]:
        """Return both counts as they are sent: bytes, and requests."""
        return {"bytes": self.bytes, "requests": self.requests}


class Source:
    """One version of a remote file, what is cached of it, and what is on its way."""

    def __init__(self, found: remote.RemoteObject, name: str, cached: Cached) -> None:
        self.found, self.name, self.cached = found, name, cached
        self.lock = threading.Lock()
        self.coming: dict[Extent, concurrent.futures.Future[None]] = {}


@dataclass(frozen=True)
class KeptGrant:
    """What the reader keeps of a run's grant (see access.Grant).

    What the run may use, the versions that it expects, signed URLs by the names that stand for them; what it opened, and
    what was fetched for it.
    """

    variables: dict[str, str]
    versions: dict[str, str]
    signed: dict[str, str]
    opened: dict[str, concurrent.futures.Future[Source]] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def digest(self) -> str:
        """A name for the variables, and nothing else of the grant."""
        return _digest(self.variables)

    @property
    def place(self) -> str:
        """A name for what URLs mean, whoever asks: who has shown that he may read a file may have what another one has read
        of it."""
        return _digest({name: value for name, value in self.variables.items() if name not in _SECRET})


def _digest(variables: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()


class Sources:
    """Remote files by grant and URL, and their bytes, kept in ``folder`` up to ``limit_bytes``. Any thread may call it."""

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self._cache = Cache(folder, limit_bytes)
        self._known: OrderedDict[tuple[str, str], Source] = OrderedDict()  # by digest of variables and URL
        self._fetching = concurrent.futures.ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch")
        self._opening = concurrent.futures.ThreadPoolExecutor(PARALLEL, thread_name_prefix="open")
        self._lock = threading.Lock()

    @property
    def cached_bytes(self) -> int:
        """The bytes that are kept of all files."""
        return self._cache.bytes

    def rest(self) -> None:
        """Give up the stores, which hold keys and open connections. What was read stays."""
        with self._lock:
            for source in self._known.values():
                source.found = dataclasses.replace(source.found, store=None)
        object_stores.give_up_stores()

    def expect(self, grant: KeptGrant, url: str) -> concurrent.futures.Future[Source]:
        """Begin to open the file of ``url`` in a thread of ours; return it as a future."""
        return self._opening.submit(self.open, grant, url)

    def open(self, grant: KeptGrant, url: str) -> Source:
        """Return the file of ``url`` as ``grant`` may have it. Raises AccessFailure."""
        source = self._found(grant, url)
        source.cached = self._cache.of(source.name)  # anew, if it had to make room; now it was used last
        found = source.found
        if found.tail:
            self._cache.keep(source.cached, found.size - len(found.tail), [found.tail])
            source.found = dataclasses.replace(found, tail=b"")
        if found.whole and source.cached.missing([(0, found.size)]):
            self._cache.keep(source.cached, 0, _buffers(found, 0, found.size, grant.traffic))
        return source

    def _found(self, grant: KeptGrant, url: str) -> Source:
        """Return the file's current version: known, or asked for. Raises AccessFailure."""
        place, expected = (grant.digest, url), grant.versions.get(url)
        with self._lock:
            known = self._known.get(place)
        if known is not None and known.found.identity == expected and known.found.store is not None:
            return known  # the driver has seen, for this run, that it is still this version
        signed = grant.signed.get(url, url)
        found = remote.open_object(signed, grant.variables, known.found if known is not None else None)
        grant.traffic.add(len(found.tail), requests=1)
        if expected is not None and found.identity != expected:
            raise remote.changed(url)
        if known is not None and found.identity == known.found.identity:
            known.found = found
            return known
        name = f"{grant.place} {url} {found.identity}"
        source = Source(found, name, self._cache.of(name))
        with self._lock:
            self._known[place] = source
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return source

    def request(
        self, source: Source, extents: Sequence[Extent], traffic: Traffic
    ) -> list[tuple[Extent, concurrent.futures.Future[None]]]:
        """Start to fetch what of ``extents`` is neither here nor on its way; return all of theirs that is on its way."""
        wanted = union(extents)
        if wanted and wanted[0][0] < HEAD_BYTES:
            wanted = union([(0, min(HEAD_BYTES, source.found.size)), *wanted])
        with source.lock:
            missing = subtract(source.cached.missing(wanted), union(source.coming))
            for start, end in split(merge_near(missing)):
                buffers = _buffers(source.found, start, end, traffic)
                source.coming[start, end] = self._fetching.submit(self._fetch, source, start, end, buffers)
            return [(place, future) for place, future in source.coming.items() if subtract(wanted, [place]) != wanted]

    def _fetch(self, source: Source, start: int, end: int, buffers: Iterator[Any]) -> None:
        try:
            self._cache.keep(source.cached, start, buffers)
        finally:
            with source.lock:
                source.coming.pop((start, end), None)

    def kept(self, source: Source, extents: Sequence[Extent], traffic: Traffic) -> bytes | None:
        """Return the path of the file that has all of ``extents``, once it does; None where they were not kept."""
        cached = source.cached
        for _, future in self.request(source, extents, traffic):
            future.result()
        return None if cached.missing(union(extents)) else os.fsencode(cached.path)

    @staticmethod
    def fill(source: Source, extents: Sequence[Extent], into: memoryview, traffic: Traffic) -> None:
        """Put the bytes of ``extents`` behind one another ``into``: what could not be kept is fetched, and not kept."""
        at = 0
        for start, end in extents:
            buffer = into[at : at + end - start]
            at += end - start
            for begin, stop in source.cached.copy(start, buffer):
                traffic.add(source.found.travelling(begin, stop), requests=1)
                buffer[begin - start : stop - start] = source.found.fetch(begin, stop)


def _buffers(found: remote.RemoteObject, start: int, end: int, traffic: Traffic) -> Iterator[Any]:
    """Yield bytes [start, end) as they arrive, and count them in ``traffic``."""
    expected = found.travelling(start, end)
    traffic.add(expected, requests=1)
    return traffic.mended(found.buffers(start, end), expected)
