"""A core of their own for processes of a machine that has not so many: a K-th of one, while all else waits K times as long.

    with Cores(4.0) as cores:
        cores.give(os.getpid())      # from now on this process, all its threads together, has a quarter of a core

The kernel's control groups see to it (version 1 or 2, as root): what does not have to be slow runs in what is left over.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["Cores", "SlowTime"]

HOME = Path("/sys/fs/cgroup")
PERIOD_US = 100_000  # a share of a shorter one is less than Python lets a thread run, and its threads wait for each other


class Cores:
    """A context, when it ends nobody is slower any more; ``slower`` is K."""

    def __init__(self, slower: float) -> None:
        self._quota_us = max(1000, round(PERIOD_US / slower))
        self._is_new = (HOME / "cgroup.controllers").exists()
        self._home = HOME if self._is_new else HOME / "cpu"
        self._groups: list[Path] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Cores:
        return self

    def __exit__(self, *raised: object) -> None:
        for group in self._groups:
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (self._home / "cgroup.procs").write_text(pid)
            for _ in range(100):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)

    def give(self, *pids: int) -> None:
        """These processes, and those that they start, have one core together from now on."""
        if self._is_new:
            with contextlib.suppress(OSError):
                (self._home / "cgroup.subtree_control").write_text("+cpu")
        with self._lock:
            group = self._home / f"rdf-lithops-{os.getpid()}-{len(self._groups)}"
            group.mkdir()
            self._groups.append(group)
        if self._is_new:
            (group / "cpu.max").write_text(f"{self._quota_us} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(self._quota_us))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(pid))


class SlowTime(ModuleType):
    """The module ``time`` where a second takes ``slower`` of them: for the driver, whose pauses are measured in its own."""

    def __init__(self, slower: float) -> None:
        super().__init__("time")
        self._slower = slower

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        """The clock that goes slower."""
        return time.monotonic() / self._slower

    def perf_counter(self) -> float:
        """The same."""
        return time.perf_counter() / self._slower

    def sleep(self, seconds: float) -> None:
        """Sleep for so many seconds of it."""
        time.sleep(seconds * self._slower)
