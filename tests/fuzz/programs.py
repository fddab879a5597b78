"""A whole program as text: what it writes, what it asks, how. The text is what runs, what is printed, and what is kept."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import textwrap
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .files import File
from .graphs import Graph, graphs
from .running import Query, Write
from .sources import Source, sources

__all__ = ["Program", "load", "programs"]

HEADER = '''"""{why}"""

from __future__ import annotations

import sys

import ROOT

from fuzz.files import Column, File, Tree
from fuzz.running import Query, Write, main
'''
FOOTER = """
if __name__ == "__main__":  # PYTHONPATH=tests
    sys.exit(main(STEPS))
"""


@dataclass(frozen=True)
class Ask:
    """One query: graphs, which run together, the number of ranges, options."""

    graphs: tuple[Graph, ...]
    npartitions: int
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Program:
    """Files and queries in turn; ``kinds`` names the sources. Its ``repr`` is its text."""

    steps: tuple[tuple[File, ...] | Ask, ...]
    kinds: tuple[str, ...]

    def __repr__(self) -> str:
        return self.text()

    def asks(self) -> list[Ask]:
        return [step for step in self.steps if isinstance(step, Ask)]

    def text(self, why: str = "A program of the fuzzer.") -> str:
        """A Python program that runs it on both sides and says what differs."""
        numbers, books, steps = itertools.count(), [], []
        for step in self.steps:
            if not isinstance(step, Ask):
                steps.append(f"Write({step!r})")
                continue
            names = [f"book_{next(numbers)}" for _ in step.graphs]
            books += [_book(name, graph) for name, graph in zip(names, step.graphs, strict=True)]
            options = f", {dict(step.options)!r}" if step.options else ""
            steps.append(f"Query(({', '.join(names)},), {step.npartitions}{options})")
        listed = "\nSTEPS = [\n" + "".join(f"    {step},\n" for step in steps) + "]\n"
        return HEADER.format(why=why) + "".join(books) + "\n" + listed + "\n" + FOOTER


def _book(name: str, graph: Graph) -> str:
    return f"\n\ndef {name}(RDataFrame, out):\n" + textwrap.indent("\n".join(graph.lines), "    ") + "\n"


def load(text: str) -> list[Write | Query]:
    """The steps of a program."""
    space: dict[str, Any] = {"__name__": "fuzz.program"}
    exec(compile(text, "program.py", "exec"), space)  # our own text
    steps: list[Write | Query] = space["STEPS"]
    return steps


FAULTS = (
    {"task": {0: ["kill"]}},
    {"task": {1: ["exit"]}},
    {"task": {0: ["twice"]}},
    {"task": {2: ["garbage"]}},
    {"slot": {0: ["kill"]}},
    {"slot": {1: ["garbage"]}},
    {"slot": {1: ["twice"]}},
    {"reduce": ["kill"]},
    {"fold": ["kill"]},
)


@st.composite
def _options(draw: st.DrawFn, faults: bool) -> tuple[tuple[str, Any], ...]:
    """Few options of few values; most often none."""
    chosen: dict[str, Any] = {}
    if draw(st.booleans()):
        chosen["survey"] = draw(st.booleans())
    if draw(st.sampled_from([False, False, True])):
        chosen["ranges_per_call"] = draw(st.integers(1, 3))
    odd = draw(st.sampled_from([*[None] * 12, "warm", "skip", "fold", "arrays", *["faults"] * 2]))
    if odd == "warm":
        chosen["warm"] = False
    elif odd == "skip":
        chosen["on_bad_file"] = "skip"
    elif odd == "fold":
        chosen["fold_partials"] = 2
    elif odd == "arrays":
        chosen["arrays_mib"] = 0.0
    elif odd == "faults" and faults:
        chosen |= {"faults": draw(st.sampled_from(FAULTS)), "backoff_s": 0.05}
    return tuple(chosen.items())


@st.composite
def _asks(draw: st.DrawFn, graph: tuple[Graph, ...], faults: bool) -> Ask:
    return Ask(graph, draw(st.integers(1, 9)), draw(_options(faults)))


def _rewritten(files: tuple[File, ...], more: int) -> tuple[File, ...]:
    """The same files with other entries and more of them."""
    change = functools.partial(dataclasses.replace)
    return tuple(
        change(file, trees=tuple(change(tree, entries=tree.entries + more, first=tree.first + 1000) for tree in file.trees))
        for file in files
    )


@st.composite
def programs(draw: st.DrawFn, faults: bool = True) -> Program:
    """One or two graphs. The second is another one on the same or another source, or the first again on rewritten files."""
    source: Source = draw(sources("a"))
    first = draw(graphs(source))
    steps: list[Any] = [source.files] if source.files else []
    then = draw(st.sampled_from(["end"] * 5 + ["again", "rewritten", "other graph", "other source", "together"]))
    other = draw(sources("b")) if then in ("other source", "together") else source
    if other is not source and other.files:
        steps.append(other.files)
    if then == "together":
        return Program((*steps, draw(_asks((first, draw(graphs(other))), faults))), (source.kind, other.kind))
    steps.append(draw(_asks((first,), faults)))
    if then == "rewritten" and source.files:
        steps.append(_rewritten(source.files, draw(st.integers(0, 40))))
    if then != "end":
        second = draw(graphs(other)) if then.startswith("other") else first
        steps.append(draw(_asks((second,), faults)))
    return Program(tuple(steps), (source.kind,) if then == "end" else (source.kind, other.kind))
