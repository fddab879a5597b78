"""Where a call's time goes: a stopwatch per kind of work, and what ROOT says of its reads.

The parts do not overlap, so that they can be added: the seconds that ROOT spends in reads and decompression are taken out of
the event loop (and of opening files) in which they happen. ROOT tells them through ``TVirtualPerfStats``, which TTree and
TFile serve and RNTuple does not: of an RNTuple, reading and decompression are inside the loop.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from ..compiled import ours
from ..travels.facts import Began, Facts
from . import restored

__all__ = [
    "Stopwatch",
    "began_here",
    "note_invocation",
    "peak_memory_mib",
    "watch_reads",
    "whereabouts",
]

_INVOKED = "RDF_LITHOPS_INVOKED"  # in the environment of a backend's process, which the task inherits


@functools.lru_cache(maxsize=1)
def watch_reads() -> Any:  # decision 24
    """The clock of this process's reads and decompression: seconds of opening files, of reading and of decompressing so far,
    counted from the first use on. Needs ROOT."""
    return ours.function("read_clock", "read_clock", ctypes.POINTER(ctypes.c_double))()


def note_invocation() -> None:  # decision 41
    """To be called by the entry point of a backend as an invocation begins, which is billed from here: Lithops notes the
    time only when it has fetched the function. Also counted is the how-many-th it is in this process."""
    ordinal = int(os.environ.get(_INVOKED, "0 0").split()[1]) + 1
    os.environ[_INVOKED] = f"{time.time()} {ordinal}"


def began_here() -> Began:
    """When a task's function was called, by ``perf_counter``, which all processes of a machine share; and the process that
    forked the task's: its id, when it was started or restored, in Unix seconds (0 if this is not its first invocation, for
    which it was there already), and when the invocation began (0 where no entry point noted it)."""
    parent = os.getppid()
    invoked_at, ordinal = os.environ.get(_INVOKED, "0 1").split()
    restored_at = restored.restored_at()
    process_at = (restored_at or _process_start(parent)) if int(ordinal) == 1 else 0.0
    return {
        "asked": time.perf_counter(),
        "process": parent,
        "process_at": process_at,
        "invoked_at": float(invoked_at),
        "restored": restored_at > 0 and int(ordinal) == 1,
    }


def whereabouts(began: Began) -> Facts:
    """Facts of a call whose task ``began`` so: the machine or sandbox that it ran on, and its processes.

    On Lambda the sandbox is named by its log, or has named itself when it was restored, as names and process ids of two of
    them may be the same.
    """
    named = os.environ.get(restored.SANDBOX) or os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
    found: Facts = {
        "pid": os.getpid(),
        "host": named or socket.gethostname(),
        "process": began["process"],
        "process_at": began["process_at"],
        "invoked_at": began["invoked_at"],
    }
    if began.get("restored"):
        found["restored"] = True
    return found


def peak_memory_mib(packed_bytes: int = 0) -> float:
    """The most memory that this process has had, or will have while it packs a result of as many bytes, which is a copy."""
    with open("/proc/self/statm") as statm:
        now_mib = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, now_mib + packed_bytes / 2**20)


def _process_start(pid: int) -> float:
    """When process ``pid`` was started, in Unix seconds; 0 where /proc does not say."""
    try:
        with open(f"/proc/{pid}/stat") as stat, open("/proc/uptime") as uptime:
            ticks = int(stat.read().rpartition(")")[2].split()[19])
            return time.time() - float(uptime.read().split()[0]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


class Stopwatch:
    """The seconds of one call by kind of work, and the rest of what is said of it; see ``facts``."""

    def __init__(self, began: Began | None = None, payload_s: float = 0.0) -> None:
        self.started = time.perf_counter() - payload_s
        self.began: Began = began or {"asked": self.started, "process": 0, "process_at": 0.0, "invoked_at": 0.0}
        self.seconds: dict[str, float] = dict.fromkeys(_PARTS, 0.0)
        self.seconds["payload_s"] = payload_s
        # the graph may have been compiled ahead, here or in the process that this one was forked from, while the task waited
        from_, until = self.began.get("compiled_from", 0.0), self.began.get("compiled_until", 0.0)
        self._ahead_s = max(0.0, min(until, self.started) - max(from_, self.began["asked"]))
        self.seconds["compile_s"] = self._ahead_s
        self.clock = watch_reads()
        self._io = self._read_so_far()
        self._bytes = _file_bytes(), _read_by_system()
        self.counts_system_reads = False  # RNTuple reads a local file without telling TFile

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of this block to ``name``, without what was spent in reads, decompression and inner parts."""
        inner, before, began = sum(self.seconds.values()), self._read_so_far(), time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - began
            reads = [now - then for now, then in zip(self._read_so_far(), before, strict=True)]
            nested = sum(self.seconds.values()) - inner
            self.seconds[name] += max(0.0, elapsed - sum(reads) - nested)

    def _read_so_far(self) -> tuple[float, float]:
        return self.clock[0] + self.clock[1], self.clock[2]

    def facts(self, packed_bytes: int = 0) -> Facts:
        """Plain numbers of the call so far, before a result of ``packed_bytes`` is packed.

        ``initialise_s`` is from the call of the task's function to the start of work in this process: the start of ROOT
        where there was none, and the way there. The ``_s`` of all parts do not overlap; ``call_s`` is the whole.
        """
        read_s, decompress_s = (now - then for now, then in zip(self._read_so_far(), self._io, strict=True))
        now = time.perf_counter()
        from_files, by_system = _file_bytes() - self._bytes[0], _read_by_system() - self._bytes[1]
        return {
            **whereabouts(self.began),
            "initialise_s": self.started - self.began["asked"] - self._ahead_s,
            **cast(Facts, self.seconds),
            "read_s": read_s,
            "decompress_s": decompress_s,
            "call_s": now - self.began["asked"],
            "read_bytes": max(from_files, by_system) if self.counts_system_reads else from_files,
            "peak_memory_mib": peak_memory_mib(packed_bytes),
        }


_PARTS = ("payload_s", "graph_s", "compile_s", "open_s", "loop_s", "output_s", "merge_s", "serialise_s")


def _file_bytes() -> int:
    return int(_counter_of_file_bytes()())


@functools.lru_cache(maxsize=1)
def _counter_of_file_bytes() -> Any:
    return ours.function("read_clock", "file_bytes", ctypes.c_longlong)


def _read_by_system() -> int:
    """Bytes that this process had from read(2) and its like, files of all kinds included; 0 where /proc does not say."""
    try:
        with open("/proc/self/io") as counters:
            return int(counters.readline().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
