"""One process of `make fuzz`: programs for some seconds; what differs is made smaller, stored and told, and it goes on.

Each line on the standard output is an event, as JSON, for the process that watches this one.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import sys
import time
from typing import Any

import hypothesis
import ROOT

from . import running
from .programs import Program, load, programs

__all__ = ["tell"]

SHRINK_S = 60.0
ROUND = 20  # programs of one seed
AGAIN = 2  # a difference that looks like this many others is counted, and not made smaller


def tell(event: str, **more: Any) -> None:
    """An event for the process that watches."""
    print(json.dumps({"event": event, "at": time.time(), **more}), flush=True)


class _Differs(AssertionError):
    """A program in which the sides differ."""


class Hunt:
    """A round of programs from one seed. Hypothesis makes the first that differs smaller, until time is up."""

    def __init__(self, seed: int, until: float, seen: collections.Counter[str]) -> None:
        self.seed, self.until, self.seen = seed, until, seen
        self.verdicts: dict[str, list[str]] = {}
        self.since: float | None = None  # the first difference
        self.smallest: tuple[str, list[str]] | None = None

    def run(self) -> None:
        """Until the round is over."""
        checks = list(hypothesis.HealthCheck)
        limits = {"max_examples": ROUND, "database": None, "deadline": None, "suppress_health_check": checks}
        body = hypothesis.given(programs())(self._one)
        try:
            hypothesis.seed(self.seed)(hypothesis.settings(**limits, report_multiple_bugs=False)(body))()
        except _Differs:
            pass  # hypothesis raises the smallest again: it was kept when it ran, and is told below
        except hypothesis.errors.HypothesisException as error:  # of the search itself: a program that differs once, say
            tell("trouble", text=f"{type(error).__name__}: {error}"[:500])
        if self.smallest:
            text, found = self.smallest
            self.seen[shape_of(found)] += 1
            tell("difference", seed=self.seed, text=text, found=found)

    def _one(self, program: Program) -> None:
        text = program.text()
        if text not in self.verdicts:
            out_of_time = time.monotonic() > (self.until if self.since is None else self.since + SHRINK_S)
            if out_of_time:
                return
            self.verdicts[text] = self._ask(program, text)
        found = self.verdicts[text]
        if not found:
            return
        if self.seen[shape_of(found)] >= AGAIN:
            tell("again", shape=shape_of(found))
            return
        if self.since is None:
            self.since = time.monotonic()
        if self.smallest is None or len(text) <= len(self.smallest[0]):
            self.smallest = text, found
        raise _Differs(found[0])

    def _ask(self, program: Program, text: str) -> list[str]:
        def say(phase: str) -> None:
            tell("phase", phase=phase)

        tell("begin", seed=self.seed, text=text)
        found = running.check(load(text), running.executor(), say)
        operations = [name for ask in program.asks() for graph in ask.graphs for name in graph.operations]
        faults = [key for ask in program.asks() for key, value in ask.options if key == "faults"]
        graphs = sum(len(ask.graphs) for ask in program.asks())
        tell("end", graphs=graphs, operations=operations, sources=program.kinds, faults=len(faults), differs=bool(found))
        return found


def shape_of(found: list[str]) -> str:
    """What a difference looks like, without its numbers and names."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[\d.e+-]+", "_", found[0])[:160]


def main() -> int:
    """Programs from ``--seed`` on, one seed per round, for ``--seconds``."""
    parser = argparse.ArgumentParser(prog="fuzz.hunt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--stride", type=int, default=1, help="the step from one seed to the next")
    given = parser.parse_args()
    ROOT.gROOT.SetBatch(True)
    ROOT.TH1.AddDirectory(False)
    until, seen, seed = time.monotonic() + given.seconds, collections.Counter[str](), given.seed
    with running.executor():
        while time.monotonic() < until:
            tell("seed", seed=seed)
            Hunt(seed, until, seen).run()
            seed += given.stride
    return 0


if __name__ == "__main__":
    sys.exit(main())
