"""Run the ranges of a call, in a process that may use ROOT, and fold them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...files import access, remote, snapshot_parts, stores
from ...files.fingerprints import changed_files
from ...fold import arrays, partials
from ...frame import settings
from ...processes.seconds import Stopwatch
from ...travels.envelope import Envelope, pack
from ...travels.facts import Began, Facts
from .. import libraries
from . import graphs
from .failures import RangeFailure, described, store_failure_described
from .initialisation import initialise

__all__ = [
    "ENTRY_COLUMN",
    "Results",
    "give_back_memory",
    "merge_files",
    "range_seed",
    "run_call",
    "working_folder",
]

ENTRY_COLUMN = "rdf_lithops_entry_"  # prefix of the helper columns that the driver defines for rdfentry_, a number and that
_HELPER = re.compile(rf"^{ENTRY_COLUMN}\d+_")


@dataclass(frozen=True)
class Results:
    """Where results go that are too large for a partial: Snapshots by number, arrays (of graphs that have any) below a
    prefix in Lithops' storage."""

    outputs: tuple[snapshot_parts.Output, ...] = ()
    arrays_prefix: str = ""
    arrays_limit_bytes: int = 0


def give_back_memory() -> None:
    """Have the C library return what is free to the system: after a large result that is most of what this process has."""
    with contextlib.suppress(AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def run_call(
    graph: bytes,
    graph_digest: str,
    call: dict[str, Any],
    dataset: dict[str, Any],
    seed: int,
    results: Results,
    folder: str,
    began: Began | None = None,
    payload_s: float = 0.0,
    before_range: Callable[[int], None] | None = None,
) -> tuple[bytes, dict[str, bytes]]:
    """Run every range of ``call`` in ascending order and fold them; returns the packed envelope, and what is to be put into
    Lithops' storage, by key.

    ``graph`` is the pickled pair (mapper, reducer); ``results`` says where large results go; ``folder`` is this process's
    own. Errors of the user's graph, and of a Snapshot that cannot be written, come back in the envelope; errors of ours are
    raised. ``began`` is what ``seconds.began_here`` said in the task, ``payload_s`` how long the payload took to load;
    ``before_range``, if it is given, is told which range is next.
    """
    version = initialise()
    watch = Stopwatch(began, payload_s)
    graphs.current.watch = watch
    range_ids = tuple(sorted(fields["id"] for fields in call["ranges"]))
    half = tuple(call["ranges"][0].get("half", ()))
    try:
        with watch.part("graph_s"):
            runner = graphs.graph_of(graph, graph_digest, folder)
        partial, entries = _run_ranges(runner, call, dataset, seed, results.outputs, folder, before_range)
        with watch.part("serialise_s"):
            prefix, limit_bytes = results.arrays_prefix, results.arrays_limit_bytes
            blobs = arrays.taken_apart(partial, prefix, limit_bytes, range_ids, half) if prefix else {}
            pickles = partials.dumped(partial)
        size = sum(map(len, pickles))
        graphs.keep_within(graph_digest, size)
    except RangeFailure as failure:
        graphs.forget(graph_digest)
        snapshot_parts.clear(folder)
        error = described(failure, call, dataset)
        return pack(Envelope(range_ids, None, version, error=error, facts=_facts())), {}
    except stores.StoreFailure as failure:
        error = store_failure_described(failure, call)
        return pack(Envelope(range_ids, None, version, error=error, facts=_facts())), {}
    return pack(Envelope(range_ids, entries, version, facts=_facts(size), half=half), pickles), blobs


def _facts(packed_bytes: int = 0) -> Facts:
    """What is said of the current call: its stopwatch's, and what the reader has fetched for it."""
    fetched = access.fetched()
    facts = graphs.current.watch.facts(packed_bytes)
    facts["fetched_bytes"], facts["fetches"] = fetched.bytes, fetched.requests
    facts["library_actions"], facts["cling_actions"] = graphs.counted_actions()
    facts["instantiated"] = graphs.told_notes()
    facts["left_out"] = list(libraries.left_out)
    return facts


def _run_ranges(
    runner: graphs.Graph,
    call: dict[str, Any],
    dataset: dict[str, Any],
    seed: int,
    outputs: tuple[snapshot_parts.Output, ...],
    folder: str,
    before_range: Callable[[int], None] | None,
) -> tuple[Any, int | None]:
    """The merged result of the call's ranges, summand by summand, and the entries that they had."""
    watch, counter = graphs.current.watch, graphs.current.counter
    whole = partial = summand = None
    entries: int | None = 0
    for fields in sorted(call["ranges"], key=lambda fields: fields["id"]):
        watch.counts_system_reads |= bool(fields.get("rntuple"))
        _announce(fields["id"], before_range)
        with watch.part("open_s"):  # what DistRDF's mapper does beside running the graph: it opens the range's files
            graphs.settle_clones(runner.digest)
            result = _run_range(runner, fields, dataset, seed)
        with watch.part("output_s"):
            if outputs:
                snapshot_parts.publish(result, outputs, folder, fields)
        done = _entries(fields, result)
        entries = None if entries is None or done is None else entries + done
        if counter is not None and entries is not None:
            counter.set(entries)
        with watch.part("merge_s"):
            if fields.get("summand") != summand:  # the one before is whole
                whole, partial, summand = _merged(runner, whole, partial), None, fields.get("summand")
            partial = _merged(runner, partial, result)
    with watch.part("merge_s"):
        return _merged(runner, whole, partial), entries


def _merged(runner: graphs.Graph, into: Any, other: Any) -> Any:
    return other if into is None else runner.reducer(into, other)


def merge_files(call: dict[str, Any], folder: str, began: Began) -> bytes:
    """Merge the files of each range of ``call`` into one; returns the packed envelope of a result that names them, as that
    of a Snapshot does. ``began`` is what ``seconds.began_here`` said in the task."""
    from ROOT._distrdf.Backends.Base import TaskResult
    from ROOT._distrdf.PythonMergeables import SnapshotResult

    version = initialise()
    watch = Stopwatch(began)
    range_ids = tuple(fields["id"] for fields in call["ranges"])
    try:
        with watch.part("output_s"):
            for fields in call["ranges"]:
                snapshot_parts.merge(fields["sources"], fields["target"], folder)
    except stores.StoreFailure as failure:
        return pack(Envelope(range_ids, None, version, error=store_failure_described(failure, call), facts=watch.facts()))
    finally:
        snapshot_parts.clear(folder)
    merged = SnapshotResult(call["ranges"][0]["tree"], [fields["target"] for fields in call["ranges"]])
    return pack(Envelope(range_ids, None, version, pickle.dumps(TaskResult([merged], None)), facts=watch.facts()))


def _announce(range_id: int, before_range: Callable[[int], None] | None) -> None:
    """Say which range is next, to the counter and to ``before_range``, whose failure is the range's."""
    if graphs.current.counter is not None:
        graphs.current.counter.begin_range(range_id)
    try:
        if before_range is not None:
            before_range(range_id)
    except Exception as error:
        raise RangeFailure(range_id) from error


def _run_range(runner: graphs.Graph, fields: dict[str, Any], dataset: dict[str, Any], seed: int) -> Any:
    try:
        with settings.applied(dataset.get("settings")):
            settings.seed(range_seed(seed, fields["id"], fields.get("half", ())))
            try:
                result = runner.mapper(graphs.ready(fields, dataset, runner.exec_id(fields)))
            finally:
                _refuse_changed_files(fields, dataset)
        _restore_entry_columns(result)
        _refuse_unread_data()
    except Exception as error:
        raise RangeFailure(fields["id"]) from error
    finally:
        graphs.has_run(runner)
    return result


def _refuse_changed_files(fields: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Raise for a local file that is no longer what the driver saw, whatever came of reading it."""
    for path in changed_files({**dataset.get("seen", {}), **fields.get("seen", {})}):
        raise remote.changed(path)


def _refuse_unread_data() -> None:
    """Raise for remote data that could not be read, even if ROOT went on without it."""
    failed = access.take_failure()
    if failed is not None:
        raise remote.AccessFailure(**failed)


def _restore_entry_columns(result: Any) -> None:
    """AsNumpy of ``rdfentry_`` was booked on a helper column: give the array the name that the user asked for."""
    for mergeable in getattr(result, "mergeables", None) or ():
        arrays = getattr(mergeable, "_py_arrays", None)
        if arrays:
            mergeable._py_arrays = {_HELPER.sub("", str(name)): array for name, array in arrays.items()}


def range_seed(seed: int, range_id: int, half: Sequence[int] = ()) -> int:
    """A 32-bit seed for ``gRandom`` that depends on the user's seed and the range alone; never 0, which means "random".

    The parts of a range that was cut have streams of their own.
    """
    name = ":".join(map(str, (seed, range_id, *half)))
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


def _entries(fields: dict[str, Any], result: Any) -> int | None:
    counted = getattr(result, "entries_in_trees", None)
    if counted is not None:
        return int(counted.processed_entries)
    return fields["end"] - fields["start"] if fields["kind"] == "entries" else None


@contextlib.contextmanager
def working_folder(path: str | None, umask: int | None = None) -> Iterator[None]:
    """Run in the driver's working folder where this machine has it, so that relative paths mean the same, and with its
    ``umask``, so that files are for whom they would be for."""
    before = _working_folder()
    mask_before = None if umask is None else os.umask(umask)
    if path and os.path.isdir(path):
        os.chdir(path)
    try:
        yield
    finally:
        if mask_before is not None:
            os.umask(mask_before)
        with contextlib.suppress(OSError):  # somebody has deleted it meanwhile
            os.chdir(before)


def _working_folder() -> str:
    """Where this process is; the root folder if that is gone."""
    try:
        return os.getcwd()
    except OSError:
        return "/"
