"""Make the instantiation libraries that are missing: ``python -m rdf_lithops.compiled.build``.

Runs at idle priority, once at a time for a user and ROOT, within limits of time and memory; a library is there complete or
it is not there. Made are the base library, and one of the lines that graphs have asked for since (see ``noting``).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent import futures

from . import catalogue, header_paths, instantiation_lines, library, noting, ours

__all__ = ["AWAITED", "build", "build_wanted", "compiler", "given_up", "main", "wanted"]

LIMIT_S = 1800.0
MEMORY_BYTES = 3 * 2**30  # of one compilation
AWAITED = "--awaited"  # the argument of one that somebody waits for
GIVEN_UP = "given_up"  # a file of lines that did not compile
FAILURES = 8  # lines that may fail, of one library
MANY = 8  # learned libraries
LINES_PER_FILE = 12  # the compiler's memory grows with them: 12 take 0.6 GiB
AT_A_TIME = 4  # files at most, each by a compiler of its own, where somebody waits
_FLAGS = ("-O2", "-ffp-contract=off", "-fPIC", "-w")  # the loop's bits are those of Cling's code


def compiler() -> str | None:
    """The system's C++ compiler, or None."""
    return shutil.which("g++") or shutil.which("c++")


def build(place: str, name: str, lines: Sequence[str], source: str = "", at_a_time: int = 1) -> str | None:
    """Make ``name`` of those of ``lines`` that compile (or of C++ ``source``) in the folder ``place``, by so many compilers
    ``at_a_time``; returns its path, or None where another process is at it, or nothing of it compiles.

    Needs ROOT and a compiler. Raises CalledProcessError or TimeoutExpired where the compiler fails.
    """
    with open(os.path.join(place, f"{name}.lock"), "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        target = os.path.join(place, f"{name}.so")
        with contextlib.suppress(library.LibraryRefused):
            return library.read(target).path
        _sweep(place, name)
        with tempfile.TemporaryDirectory(prefix=f".build-{name}-", dir=place) as scratch:
            began = time.monotonic()
            objects = _Objects(scratch, began + LIMIT_S)
            if source:
                objects.compile(source)
            objects.add(lines, at_a_time)
            _give_up(place, objects.failing)
            if not objects.paths:
                return None
            made = objects.linked()
            _describe(scratch, made, objects.lines, time.monotonic() - began)
            os.replace(os.path.join(scratch, "made.json"), target.removesuffix(".so") + ".json")
            os.replace(made, target)  # a library without its description is none: the description is there first
        return target


def _sweep(place: str, name: str) -> None:
    """Remove what those left who were killed at it; the lock of ``name`` is held."""
    for left in os.scandir(place):
        before, _, own = left.name.rpartition(
            "-"
        )  # what tempfile adds has no such sign, and names of libraries may have some
        if own and before == f".build-{name}":
            shutil.rmtree(left.path, ignore_errors=True)


class _Objects:
    """What was compiled into a folder: the object files, and of the lines those that are in them and those that fail."""

    def __init__(self, scratch: str, until: float) -> None:
        import ROOT

        self.scratch, self.until = scratch, until
        self.paths: list[str] = []
        self.lines: list[str] = []
        self.failing: list[str] = []
        self._numbers = itertools.count()
        self._command = [str(compiler()), f"-std={library.standard()}", *_FLAGS, f"-I{ROOT.gROOT.GetIncludeDir()}"]

    def add(self, lines: Sequence[str], at_a_time: int) -> None:
        """Compile ``lines``, so many files ``at_a_time``; where one fails, each half of it, down to the line that fails: it
        must not cost the others their library. What is left when too many have failed counts as failing, unseen."""
        parts = [lines[first : first + LINES_PER_FILE] for first in range(0, len(lines), LINES_PER_FILE)]
        with futures.ThreadPoolExecutor(at_a_time) as pool:
            for part, is_compiled in zip(parts, list(pool.map(self._is_compiled, parts)), strict=True):
                if not is_compiled:
                    self._add_halves(part)
        there = set(self.lines)
        self.lines = [line for line in lines if line in there]

    def _add_halves(self, lines: Sequence[str]) -> None:
        if len(lines) == 1 or len(self.failing) >= FAILURES:
            self.failing += lines
            return
        half = len(lines) // 2
        for part in (lines[:half], lines[half:]):
            if not self._is_compiled(part):
                self._add_halves(part)

    def _is_compiled(self, lines: Sequence[str]) -> bool:
        try:
            self.compile(instantiation_lines.source(lines))
        except subprocess.CalledProcessError:
            return False
        self.lines += lines
        return True

    def compile(self, source: str) -> None:
        """Compile C++ into one more object file."""
        path = os.path.join(self.scratch, str(next(self._numbers)))
        with open(f"{path}.cxx", "w") as stream:
            stream.write(source)
        self._run("-c", f"{path}.cxx", "-o", f"{path}.o")
        self.paths.append(f"{path}.o")

    def linked(self) -> str:
        """The path of a shared library of them."""
        made = os.path.join(self.scratch, "made.so")
        self._run("-shared", *sorted(self.paths), "-o", made)
        return made

    def _run(self, *arguments: str) -> None:
        # by a shell, as no Python should run between the fork of a process of many threads and its exec
        limited = ["/bin/sh", "-c", f'ulimit -v {MEMORY_BYTES // 1024} && exec "$@"', "sh"]
        left_s = max(1.0, self.until - time.monotonic())
        subprocess.run([*limited, *self._command, *arguments], check=True, timeout=left_s, stdin=subprocess.DEVNULL)


def _describe(scratch: str, made: str, lines: Sequence[str], seconds: float) -> None:
    with open(made, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    known = {"format": 1, "sha256": digest, "lines": list(lines), "seconds": round(seconds, 1), "flags": list(_FLAGS)}
    with open(os.path.join(scratch, "made.json"), "w") as stream:
        json.dump(known, stream)


def _be_humble() -> None:
    """Take no time that anybody else wants, and no memory without end."""
    os.nice(19)
    if os.getsid(0) == os.getpid():  # where each session is a group for the scheduler, priorities count within it alone
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
            group.write("19")
    with contextlib.suppress(OSError, AttributeError):  # not on every system
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def wanted(place: str) -> tuple[list[str], list[str]]:
    """The lines that graphs have asked for and no library has, and the files in which they were left."""
    left = sorted(name for name in os.listdir(place) if name.startswith(noting.WANTED))
    paths = [os.path.join(place, name) for name in left]
    there = {line for known in library.libraries(place) for line in known.lines} | set(given_up(place))
    lines: dict[str, None] = {}
    for path in paths:
        with open(path) as stream:
            lines.update(dict.fromkeys(stream.read().splitlines()))
    return [line for line in lines if line and line not in there], paths


def given_up(place: str) -> list[str]:
    """The lines that did not compile here, and are not tried again."""
    try:
        with open(os.path.join(place, GIVEN_UP)) as stream:
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


def _give_up(place: str, lines: Sequence[str]) -> None:
    """Remember lines that do not compile, as they have types that only a program knows which declared them."""
    if lines:
        with open(os.path.join(place, GIVEN_UP), "a") as stream:
            stream.writelines(f"{line}\n" for line in lines)


def build_wanted(place: str, at_a_time: int = 1) -> None:
    """Make one library of the lines that graphs have asked for; those that do not compile are not tried again. MANY small
    ones become one with it: each costs a program some hundredths of a second."""
    lines, paths = wanted(place)
    if lines:
        small = [known for known in library.libraries(place) if not known.is_base]
        old = small if len(small) >= MANY else []
        lines = [*dict.fromkeys(line for known in old for line in known.lines), *lines]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        made = build(place, f"learned-{digest[:16]}", lines, at_a_time=at_a_time)
        if wanted(place)[0]:  # another process is at it
            return
        _replace(old, made)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _replace(old: Sequence[library.Library], made: str | None) -> None:
    """Remove libraries of which all is in the one that was ``made``; who has loaded them keeps them."""
    there = set(library.read(made).lines) if made is not None else set()
    for known in old:
        if there.issuperset(known.lines):
            stem = known.path.removesuffix(".so")
            for ending in (".so", ".json", ".lock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(stem + ending)


def main() -> int:
    """Make what is missing: the base library, and one of what graphs have asked for. Returns the exit status."""
    os.umask(0o077)
    at_a_time = 1
    if AWAITED in sys.argv:
        at_a_time = min(AT_A_TIME, len(os.sched_getaffinity(0)))
    else:
        _be_humble()
    if compiler() is None:
        sys.stderr.write("there is no C++ compiler here\n")
        return 1
    import ROOT

    ROOT.gROOT.SetBatch(True)
    place = library.folder()
    header_paths.note()
    for name in ours.LIBRARIES:
        build(place, name, (), ours.source(name))
    build(place, library.BASE, catalogue.catalogue(), at_a_time=at_a_time)
    build_wanted(place, at_a_time)
    return 0


if __name__ == "__main__":
    sys.exit(main())
