"""Has instantiation libraries made that are missing, when a program ends, by a process that nobody waits for."""

from __future__ import annotations

import contextlib
import os
import subprocess

from ..compiled import build, library, noting
from . import warm

__all__ = ["make_missing"]


def make_missing() -> None:
    """Start that process, which goes on without us and takes idle time, if there is something to make and a compiler.

    Needs ROOT.
    """
    with contextlib.suppress(library.LibraryRefused, OSError):
        if library.grows() and build.compiler() is not None and noting.is_left():
            with open(os.path.join(library.folder(), "build.log"), "wb") as log:
                made = warm.run_module("build", [], log, subprocess.DEVNULL)
                made.returncode = 0  # nobody waits for it, and Python is not to complain
