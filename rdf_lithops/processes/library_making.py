"""Has instantiation libraries made that are missing, when a program ends, by a process that nobody waits for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

from ..compiled import build, library, noting
from . import warm

__all__ = ["made_now", "make_missing"]

LIMIT_S, PAUSE_S = 120.0, 0.05  # longer than what was thought worth it


def make_missing() -> None:
    """Start that process, which goes on without us and takes idle time, if there is something to make and a compiler.

    Needs ROOT.
    """
    with contextlib.suppress(library.LibraryRefused, OSError):
        if library.grows() and build.compiler() is not None and noting.is_left():
            with open(os.path.join(library.folder(), "build.log"), "wb") as log:
                made = warm.run_module("build", [], log, subprocess.DEVNULL)
                made.returncode = 0  # nobody waits for it, and Python is not to complain


def made_now() -> Iterator[None]:
    """Have what is missing made at once, and yield now and then until it is, so that the caller can stop waiting: then, and
    after a limit, the making goes on without anybody."""
    with contextlib.suppress(library.LibraryRefused, OSError):
        with open(os.path.join(library.folder(), "build.log"), "wb") as log:
            made = warm.run_module("build", [build.AWAITED], log, subprocess.DEVNULL)
        deadline = time.monotonic() + LIMIT_S
        try:
            while made.poll() is None and time.monotonic() < deadline:
                yield
                time.sleep(PAUSE_S)
        finally:
            if made.poll() is None:
                made.returncode = 0  # nobody waits any more
