"""Programs as values: what is booked on a data frame, in the order in which it is booked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ROOT

from .results import plain
from .sources import Source


@dataclass(frozen=True)
class Step:
    """A node: a method of the data frame or of an earlier node (``parent``, -1 for the frame), with its arguments."""

    parent: int
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Action:
    """A result of a node; with ``varied`` all its variations are read, too."""

    node: int
    kind: str
    arguments: tuple[Any, ...]
    varied: bool = False


@dataclass(frozen=True)
class Graph:
    """Nodes and actions on one data frame."""

    steps: tuple[Step, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Program:
    """Graphs over one dataset, each on a data frame of its own: one after the other, or by RunGraphs (``together``).

    ``rewritten``: then the files are written anew with other values, and all graphs run again. ``faults`` is a script of
    ``worker.faults``, None for none."""

    source: Source
    graphs: tuple[Graph, ...]
    npartitions: int = 2
    options: tuple[tuple[str, Any], ...] = ()
    together: bool = False
    rewritten: bool = False
    faults: tuple[tuple[str, tuple[tuple[int, tuple[str, ...]], ...]], ...] = ()

    @property
    def all_options(self) -> dict[str, Any]:
        """The options of the data frames."""
        script = {where: {number: list(what) for number, what in per_range} for where, per_range in self.faults}
        return {**dict(self.options), **({"faults": script} if script else {})}


Booked = list[tuple[Action, Any, Any]]


def booked(graph: Graph, frame: Any, folder: str, variations_for: Callable[[Any], Any]) -> Booked:
    """The results of a graph on a data frame, booked and not run; Snapshots go into ``folder``."""
    nodes: list[Any] = []
    for step in graph.steps:
        parent = frame if step.parent < 0 else nodes[step.parent]
        nodes.append(getattr(parent, step.method)(*step.arguments))
    found: Booked = []
    for number, action in enumerate(graph.actions):
        node = frame if action.node < 0 else nodes[action.node]
        result = _book(node, action, f"{folder}/snapshot{number}.root")
        varied = variations_for(result) if action.varied else None
        found.append((action, result, varied))
    return found


def _book(node: Any, action: Action, path: str) -> Any:
    lazy = ROOT.RDF.RSnapshotOptions()
    lazy.fLazy = True
    if action.kind == "Snapshot":
        return node.Snapshot("written", path, list(action.arguments), lazy)
    if action.kind == "AsNumpy":
        return node.AsNumpy(list(action.arguments), lazy=True)
    return getattr(node, action.kind)(*action.arguments)


def values(results: Booked) -> list[Any]:
    """The plain values of results, which runs what has not run."""
    found: list[Any] = []
    for action, result, varied in results:
        if action.kind == "Snapshot":
            written = result.GetValue()
            columns = written.AsNumpy(list(action.arguments))
            columns = columns.GetValue() if hasattr(type(columns), "GetValue") else columns
            found.append({name: sorted(map(repr, columns[name].tolist())) for name in action.arguments})
            continue
        value = plain(action.kind, result)
        if varied is not None:
            value = {str(key): plain(action.kind, _Held(varied[str(key)])) for key in varied.GetKeys()}
        found.append(value)
    return found


@dataclass
class _Held:
    """A result of one variation, which is there already."""

    held: Any

    def GetValue(self) -> Any:
        """As a result's."""
        return self.held.GetValue() if hasattr(type(self.held), "GetValue") else self.held


@dataclass
class Tally:
    """What was covered: how often each operation, source and option, and how many graphs."""

    counted: dict[str, int] = field(default_factory=dict)

    def add(self, *names: str) -> None:
        """Count each name once."""
        for name in names:
            self.counted[name] = self.counted.get(name, 0) + 1

    def take(self, program: Program) -> None:
        """Count all that a program has."""
        source = program.source
        self.add("programs", f"source {source.kind}", *(["source friends"] if source.friends else []))
        self.add(*(f"column {column.kind}" for column in source.columns))
        for graph in program.graphs:
            self.add("graphs", *(f"node {step.method}" for step in graph.steps))
            self.add(*(f"action {action.kind}{' varied' if action.varied else ''}" for action in graph.actions))
        self.add(*(f"option {name}" for name, _ in program.options), *(["faults"] if program.faults else []))
        self.add(*(["rewritten"] if program.rewritten else []), *(["RunGraphs"] if program.together else []))
