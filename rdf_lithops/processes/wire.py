"""Frames over a Unix socket between a task and the warm ROOT process: plain JSON and bytes, never a pickle.

A message is one JSON frame, then as many bytes frames as its ``blobs`` says. Framing is the standard library's
``multiprocessing.connection.Connection``; its pickling methods are not used.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["batches", "connect", "listen", "peer_process", "peer_user", "read_all", "receive", "send", "write_all"]

SOCKET_NAME = "root.sock"
BATCH_BYTES = 2**20  # of small blobs that travel together
_CREDENTIALS = struct.Struct("3i")


def send(connection: Connection[Any, Any], message: Mapping[str, Any], *blobs: bytes) -> None:
    """Send one message and its blobs."""
    connection.send_bytes(json.dumps({**message, "blobs": len(blobs)}).encode())
    for blob in blobs:
        connection.send_bytes(blob)


def receive(connection: Connection[Any, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Receive one message and its blobs; raises EOFError when the other side is gone."""
    message = json.loads(connection.recv_bytes())
    return message, [connection.recv_bytes() for _ in range(message.pop("blobs"))]


def batches(blobs: Iterable[bytes]) -> Iterator[list[bytes]]:  # decision 345
    """The same blobs in the same order, small ones together: a batch ends once it has ``BATCH_BYTES``."""
    batch: list[bytes] = []
    size = 0
    for blob in blobs:
        batch.append(blob)
        size += len(blob)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, unframed."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_all(descriptor: int, size: int) -> bytes:
    """Read exactly ``size`` bytes, unframed; raises EOFError when the other side is gone."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = os.read(descriptor, size - len(pieces))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


def _address(folder_fd: int, name: str) -> str:
    """Return a path to the socket that stays below the 108 bytes of sun_path, however deep the folder lies."""
    return f"/proc/self/fd/{folder_fd}/{name}"


def listen(folder: str, name: str = SOCKET_NAME) -> socket.socket:
    """Listen in ``folder``, replacing a socket that a dead process left there."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(_address(folder_fd, name))
        listener.listen(128)
    finally:
        os.close(folder_fd)
    return listener


def connect(folder: str, name: str = SOCKET_NAME) -> Connection[Any, Any]:
    """Connect to the process that listens in ``folder`` under ``name``; raises OSError when there is none of our user."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        plug = socket.socket(socket.AF_UNIX)
        try:
            plug.connect(_address(folder_fd, name))
            if peer_user(plug) != os.getuid():
                raise PermissionError(f"the process listening in {folder} belongs to another user")
        except BaseException:
            plug.close()
            raise
    finally:
        os.close(folder_fd)
    return Connection(plug.detach())


def peer_process(connection: Connection[Any, Any] | socket.socket) -> int:
    """Return the id of the process that listened when ``connection`` was made; 0 where this one cannot see it."""
    with socket.socket(fileno=os.dup(connection.fileno())) as plug:
        process, _, _ = _CREDENTIALS.unpack(plug.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(process)


def peer_user(plug: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel has it."""
    _, user, _ = _CREDENTIALS.unpack(plug.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)
