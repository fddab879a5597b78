"""The reader: one process per machine that fetches extents of remote files for ROOT, and keeps what it fetched.

    ROOT in a slot or driver ──Unix socket, one connection per open file──> reader ──32 requests at a time──> S3, https
                             <─────────── a file of what was fetched ──────────┘

``ranged_file.h`` is the other end and says what is spoken. A control connection (``op`` in JSON) grants environment
variables (credentials among them: they stay in memory, and until soon after the last such connection is closed), announces
files that will be opened soon, asks what was fetched under its grant, or holds the process alive. It ends when its holder (a
driver) is gone, or after a while without connections. It knows no ROOT.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import faulthandler
import fcntl
import hashlib
import json
import os
import select
import shutil
import socket
import struct
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..processes import wire
from ..travels import sealed
from . import remote
from .extents import Cache, Cached, Extent, merge_near, split, subtract, union

__all__ = ["SOCKET_NAME", "Reader"]

SOCKET_NAME = "reader.sock"
OPEN, READ, AHEAD, CONTROL, SEND, SETTLE = 1, 2, 3, 4, 5, 6  # what a request is; see ranged_file.h
BYTES, REFUSED, KEPT = 0, 1, 2  # and an answer
PARALLEL = 32  # requests at a time
MAX_KNOWN = 10_000
HEAD_BYTES = 32 << 10  # a file's beginning, which is read in small steps, comes at once
REST_S = 5.0  # without any grant in force: stores, which hold keys and open connections, are given up
_REQUEST = struct.Struct("=II")
_ANSWER = struct.Struct("=QQ")
_SIZE = struct.Struct("=q")
_SECRET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE")


Arriving = concurrent.futures.Future[None]


class _Traffic:
    """Bytes of files that travelled for somebody, and requests: counted when asked for, and mended where fewer come."""

    def __init__(self) -> None:
        self.bytes = self.requests = 0
        self._lock = threading.Lock()

    def add(self, count: int, requests: int = 0) -> None:
        """``count`` bytes more, or fewer."""
        with self._lock:
            self.bytes += count
            self.requests += requests

    def mended(self, pieces: Iterable[Any], expected: int) -> Iterator[Any]:
        """``pieces``; what of ``expected`` bytes, which are counted, does not come before they end is taken away again."""
        came, ended = 0, False
        try:
            for piece in pieces:
                came += len(piece)
                yield piece
            ended = True
        finally:
            if not ended:
                self.add(came - expected)

    @property
    def plain(self) -> dict[str, int]:
        """As an answer has it."""
        return {"bytes": self.bytes, "requests": self.requests}


class _Source:
    """One version of a remote file, what is cached of it, and what is on its way."""

    def __init__(self, found: remote.RemoteObject, name: str, cached: Cached) -> None:
        self.found, self.name, self.cached = found, name, cached
        self.lock = threading.Lock()
        self.coming: dict[Extent, Arriving] = {}


@dataclass(frozen=True)
class _Grant:
    """What a run may use, the versions that it expects, signed URLs by the names that stand for them; what it opened, and
    what was fetched for it."""

    variables: dict[str, str]
    versions: dict[str, str]
    signed: dict[str, str]
    opened: dict[str, concurrent.futures.Future[_Source]] = field(default_factory=dict)
    traffic: _Traffic = field(default_factory=_Traffic)

    @property
    def digest(self) -> str:
        """Of the variables alone."""
        return _digest(self.variables)

    @property
    def place(self) -> str:
        """Names what URLs mean, whoever asks: what one has read, another may have who has shown that he may read it."""
        return _digest({name: value for name, value in self.variables.items() if name not in _SECRET})


def _digest(variables: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()


@dataclass
class _Client:
    """What a connection stands for: the file that it reads and who pays for it, the process that it holds, the grants that
    end with it."""

    source: _Source | None = None
    traffic: _Traffic = field(default_factory=_Traffic)
    held: bool = False
    grants: list[str] = field(default_factory=list)


class Reader:
    """Answers connections, each in a thread of its own."""

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self.cache = Cache(os.path.join(folder, "extents"), limit_bytes)
        self.grants: dict[str, _Grant] = {}
        self.known: OrderedDict[tuple[str, str], _Source] = OrderedDict()  # by digest of variables and URL
        self.fetching = concurrent.futures.ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch")
        self.opening = concurrent.futures.ThreadPoolExecutor(PARALLEL, thread_name_prefix="open")
        self.lock = threading.Lock()
        self.connections = 0
        self.holders = 0
        self.was_held = False
        self.at_rest = True
        self.last_use = time.monotonic()

    # -- connections --

    def attend(self, plug: socket.socket) -> None:
        """Serve one connection until it ends."""
        with self.lock:
            self.connections += 1
        client = _Client()
        try:
            while (head := _receive(plug, _REQUEST.size)) is not None:
                what, length = _REQUEST.unpack(head)
                body = _receive(plug, length)
                if body is None:
                    return
                if what == OPEN:
                    self._answer_open(plug, client, body.tobytes().decode())
                elif what == CONTROL:
                    self._control(plug, client, json.loads(body.tobytes()))
                elif what == SETTLE:  # by now what was asked for before is counted
                    plug.sendall(_ANSWER.pack(BYTES, 0))
                elif client.source is not None:
                    self._answer_read(plug, client, what, list(struct.iter_unpack("=qq", body)))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client died or was killed while it was answered: nobody is there to be told
        finally:
            plug.close()
            with self.lock:
                self.connections -= 1
                self.holders -= client.held
                for name in client.grants:
                    del self.grants[name]
                self.last_use = time.monotonic()

    def _control(self, plug: socket.socket, client: _Client, message: dict[str, Any]) -> None:
        """Do what a control message asks, and answer it."""
        answer: dict[str, Any] = {}
        if message["op"] == "grant":
            answer["grant"] = self._grant(client, _Grant(message["variables"], message["versions"], message["signed"]))
        elif message["op"] == "expect":
            for url in message["urls"]:
                self._expect(message["grant"], url)
        elif message["op"] == "hold":
            with self.lock:
                self.holders, self.was_held, client.held = self.holders + 1, True, True
        elif message["op"] == "fetched":
            with self.lock:
                answer = self.grants[message["grant"]].traffic.plain
        elif message["op"] == "facts":
            answer = {"cached_bytes": self.cache.bytes, "pid": os.getpid(), "at_rest": self.at_rest}
        encoded = json.dumps(answer).encode()
        plug.sendall(_ANSWER.pack(BYTES, len(encoded)) + encoded)

    def _grant(self, client: _Client, grant: _Grant) -> str:
        """Keep what a run was granted under a name that nobody guesses, as long as the connection that brought it."""
        name = os.urandom(16).hex()
        with self.lock:
            self.grants[name], self.at_rest = grant, False
            client.grants.append(name)
        return name

    def rest(self) -> None:
        """Give up what holds credentials, if nobody has been granted anything for a while. What was read stays."""
        with self.lock:
            if self.at_rest or self.grants or time.monotonic() - self.last_use < REST_S:
                return
            for source in self.known.values():
                source.found = dataclasses.replace(source.found, store=None)
            self.at_rest = True
        remote.give_up_stores()

    def _answer_open(self, plug: socket.socket, client: _Client, body: str) -> None:
        grant, _, url = body.partition("\n")
        client.source = None
        try:
            source = self._expect(grant, url).result()
        except Exception as error:
            with self.lock:
                if grant in self.grants:  # else it has ended meanwhile, or never was
                    self.grants[grant].opened.pop(url, None)  # asked for again, it is tried again
            _refuse(plug, error)
            return
        client.source = source
        with self.lock:
            if grant in self.grants:
                client.traffic = self.grants[grant].traffic
        plug.sendall(_ANSWER.pack(BYTES, _SIZE.size) + _SIZE.pack(source.found.size))

    def _answer_read(self, plug: socket.socket, client: _Client, what: int, pairs: list[tuple[int, int]]) -> None:
        extents = [(start, start + size) for start, size in pairs]
        if what == AHEAD:
            self._request(client, extents)
            return
        try:
            kept = None if what == SEND else self._kept(client, extents)
            answer = bytearray(0 if kept is not None else sum(size for _, size in pairs))
            if kept is None:
                self._fill(client, extents, memoryview(answer))
        except Exception as error:
            _refuse(plug, error)
            return
        if kept is None:
            plug.sendall(_ANSWER.pack(BYTES, len(answer)))
            plug.sendall(answer)
        else:
            plug.sendall(_ANSWER.pack(KEPT, len(kept)) + kept)

    # -- files --

    def _expect(self, name: str, url: str) -> concurrent.futures.Future[_Source]:
        """The file of that URL under that grant, opened once: what a query announces is opened before it asks."""
        with self.lock:
            grant = self.grants.get(name)
            if grant is None:
                raise remote.AccessFailure("reader", remote.shown(url), "the reader does not know this run", "run it again")
            if url not in grant.opened:
                grant.opened[url] = self.opening.submit(self._open, grant, url)
            return grant.opened[url]

    def _open(self, grant: _Grant, url: str) -> _Source:
        source = self._opened(grant, url)
        source.cached = self.cache.of(source.name)  # anew, if it had to make room; now it was used last
        found = source.found
        if found.tail:
            self.cache.keep(source.cached, found.size - len(found.tail), [found.tail])
            source.found = dataclasses.replace(found, tail=b"")
        if found.whole and source.cached.missing([(0, found.size)]):
            self.cache.keep(source.cached, 0, _pieces(found, 0, found.size, grant.traffic))
        return source

    def _opened(self, grant: _Grant, url: str) -> _Source:
        """The file's current version: known, or asked for."""
        place, expected = (grant.digest, url), grant.versions.get(url)
        with self.lock:
            known = self.known.get(place)
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
        source = _Source(found, name, self.cache.of(name))
        with self.lock:
            self.known[place] = source
            while len(self.known) > MAX_KNOWN:
                self.known.popitem(last=False)
        return source

    # -- extents --

    def _request(self, client: _Client, extents: Sequence[Extent]) -> list[tuple[Extent, concurrent.futures.Future[None]]]:
        """Start to fetch what of ``extents`` is neither here nor on its way; returns all of theirs that is on its way."""
        source = _source_of(client)
        wanted = union(extents)
        if wanted and wanted[0][0] < HEAD_BYTES:
            wanted = union([(0, min(HEAD_BYTES, source.found.size)), *wanted])
        with source.lock:
            missing = subtract(source.cached.missing(wanted), union(source.coming))
            for start, end in split(merge_near(missing)):
                pieces = _pieces(source.found, start, end, client.traffic)
                source.coming[start, end] = self.fetching.submit(self._fetch, source, start, end, pieces)
            return [(place, future) for place, future in source.coming.items() if subtract(wanted, [place]) != wanted]

    def _fetch(self, source: _Source, start: int, end: int, pieces: Iterator[Any]) -> None:
        try:
            self.cache.keep(source.cached, start, pieces)
        finally:
            with source.lock:
                source.coming.pop((start, end), None)

    def _kept(self, client: _Client, extents: Sequence[Extent]) -> bytes | None:
        """The path of the file that has all of ``extents``, once it does; None where they were not kept."""
        cached = _source_of(client).cached
        for _, future in self._request(client, extents):
            future.result()
        return None if cached.missing(union(extents)) else os.fsencode(cached.path)

    def _fill(self, client: _Client, extents: Sequence[Extent], into: memoryview) -> None:
        """Put the bytes of ``extents`` behind one another ``into``: what could not be kept is fetched, and not kept."""
        source, at = _source_of(client), 0
        for start, end in extents:
            piece = into[at : at + end - start]
            at += end - start
            for begin, stop in source.cached.copy(start, piece):
                client.traffic.add(source.found.travelling(begin, stop), requests=1)
                piece[begin - start : stop - start] = source.found.fetch(begin, stop)


def _source_of(client: _Client) -> _Source:
    assert client.source is not None, "nothing is read before it was opened"
    return client.source


def _pieces(found: remote.RemoteObject, start: int, end: int, traffic: _Traffic) -> Iterator[Any]:
    """Bytes [start, end), of which ``traffic`` knows from now on."""
    expected = found.travelling(start, end)
    traffic.add(expected, requests=1)
    return traffic.mended(found.pieces(start, end), expected)


def _receive(plug: socket.socket, size: int) -> memoryview | None:
    """Exactly ``size`` bytes, or None at the end of the connection."""
    buffer = memoryview(bytearray(size))
    at = 0
    while at < size:
        got = plug.recv_into(buffer[at:])
        if got == 0:
            return None
        at += got
    return buffer


def _refuse(plug: socket.socket, error: Exception) -> None:
    """Answer with what went wrong, as JSON that ``access`` makes an error of again."""
    if not isinstance(error, remote.AccessFailure):
        error = remote.AccessFailure("reader", "", f"{type(error).__name__}: {error}", "see reader.log beside its socket")
    text = json.dumps(error.plain).encode()
    plug.sendall(_ANSWER.pack(REFUSED, len(text)) + text)


def serve(listener: socket.socket, reader: Reader, folder: str, idle_limit_s: float) -> None:
    """Accept connections until nobody needs the reader any more."""
    while True:
        ready, _, _ = select.select([listener], [], [], 0.5)
        if ready:
            plug, _ = listener.accept()
            if wire.peer_user(plug) == os.getuid():
                threading.Thread(target=reader.attend, args=(plug,), daemon=True).start()
            else:
                plug.close()
            continue
        reader.rest()
        with reader.lock:
            idle = not reader.connections and time.monotonic() - reader.last_use > idle_limit_s
            if idle or (reader.was_held and not reader.holders) or not os.path.isdir(folder):
                return


def main() -> None:
    """``python -m rdf_lithops.files.reader FOLDER``: serve FOLDER until nobody needs it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder")
    parser.add_argument("--idle_limit_s", type=float, default=300.0)
    parser.add_argument("--cache_limit_mib", type=float, default=1024.0)
    given = parser.parse_args()
    os.umask(0o077)
    os.chdir(given.folder)  # the one in which it was started may be deleted while others come
    sealed.leave_no_core()  # it is told keys and signed URLs
    faulthandler.enable()
    with open(os.path.join(given.folder, "reader.lock"), "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another one serves this folder
        shutil.rmtree(os.path.join(given.folder, "extents"), ignore_errors=True)  # of one that was killed
        free_bytes = shutil.disk_usage(given.folder).free
        reader = Reader(given.folder, int(min(given.cache_limit_mib * 2**20, free_bytes / 2)))
        try:
            serve(wire.listen(given.folder, SOCKET_NAME), reader, given.folder, given.idle_limit_s)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(given.folder, SOCKET_NAME))
            shutil.rmtree(os.path.join(given.folder, "extents"), ignore_errors=True)
            sys.stdout.flush()
            os._exit(0)  # threads may be in the middle of a request that nobody waits for


if __name__ == "__main__":
    main()
