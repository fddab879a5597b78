"""Signs of life of a call while ROOT works for it: small JSON objects in Lithops' storage, at most one every few seconds.

The event loop adds to a counter in shared memory (see ``Counter``) that the task reads, so nobody waits for anybody and no
thread runs beside ROOT in a slot. A beat that cannot be written is dropped: it must never cost the result.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BEAT_NAME",
    "STATUS_NAME",
    "Counter",
    "Pulse",
    "Stalled",
    "Stopped",
    "adopt_orphans",
    "die_with_parent",
    "is_stopped",
    "key_of",
]

BEAT_NAME = "beat.json"  # beside a call's status and output
STATUS_NAME = "status.json"  # Lithops' name
MISSING = "StorageNoSuchKeyError"  # Lithops' error of a key that is not there
STOPPED_LIMIT_S = 10.0  # a process that somebody has stopped (SIGSTOP) is given this long
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WORDS = struct.Struct("=QQ")  # entries done, and 1 + the id of the range in progress


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the thread that started it ends, or end now if ``parent`` is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def adopt_orphans(adopt: bool) -> None:
    """Say whether, from now on, descendants whose parent ends become children of this process."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


class Stalled(Exception):
    """The ROOT process of a call stands still: its text says for how long, and how that shows. ``other`` is the process id
    of another one that this call waits for, where it is that one (which forks such processes, or compiles), and 0 else."""

    def __init__(self, how: str, other: int = 0) -> None:
        super().__init__(how, other)
        self.how, self.other = how, other

    def __str__(self) -> str:
        return self.how


class Stopped(Exception):
    """The run of a call is over, or does not want this attempt any more: what the call did would be paid for nothing."""


class Counter:  # decision 22
    """Entries done, and the range in progress, in a file that the counting process maps and others read."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "w+b") as file:
            file.write(bytes(_WORDS.size))
            file.flush()
            self._map = mmap.mmap(file.fileno(), _WORDS.size)
        self._words = (ctypes.c_uint64 * 2).from_buffer(self._map)
        self._before, self._first_id = 0, 0

    @property
    def address(self) -> int:
        """The address of the number of entries, for C++."""
        return ctypes.addressof(self._words)

    def set(self, entries: int) -> None:
        """Set the exact number of entries done, as after a range."""
        self._words[0] = self._before + entries

    def count_from(self, first_id: int, entries: int) -> None:
        """Count for a graph that comes behind others from now on: its ranges are numbered from ``first_id`` on, its entries
        are added to ``entries``."""
        self._before, self._first_id = entries, first_id

    @property
    def entries(self) -> int:
        """Entries done."""
        return int(self._words[0])

    def begin_range(self, range_id: int | None) -> None:
        """Set the range in progress; None for none."""
        self._words[1] = 0 if range_id is None else self._first_id + range_id + 1


@dataclass(frozen=True)
class _Process:
    """A process as the kernel sees it: ``state`` is a letter, empty where there is no such process."""

    state: str
    cpu_s: float


def _look_at(pid: int) -> _Process:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return _Process("", 0.0)
    return _Process(fields[0].decode(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def is_stopped(pid: int) -> bool:
    """Whether somebody has stopped that process (SIGSTOP)."""
    return _look_at(pid).state in ("T", "t")


def key_of(settings: dict[str, Any], name: str) -> str:
    """Return the key, in Lithops' storage, of object ``name`` of the call that this process runs; ``settings`` as in
    Pulse."""
    session = os.environ.get(settings.get("folder_variable", ""), "")
    return "/".join((settings.get("prefix", ""), *session.rsplit("-", 1), name))


class Pulse:
    """Watches the ROOT process of one call, and writes the call's beats; ``tick`` it as often as you like.

    ``settings`` is None for no beats, or has:

    ``every_s``          seconds between beats
    ``stall_s``          seconds after which a process that does nothing counts as hung
    ``folder_variable``  the environment variable in which Lithops names job and call
    ``prefix``           the key below which Lithops keeps its jobs
    ``run_variable``     the environment variable that has the key of the run's record, for calls that nobody can kill: once
                         it is gone, or has the call's job among those that are ``stopped``, the call ends at its next beat
    ``ends_with_job``    whether to end with the processes that would report this call, as each can be killed on localhost
    """

    def __init__(self, settings: dict[str, Any] | None, storage: Any) -> None:
        given = settings or {}
        self.every_s = float(given.get("every_s", 1.0))
        self._stall_s = float(given.get("stall_s", math.inf))
        session = os.environ.get(given.get("folder_variable", ""), "")
        self._storage: Any = storage if session else None
        self._key = key_of(given, BEAT_NAME)
        self._run_key, self._job_key = os.environ.get(given.get("run_variable", "")), session.rpartition("-")[0]
        self._due_s = time.monotonic() + self.every_s
        self._pid, self._counter, self._count = 0, -1, 0
        self._is_others = False
        self._leader = os.getsid(0) if session and given.get("ends_with_job") else 0
        if self._leader:
            die_with_parent()
        self._parent, self._parent_ran_s = 0, 0.0
        self._seen: tuple[Any, ...] = ()
        self._moved_s = time.monotonic()

    def ask(self, parent: int) -> None:
        """From now on watch the process ``parent``, which was asked for one that works for this call, until that is met."""
        self._parent, self._parent_ran_s = parent, time.monotonic()

    def meet(self, pid: int, counter_path: str, is_others: bool = False) -> None:
        """From now on watch the ROOT process ``pid``, which works for this call and counts in ``counter_path``; or, if it
        ``is_others``, compiles for another what this call waits for."""
        self.close()
        self._parent = 0
        self._pid, self._is_others, self._moved_s = pid, is_others, time.monotonic()
        with contextlib.suppress(OSError):
            self._counter = os.open(counter_path, os.O_RDONLY)

    def close(self) -> None:
        """Let go of the counter."""
        if self._counter >= 0:
            os.close(self._counter)
        self._counter = -1

    @property
    def range_id(self) -> int | None:
        """The range in progress, also after the process that counted is gone; None where there is none."""
        return self._read()[1] - 1 if self._read()[1] else None

    def _read(self) -> tuple[int, int]:
        data = os.pread(self._counter, _WORDS.size, 0) if self._counter >= 0 else b""
        return _WORDS.unpack(data) if len(data) == _WORDS.size else (0, 0)

    def tick(self) -> None:
        """Write a beat if one is due; raises Stalled when the process does nothing for too long, Stopped when nobody wants
        what it does."""
        if self._leader and not os.path.exists(f"/proc/{self._leader}"):
            os._exit(1)  # the job is gone, and with it who would report this call; it must not write any more
        now_s = time.monotonic()
        self._look_at_parent(now_s)
        process, entries = _look_at(self._pid), self._read()[0]
        stopped = process.state in ("T", "t")
        if (entries, process.cpu_s) != self._seen or (self._pid == 0 and not self._seen):
            self._seen, self._moved_s = (entries, process.cpu_s), now_s
        still_s = now_s - self._moved_s
        if self._pid and still_s > (min(self._stall_s, STOPPED_LIMIT_S) if stopped else self._stall_s):
            how = "is stopped" if stopped else "did no entry and used no CPU time"
            raise Stalled(f"the ROOT process {how} for {still_s:.0f} s", self._pid if self._is_others else 0)
        if self._storage is not None and now_s >= self._due_s:
            self._due_s = now_s + self.every_s
            self._beat(entries, process.cpu_s)
            if self._is_stopped():
                raise Stopped("the run is over, or has given this attempt up")

    def _look_at_parent(self, now_s: float) -> None:  # decision 419
        if not self._parent or not is_stopped(self._parent):
            self._parent_ran_s = now_s
        elif (still_s := now_s - self._parent_ran_s) > min(self._stall_s, STOPPED_LIMIT_S):
            raise Stalled(f"the process that forks ROOT processes is stopped for {still_s:.0f} s", self._parent)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Tick in a thread while the caller moves what may have gigabytes and cannot tick. No ROOT is in such a process."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(self.every_s):
                with contextlib.suppress(Stalled, Stopped):
                    self.tick()

        thread = threading.Thread(target=tick, name="rdf_lithops-beats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _beat(self, entries: int, cpu_s: float) -> None:
        self._count += 1
        known = {"beat": self._count, "entries": entries, "cpu_s": cpu_s, "pid": self._pid, "host": socket.gethostname()}
        with contextlib.suppress(Exception):
            self._storage.put_object(self._storage.bucket, self._key, json.dumps(known).encode())

    def _is_stopped(self) -> bool:  # decision 253
        """Whether the run has said that it does not want this call: a storage that does not answer has said nothing."""
        for _ in range(2 if self._run_key is not None else 0):
            try:
                record = json.loads(self._storage.get_object(self._storage.bucket, self._run_key))
            except Exception as error:
                if type(error).__name__ != MISSING:
                    return False
            else:
                return self._job_key in record.get("stopped", ())
        return self._run_key is not None  # two of two times it was not there
