"""Signs of life of a call while ROOT works for it: small JSON objects in Lithops' storage, at most one every few seconds.

The event loop adds to a counter in shared memory (see ``Counter``) that the task reads, so nobody waits for anybody and no
thread runs beside ROOT in a slot. A beat that cannot be written is dropped: it must never cost the result.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import socket
import sys
import time
from typing import Any

__all__ = ["BEAT_NAME", "Counter", "Pulse", "cpu_seconds"]

BEAT_NAME = "beat.json"  # beside a call's status and output
_WORD_BYTES = 8


def cpu_seconds(pid: int) -> float:
    """User and system seconds that a process has used; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Counter:
    """Entries done, in a file that the counting process maps and others read."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "w+b") as file:
            file.write(bytes(_WORD_BYTES))
            file.flush()
            self._map = mmap.mmap(file.fileno(), _WORD_BYTES)
        self._word = ctypes.c_uint64.from_buffer(self._map)

    @property
    def address(self) -> int:
        """Where C++ finds the word."""
        return ctypes.addressof(self._word)

    def set(self, entries: int) -> None:
        """Say the exact number, as after a range."""
        self._word.value = entries

    @staticmethod
    def read(path: str) -> int:
        """What another process has counted; 0 where there is no counter."""
        try:
            with open(path, "rb") as file:
                return int.from_bytes(file.read(_WORD_BYTES), sys.byteorder)
        except OSError:
            return 0


class Pulse:
    """Writes the beats of one call; ``tick`` it as often as you like.

    ``settings``: ``every_s``; ``folder_variable``, the environment variable in which Lithops names job and call; and
    ``prefix``, below which Lithops keeps its jobs. None: no beats.
    """

    def __init__(self, settings: dict[str, Any] | None, storage: Any) -> None:
        self.every_s = float(settings["every_s"]) if settings is not None else 1.0
        session = os.environ.get(settings["folder_variable"], "") if settings is not None else ""
        self._storage = storage if session else None
        self._key = "/".join((settings["prefix"], *session.rsplit("-", 1), BEAT_NAME)) if settings is not None else ""
        self._due = time.monotonic() + self.every_s
        self._pid, self._path, self._count = 0, "", 0

    def meet(self, pid: int, counter_path: str) -> None:
        """The ROOT process ``pid`` works for this call and counts in ``counter_path``."""
        self._pid, self._path = pid, counter_path

    def tick(self) -> None:
        """Write a beat if one is due."""
        if self._storage is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.every_s
        self._count += 1
        beat = {
            "beat": self._count,
            "entries": Counter.read(self._path),
            "cpu_s": cpu_seconds(self._pid),
            "pid": self._pid,
            "host": socket.gethostname(),
        }
        with contextlib.suppress(Exception):
            self._storage.put_object(self._storage.bucket, self._key, json.dumps(beat).encode())
