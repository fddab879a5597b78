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
import faulthandler
import fcntl
import json
import os
import select
import shutil
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ..processes import wire
from ..travels import sealed
from . import remote
from .sources import KeptGrant, Source, Sources, Traffic

__all__ = ["SOCKET_NAME", "Reader"]

SOCKET_NAME = "reader.sock"
OPEN, READ, AHEAD, CONTROL, SEND, SETTLE = 1, 2, 3, 4, 5, 6  # what a request is; see ranged_file.h
BYTES, REFUSED, KEPT = 0, 1, 2  # and an answer
REST_S = 5.0  # without any grant in force: stores, which hold keys and open connections, are given up
_REQUEST = struct.Struct("=II")
_ANSWER = struct.Struct("=QQ")
_SIZE = struct.Struct("=q")


@dataclass
class _Client:
    """What a connection stands for.

    The file that it reads and whose traffic that is, the process that it holds, the grants that end with it.
    """

    source: Source | None = None
    traffic: Traffic = field(default_factory=Traffic)
    held: bool = False
    grants: list[str] = field(default_factory=list)


class Reader:
    """The reader's answers to its connections, each in a thread of its own."""

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self.sources = Sources(os.path.join(folder, "extents"), limit_bytes)
        self.grants: dict[str, KeptGrant] = {}
        self.lock = threading.Lock()
        self.connections = 0
        self.holders = 0
        self.was_held = False
        self.at_rest = True
        self.last_use = time.monotonic()

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
            answer["grant"] = self._grant(client, KeptGrant(message["variables"], message["versions"], message["signed"]))
        elif message["op"] == "expect":
            for url in message["urls"]:
                self._expect(message["grant"], url)
        elif message["op"] == "hold":
            with self.lock:
                self.holders, self.was_held, client.held = self.holders + 1, True, True
        elif message["op"] == "fetched":
            with self.lock:
                answer = self.grants[message["grant"]].traffic.fields
        elif message["op"] == "facts":
            answer = {"cached_bytes": self.sources.cached_bytes, "pid": os.getpid(), "at_rest": self.at_rest}
        encoded = json.dumps(answer).encode()
        plug.sendall(_ANSWER.pack(BYTES, len(encoded)) + encoded)

    def _grant(self, client: _Client, grant: KeptGrant) -> str:
        """Keep what a run was granted, as long as the connection that brought it; return a name for it that nobody
        guesses."""
        name = os.urandom(16).hex()
        with self.lock:
            self.grants[name], self.at_rest = grant, False
            client.grants.append(name)
        return name

    def rest(self) -> None:  # decision 62
        """Give up what holds credentials, if nobody has been granted anything for a while. What was read stays."""
        with self.lock:
            if self.at_rest or self.grants or time.monotonic() - self.last_use < REST_S:
                return
            self.at_rest = True
            self.sources.rest()

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
        source, extents = _source_of(client), [(start, start + size) for start, size in pairs]
        if what == AHEAD:
            self.sources.request(source, extents, client.traffic)
            return
        try:
            kept = None if what == SEND else self.sources.kept(source, extents, client.traffic)
            answer = bytearray(0 if kept is not None else sum(size for _, size in pairs))
            if kept is None:
                self.sources.fill(source, extents, memoryview(answer), client.traffic)
        except Exception as error:
            _refuse(plug, error)
            return
        if kept is None:
            plug.sendall(_ANSWER.pack(BYTES, len(answer)))
            plug.sendall(answer)
        else:
            plug.sendall(_ANSWER.pack(KEPT, len(kept)) + kept)

    def _expect(self, name: str, url: str) -> concurrent.futures.Future[Source]:
        """Return the file of that URL under that grant, opened once: what a query announces is opened before it asks."""
        with self.lock:
            grant = self.grants.get(name)
            if grant is None:
                raise remote.AccessFailure("reader", remote.shown(url), "the reader does not know this run", "run it again")
            if url not in grant.opened:
                grant.opened[url] = self.sources.expect(grant, url)
            return grant.opened[url]


def _source_of(client: _Client) -> Source:
    assert client.source is not None, "nothing is read before it was opened"
    return client.source


def _receive(plug: socket.socket, size: int) -> memoryview | None:
    """Return exactly ``size`` bytes; None at the end of the connection."""
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
    text = json.dumps(error.fields).encode()
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
