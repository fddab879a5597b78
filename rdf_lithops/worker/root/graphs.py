"""The graphs of this process: compiled once, kept under their digests, and run again for every later range, call and query.

A graph that was compiled once runs again without compiling (DistRDF's action cloning). RNTuple graphs are rebuilt for each
range: DistRDF clones no RNTuple actions; the interpreter then finds the compiled code in its own cache.
"""

from __future__ import annotations

import contextlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...compiled import library, noting
from ...compiled.compiling import compiling_quickly
from ...files import snapshot_parts
from ...frame import compiler, default_values, opening, samples, selection, settings, typed
from ...frame import ranges as adapter
from ...processes.beats import Counter
from ...processes.hints import first_uses
from ...processes.seconds import Stopwatch
from ..payload import PayloadFailure
from . import clones
from .failures import NotCompiled
from .initialisation import entries_counter, foreseen, instantiated

__all__ = [
    "Graph",
    "compile_ahead",
    "counted_actions",
    "current",
    "forget",
    "forget_execution",
    "forget_graphs",
    "graph_of",
    "graph_runner",
    "has_run",
    "keep_within",
    "no_initialisation",
    "ready",
    "settle_clones",
    "settle_notes",
    "take_notes",
    "told_notes",
]

# Actions that ROOT 6.40 does not clone well: a cloned Report crashes, clones of N-dimensional histograms start with what the
# original holds, clones of arrays of arrays share its memory. Graphs with one of them are built anew for each range.
_UNCLONABLE = frozenset({"AsNumpy", "HistoND", "HistoNSparseD", "Report"})
MAX_LINES = 200  # told by one call
MAX_GRAPHS = 128  # finished graphs kept per process; compiled code is never freed, but the data frames are
KEPT_BYTES = 2**30  # of their results together: what was not used for longest goes first, and is built again
COUNT_EVERY = 16  # entries; ROOT forgets the callback with the end of each loop
_notes = noting.Notes()
_graphs: OrderedDict[str, Graph] = OrderedDict()
_unsettled: set[str] = set()  # digests of those that have run since ``settle_clones``
_sizes: dict[str, int] = {}  # bytes of the last result of each
_compiles_only = False  # see compile_ahead


@dataclass(frozen=True)
class Graph:
    """What runs and folds ranges; ``cloned``: whether actions that ran once are cloned for the next range."""

    digest: str
    mapper: Callable[..., Any]
    reducer: Callable[..., Any]
    cloned: bool

    def exec_id(self, fields: dict[str, Any]) -> Any:
        """The identifier under which DistRDF keeps this graph; it tells RNTuple from TTree by this very string."""
        from ROOT._distrdf._graph_cache import ExecutionIdentifier

        return ExecutionIdentifier("RNTuple" if fields.get("rntuple") else self.digest, self.digest)


class _Current:
    """What the present call of this process is timed with, and where its event loops count entries."""

    watch: Stopwatch
    counter: Counter | None = None
    notes = ""  # what becomes of notes: "told", "left", or none are taken
    is_not_compiled = False  # a graph of it could not be booked or compiled
    ahead = ""  # what the compiler has said when it was compiled ahead: it says nothing the second time


current = _Current()


@contextlib.contextmanager
def _compiled() -> Iterator[None]:
    """Errors in this block are told in the compiler's words, where it said any: ROOT's own do not have them."""
    failed: Exception | None = None
    with compiler.heard() as said:
        try:
            yield
        except Exception as error:
            failed = error
    current.is_not_compiled |= failed is not None
    problem = "" if failed is None else compiler.first_error(said.text) or current.ahead
    current.ahead = problem if _compiles_only else ""
    if problem:
        raise NotCompiled(problem)
    if failed is not None:
        raise failed


class _Compiled(BaseException):
    """Leaves a mapper once its graph is compiled; no ``except`` on the way means it."""


def no_initialisation() -> None:
    """Stands in for the user's ``initialize`` in DistRDF's mapper: the payload has run it once for this process."""


def graph_runner(graph: dict[int, Any], start: Any, range_id: int, exec_id: Any) -> list[Any]:
    """DistRDF's ``trigger_computation_graph``, with compilation and event loop timed apart.

    Arguments and result are those of DistRDF: the nodes by id, the head node's data frame, the range's id and the
    execution identifier under which actions are kept; a list of results, one per action.
    """
    import ROOT
    from ROOT._distrdf._graph_cache import _ACTIONS_REGISTER

    node = ROOT.RDF.AsRNode(start)
    if _compiles_only:
        _use_first(graph)
        with _noted(), _compiled():
            _booked(graph, start, range_id)
            ROOT.RDF.SaveGraph(node)
        raise _Compiled
    if exec_id not in _ACTIONS_REGISTER or exec_id.rdf_uuid == "RNTuple":
        with current.watch.part("compile_s"):
            _use_first(graph)
        with _noted(), _compiled():
            with current.watch.part("graph_s"):
                _ACTIONS_REGISTER[exec_id] = _booked(graph, start, range_id)
            with current.watch.part("compile_s"):
                ROOT.RDF.SaveGraph(node)  # the public call that compiles what is booked and runs nothing
    else:  # clones are compiled already
        with current.watch.part("graph_s"), compiling_quickly():  # calls that PyROOT compiles, and no loop
            _ACTIONS_REGISTER[exec_id] = [clones.of(action, range_id) for action in _ACTIONS_REGISTER[exec_id]]
    if current.counter is not None:
        entries_counter()(ROOT.addressof(node), COUNT_EVERY, current.counter.address)
    ROOT.Internal.RDF.TriggerRun.__release_gil__ = True
    with current.watch.part("loop_s"):
        ROOT.Internal.RDF.TriggerRun(node)
    return list(_ACTIONS_REGISTER[exec_id])


def _use_first(graph: dict[int, Any]) -> None:
    for _ in foreseen(first_uses(graph), runs=False):
        pass


def _booked(graph: dict[int, Any], start: Any, range_id: int) -> list[Any]:
    """DistRDF's ``generate_computation_graph``, each action under the settings that it was booked under."""
    from ROOT._distrdf import ComputationGraphGenerator as generator

    head, *nodes = graph.values()
    head.rdf_node = start
    promises: list[Any] = []
    for node in nodes:
        with settings.booking(node.operation):
            parent = graph[node.parent_id].rdf_node
            if node.operation.name == default_values.NAME:
                node.rdf_node, operation = default_values.defined(parent, node.operation), node.operation
            elif (result := typed.booked(parent, node.operation)) is not None:
                node.rdf_node, operation = result, node.operation
            else:
                node.rdf_node, operation = generator._call_rdf_operation(node.operation, parent, range_id)
        generator.append_node_to_results(operation, node.rdf_node, promises)
    return promises


def take_notes(told: bool) -> None:
    """From now on, note what graphs have Cling instantiate: ``told`` to the driver by the call that brings the graph, or
    left here for whoever builds libraries."""
    current.notes = "told" if told else "left"
    noting.prepare()


def _noted() -> contextlib.AbstractContextManager[None]:
    return _notes.taken() if current.notes else contextlib.nullcontext()


def settle_notes() -> None:
    """Leave for the next library what Cling had to instantiate. To be called when nobody waits."""
    if current.notes == "left":
        with contextlib.suppress(library.LibraryRefused, OSError):  # a full disk: the next program notes the same
            noting.leave(_notes.missing(instantiated))


def counted_actions() -> tuple[int, int]:
    """Of the actions that the present call's graph had compiled: how many came from libraries, and from Cling."""
    return _notes.actions(instantiated)


def told_notes() -> list[str]:
    """What the present call's facts say that Cling had to instantiate; nothing where it is left instead."""
    return _notes.missing(instantiated)[:MAX_LINES] if current.notes == "told" else []


def compile_ahead(graph: bytes, digest: str, call: dict[str, Any], dataset: dict[str, Any], folder: str) -> bool:
    """Build a graph on the first range of ``call``, compile it, and drop it without running anything: building the same
    again then takes milliseconds, here and in what is forked from here. False if that cannot be; what is wrong shows
    when the graph runs. Arguments as in ``run_call``."""
    global _compiles_only
    runner = graph_of(graph, digest, folder)
    operations = {getattr(node.operation, "name", "") for node in _nodes(runner.mapper).values()}
    if not operations or "Snapshot" in operations:  # ROOT warns of Snapshots that never run
        return False
    fields = min(call["ranges"], key=lambda fields: int(fields["id"]))
    _compiles_only = True
    try:
        runner.mapper(ready(fields, dataset, runner.exec_id(fields)))
    except _Compiled:
        return True
    except Exception:
        return False
    finally:
        _compiles_only = False
        forget_execution(digest)
    return False


def graph_of(graph: bytes, digest: str, folder: str) -> Graph:
    """The graph of that digest, from this process's own or unpickled now; its Snapshots write below ``folder``."""
    if digest not in _graphs:
        while len(_graphs) >= MAX_GRAPHS:
            forget(next(iter(_graphs)))
        try:
            mapper, reducer = pickle.loads(graph)
        except Exception as error:  # of a module of the user's, whose import may raise anything
            raise PayloadFailure("the Python code of the graph", f"{type(error).__name__}: {error}") from error
        snapshot_parts.redirected(_nodes(mapper), folder)
        _graphs[digest] = Graph(digest, mapper, reducer, _can_be_cloned(mapper))
    _graphs.move_to_end(digest)
    return _graphs[digest]


def _can_be_cloned(mapper: Any) -> bool:
    """Whether DistRDF's action cloning gives the right answer for all of the graph (see _UNCLONABLE)."""
    operations = [node.operation for node in _nodes(mapper).values()]
    return not any(getattr(item, "name", "") in _UNCLONABLE or _is_own_kind_of_snapshot(item) for item in operations)


def _is_own_kind_of_snapshot(operation: Any) -> bool:
    """Whether it is a Snapshot whose action ROOT cannot clone: with variations, or into an RNTuple."""
    if getattr(operation, "name", "") != "Snapshot":
        return False
    return any(getattr(argument, "fIncludeVariations", False) or _is_of_ntuple(argument) for argument in operation.args[3:])


def _is_of_ntuple(options: Any) -> bool:
    import ROOT

    return bool(getattr(options, "fOutputFormat", None) == ROOT.RDF.ESnapshotOutputFormat.kRNTuple)


def _nodes(mapper: Any) -> dict[int, Any]:
    """The nodes of a graph that travelled with our own runner; none of another's."""
    generator: Any = getattr(mapper, "keywords", {}).get("computation_graph_callable")
    return generator.args[0] if getattr(generator, "func", None) is graph_runner else {}


def forget(digest: str) -> None:
    """Drop a graph and what is kept of its execution."""
    _graphs.pop(digest, None)
    _unsettled.discard(digest)
    _sizes.pop(digest, None)
    forget_execution(digest)


def forget_graphs() -> None:
    """Drop all graphs: compiled code stays, so each is built again from it."""
    for digest in list(_graphs):
        forget(digest)


def forget_execution(digest: str) -> None:
    """Drop the data frame and actions that DistRDF keeps: the next range builds them anew, from code compiled already."""
    from ROOT._distrdf import _graph_cache

    for register in (_graph_cache._RDF_REGISTER, _graph_cache._ACTIONS_REGISTER):
        for exec_id in [key for key in register if key.graph_uuid == digest]:
            del register[exec_id]


def keep_within(digest: str, size: int) -> None:
    """A graph has given a result of ``size`` bytes, and what is kept has about as many: forget what is too much together."""
    _sizes[digest] = size
    for other in [*_graphs]:  # the oldest first, and this one last
        if sum(_sizes.get(each, 0) for each in _graphs) > KEPT_BYTES:
            forget_execution(other)
            _sizes[other] = 0


def has_run(runner: Graph) -> None:
    """A range of this graph has run: what DistRDF keeps of it is for the next one, or is dropped."""
    if runner.cloned:
        _unsettled.add(runner.digest)
    else:
        forget_execution(runner.digest)


def settle_clones(only: str | None = None) -> None:
    """Drop what must not be cloned of graphs that have run since the last time, or of that one: the next range builds them
    anew.

    To be called before it, and better when nobody waits: PyROOT's ways to it are made at the first call, in 0.03 s.
    """
    from ROOT._distrdf._graph_cache import _ACTIONS_REGISTER

    for digest in [each for each in _unsettled if only in (None, each)]:
        _unsettled.discard(digest)
        kept = [action for key, actions in _ACTIONS_REGISTER.items() if key.graph_uuid == digest for action in actions]
        with compiling_quickly():
            if any(map(clones.is_bad, kept)):
                forget_execution(digest)


def ready(fields: dict[str, Any], dataset: dict[str, Any], exec_id: Any) -> Any:
    """DistRDF's range, with all in C++ that the graph's code asks for while it runs."""
    opening.tell_first_entry(fields.get("first_entry", 0))
    selection.install(dataset.get("selection"))
    if dataset.get("tells_samples"):
        samples.tell_entries(dataset.get("entries", 0))
    item = adapter.from_fields(fields, dataset, exec_id)
    if fields["kind"] == "files":
        adapter.annotate(item, fields, dataset)
    return item
