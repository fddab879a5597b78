"""What would run, as a value that can be read, printed and driven by hand before anything is invoked. Pure: no ROOT, no
Lithops."""

from __future__ import annotations

import dataclasses
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..dataset.layout import even_count, even_edges
from ..frame import ranges as adapter
from ..worker.fold_task import FoldTask, ReduceTask
from ..worker.task import MapTask, MergeTask
from ..worker.together import GraphsReduce, GraphsTask
from .cost import Work
from .outlook import Outlook

__all__ = ["Plan", "clusters_of", "entries_of", "files_of", "pack_calls", "read_bytes_of", "work_of"]


@dataclass(frozen=True)
class Plan:
    """The calls of one run and what they would execute.

    Drive it by hand with any executor::

        futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
        plan.deliver(fexec.get_result(futures))

    Where the data needs credentials and the calls run elsewhere, add ``extra_env=plan.extra_env``: it holds the key of this
    run, and travels with the calls and not through the storage. ``iterdata`` are plain dictionaries ``{"call": {"id",
    "ranges"}}``, one per Lithops call, dumpable as JSON.
    """

    iterdata: list[dict[str, Any]]
    map_task: MapTask | MergeTask | FoldTask | GraphsTask
    reduce_task: ReduceTask | GraphsReduce
    deliver: Callable[[bytes], None] = field(repr=False, compare=False)
    extra_env: dict[str, str] = field(default_factory=dict, repr=False)
    outlook: Outlook | None = field(default=None, compare=False)
    call_limit_s: float | None = field(default=None, repr=False, compare=False)  # of a part that is submitted, by its budget

    @property
    def calls(self) -> int:
        """The number of Lithops calls of the map stage."""
        return len(self.iterdata)

    @property
    def ranges(self) -> int:
        """The number of ranges in all calls."""
        return len(self._plain_ranges())

    @property
    def entries(self) -> int | None:
        """The number of entries in all calls; None where they were not counted beforehand."""
        return _sum(entries_of(fields) for fields in self._plain_ranges())

    @property
    def read_bytes(self) -> int | None:
        """Compressed bytes, in files, of the columns that the graph reads; None where they were not counted beforehand."""
        return _sum(read_bytes_of(fields) for fields in self._plain_ranges())

    @property
    def graphs(self) -> int:
        """Graphs that the calls run."""
        return len(self.map_task.tasks) if isinstance(self.map_task, GraphsTask) else 1

    def shares(self) -> list[tuple[int, int, int]]:
        """Of each of several graphs its number, the number of its first range, and how many follow; none for one graph."""
        if not (isinstance(self.map_task, GraphsTask) and isinstance(self.reduce_task, GraphsReduce)):
            return []
        ranges = [len(task.range_ids) for task in self.reduce_task.tasks]
        return [(graph, first, ranges[graph]) for graph, first in enumerate(self.map_task.firsts)]

    def names(self) -> list[str]:
        """Of each of several graphs the file that it reads, or the first of them and how many more there are; empty where
        all read the same, or none."""
        if not isinstance(self.map_task, GraphsTask):
            return []
        files: list[set[str]] = [set() for _ in self.map_task.tasks]
        for fields in self._plain_ranges():
            files[fields["graph"]] |= adapter.files_of([fields], self.map_task.dataset_of(fields))
        if all(some == files[0] for some in files):
            return [""] * len(files)
        return [_name_of(sorted(some)) for some in files]

    def alone(self, graph: int) -> Plan:
        """What folds one of the graphs, whose ranges are numbered as here."""
        if not (isinstance(self.map_task, GraphsTask) and isinstance(self.reduce_task, GraphsReduce)):
            return self
        task = dataclasses.replace(self.map_task.tasks[graph], shelf=self.map_task.shelf)
        return dataclasses.replace(self, map_task=task, reduce_task=self.reduce_task.tasks[graph])

    def own_number(self, range_id: int) -> int:
        """The number that a range has in its graph."""
        firsts = self.map_task.firsts if isinstance(self.map_task, GraphsTask) else (0,)
        return range_id - firsts[bisect_right(firsts, range_id) - 1]

    def reduce_of(self, graphs: Collection[int], kept: tuple[bytes, ...], attempt: int) -> ReduceTask | GraphsReduce:
        """The reducer of an attempt: it folds these graphs, and the partials that are ``kept`` as well."""
        if isinstance(self.reduce_task, GraphsReduce):
            return dataclasses.replace(self.reduce_task, wanted=tuple(sorted(graphs)), kept=kept, attempt=attempt)
        return dataclasses.replace(self.reduce_task, kept=kept, attempt=attempt)

    def _plain_ranges(self) -> list[dict[str, Any]]:
        return [fields for item in self.iterdata for fields in item["call"]["ranges"]]

    def validate(self) -> None:
        """Raise PlanError, naming every problem, if the plan does not fit into what the executor offers, or costs too
        much."""
        if self.outlook is not None:
            self.outlook.validate()

    def to_json(self) -> str:
        """Return, as JSON, what the printed plan says, and all calls."""
        facts = {} if self.outlook is None else self.outlook.as_plain()
        counts = {"calls": self.calls, "ranges": self.ranges, "entries": self.entries, "read_bytes": self.read_bytes}
        return json.dumps({"format": 1, **counts, **facts, "iterdata": self.iterdata}, allow_nan=False)

    def __str__(self) -> str:
        folds = (1,) if self.outlook is None else self.outlook.fold
        shape = " to ".join(map(str, folds)) + (" reduce calls" if folds != (1,) else " reduce call")
        lines = [f"plan: {self.ranges} ranges in {self.calls} calls, then {shape}"]
        if self.entries is not None:
            size = "" if not self.read_bytes else f" in {self.read_bytes / 1e6:,.1f} MB of compressed columns"
            lines.append(f"  reads     {self.entries:,} entries{size}")
        lines += [] if self.outlook is None else [f"  {line}" for line in self.outlook.lines()]
        for item in self.iterdata:
            inner = "; ".join(
                adapter.describe(fields, self.map_task.dataset_of(fields)) for fields in item["call"]["ranges"][:3]
            )
            more = len(item["call"]["ranges"]) - 3
            lines.append(f"  call {item['call']['id']}: {inner}" + (f"; {more} more" if more > 0 else ""))
            if item["call"]["id"] == 9 and self.calls > 10:
                lines.append(f"  … and {self.calls - 10} more calls")
                break
        return "\n".join(lines)


def _name_of(files: list[str]) -> str:
    """The first of several files, without its folder and what may be secret in a URL, and how many more there are."""
    if not files:
        return ""
    first = files[0].partition("?")[0].rpartition("/")[2]
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def entries_of(fields: dict[str, Any]) -> int | None:
    """Return the entries of a range, given as its dictionary; None if they are not known beforehand."""
    if fields["kind"] == "entries":
        return int(fields["end"] - fields["start"])
    return fields.get("entries")


def read_bytes_of(fields: dict[str, Any]) -> int | None:
    """Return the compressed bytes that a range reads; None if they are not known beforehand."""
    return 0 if fields["kind"] == "entries" else fields.get("read_bytes")


def clusters_of(iterdata: list[dict[str, Any]]) -> int | None:
    """Return the number of clusters that all calls read; None if they are not known beforehand."""
    return _sum(fields.get("clusters") for item in iterdata for fields in item["call"]["ranges"])


def files_of(fields: dict[str, Any]) -> int:
    """Return how many files a range opens."""
    return int(fields["last_file"] - fields["first_file"]) if fields["kind"] == "files" else len(fields.get("files") or ())


def work_of(item: dict[str, Any]) -> Work | None:
    """Return what a call, one item of ``iterdata``, is given; None if it is not known beforehand."""
    ranges = item["call"]["ranges"]
    entries, read_bytes = _sum(map(entries_of, ranges)), _sum(map(read_bytes_of, ranges))
    if entries is None or read_bytes is None:
        return None
    return Work(entries, read_bytes, sum(map(files_of, ranges)), len(ranges))


def pack_calls(
    plain_ranges: list[dict[str, Any]], workers: int, ranges_per_call: int | None, loads: list[float] | None = None
) -> list[dict[str, Any]]:
    """Put ranges, in order, into calls of ``ranges_per_call``, or evenly into one call per worker; return Lithops' iterdata.

    Evenly is by ``loads`` (seconds) where they are given, and then into fewer calls if those are more even; else by number.
    """
    if ranges_per_call is not None:
        edges = [*range(0, len(plain_ranges), ranges_per_call), len(plain_ranges)]
    elif loads is not None:
        edges = even_edges(loads, even_count(loads, workers))
    else:
        count = min(len(plain_ranges), max(1, workers))
        edges = [len(plain_ranges) * i // count for i in range(count + 1)]
    pairs = itertools.pairwise(edges)
    return [{"call": {"id": i, "ranges": plain_ranges[start:end]}} for i, (start, end) in enumerate(pairs)]
