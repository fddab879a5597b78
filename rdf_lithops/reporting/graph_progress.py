"""How far each of several graphs of one run is: the lines below the run's bar. Few are shown, the others counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..planning.plans import Plan, entries_of
from ..run.events import CallBegan, CallEnded, CallFailed, CallProgressed, Event
from .text import quantity

__all__ = ["BAR", "GraphBars", "Graphs", "Standing"]

MOST_LINES = 8
NAME_CHARACTERS = 30
BAR = "{bar:20}"  # of a graph's line, in a terminal


@dataclass
class Standing:
    """Where one graph is. ``total`` entries are None where the plan does not say how many there are: then ranges count."""

    graph: int
    name: str
    ranges: int
    total: int | None
    done: set[int] = field(default_factory=set)  # ranges
    entries: int = 0  # of them
    running: dict[int, int] = field(default_factory=dict)  # entries so far in calls that run

    @property
    def state(self) -> str:
        """done, running or waiting."""
        if len(self.done) == self.ranges:
            return "done"
        return "running" if self.done or self.running else "waiting"

    @property
    def share(self) -> float:
        """What is done, of 1."""
        if self.total:
            return min(1.0, self._so_far / self.total)
        return len(self.done) / max(1, self.ranges)

    @property
    def _so_far(self) -> int:
        return self.entries + sum(self.running.values())

    def counts(self) -> str:
        """How much is done, in words."""
        if self.state == "waiting":
            return "waiting"
        if self.total is None:
            return f"{len(self.done)}/{self.ranges} ranges"
        return f"{quantity(min(self._so_far, self.total))}/{quantity(self.total)} entries"


class Graphs:
    """Counts, graph by graph, what the events of a run say. Nothing for a run of one graph."""

    def __init__(self, plan: Plan) -> None:
        ranges = [fields for item in plan.iterdata for fields in item["call"]["ranges"]]
        self._calls: dict[int, list[dict[str, Any]]] = {item["call"]["id"]: item["call"]["ranges"] for item in plan.iterdata}
        self._ranges = {fields["id"]: fields for fields in ranges}
        by_graph: dict[int, list[dict[str, Any]]] = {}
        for fields in ranges:
            by_graph.setdefault(fields.get("graph", 0), []).append(fields)
        names = plan.names()
        self.standings = [_standing(graph, names[graph], by_graph.get(graph, [])) for graph in range(len(names))]

    def count(self, event: Event) -> None:
        """Count ``event``."""
        if isinstance(event, (CallBegan, CallProgressed)):
            self._progress(event.call_id, event.entries if isinstance(event, CallProgressed) else 0)
        elif isinstance(event, CallEnded):
            self._stop(event.call_id)
            for range_id in event.range_ids:
                self._end(range_id)
        elif isinstance(event, CallFailed):
            self._stop(event.call_id)

    def _progress(self, call_id: int, entries: int) -> None:
        """A call runs its ranges in order: those of one graph behind those of another."""
        found: dict[int, int] = {}
        for fields in self._calls.get(call_id, ()):
            graph, expected = fields.get("graph", 0), entries_of(fields)
            if fields["id"] not in self.standings[graph].done:
                found[graph] = found.get(graph, 0) + min(entries, expected or 0)
            entries = max(0, entries - (expected or 0))
            if not entries:
                break
        for graph, some in found.items():
            self.standings[graph].running[call_id] = some

    def _stop(self, call_id: int) -> None:
        for fields in self._calls.get(call_id, ()):
            self.standings[fields.get("graph", 0)].running.pop(call_id, None)

    def _end(self, range_id: int) -> None:
        fields = self._ranges.get(range_id)
        if fields is not None:
            standing = self.standings[fields.get("graph", 0)]
            standing.entries += 0 if range_id in standing.done else entries_of(fields) or 0
            standing.done.add(range_id)

    @property
    def done(self) -> int:
        """Graphs of which all ranges are done."""
        return sum(standing.state == "done" for standing in self.standings)

    def shown(self) -> list[Standing]:
        """All, if they are few; else those that run, and the next ones."""
        if len(self.standings) <= MOST_LINES:
            return self.standings
        order = {"running": 0, "waiting": 1, "done": 2}
        chosen = sorted(self.standings, key=lambda standing: (order[standing.state], standing.graph))[:MOST_LINES]
        return sorted(chosen, key=lambda standing: standing.graph)

    def others(self) -> str:
        """The graphs that are not shown, by what they do; "" if there are none."""
        shown = {standing.graph for standing in self.shown()}
        states = Counter(standing.state for standing in self.standings if standing.graph not in shown)
        said = ", ".join(f"{states[state]} {state}" for state in ("done", "running", "waiting") if states[state])
        return f"and {sum(states.values())} more graphs: {said}" if states else ""


def _standing(graph: int, name: str, ranges: list[dict[str, Any]]) -> Standing:
    counts = [entries_of(fields) for fields in ranges]
    total = None if None in counts else sum(count for count in counts if count is not None)
    return Standing(graph, name, len(ranges), total)


class GraphBars:
    """A line for each graph that is shown, below the bar of the run: ``make`` is tqdm's class, ``below`` the bar of the run,
    ``bar`` how a line's own is to be drawn."""

    def __init__(self, make: Any, graphs: Graphs, below: Any, bar: str) -> None:
        self._graphs, self._bar = graphs, bar
        lines = len(graphs.shown()) + bool(graphs.others())
        given = {"total": 1.0, "leave": False, "dynamic_ncols": True, "bar_format": "{desc}"}
        first = 1 + abs(getattr(below, "pos", 0))
        self._lines = [make(position=first + number, **given) for number in range(lines)]

    def refresh(self) -> None:
        """Show where they are now."""
        shown = list(self._texts())
        for line, (share, text) in zip(self._lines, shown, strict=True):
            line.n, line.bar_format = share, text
            line.refresh()

    def _texts(self) -> Iterator[tuple[float, str]]:
        shown = self._graphs.shown()
        width = max(len(_label(standing)) for standing in shown)
        for standing in shown:
            label = _label(standing).ljust(width).replace("{", "{{").replace("}", "}}")
            yield standing.share, f"  {label} {{percentage:3.0f}}%|{self._bar}| {standing.counts()}"
        others = self._graphs.others()
        if others:
            yield 0.0, f"  {others}"

    def close(self) -> None:
        """Take the lines away."""
        for line in reversed(self._lines):
            line.close()


def _label(standing: Standing) -> str:
    name = f"graph {standing.graph}" + (f" {standing.name}" if standing.name else "")
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"
