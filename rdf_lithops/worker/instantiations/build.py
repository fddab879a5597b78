"""Make an instantiation library with the C++ compiler: ``python -m rdf_lithops.worker.instantiations.build [FILE]``.

Runs at idle priority, once at a time for a user and ROOT, within limits of time and memory; the library is there complete
or it is not there. FILE has lines of C++ to be made into a library of their own; without it the base library is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from .. import execute
from . import catalogue, library, signatures

__all__ = ["build", "compiler", "main"]

LIMIT_S = 1800.0
MEMORY_BYTES = 3 * 2**30  # of one compilation
LINES_PER_FILE = 12  # the compiler's memory grows with them: 12 take 0.6 GiB
_FLAGS = ("-O2", "-ffp-contract=off", "-fPIC", "-w")  # the loop's bits are those of Cling's code


def compiler() -> str | None:
    """The system's C++ compiler, or None."""
    return shutil.which("g++") or shutil.which("c++")


def build(place: str, name: str, lines: Sequence[str]) -> str | None:
    """Make ``name`` of ``lines`` in the folder ``place``; returns its path, or None where another process is at it.

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
        with tempfile.TemporaryDirectory(prefix=".build-", dir=place) as scratch:
            began = time.monotonic()
            made = _compiled(scratch, lines, began + LIMIT_S)
            _describe(scratch, made, lines, time.monotonic() - began)
            os.replace(os.path.join(scratch, "made.json"), target.removesuffix(".so") + ".json")
            os.replace(made, target)  # a library without its description is none: the description is there first
        return target


def _compiled(scratch: str, lines: Sequence[str], until: float) -> str:
    objects = []
    for begin in range(0, len(lines), LINES_PER_FILE):
        text = os.path.join(scratch, f"{begin}.cxx")
        with open(text, "w") as stream:
            stream.write(signatures.source(lines[begin : begin + LINES_PER_FILE]))
        objects.append(os.path.join(scratch, f"{begin}.o"))
        _compile(["-c", text, "-o", objects[-1]], until)
    made = os.path.join(scratch, "made.so")
    _compile(["-shared", *objects, "-o", made], until)
    return made


def _compile(arguments: list[str], until: float) -> None:
    import ROOT

    include = f"-I{ROOT.gROOT.GetIncludeDir()}"
    command = [str(compiler()), f"-std={library.standard()}", *_FLAGS, include, *arguments]
    left_s = max(1.0, until - time.monotonic())
    subprocess.run(command, check=True, timeout=left_s, stdin=subprocess.DEVNULL, preexec_fn=_limit_memory)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _describe(scratch: str, made: str, lines: Sequence[str], seconds: float) -> None:
    with open(made, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    known = {"format": 1, "sha256": digest, "lines": list(lines), "seconds": round(seconds, 1), "flags": list(_FLAGS)}
    with open(os.path.join(scratch, "made.json"), "w") as stream:
        json.dump(known, stream)


def _be_humble() -> None:
    """Take no time that anybody else wants, and no memory without end."""
    os.nice(19)
    with contextlib.suppress(OSError, AttributeError):  # not on every system
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Make the library that the command line names; returns the exit status."""
    os.umask(0o077)
    _be_humble()
    if compiler() is None:
        sys.stderr.write("there is no C++ compiler here\n")
        return 1
    execute.initialise()
    place = library.folder()
    given = sys.argv[1:]
    if given:
        with open(given[0]) as stream:
            lines = [line for line in stream.read().splitlines() if line]
        name = "learned-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    else:
        lines, name = catalogue.catalogue(), library.BASE
    made = build(place, name, lines)
    sys.stdout.write(f"{made or 'another process is making it'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
