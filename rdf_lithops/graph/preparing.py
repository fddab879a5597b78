"""From what DistRDF was about to run, one graph or several, to a run that can go: its plan, and what its tasks need.

    Computation (ranges, mapper, reducer) ──coded──> Coded (the graph as it travels) ──taken──> Taken (and its ranges,
    cut) ──prepared──> Ready (a plan, a folder, an account)

Each graph is planned as if it were alone; of several, ``packing`` makes one plan. What is coded depends on no file: with it
and the program's own code, this machine's ROOT process compiles a new graph while the driver looks into files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..dataset import credentials, identity, signed_sources, snapshots
from ..dataset import names as dataset
from ..dataset.columns import shape_of
from ..errors import OutputError
from ..executor import asked_for, library_store, local_processes, payload, run_folders
from ..executor.session import Session
from ..files import access
from ..fold.order import FoldLimits, one_fold_s
from ..fold.shelf import Shelf
from ..frame import ranges as adapter
from ..frame import settings
from ..planning import packing
from ..planning.cost import RESTORE_S, Speeds, prices_of
from ..planning.limits import ROOT_MEMORY_MIB
from ..planning.outlook import Outlook, fold_shape
from ..planning.plans import Plan, clusters_of, pack_calls, work_of
from ..processes import warm
from ..run import interrupts
from ..run.account import Account
from ..worker.fold_task import ReduceTask
from ..worker.messages import Request
from ..worker.root import execute
from ..worker.surroundings import Surroundings
from ..worker.task import MapTask
from . import environment, recording, sameness, variables
from .computation import Computation
from .travelling import Graph, Travelling, digest_of, fields_of, graph_to_travel, travelling_of

# isort: split
from ROOT._distrdf.Operation import Action

__all__ = [
    "Coded",
    "Ready",
    "Taken",
    "coded",
    "compiling_ahead",
    "groups_of",
    "no_delivery",
    "prepared",
    "taken",
    "user_code_of",
]

SHELVED_BYTES = 16 * 2**10  # partials that will be folded in a tree travel in envelopes up to this size
FEW_PARTIALS = 256  # of any size that one call may fold are handed to it through Lithops
MANY_PARTIALS = 4096  # are folded by a tree however small they are
ROUND_S = 2.5  # a round of the tree, beside its folding: up to 1.6 s on localhost, 3.6 s on Lambda's stand-in (benchmarks)
DEFAULT_FOLD_MEMORY_MIB = 4096  # where a call's memory is not set apart


@dataclass(frozen=True)
class Coded:
    """What of a graph is the same however its data is cut: ``graph`` as it travels, with its reducer as bytes ``pickled``,
    and ``shape``, what it does whatever data it reads."""

    computation: Computation
    graph: Graph
    pickled: bytes
    shape: str


@dataclass(frozen=True)
class Taken:
    """A graph as workers get it."""

    coded: Coded
    travelling: Travelling

    @property
    def backend(self) -> Any:
        """The back end of its data frame."""
        return self.coded.computation.backend


@dataclass(frozen=True)
class Ready:
    """A run that can go: ``plan`` is that of all its graphs, ``alone`` each one's as if it ran alone; ``destinations`` are
    where the Snapshots of all go."""

    plan: Plan
    run_folder: run_folders.RunFolder
    taken: tuple[Taken, ...]
    alone: tuple[Plan, ...]
    account: Account
    destinations: list[snapshots.Destination]
    user_code: payload.Payload


def coded(computation: Computation) -> Coded:
    """The graph of ``computation`` as it travels; raises what is wrong with it, whatever it reads."""
    graph = graph_to_travel(computation.mapper)
    with payload.user_modules_by_value():
        pickled = payload.dumps((graph.mapper, computation.reducer))
    return Coded(computation, graph, pickled, shape_of(graph.nodes))


def user_code_of(backend: Any) -> payload.Payload:
    """What workers are given of the program: its environment and C++, what was distributed, its ``initialize``."""
    steps = recording.steps(everything=backend.options.declared)
    if backend.options.declared:
        steps = [*environment.changed(), *variables.with_values(steps)]
    return payload.gather(backend, steps)


def taken(code: Coded) -> Taken:
    """``code`` and its ranges as they travel; raises what is wrong with its data before anything runs."""
    backend = code.computation.backend
    travelling = travelling_of(code.computation.cut(code.shape), code.graph, backend.pinned)
    inputs = adapter.files_of(travelling.plain_ranges, travelling.dataset)
    if code.graph.destinations:
        snapshots.check(code.graph.destinations, backend.options.overwrite, inputs, len(travelling.plain_ranges))
    return Taken(code, travelling)


@contextmanager
def prepared(graphs: Sequence[Taken], user_code: payload.Payload) -> Iterator[Ready]:
    """A run of ``graphs``, which have an executor that is up and options in common, with the program's ``user_code``.

    What its tasks need beside the plan (the payload's bundle, the run's key, a place for large results) is in place while
    this lasts. A failure inside removes what the run has written.
    """
    leader = graphs[0].backend
    session = leader.session
    destinations = [destination for each in graphs for destination in each.travelling.graph.destinations]
    if len(destinations) > 1:
        _refuse_shared(destinations)
    travelling = [each.travelling for each in graphs]
    inputs = {name for each in travelling for name in adapter.files_of(each.plain_ranges, each.dataset)}
    with contextlib.ExitStack() as stack:
        interrupts.check()
        run_folder = stack.enter_context(run_folders.opened(session, user_code, [each.place for each in destinations]))
        found = _credentials(leader.options, inputs, [destination.url for destination in destinations])
        sealed, extra_env = stack.enter_context(run_folders.delivered(session, run_folder, found))
        surroundings = Surroundings(
            **run_folders.working_folder(),
            payload=run_folder.payload,
            initialisation=user_code.initialisation,
            warm=leader.options.warm,
            warm_folder=session.processes.meeting_folder,
            settings=local_processes.process_settings(leader.options),
            beats=run_folders.beats(session, leader.options),
            sealed=sealed,
            faults=leader.options.faults,
            libraries=library_store.offered(session, leader.options),
        )
        planner = _Planner(session, leader.options, surroundings, run_folder)
        with payload.user_modules_by_value():
            alone = tuple(planner.plan(each, number) for number, each in enumerate(graphs))
        run_plan = dataclasses.replace(alone[0] if len(alone) == 1 else planner.together(alone), extra_env=extra_env)
        if leader.options.resume is not False or asked_for.is_any():
            like = sameness.likeness(run_plan, travelling, user_code, session, leader.options)
            beats = surroundings.beats or {}
            run_folder = dataclasses.replace(run_folder, resumes=like, beat_s=float(beats.get("every_s", 0.0)))
        try:
            alone = tuple(dataclasses.replace(each, extra_env=extra_env) for each in alone)
            yield Ready(run_plan, run_folder, tuple(graphs), alone, Account(run_plan.outlook), destinations, user_code)
        except (Exception, KeyboardInterrupt):
            snapshots.discard(destinations)
            raise


def _refuse_shared(destinations: Sequence[snapshots.Destination]) -> None:
    """Raise OutputError for two Snapshots of one run that write the same dataset."""
    for number, destination in enumerate(destinations):
        if any(identity.same(destination.url, other.url) for other in destinations[:number]):
            what = f"two Snapshots of the graphs that run together write {destination.url}"
            raise OutputError(what, next_command="give them two names")


def _credentials(options: Any, inputs: set[str], outputs: Sequence[str]) -> list[credentials.Credential]:
    """Those that servers may ask for; where all lies on this machine, none but those that the user has asked for."""
    remote = [name for name in (*inputs, *outputs) if access.is_remote(name)]
    if not remote and options.credentials is None:
        return []
    is_asked = options.credentials is not None
    kinds = options.credentials if is_asked else credentials.kinds_for(remote)
    found = credentials.for_run(kinds, options.deadline_s, asked=is_asked)
    return found + credentials.of_signed_urls(signed_sources.of(inputs))


class _Planner:
    """Plans the graphs of one run. What their tasks have in common is the same object, and so travels once."""

    def __init__(
        self, session: Session, options: Any, surroundings: Surroundings, run_folder: run_folders.RunFolder
    ) -> None:
        self.session, self.options, self.surroundings, self.run_folder = session, options, surroundings, run_folder
        self.limits = _fold_limits(session, options)
        self.variables, self.reader = dataset.variables(), local_processes.reader_settings(options)
        self.settings = settings.here()
        self._same: dict[bytes, bytes] = {}

    def _once(self, data: bytes) -> bytes:
        return self._same.setdefault(data, data)

    def plan(self, graph: Taken, number: int) -> Plan:
        """The plan of one graph, as if it were alone but for where its large arrays go."""
        travelling = graph.travelling
        pickled = self._once(graph.coded.pickled)
        outputs = tuple(destination.fields() for destination in travelling.graph.destinations)
        # without a prefix, which is the run's own, Lithops stores one task for all runs
        prefix = f"{self.run_folder.prefix}/arrays/{number}" if travelling.graph.has_arrays else ""
        results = execute.Results(outputs, prefix, int(self.options.arrays_mib * 2**20))
        names = adapter.files_of(travelling.plain_ranges, travelling.dataset)
        unseen = sorted(names - travelling.versions.keys())
        versions = {**(dataset.versions(unseen) if unseen else {}), **travelling.versions}
        grant: access.GrantFields = {
            "variables": self.variables,
            "versions": {name: seen for name, seen in versions.items() if access.is_remote(name)},
            "settings": self.reader,
        }
        digest = digest_of(pickled, travelling.plain_ranges, travelling.dataset, versions)
        range_ids = tuple(fields["id"] for fields in travelling.plain_ranges)
        packing_of = self.session.workers(), self.options.ranges_per_call, travelling.loads
        iterdata = pack_calls(travelling.plain_ranges, *packing_of)
        shelf = _shelf(self.run_folder, len(iterdata), self.limits)
        shared = self.session.processes.warm_folder is not None and len(iterdata) > 1
        shared_data = {**travelling.dataset, "settings": self.settings}
        run = pickled, digest, shared_data, self.options.seed, self.surroundings, results, grant, shelf, shared
        reducer = self._once(payload.dumps(graph.coded.computation.reducer))
        groups = groups_of(iterdata)
        reduce_task = ReduceTask(reducer, range_ids, self.surroundings, groups=groups, limits=self.limits)
        outlook = self._outlook(iterdata, graph.coded)
        if not self.session.local:  # whose workers have this machine's libraries
            outlook = library_store.weighed(outlook, self.session, self.options, graph.coded.shape)
        merge_calls = self._merge_calls(len(range_ids)) if self.options.file_mib else 0
        merges = len(travelling.graph.destinations) if merge_calls else 0
        outlook = dataclasses.replace(outlook, merge_calls=merge_calls * merges, merges=merges)
        return Plan(iterdata, MapTask(*run), reduce_task, no_delivery, outlook=outlook)

    def together(self, alone: Sequence[Plan]) -> Plan:
        """One plan of all, which are several."""
        each_alone = self.options.ranges_per_call is not None

        def shelf_for(units: int) -> Shelf | None:
            return _shelf(self.run_folder, units, self.limits)

        return packing.together(alone, self.session.offer(), self.options.target_s, each_alone, shelf_for)

    def _merge_calls(self, parts: int) -> int:
        """How many calls merge so many parts, two or more to a file, at most."""
        ranges = [{"id": number} for number in range(parts // 2)]
        return len(pack_calls(ranges, self.session.workers(), self.options.ranges_per_call)) if ranges else 0

    def _outlook(self, iterdata: list[dict[str, Any]], code: Coded) -> Outlook:
        """What is known beforehand of running these calls."""
        offer, options, experience = self.session.offer(), self.options, self.session.experience
        speeds, works = experience.speeds(code.shape), [work_of(item) for item in iterdata]
        if offer.snapstart and speeds.start_s == Speeds.start_s:  # no worker has been seen to start
            speeds = dataclasses.replace(speeds, start_s=RESTORE_S)
        if speeds.fold_partial_s == Speeds.fold_partial_s:  # no fold has told yet
            results = sum(isinstance(node.operation, Action) for node in code.graph.nodes)
            speeds = dataclasses.replace(speeds, fold_partial_s=one_fold_s(results, 0))
        return Outlook(
            offer,
            self.session.limits(),
            speeds,
            prices_of(offer, options.usd_per_gb_s),
            len(iterdata),
            None if None in works else tuple(work for work in works if work is not None),
            options.attempts,
            options.deadline_s,
            options.budget_usd,
            tuple(fold_shape(len(iterdata), speeds.partial_bytes, speeds.fold_one_s, self.limits)),
            *experience.begins(code.shape, len(iterdata), offer.workers, time.time()),
            clusters_of(iterdata),
        )


def _fold_limits(session: Session, options: Any) -> FoldLimits:
    """What one call folds at most. It holds one partial at a time, and the sum; more is folded sooner by several."""
    memory_mib = session.offer().memory_mib or DEFAULT_FOLD_MEMORY_MIB
    fold_mib = options.fold_mib or max(16.0, (memory_mib - ROOT_MEMORY_MIB) / 5)
    most, most_bytes = options.fold_partials, int(fold_mib * 2**20)
    return FoldLimits(MANY_PARTIALS, most_bytes, ROUND_S) if most is None else FoldLimits(most, most_bytes)


def _shelf(run_folder: run_folders.RunFolder, calls: int, limits: FoldLimits) -> Shelf | None:
    """Where partials go that are too large to be handed to one reducer with all the others; None if they cannot be."""
    if calls <= 2:
        return None
    few = calls <= min(limits.partials, FEW_PARTIALS)
    return Shelf(
        f"{run_folder.prefix}/partials", limits.bytes // calls if few else min(limits.bytes // calls, SHELVED_BYTES)
    )


def groups_of(iterdata: list[dict[str, Any]]) -> tuple[tuple[int, ...], ...]:
    """The ranges of each call, as the fold keeps them together."""
    return tuple(tuple(fields["id"] for fields in item["call"]["ranges"]) for item in iterdata)


def no_delivery(data: bytes) -> None:
    """The delivery of a plan that is none's to run by hand."""
    raise AssertionError("a plan that runs inside execute_graph is delivered by it")


@contextmanager
def compiling_ahead(codes: Sequence[Coded], user_code: payload.Payload) -> Iterator[None]:
    """While this lasts, this machine's ROOT process compiles graphs of a shape that is new, for the calls to come."""
    leader = codes[0].computation.backend
    options, session = leader.options, leader.session
    can_be = session.processes.warm_folder is not None and options.warm and options.credentials is None
    new: dict[str, Coded] = {}
    for code in codes:
        if code.shape not in session.compiled_ahead:
            new.setdefault(code.shape, code)
    with contextlib.ExitStack() as stack:
        if can_be and new and user_code.bundle is None:  # which is not delivered yet
            for asked in _asked_ahead(new, len(codes), session, user_code):
                stack.enter_context(asked)
        yield


def _asked_ahead(
    new: dict[str, Coded], graphs: int, session: Session, user_code: payload.Payload
) -> Iterator[contextlib.AbstractContextManager[Any]]:
    """One request for each ``new`` shape, of as many as there are workers: more of them the calls compile themselves."""
    workers = min(session.workers(), os.cpu_count() or 1)
    for shape, code in [*new.items()][:workers]:
        session.compiled_ahead.add(shape)  # also where it is not asked for below: once is enough to find that out
        asked = _ask_ahead(code, session, user_code, workers if len(new) == 1 else 1, graphs)
        if asked is not None:
            yield asked


def _ask_ahead(
    code: Coded, session: Session, user_code: payload.Payload, workers: int, graphs: int
) -> contextlib.AbstractContextManager[Any] | None:
    """The request for one graph, over DistRDF's own ranges, as nobody has looked into files yet; None where it cannot be."""
    plain_ranges, shared = fields_of(code.computation.ranges, code.graph)
    remote = any(map(access.is_remote, adapter.files_of(plain_ranges, shared)))
    if remote or shared["friends"] is not None or code.graph.destinations or not code.graph.nodes:
        return None
    graph_digest = digest_of(code.pickled, plain_ranges, shared, {})
    lease = {"payload": str(user_code.fields["sha256"]), "graph": graph_digest}
    here = run_folders.working_folder()
    message: Request = {
        "op": "compile",
        "call": {"id": 0, "ranges": plain_ranges[:1]},
        "graph_digest": graph_digest,
        "dataset": shared,
        "shared": True,
        "cwd": here["cwd"],
        "umask": here["umask"],
        "payload": user_code.fields,
        "payload_folder": None,
        "has_credentials": False,
    }
    copies = min(workers, len(plain_ranges) * graphs)
    blobs = [user_code.initialisation, code.pickled]
    return warm.ask_ahead(str(session.processes.warm_folder), {**lease, "copies": copies}, message, blobs)
