"""Run ranges, in a process that may use ROOT.

A graph that was compiled once is kept under its digest and runs again without compiling (DistRDF's action cloning), for
every later range, call and query of this process. RNTuple graphs are rebuilt for each range: DistRDF clones no RNTuple
actions; the interpreter then finds the compiled code in its own cache.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import hashlib
import os
import pickle
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...files import access, remote, snapshot_parts, stores
from ...files.fingerprints import changed_files
from ...fold import arrays, partials
from ...frame import opening, samples, selection, settings
from ...frame import ranges as adapter
from ...frame.compiling import compiling_quickly
from ...processes.beats import Counter
from ...processes.seconds import Stopwatch, watch_reads
from ...travels.envelope import Envelope, pack
from ..instantiations import library, noting
from ..payload import PayloadFailure

__all__ = [
    "RangeFailure",
    "Results",
    "compile_ahead",
    "count_into",
    "forget_graphs",
    "give_back_memory",
    "graph_runner",
    "initialise",
    "merge_files",
    "no_initialisation",
    "prepare",
    "run_call",
    "settle_notes",
    "warm_up",
]

# Actions that ROOT 6.40 does not clone well: a cloned Report crashes, clones of N-dimensional histograms start with what the
# original holds, clones of arrays of arrays share its memory. Graphs with one of them are built anew for each range.
_UNCLONABLE = frozenset({"AsNumpy", "HistoND", "HistoNSparseD", "Report"})
MAX_GRAPHS = 128  # finished graphs kept per process; compiled code is never freed, but the data frames are
KEPT_BYTES = (
    2**30
)  # of their results together: what was not used for longest goes first, and is built again for the next call
ENTRY_COLUMN = "rdf_lithops_entry_"  # prefix of the helper columns that the driver defines for rdfentry_
_SOURCE_HEADER = """
#ifndef RDF_LITHOPS_FIRST_ENTRY
#define RDF_LITHOPS_FIRST_ENTRY
namespace rdf_lithops { inline ULong64_t first_entry = 0; }
#endif
"""
_COUNT_HEADER = """
#ifndef RDF_LITHOPS_COUNT_ENTRIES
#define RDF_LITHOPS_COUNT_ENTRIES
#include <atomic>
#include <cstdint>
#include "ROOT/RDF/RInterface.hxx"
#include "ROOT/RDF/RLoopManager.hxx"
namespace rdf_lithops {
struct Loop : ROOT::RDF::RNode { // the loop's own callbacks, which no public name reaches without booking an action
   static ROOT::Detail::RDF::RLoopManager *of(const ROOT::RDF::RNode &node) { return (node.*&Loop::GetLoopManager)(); }
};
inline void count_entries(const ROOT::RDF::RNode &node, ULong64_t every, std::uintptr_t address) {
   auto *done = reinterpret_cast<std::atomic<ULong64_t> *>(address);
   Loop::of(node)->RegisterCallback(every, [=](unsigned int) { done->fetch_add(every, std::memory_order_relaxed); });
}
}
#endif
"""
COUNT_EVERY = 16  # entries; ROOT forgets the callback with the end of each loop


class RangeFailure(Exception):
    """Something that the user's graph or data did: which range, and the original exception as ``__cause__``."""

    def __init__(self, range_id: int) -> None:
        super().__init__(range_id)
        self.range_id = range_id


@dataclass(frozen=True)
class Results:
    """Where results go that are too large for a partial: Snapshots by number, arrays (of graphs that have any) below a
    prefix in Lithops' storage."""

    outputs: tuple[snapshot_parts.Output, ...] = ()
    arrays_prefix: str = ""
    arrays_limit_bytes: int = 0


_watch: Stopwatch  # of the current call
_counter: Counter | None = None
_instantiated: set[str] = set()  # what came from libraries
_notes = noting.Notes()


@dataclass(frozen=True)
class _Graph:
    """What runs and folds ranges; ``cloned``: whether actions that ran once are cloned for the next range."""

    digest: str
    mapper: Callable[..., Any]
    reducer: Callable[..., Any]
    cloned: bool

    def exec_id(self, plain: dict[str, Any]) -> Any:
        """The identifier under which DistRDF keeps this graph; it tells RNTuple from TTree by this very string."""
        from ROOT._distrdf._graph_cache import ExecutionIdentifier

        return ExecutionIdentifier("RNTuple" if plain.get("rntuple") else self.digest, self.digest)


_graphs: OrderedDict[str, _Graph] = OrderedDict()
_sizes: dict[str, int] = {}  # bytes of the last result of each
_compiles_only = False  # see compile_ahead


class _Compiled(BaseException):
    """Leaves a mapper once its graph is compiled; no ``except`` on the way means it."""


@functools.lru_cache(maxsize=1)
def initialise() -> str:
    """Bring ROOT up once, in batch mode and thread-safe; returns its version. Call it first in the main thread."""
    import ROOT

    ROOT.gROOT.SetBatch(True)
    ROOT.EnableThreadSafety()
    ROOT.gInterpreter.Declare(_SOURCE_HEADER + _COUNT_HEADER)
    if library.is_wanted():
        _instantiated.update(library.load_all())
    if library.grows():
        noting.prepare()
    for name in ("Detail", "Internal", "RDF"):  # which PyROOT seeks anew at each use, DistRDF's per histogram: 0.15 ms
        vars(ROOT)[name] = getattr(ROOT, name)
    ROOT.TH1.AddDirectory(False)
    arrays.register()
    return str(ROOT.gROOT.GetVersion())


def prepare() -> None:
    """Load what every graph is built with: takes as long as a driver takes to book its first graph."""
    import ROOT

    with compiling_quickly():  # what calls C++ from Python, once a range
        ROOT.RDF.Experimental.RDatasetSpec().AddSample(("", [""], [""]))
        ROOT.RDF.AsRNode(ROOT.RDataFrame(1))  # nothing is booked: what is, ROOT would compile with the first graph
        watch_reads()
        settings.seed(1)
        ROOT.TFile.GetFileBytesRead()


def count_into(counter: Counter | None) -> None:
    """From now on, add the entries that event loops of this process have done to ``counter``."""
    global _counter
    _counter = counter


def warm_up(at_once: bool = False) -> Iterator[None]:
    """Compile and run, in steps, what most graphs share; the caller may stop after any of them. ``at_once``: in one
    graph, which filters, too, and does not count: that takes less in all, and spares a first graph more."""
    import ROOT

    frame = ROOT.RDataFrame(1)
    never = ctypes.c_uint64()
    ROOT.rdf_lithops.count_entries(ROOT.RDF.AsRNode(frame), 1 << 62, ctypes.addressof(never))
    yield
    if not at_once:
        frame.Count().GetValue()
        yield
    defined = frame.Define("x", "1.0")
    if at_once:
        defined = defined.Filter("x > 0")
    histogram = defined.Histo1D(("warm_up", "", 2, 0.0, 2.0), "x")
    ROOT.RDF.SaveGraph(ROOT.RDF.AsRNode(defined))
    yield
    ROOT.Internal.RDF.TriggerRun(ROOT.RDF.AsRNode(defined))
    pickle.loads(pickle.dumps(ROOT.Detail.RDF.GetMergeableValue(histogram)))
    yield
    ROOT.rdf_lithops.first_entry = 0  # which most graphs do not use
    yield
    access.install()
    yield


def give_back_memory() -> None:
    """Have the C library return what is free to the system: after a large result that is most of what this process has."""
    with contextlib.suppress(AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def no_initialisation() -> None:
    """Stands in for the user's ``initialize`` in DistRDF's mapper: the payload has run it once for this process."""


def graph_runner(graph: dict[int, Any], start: Any, range_id: int, exec_id: Any) -> list[Any]:
    """DistRDF's ``trigger_computation_graph``, with compilation and event loop timed apart.

    Arguments and result are those of DistRDF: the nodes by id, the head node's data frame, the range's id and the
    execution identifier under which actions are kept; a list of results, one per action.
    """
    import ROOT
    from ROOT._distrdf._graph_cache import _ACTIONS_REGISTER
    from ROOT._distrdf.Backends import Utils

    node = ROOT.RDF.AsRNode(start)
    if _compiles_only:
        with _noted():
            _booked(graph, start, range_id)
            ROOT.RDF.SaveGraph(node)
        raise _Compiled
    if exec_id not in _ACTIONS_REGISTER or exec_id.rdf_uuid == "RNTuple":
        with _noted():
            with _watch.part("graph_s"):
                _ACTIONS_REGISTER[exec_id] = _booked(graph, start, range_id)
            with _watch.part("compile_s"):
                ROOT.RDF.SaveGraph(node)  # the public call that compiles what is booked and runs nothing
    else:  # clones are compiled already
        with _watch.part("graph_s"):
            _ACTIONS_REGISTER[exec_id] = [Utils.clone_action(action, range_id) for action in _ACTIONS_REGISTER[exec_id]]
    if _counter is not None:
        ROOT.rdf_lithops.count_entries(node, COUNT_EVERY, _counter.address)
    ROOT.Internal.RDF.TriggerRun.__release_gil__ = True
    with _watch.part("loop_s"):
        ROOT.Internal.RDF.TriggerRun(node)
    return list(_ACTIONS_REGISTER[exec_id])


def _booked(graph: dict[int, Any], start: Any, range_id: int) -> list[Any]:
    """DistRDF's ``generate_computation_graph``, each action under the settings that it was booked under."""
    from ROOT._distrdf import ComputationGraphGenerator as generator

    head, *nodes = graph.values()
    head.rdf_node = start
    promises: list[Any] = []
    for node in nodes:
        with settings.booking(node.operation):
            parent = graph[node.parent_id].rdf_node
            node.rdf_node, operation = generator._call_rdf_operation(node.operation, parent, range_id)
        generator.append_node_to_results(operation, node.rdf_node, promises)
    return promises


def _noted() -> contextlib.AbstractContextManager[None]:
    return _notes.taken() if library.grows() else contextlib.nullcontext()


def settle_notes() -> None:
    """Leave for the next library what Cling had to instantiate. To be called when nobody waits."""
    with contextlib.suppress(library.LibraryRefused, OSError):  # a full disk: the next program notes the same
        _notes.settle(_instantiated)


def compile_ahead(graph: bytes, digest: str, call: dict[str, Any], dataset: dict[str, Any], folder: str) -> bool:
    """Build a graph on the first range of ``call``, compile it, and drop it without running anything: building the same
    again then takes milliseconds, here and in what is forked from here. False if that cannot be; what is wrong shows
    when the graph runs. Arguments as in ``run_call``."""
    global _compiles_only
    runner = _graph(graph, digest, folder)
    operations = {getattr(node.operation, "name", "") for node in _nodes(runner.mapper).values()}
    if not operations or "Snapshot" in operations:  # ROOT warns of Snapshots that never run
        return False
    plain = min(call["ranges"], key=lambda plain: int(plain["id"]))
    _compiles_only = True
    try:
        runner.mapper(_ready(plain, dataset, runner.exec_id(plain)))
    except _Compiled:
        return True
    except Exception:
        return False
    finally:
        _compiles_only = False
        _forget_execution(digest)
    return False


def run_call(
    graph: bytes,
    graph_digest: str,
    call: dict[str, Any],
    dataset: dict[str, Any],
    seed: int,
    results: Results,
    folder: str,
    began: dict[str, float] | None = None,
    payload_s: float = 0.0,
    before_range: Callable[[int], None] = lambda range_id: None,
) -> tuple[bytes, dict[str, bytes]]:
    """Run every range of ``call`` in ascending order and fold them; returns the packed envelope, and what is to be put into
    Lithops' storage, by key.

    ``graph`` is the pickled pair (mapper, reducer); ``results`` says where large results go; ``folder`` is this process's
    own. Errors of the user's graph, and of a Snapshot that cannot be written, come back in the envelope; errors of ours are
    raised. ``began`` is what ``seconds.began_here`` said in the task, ``payload_s`` how long the payload took to load;
    ``before_range`` is told which range is next.
    """
    global _watch
    version = initialise()
    _watch = Stopwatch(began, payload_s)
    range_ids = tuple(sorted(plain["id"] for plain in call["ranges"]))
    piece = tuple(call["ranges"][0].get("piece", ()))
    try:
        with _watch.part("graph_s"):
            runner = _graph(graph, graph_digest, folder)
        partial, entries = _run_ranges(runner, call, dataset, seed, results.outputs, folder, before_range)
        with _watch.part("serialise_s"):
            prefix, limit_bytes = results.arrays_prefix, results.arrays_limit_bytes
            blobs = arrays.taken_apart(partial, prefix, limit_bytes, range_ids, piece) if prefix else {}
            pickles = partials.dumped(partial)
        size = sum(map(len, pickles))
        _keep_within(graph_digest, size)
    except RangeFailure as failure:
        _forget(graph_digest)
        snapshot_parts.clear(folder)
        error = _describe_failure(failure, call, dataset)
        return pack(Envelope(range_ids, None, version, error=error, facts=_facts())), {}
    except stores.StoreFailure as failure:
        error = _describe_store_failure(failure, call)
        return pack(Envelope(range_ids, None, version, error=error, facts=_facts())), {}
    return pack(Envelope(range_ids, entries, version, facts=_facts(size), piece=piece), pickles), blobs


def _keep_within(digest: str, size: int) -> None:
    """A graph has given a result of ``size`` bytes, and what is kept has about as many: forget what is too much together."""
    _sizes[digest] = size
    for other in [*_graphs]:  # the oldest first, and this one last
        if sum(_sizes.get(each, 0) for each in _graphs) > KEPT_BYTES:
            _forget_execution(other)
            _sizes[other] = 0


def _facts(packed_bytes: int = 0) -> dict[str, Any]:
    """What is said of the current call: its stopwatch's, and what the reader has fetched for it."""
    fetched = access.fetched()
    return {**_watch.facts(packed_bytes), "fetched_bytes": fetched.bytes, "fetches": fetched.requests}


def _run_ranges(
    runner: _Graph,
    call: dict[str, Any],
    dataset: dict[str, Any],
    seed: int,
    outputs: tuple[snapshot_parts.Output, ...],
    folder: str,
    before_range: Callable[[int], None],
) -> tuple[Any, int | None]:
    """The merged result of the call's ranges, and the entries that they had."""
    partial: Any = None
    entries: int | None = 0
    for plain in sorted(call["ranges"], key=lambda plain: plain["id"]):
        _watch.counts_system_reads |= bool(plain.get("rntuple"))
        _announce(plain["id"], before_range)
        with _watch.part("open_s"):  # what DistRDF's mapper does beside running the graph: it opens the range's files
            result = _run_range(runner, plain, dataset, seed)
        with _watch.part("output_s"):
            snapshot_parts.publish(result, outputs, folder, plain)
        done = _entries(plain, result)
        entries = None if entries is None or done is None else entries + done
        if _counter is not None and entries is not None:
            _counter.set(entries)
        with _watch.part("merge_s"):
            partial = result if partial is None else runner.reducer(partial, result)
    return partial, entries


def merge_files(call: dict[str, Any], folder: str, began: dict[str, float]) -> bytes:
    """Merge the files of each range of ``call`` into one; returns the packed envelope of a result that names them, as that
    of a Snapshot does. ``began`` is what ``seconds.began_here`` said in the task."""
    from ROOT._distrdf.Backends.Base import TaskResult
    from ROOT._distrdf.PythonMergeables import SnapshotResult

    version = initialise()
    watch = Stopwatch(began)
    range_ids = tuple(plain["id"] for plain in call["ranges"])
    try:
        with watch.part("output_s"):
            for plain in call["ranges"]:
                snapshot_parts.merge(plain["sources"], plain["target"], folder)
    except stores.StoreFailure as failure:
        return pack(Envelope(range_ids, None, version, error=_describe_store_failure(failure, call), facts=watch.facts()))
    finally:
        snapshot_parts.clear(folder)
    merged = SnapshotResult(call["ranges"][0]["tree"], [plain["target"] for plain in call["ranges"]])
    return pack(Envelope(range_ids, None, version, pickle.dumps(TaskResult([merged], None)), facts=watch.facts()))


def _announce(range_id: int, before_range: Callable[[int], None]) -> None:
    """Say which range is next, to the counter and to ``before_range``, whose failure is the range's."""
    if _counter is not None:
        _counter.begin_range(range_id)
    try:
        before_range(range_id)
    except Exception as error:
        raise RangeFailure(range_id) from error


def _graph(graph: bytes, digest: str, folder: str) -> _Graph:
    """The graph of that digest, from this process's own or unpickled now; its Snapshots write below ``folder``."""
    if digest not in _graphs:
        while len(_graphs) >= MAX_GRAPHS:
            _forget(next(iter(_graphs)))
        try:
            mapper, reducer = pickle.loads(graph)
        except Exception as error:  # of a module of the user's, whose import may raise anything
            raise PayloadFailure("the Python code of the graph", f"{type(error).__name__}: {error}") from error
        snapshot_parts.redirected(_nodes(mapper), folder)
        _graphs[digest] = _Graph(digest, mapper, reducer, _can_be_cloned(mapper))
    _graphs.move_to_end(digest)
    return _graphs[digest]


def _can_be_cloned(mapper: Any) -> bool:
    """Whether DistRDF's action cloning gives the right answer for all of the graph (see _UNCLONABLE)."""
    operations = [node.operation for node in _nodes(mapper).values()]
    return not any(getattr(item, "name", "") in _UNCLONABLE or _includes_variations(item) for item in operations)


def _includes_variations(operation: Any) -> bool:
    """Whether it is a Snapshot whose action ROOT cannot clone."""
    if getattr(operation, "name", "") != "Snapshot":
        return False
    return any(getattr(argument, "fIncludeVariations", False) for argument in operation.args[3:])


def _nodes(mapper: Any) -> dict[int, Any]:
    """The nodes of a graph that travelled with our own runner; none of another's."""
    generator: Any = getattr(mapper, "keywords", {}).get("computation_graph_callable")
    return generator.args[0] if getattr(generator, "func", None) is graph_runner else {}


def _forget(digest: str) -> None:
    """Drop a graph and what is kept of its execution."""
    _graphs.pop(digest, None)
    _sizes.pop(digest, None)
    _forget_execution(digest)


def forget_graphs() -> None:
    """Drop all graphs: compiled code stays, so each is built again from it."""
    for digest in list(_graphs):
        _forget(digest)


def _forget_execution(digest: str) -> None:
    """Drop the data frame and actions that DistRDF keeps: the next range builds them anew, from code compiled already."""
    from ROOT._distrdf import _graph_cache

    for register in (_graph_cache._RDF_REGISTER, _graph_cache._ACTIONS_REGISTER):
        for exec_id in [key for key in register if key.graph_uuid == digest]:
            del register[exec_id]


def _clones_badly(digest: str) -> bool:
    """Whether ROOT's clones of what this graph keeps would not be as new: it crashes over variations of what nothing varies,
    and takes over from the nominal histogram, for all variations, that errors are summed."""
    from ROOT._distrdf._graph_cache import _ACTIONS_REGISTER

    kept = [action for key, actions in _ACTIONS_REGISTER.items() if key.graph_uuid == digest for action in actions]
    # by the name: that a class does not have a method PyROOT finds out anew each time, in a millisecond
    return any(_is_map_of_one_or_differs(action) for action in kept if "RResultMap" in type(action).__name__)


def _is_map_of_one_or_differs(results: Any) -> bool:
    keys = [str(key) for key in results.GetKeys()]
    return len(keys) == 1 or len({_sums_errors(results[key]) for key in keys}) > 1


def _sums_errors(value: Any) -> bool:
    """Whether a histogram or profile has begun to sum squares of weights: ROOT begins with the first that is not 1."""
    for name in ("GetBinSumw2", "GetSumw2"):
        if hasattr(value, name):
            return bool(getattr(value, name)().GetSize())
    return bool(value.GetCalculateErrors()) if hasattr(value, "GetCalculateErrors") else False


def _ready(plain: dict[str, Any], dataset: dict[str, Any], exec_id: Any) -> Any:
    """DistRDF's range, with all in C++ that the graph's code asks for while it runs."""
    opening.tell_first_entry(plain.get("first_entry", 0))
    selection.install(dataset.get("selection"))
    if dataset.get("tells_samples"):
        samples.tell_entries(dataset.get("entries", 0))
    item = adapter.from_plain(plain, dataset, exec_id)
    if plain["kind"] == "files":
        adapter.annotate(item, plain, dataset)
    return item


def _run_range(runner: _Graph, plain: dict[str, Any], dataset: dict[str, Any], seed: int) -> Any:
    try:
        with settings.applied(dataset.get("settings")):
            settings.seed(range_seed(seed, plain["id"], plain.get("piece", ())))
            try:
                result = runner.mapper(_ready(plain, dataset, runner.exec_id(plain)))
            finally:
                _refuse_changed_files(plain, dataset)
        _restore_entry_columns(result)
        _refuse_unread_data()
    except Exception as error:
        raise RangeFailure(plain["id"]) from error
    finally:
        if not runner.cloned or _clones_badly(runner.digest):
            _forget_execution(runner.digest)
    return result


def _refuse_changed_files(plain: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Raise for a local file that is no longer what the driver saw, whatever came of reading it."""
    for path in changed_files({**dataset.get("seen", {}), **plain.get("seen", {})}):
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
            named = {("rdfentry_" if name.startswith(ENTRY_COLUMN) else name): array for name, array in arrays.items()}
            mergeable._py_arrays = named


def range_seed(seed: int, range_id: int, piece: Sequence[int] = ()) -> int:
    """A 32-bit seed for ``gRandom`` that depends on the user's seed and the range alone; never 0, which means "random".

    The parts of a range that was cut have streams of their own.
    """
    name = ":".join(map(str, (seed, range_id, *piece)))
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


def _entries(plain: dict[str, Any], result: Any) -> int | None:
    counted = getattr(result, "entries_in_trees", None)
    if counted is not None:
        return int(counted.processed_entries)
    return plain["end"] - plain["start"] if plain["kind"] == "entries" else None


def _describe_failure(failure: RangeFailure, call: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    cause = failure.__cause__
    assert cause is not None, "RangeFailure is always raised from the original exception"
    plain = next(plain for plain in call["ranges"] if plain["id"] == failure.range_id)
    names = adapter.files_of([plain], dataset)
    failed = access.take_failure() or (cause.plain if isinstance(cause, remote.AccessFailure) else access.unreadable(names))
    failed = failed or access.broken_off(names, str(cause))
    if failed is not None:
        return {
            "kind": "access" if failed["kind"] in remote.FINAL else "transfer",
            "call_id": call["id"],
            "range_ids": [failure.range_id],
            "where": adapter.describe(plain, dataset),
            "type": "AccessFailure",
            "message": f"{failed['url']}: {failed['why']}",
            "access": failed,
        }
    out_of_memory = isinstance(cause, MemoryError) or "bad_alloc" in f"{type(cause).__name__} {cause}"
    return {
        "kind": "memory" if out_of_memory else "range",
        "call_id": call["id"],
        "range_ids": [failure.range_id],
        "where": adapter.describe(plain, dataset),
        "type": type(cause).__name__,
        "message": str(cause) or type(cause).__name__,
        "traceback": "".join(traceback.format_exception(type(cause), cause, cause.__traceback__)),
    }


def _describe_store_failure(failure: stores.StoreFailure, call: dict[str, Any]) -> dict[str, Any]:
    """What is final is the run's end; what another try may cure is tried again, as a lost call is."""
    return {
        "kind": "output" if failure.final else "worker",
        "call_id": call["id"],
        "range_ids": [plain["id"] for plain in call["ranges"]],
        "type": type(failure).__name__,
        "what": failure.what,
        "message": failure.why,
    }


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


def leave_crashes_to_the_kernel() -> None:
    """Undo ROOT's signal handlers: they run a debugger for 3 to 4 s and turn every signal into exit code 129."""
    import ROOT

    ROOT.gSystem.ResetSignals()
    faulthandler.enable()
