"""What comes back of a run, as DistRDF wants it: results loaded, arrays whole, Snapshots where they belong and published."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

from ..compiled import signals
from ..dataset import joining, snapshots
from ..fold import arrays, partials
from ..planning.plans import Plan, pack_calls
from ..reporting import progress
from ..run import outcomes, running
from ..run.events import Event, FilesMerged
from ..travels.envelope import Envelope, unpack
from ..worker.fold_task import ReduceTask
from ..worker.task import MapTask, MergeTask
from . import naming
from .preparing import Ready, groups_of, no_delivery
from .travelling import check_entries

# isort: split
from ROOT._distrdf.PythonMergeables import SnapshotResult
from ROOT._pythonization._rdataframe import AsNumpyResult

__all__ = ["received"]


class _Written(SnapshotResult):  # type: ignore[misc]  # ROOT has no type information
    """The parts of a Snapshot, which become a data frame by their names: DistRDF puts them into a TChain, which crashes over
    RNTuples and knows fewer places."""

    def GetValue(self, backend: Any) -> Any:  # DistRDF's name
        return backend.make_dataframe(self.treename, self.filenames)


def received(ready: Ready, graph: int, envelope: Envelope, took_s: float, recorder: Any = None) -> Any:
    """DistRDF's result of one graph of a run that has taken ``took_s``: arrays whole, Snapshots with the files that the
    workers have put where they belong. ``recorder`` is told of what is run for that."""
    began = time.monotonic()
    travelling = ready.taken[graph].travelling
    if envelope.stored is not None:
        envelope = unpack(ready.run_folder.take(envelope.stored["key"]))
    with signals.held():
        result = partials.loaded(envelope)
    if travelling.entries:
        check_entries(travelling.entries, result)
    destinations = travelling.graph.destinations
    mergeables: list[Any] = getattr(result, "mergeables", None) or []
    written: dict[snapshots.Destination, _Written] = {}
    for index, mergeable in enumerate(mergeables):
        naming.name_variations(mergeable)
        if isinstance(mergeable, arrays.ArrayParts):
            mergeables[index] = AsNumpyResult({}, [])
            mergeables[index]._py_arrays = arrays.joined(mergeable, ready.run_folder.take)
        elif isinstance(mergeable, SnapshotResult):
            mergeables[index] = _Written(mergeable.treename, mergeable.filenames)
            for destination in destinations:
                if destination.wrote(mergeable.filenames[0]):
                    passed_s = took_s + time.monotonic() - began
                    _merge(ready, graph, destination, mergeables[index], passed_s, recorder)
                    written[destination] = mergeables[index]
    if written:
        published = snapshots.finish({destination: each.filenames for destination, each in written.items()})
        for destination, names in published.items():
            written[destination].filenames = names
    return result


def _merge(
    ready: Ready, graph: int, destination: snapshots.Destination, written: _Written, took_s: float, recorder: Any
) -> None:
    """Merge the files of a Snapshot into larger ones, by a second ``map_reduce`` in the surroundings of the first, from
    the same account, and within the deadline of which ``took_s`` are gone."""
    backend = ready.taken[graph].backend
    options = backend.options
    if options.file_mib is None:
        written.filenames = joining.joined(destination, written.filenames)
        return
    names, ranges = snapshots.merge_ranges(destination, written.filenames, written.treename, options.file_mib * 2**20)
    if not ranges:
        return
    merging = _merge_plan(ready.alone[graph], ranges, backend.session.workers(), options.ranges_per_call)
    left_s = options.deadline_s and max(0.001, options.deadline_s - took_s)
    how = dataclasses.replace(backend.with_backups(), deadline_s=left_s)
    shown, events = progress.consumer(options.progress), list[Event]()
    consumers = (events.append, *([shown] if shown else []))
    submit, began = functools.partial(backend.submit, ready.run_folder), time.perf_counter()
    try:
        outcome = running.run(submit, merging, how, consumers, f"{ready.run_folder.run_id}-merge", account=ready.account)
    finally:
        for consumer in (*([recorder] if recorder else []), *backend.consumers):
            consumer(FilesMerged(time.perf_counter() - began, tuple(events)))
    outcomes.read_result(outcome.envelope)
    written.filenames = names


def _merge_plan(alone: Plan, ranges: list[dict[str, Any]], workers: int, ranges_per_call: int | None) -> Plan:
    assert isinstance(alone.map_task, MapTask), "a run begins with its map"
    iterdata = pack_calls(ranges, workers, ranges_per_call)
    range_ids, surroundings = tuple(fields["id"] for fields in ranges), alone.map_task.surroundings
    reduce_task = ReduceTask(alone.reduce_task.reducer, range_ids, surroundings, groups=groups_of(iterdata))
    merge_task = MergeTask(surroundings, access=alone.map_task.access)
    return Plan(iterdata, merge_task, reduce_task, no_delivery, alone.extra_env)
