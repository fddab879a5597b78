"""``python -m fuzz``: random programs until the time is over; prints seeds, differences, and what was covered.

A difference is made smaller, printed as a program, kept in the folder OUT, and the search goes on. Ends with status 1 if
there was one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import lithops
import ROOT
from hypothesis import HealthCheck, Phase, given, seed, settings

import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT

from . import engine, programs, strategies

HANG_S = 120  # no query of these takes so long
SHRINKS_S = 120.0  # of one difference, at most
PER_SEED = 40  # programs of one seed


class _Different(AssertionError):
    """A program whose results differ."""


class _Hung(Exception):
    """A program that did not end."""


@contextlib.contextmanager
def _limited(limit_s: int) -> Iterator[None]:
    def ring(number: int, frame: Any) -> None:
        raise _Hung(f"no end after {limit_s} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Search:
    """Programs of one seed after the other on one executor."""

    def __init__(self, executor: Any, out: str, until: float) -> None:
        self.executor, self.out, self.until = executor, out, until
        self.tally = programs.Tally()
        self.differences = 0
        self.found: tuple[programs.Program, str] | None = None

    def run(self, number: int) -> None:
        """The programs of the seed ``number``."""
        self.found, began_shrinking = None, []

        @seed(number)
        @settings(
            max_examples=PER_SEED,
            database=None,
            deadline=None,
            print_blob=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategies.programs())
        def one(program: programs.Program) -> None:
            if time.monotonic() > self.until and self.found is None:
                return
            if began_shrinking and time.monotonic() - began_shrinking[0] > SHRINKS_S:
                return
            self.tally.take(program)
            why = self._difference(program)
            if why:
                if not began_shrinking:
                    began_shrinking.append(time.monotonic())
                self.found = program, why
                raise _Different(why)

        try:
            one()
        except Exception as error:
            if self.found is None:  # hypothesis has something to say of the search itself
                print(f"seed {number}: {error}", flush=True)
        if self.found:
            self._keep(number, *self.found)

    def _difference(self, program: programs.Program) -> str:
        try:
            with _limited(HANG_S):
                return engine.check(program, self.executor)
        except _Hung as hung:
            return str(hung)

    def _keep(self, number: int, program: programs.Program, why: str) -> None:
        self.differences += 1
        path = os.path.join(self.out, f"difference_{number}.py")
        with open(path, "w") as stream:
            stream.write(as_python(program, why))
        print(f"DIFFERENCE, seed {number}: {why}\n{path}\n{program!r}", flush=True)


def as_python(program: programs.Program, why: str) -> str:
    """A program that shows the difference by itself: ``python FILE`` with ``tests`` on the path."""
    told = "\n".join(f"# {line}" for line in why.splitlines())
    return f"""{told}
import lithops, rdf_lithops
from fuzz.columns import Column
from fuzz.engine import check
from fuzz.programs import Action, Graph, Program, Step
from fuzz.sources import File, Source

PROGRAM = {program!r}
if __name__ == "__main__":
    with lithops.FunctionExecutor(config={CONFIG!r}) as executor:
        print(check(PROGRAM, executor) or "no difference")
"""


CONFIG = {
    "lithops": {
        "backend": "localhost",
        "storage": "localhost",
        "data_cleaner": False,
        "data_limit": False,
        "log_level": "ERROR",
    },
    "localhost": {"version": 1},
}


def main() -> int:
    """Search; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--out", default="fuzz-out")
    parser.add_argument("--tally", default="", help="a file for the tally, as JSON")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    ROOT.gErrorIgnoreLevel = ROOT.kBreak  # what local RDataFrame says of files that do not fit
    ROOT.TH1.AddDirectory(False)
    os.makedirs(asked.out, exist_ok=True)
    with lithops.FunctionExecutor(config=CONFIG) as executor:
        search = Search(executor, asked.out, time.monotonic() + asked.seconds)
        number = asked.seed
        while time.monotonic() < search.until:
            search.run(number)
            print(f"seed {number}: {search.tally.counted.get('programs', 0)} programs", flush=True)
            number += 1
    for name, count in sorted(search.tally.counted.items()):
        print(f"{count:8} {name}")
    print(f"{search.differences} differences in {search.tally.counted.get('programs', 0)} programs")
    if asked.tally:
        with open(asked.tally, "w") as stream:
            json.dump({**search.tally.counted, "differences": search.differences}, stream)
    return 1 if search.differences else 0


if __name__ == "__main__":
    sys.exit(main())
