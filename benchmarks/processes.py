"""Everything that a measured program starts: its processor time, its memory, its end. Linux only.

This process adopts what its descendants leave behind (it is a subreaper), so that detached workers stay in its tree, and
their processor time, once they end, is counted by the kernel with ours. Use it for one program at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import time
from collections.abc import Iterator

import psutil

__all__ = ["adopt_orphans", "cpu_s", "end_all", "machine_cpu_s", "members", "memory_mib", "pss_mib", "reap"]

_PR_SET_CHILD_SUBREAPER = 36
END_LIMIT_S = 10.0
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError)


def adopt_orphans() -> None:
    """From now on orphans among our descendants become our children, not the machine's first process's."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this system lets no process adopt orphans")


def members() -> list[psutil.Process]:
    """All descendants of this process."""
    return list(psutil.Process().children(recursive=True))


def cpu_s() -> float:
    """Processor seconds of all descendants there ever were, those that ended included. Take differences."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(_cpu_s(process) for process in members())


def _cpu_s(process: psutil.Process) -> float:
    """Of the process and of those of its children that have ended and been waited for."""
    with contextlib.suppress(*_GONE):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def machine_cpu_s() -> float:
    """Processor seconds that the machine has spent on anything, time stolen by its host included."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def memory_mib() -> float:
    """Memory of all descendants now; what processes share is divided among them (PSS), so nothing counts twice."""
    return sum(pss_mib(process) for process in members())


def pss_mib(process: psutil.Process) -> float:
    """Of one process; 0 if it has ended."""
    with contextlib.suppress(*_GONE), open(f"/proc/{process.pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return 0


def reap(kept: int | None = None) -> None:
    """Let adopted children that have ended go, except ``kept``, for which somebody else waits."""
    for pid in _ended_children():
        if pid != kept:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _ended_children() -> Iterator[int]:
    for process in psutil.Process().children():
        with contextlib.suppress(*_GONE):
            if process.status() == psutil.STATUS_ZOMBIE:
                yield process.pid


def end_all(grace_s: float) -> int:
    """Wait ``grace_s`` for all descendants to end by themselves, kill the rest; returns how many had to be killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline + END_LIMIT_S:
        reap()
        left = members()
        if not left:
            break
        if time.monotonic() >= deadline:
            killed.update(_kill(left))
        time.sleep(0.02)
    return len(killed)


def _kill(processes: list[psutil.Process]) -> Iterator[int]:
    for process in processes:
        with contextlib.suppress(*_GONE):
            process.kill()
            yield process.pid
