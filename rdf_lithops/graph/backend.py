"""The seam with ROOT on the driver: a DistRDF back end that plans a run, has ``job`` run it and hands the result back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..dataset import credentials, halving, ranges_by_load, signed_sources, snapshots
from ..dataset import names as dataset
from ..dataset.columns import shape_of
from ..errors import DataAccessError, PlanError, RdfLithopsError, RunError
from ..executor import local_processes, payload, registry, replay, run_places, submission
from ..executor.session import Session
from ..files import access
from ..files.signatures import cleaned
from ..fold import arrays, partials
from ..fold.order import FoldLimits, one_fold_s
from ..fold.shelf import Shelf
from ..frame import ranges as adapter
from ..frame import settings
from ..options import Options
from ..planning.cost import Bill, Speeds, default_calls, prices_of
from ..planning.limits import ROOT_MEMORY_MIB
from ..planning.outlook import Outlook, fold_shape
from ..planning.plans import Plan, clusters_of, pack_calls, work_of
from ..processes import warm
from ..reporting import Recorder, Report, progress
from ..run import interrupts, running
from ..run.account import Account
from ..run.events import CallEnded, Consumer, Event, FileSkipped, FilesMerged
from ..travels.envelope import Envelope, unpack
from ..worker.root import execute
from ..worker.task import MapTask, MergeTask, ReduceTask, Surroundings
from . import live_drawing, masks, naming, proxies, selecting
from .bad_files import without_bad_files
from .reference import has_run, settle_names
from .travelling import Travelling, check_entries, digest_of, graph_to_travel, nodes_of, plain_of, travelling_of

# isort: split
import ROOT
from ROOT._distrdf import DataFrame, HeadNode, Proxy
from ROOT._distrdf.Backends import Base
from ROOT._distrdf.Operation import Action
from ROOT._distrdf.PythonMergeables import SnapshotResult
from ROOT._pythonization._rdataframe import AsNumpyResult

__all__ = ["LithopsBackend", "is_ours", "plan", "report", "run_graphs"]

logger = logging.getLogger(__name__)

_in_root = threading.RLock()  # of the graphs of one RunGraphs: two threads that compile at the same time crash
arrays.register()  # live drawing folds here too
SERVERLESS_PARTITIONS = 32  # ranges by default where a backend offers hundreds of workers and the load is not known
SHELVED_BYTES = 16 * 2**10  # partials that will be folded in a tree travel in envelopes up to this size
FEW_PARTIALS = 256  # of any size that one call may fold are handed to it through Lithops
MANY_PARTIALS = 4096  # are folded by a tree however small they are
ROUND_S = 2.5  # a round of the tree, beside its folding: up to 1.6 s on localhost, 3.6 s on Lambda's stand-in (benchmarks)
DEFAULT_FOLD_MEMORY_MIB = 4096  # where a call's memory is not set apart


class _Captured(Exception):  # a signal that leaves execute_graph, not an error
    """Carries what DistRDF was about to run out of ``execute_graph``."""

    def __init__(self, ranges: list[Any], mapper: Callable[..., Any], reducer: Callable[..., Any]) -> None:
        super().__init__()
        self.ranges, self.mapper, self.reducer = ranges, mapper, reducer


class LithopsBackend(Base.BaseBackend):  # type: ignore[misc]  # ROOT has no type information
    """Runs DistRDF graphs on one Lithops executor; each data frame has its own back end."""

    def __init__(self, executor: Any, options: Options) -> None:
        super().__init__()
        self.executor = executor
        self.options = options
        self.session = registry.session_for(executor, options)
        settings.prepare()
        self.consumers: tuple[Consumer, ...] = ()
        self.skipped: list[FileSkipped] = []
        self.reports: list[Report] = []
        self.fetched = access.Fetched()  # by this process, for the next report
        self._thread = threading.local()

    def optimize_npartitions(self) -> int:
        """The number of ranges by default: one per worker of this executor, within reason."""
        return min(self.session.workers(), max(SERVERLESS_PARTITIONS, os.cpu_count() or 1))

    def make_dataframe(self, *args: Any, npartitions: int | None = None) -> Any:
        """A distributed RDataFrame over ``args`` (those of ROOT.RDataFrame) that runs here."""
        with dataset.counted(self._account):
            return self._make_dataframe(args, npartitions)

    def _account(self, more: access.Fetched) -> None:
        self.fetched += more

    def _make_dataframe(self, args: tuple[Any, ...], npartitions: int | None) -> Any:
        args = dataset.resolved(args, self._reader_folder)
        if self.options.on_bad_file == "skip" and not isinstance(args[0], int):
            args, self.skipped = without_bad_files(args)
        if isinstance(args[0], ROOT.TChain):
            args = dataset.resolved(_rntuple_arguments(args), self._reader_folder)
        args, selected = selecting.of_arguments(args)
        try:
            head = HeadNode.get_headnode(self, npartitions, *args)
        except TypeError as error:
            refused = dataset.refused()
            if refused is not None:
                raise refused from error
            shown = cleaned(", ".join(map(repr, args)))
            why = error.__context__ or error  # DistRDF's own message leaves out what C++ said
            raise TypeError(f"{error}\nGiven was ({shown}); C++ says:\n{cleaned(str(why))}") from error
        settle_names(head, args)
        head.rdf_lithops_selection = selected
        head.rdf_lithops_arguments = args  # DistRDF keeps references into a specification, and not the specification
        head.execute_graph = functools.partial(self._execute, weakref.ref(head))
        head.rdf_lithops_has_masks = isinstance(head, HeadNode.TreeHeadNode) and masks.are_in(head.rdf_node.GetColumnNames())
        if ranges_by_load.reads_files(head):
            head._build_ranges = functools.partial(self._uncut, weakref.ref(head))
        elif ranges_by_load.has_no_entries(head):
            head._build_ranges = functools.partial(ranges_by_load.empty_range, weakref.proxy(head))
        return DataFrame.RDataFrame(head)

    def _execute(self, head: weakref.ref[Any]) -> None:
        """DistRDF's ``execute_graph``, where a run's clock starts: ranges are made there before we are asked to run."""
        recorder = self._thread.recorder = Recorder(time.time())
        graph: Any = head()
        try:
            interrupts.check()
            with dataset.counted(self._account):
                type(graph).execute_graph(graph)
            has_run(graph)
        except BaseException as error:
            recorder.error = " ".join(str(error).split())[:300] or type(error).__name__
            raise
        finally:
            self._thread.recorder = None
            if recorder.run_id:
                fetched, self.fetched = self.fetched, access.Fetched()
                known = {"survey_bytes": fetched.bytes, "survey_fetches": fetched.requests}
                report = recorder.finish(time.time(), **self.session.describe(), **known)
                self.reports.append(dataclasses.replace(report, bill=self._bill(report)))

    def _bill(self, report: Report) -> Bill:
        """What a run is billed: the time in which workers had its calls, each rounded up to a millisecond."""
        offer = self.session.offer()
        if offer.is_local:
            return Bill()
        seconds = sum(math.ceil(1000 * call.worker_s) / 1000 for call in report.calls)
        return Bill.of(seconds, len(report.calls), offer, prices_of(offer, self.options.usd_per_gb_s))

    def _uncut(self, head: weakref.ref[Any]) -> ranges_by_load.Uncut:
        """What DistRDF calls for the ranges of ``head``: its own, which are cut by load when the run begins."""
        frame, offer = head(), self.session.offer()
        assert frame is not None, "DistRDF's head node calls this itself"

        def count(load_s: float) -> int:
            return default_calls(load_s, offer, self.options.target_s)

        speeds = self.session.experience.speeds(shape_of(frame.graph_nodes))
        given = (self.options.survey, offer.is_local, speeds.load, count, self._pinned)
        cut = functools.partial(ranges_by_load.cut_by_load, frame, *given)
        return ranges_by_load.Uncut(type(frame)._build_ranges(frame), cut)

    def _pinned(self, names: list[str]) -> contextlib.AbstractContextManager[dict[str, str]]:
        return dataset.pinned(names, self._reader_folder)

    def _reader_folder(self) -> str:
        return self.session.reader(self.options)

    def distribute_unique_paths(self, paths: Any) -> None:
        """Nothing to do: files travel in the payload of the run."""

    def ProcessAndMerge(  # DistRDF's name
        self, ranges: list[Any], mapper: Callable[..., Any], reducer: Callable[..., Any]
    ) -> Any:
        """Run ``mapper`` over ``ranges`` through ``map_reduce`` and return the TaskResult folded with ``reducer``."""
        return self._run(ranges, mapper, functools.partial(partials.merge_results, reducer), None)

    def ProcessAndMergeLive(  # DistRDF's name
        self,
        ranges: list[Any],
        mapper: Callable[..., Any],
        reducer: Callable[..., Any],
        drawables_info_dict: live_drawing.Drawables,
    ) -> Any:
        """As ProcessAndMerge, drawing the objects of ``drawables_info_dict`` each time that a call's partial arrives."""
        reducer = functools.partial(partials.merge_results, reducer)
        ranges = ranges_by_load.cut_now(ranges)
        with live_drawing.canvas(drawables_info_dict, self.options.live_picture) as drawing:
            merged: list[Any] = []
            arrived: set[int] = set()

            def on_partial(packed: bytes) -> None:
                envelope = unpack(packed)
                arrived.update(envelope.range_ids)
                if len(arrived) == len(ranges):  # what is drawn last is the result itself, folded in range order
                    return
                partial = partials.loaded(envelope)
                merged[:] = [reducer(merged[0], partial)] if merged else [partial]
                drawing.draw(merged[0].mergeables)

            result = self._run(ranges, mapper, reducer, on_partial)
            drawing.draw(result.mergeables)
            return result

    def _run(
        self,
        ranges: list[Any],
        mapper: Callable[..., Any],
        reducer: Callable[..., Any],
        on_partial: Callable[[bytes], None] | None,
    ) -> Any:
        directive = getattr(self._thread, "directive", None)
        if directive == "capture":
            raise _Captured(ranges_by_load.cut_now(ranges), mapper, reducer)
        if directive is not None:
            return directive
        self.session = registry.rouse(self.executor, self.options)
        with contextlib.ExitStack() as stack:
            stack.enter_context(interrupts.heard())
            with _in_root:
                stack.enter_context(self._compiling_ahead(ranges, mapper, reducer))
                ready = stack.enter_context(self._prepared(ranges_by_load.cut_now(ranges), mapper, reducer))
            run_plan = ready.plan
            snapshots.begin(ready.destinations)
            if on_partial is not None and isinstance(run_plan.map_task, MapTask):  # partials are wanted here as they arrive
                run_plan = dataclasses.replace(run_plan, map_task=dataclasses.replace(run_plan.map_task, shelf=None))
            run_plan.validate()
            learner = _Learner(run_plan)
            consumers: tuple[Consumer, ...] = (*self._consumers(on_partial), learner)
            submit = functools.partial(self._submit, ready.place)
            how = self._with_backups()
            for event in self.skipped:
                for consumer in consumers:
                    consumer(event)
            try:
                given = consumers, ready.place.run_id, halving.halves, ready.account
                outcome = running.run(submit, run_plan, how, *given)
                result = running.read_result(outcome.envelope)
            except RunError as failure:
                if isinstance(failure, DataAccessError):
                    credentials.told_beside(failure)
                self._keep_failed(failure, ready)
                raise
            learner.teach(self.session, shape_of(nodes_of(mapper)))
            logger.debug("%s", outcome)
            with _in_root:
                return ready.receive(result, outcome.took_s)

    def _compiling_ahead(
        self, ranges: list[Any], mapper: Callable[..., Any], reducer: Callable[..., Any]
    ) -> contextlib.AbstractContextManager[Any]:
        """While this lasts, this machine's ROOT process compiles a graph of a shape that is new, for the calls to come."""
        nothing = contextlib.nullcontext()
        brings_files = any((self.headers, self.shared_libraries, self.pcms, self.files))
        folder, is_plain = self.session.processes.warm_folder, self.options.warm and self.options.credentials is None
        if folder is None or not is_plain or brings_files:
            return nothing
        shape = shape_of(nodes_of(mapper))
        if shape in self.session.compiled_ahead:
            return nothing
        self.session.compiled_ahead.add(shape)  # also where it is not asked for below: once is enough to find that out
        graph = graph_to_travel(mapper)
        plain_ranges, shared = plain_of(ranges, graph)
        remote = any(map(access.is_remote, adapter.files_of(plain_ranges, shared)))
        if remote or shared["friends"] is not None or graph.destinations or not graph.nodes:
            return nothing
        pickled, user_code = payload.dumps((graph.mapper, reducer)), payload.gather(self)
        lease = {"payload": str(user_code.plain["sha256"]), "graph": digest_of(pickled, plain_ranges, shared, {})}
        message = {
            "op": "compile",
            "call": {"id": 0, "ranges": plain_ranges[:1]},
            "graph_digest": lease["graph"],
            "dataset": shared,
            "shared": True,
            **run_places.working_place(),
            "payload": user_code.plain,
            "payload_folder": None,
            "has_credentials": False,
        }
        copies = min(self.session.workers(), len(plain_ranges), os.cpu_count() or 1)
        blobs = [user_code.initialisation, pickled]
        return warm.ask_ahead(folder, {**lease, "copies": copies}, message, blobs)

    def _with_backups(self) -> Options:
        backups = self.options.backups if self.options.backups is not None else not self.session.local
        return dataclasses.replace(self.options, backups=backups)

    def _keep_failed(self, failure: RunError, ready: _Ready) -> None:
        """Make the failed ranges of a run ready to be replayed, and say how, or how to have that."""
        folder = self.options.keep_failed
        if folder is not None and failure.range_ids:
            place = ready.place
            failure.next_command = replay.keep(folder, place.run_id, ready.plan, failure.range_ids, place.bundle)
        elif failure.range_ids and not failure.next_command:
            failure.next_command = "set options.keep_failed to a folder and run again: the error then says how to replay it"

    def _consumers(self, on_partial: Callable[[bytes], None] | None) -> tuple[Consumer, ...]:
        """Who is told what happens in a run: those that are there for all runs, a bar, the live drawing."""

        def tell_partial(event: Event) -> None:
            if on_partial is not None and isinstance(event, CallEnded):
                on_partial(event.partial)

        shown = progress.consumer(self.options.progress)
        recorder = getattr(self._thread, "recorder", None)  # there is none when PyRDF, and not DistRDF, runs a graph
        told = (recorder, *self.consumers, shown, tell_partial if on_partial else None)
        return tuple(consumer for consumer in told if consumer is not None)

    def _submit(self, place: run_places.Place, part: Plan) -> running.Submission:
        return submission.submit(self.session, part, self.options, place)

    @contextmanager
    def _prepared(self, ranges: list[Any], mapper: Callable[..., Any], reducer: Callable[..., Any]) -> Iterator[_Ready]:
        """A run that can go; what its tasks need beside the plan (the payload's bundle, the run's key, a place for
        large results) is in place while this lasts. A failure inside removes what the run has written."""
        self.session = registry.rouse(self.executor, self.options)
        user_code = payload.gather(self)
        travelling = travelling_of(ranges, mapper, self._pinned)
        destinations = travelling.graph.destinations
        inputs = adapter.files_of(travelling.plain_ranges, travelling.dataset)
        snapshots.check(destinations, self.options.overwrite, inputs, len(travelling.plain_ranges))
        with contextlib.ExitStack() as stack:
            interrupts.check()
            place = stack.enter_context(run_places.opened(self.session, user_code, [each.place for each in destinations]))
            found = self._credentials(inputs | {destination.url for destination in destinations})
            found += credentials.of_signed_urls(signed_sources.of(inputs))
            sealed, extra_env = stack.enter_context(run_places.delivered(self.session, found))
            surroundings = Surroundings(
                **run_places.working_place(),
                payload=place.payload,
                initialisation=user_code.initialisation,
                warm=self.options.warm,
                warm_folder=self.session.processes.warm_folder,
                settings=local_processes.process_settings(self.options),
                beats=run_places.beats(self.session, self.options),
                sealed=sealed,
                faults=self.options.faults,
            )
            run_plan = dataclasses.replace(self._plan(travelling, reducer, surroundings, place), extra_env=extra_env)
            try:
                account = Account(run_plan.outlook)
                merge = functools.partial(self._merge, run_plan, place, account)
                receive = functools.partial(_receive, travelling, place, merge)
                yield _Ready(run_plan, place, receive, account, destinations)
            except (Exception, KeyboardInterrupt):
                snapshots.discard(destinations)
                raise

    def _merge(
        self,
        run_plan: Plan,
        place: run_places.Place,
        account: Account,
        destination: snapshots.Destination,
        written: _Written,
        took_s: float,
    ) -> None:
        """Merge the files of a Snapshot into larger ones, by a second ``map_reduce`` in the surroundings of the first, from
        the same account, and within the deadline of which ``took_s`` are gone."""
        if self.options.file_mib is None:
            return
        file_bytes = self.options.file_mib * 2**20
        names, ranges = snapshots.merge_ranges(destination, written.filenames, written.treename, file_bytes)
        if not ranges:
            return
        iterdata = pack_calls(ranges, self.session.workers(), self.options.ranges_per_call)
        range_ids = tuple(plain["id"] for plain in ranges)
        surroundings = run_plan.map_task.surroundings
        reduce_task = ReduceTask(run_plan.reduce_task.reducer, range_ids, surroundings, groups=_groups(iterdata))
        assert isinstance(run_plan.map_task, MapTask), "a run begins with its map"
        merge_task = MergeTask(surroundings, access=run_plan.map_task.access)
        merging = Plan(iterdata, merge_task, reduce_task, _no_delivery, run_plan.extra_env)
        left_s = self.options.deadline_s and max(0.001, self.options.deadline_s - took_s)
        how = dataclasses.replace(self._with_backups(), deadline_s=left_s)
        shown, events = progress.consumer(self.options.progress), list[Event]()
        consumers = (events.append, *([shown] if shown else []))
        submit, began = functools.partial(self._submit, place), time.perf_counter()
        try:
            outcome = running.run(submit, merging, how, consumers, f"{place.run_id}-merge", account=account)
        finally:
            recorder = getattr(self._thread, "recorder", None)
            for consumer in (*([recorder] if recorder else []), *self.consumers):
                consumer(FilesMerged(time.perf_counter() - began, tuple(events)))
        running.read_result(outcome.envelope)
        written.filenames = names

    def _credentials(self, urls: set[str]) -> list[credentials.Credential]:
        kinds = self.options.credentials
        limit_s = self.options.deadline_s
        if kinds is None:
            return credentials.for_run(credentials.kinds_for(urls), limit_s)
        return credentials.for_run(kinds, limit_s, asked=True)

    def _plan(
        self, travelling: Travelling, reducer: Callable[..., Any], surroundings: Surroundings, place: run_places.Place
    ) -> Plan:
        pickled = payload.dumps((travelling.graph.mapper, reducer))
        outputs = tuple(destination.plain() for destination in travelling.graph.destinations)
        # without a prefix, which is the run's own, Lithops stores one task for all runs
        prefix = f"{place.prefix}/arrays" if travelling.graph.has_arrays else ""
        results = execute.Results(outputs, prefix, int(self.options.arrays_mib * 2**20))
        names = adapter.files_of(travelling.plain_ranges, travelling.dataset)
        versions = {**dataset.versions(sorted(names - travelling.versions.keys())), **travelling.versions}
        grant = {
            "variables": dataset.variables(),
            "versions": {name: seen for name, seen in versions.items() if access.is_remote(name)},
            "settings": local_processes.reader_settings(self.options),
        }
        digest = digest_of(pickled, travelling.plain_ranges, travelling.dataset, versions)
        range_ids = tuple(plain["id"] for plain in travelling.plain_ranges)
        iterdata = pack_calls(
            travelling.plain_ranges, self.session.workers(), self.options.ranges_per_call, travelling.loads
        )
        limits = self._fold_limits()
        shelf = _shelf(place, len(iterdata), limits)
        shared = self.session.processes.warm_folder is not None and len(iterdata) > 1
        map_task = MapTask(
            pickled,
            digest,
            {**travelling.dataset, "settings": settings.here()},
            self.options.seed,
            surroundings,
            results,
            grant,
            shelf,
            shared,
        )
        reduce_task = ReduceTask(
            payload.dumps(reducer),
            range_ids,
            surroundings,
            groups=_groups(iterdata),
            limits=limits,
        )
        outlook = self._outlook(iterdata, travelling.graph.nodes)
        merge_calls = self._merge_calls(len(range_ids)) if self.options.file_mib else 0
        merges = len(travelling.graph.destinations) if merge_calls else 0
        outlook = dataclasses.replace(outlook, merge_calls=merge_calls * merges, merges=merges)
        return Plan(iterdata, map_task, reduce_task, _no_delivery, outlook=outlook)

    def _merge_calls(self, parts: int) -> int:
        """How many calls merge so many parts, two or more to a file, at most."""
        ranges = [{"id": number} for number in range(parts // 2)]
        return len(pack_calls(ranges, self.session.workers(), self.options.ranges_per_call)) if ranges else 0

    def _outlook(self, iterdata: list[dict[str, Any]], nodes: Iterable[Any]) -> Outlook:
        """What is known beforehand of running these calls."""
        offer, options, experience = self.session.offer(), self.options, self.session.experience
        shape = shape_of(nodes)
        speeds, works = experience.speeds(shape), [work_of(item) for item in iterdata]
        if speeds.fold_partial_s == Speeds.fold_partial_s:  # no fold has told yet
            results = sum(isinstance(node.operation, Action) for node in nodes)
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
            tuple(fold_shape(len(iterdata), speeds.partial_bytes, speeds.fold_one_s, self._fold_limits())),
            *experience.begins(shape, len(iterdata), offer.workers, time.time()),
            clusters_of(iterdata),
        )

    def _fold_limits(self) -> FoldLimits:
        """What one call folds at most. It holds one partial at a time, and the sum; more is folded sooner by several."""
        memory_mib = self.session.offer().memory_mib or DEFAULT_FOLD_MEMORY_MIB
        fold_mib = self.options.fold_mib or max(16.0, (memory_mib - ROOT_MEMORY_MIB) / 5)
        most, most_bytes = self.options.fold_partials, int(fold_mib * 2**20)
        return FoldLimits(MANY_PARTIALS, most_bytes, ROUND_S) if most is None else FoldLimits(most, most_bytes)

    @contextmanager
    def _directed(self, directive: Any) -> Iterator[None]:
        """While this lasts, a run in this thread is captured, or answered with a result that is already there."""
        self._thread.directive = directive
        try:
            yield
        finally:
            self._thread.directive = None


def _shelf(place: run_places.Place, calls: int, limits: FoldLimits) -> Shelf | None:
    """Where partials go that are too large to be handed to one reducer with all the others; None if they cannot be."""
    if calls <= 2:
        return None
    few = calls <= min(limits.partials, FEW_PARTIALS)
    return Shelf(f"{place.prefix}/partials", limits.bytes // calls if few else min(limits.bytes // calls, SHELVED_BYTES))


class _Learner:
    """Listens to a run, and teaches the session what the next plan of the same graph needs to know."""

    def __init__(self, run_plan: Plan) -> None:
        self.hear = Recorder(time.time())
        works = {item["call"]["id"]: work_of(item) for item in run_plan.iterdata}
        self.works = {call_id: work for call_id, work in works.items() if work is not None}

    def __call__(self, event: Event) -> None:
        """Remember ``event``."""
        self.hear(event)

    def teach(self, session: Session, shape: str) -> None:
        """To be called when the run has ended well."""
        report = self.hear.finish(time.time(), place="")
        session.experience.learn(shape, self.works, report, session.offer().vcpus)


def _rntuple_arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A chain over RNTuples as the constructor's name and files: DistRDF puts the parts of a Snapshot into a TChain
    whatever their format, and a TChain that opens an RNTuple crashes."""
    if len(args) != 1 or not isinstance(args[0], ROOT.TChain):
        return args
    name = args[0].GetName()
    files = [str(element.GetTitle()) for element in args[0].GetListOfFiles()]
    if not files:
        return args
    with ROOT.TFile.Open(files[0]) as first:
        key = first.GetKey(name)
        return (name, files) if key and key.GetClassName() == "ROOT::RNTuple" else args


def _groups(iterdata: list[dict[str, Any]]) -> tuple[tuple[int, ...], ...]:
    """The ranges of each call, as the fold keeps them together."""
    return tuple(tuple(plain["id"] for plain in item["call"]["ranges"]) for item in iterdata)


def _no_delivery(data: bytes) -> None:
    raise AssertionError("a plan that runs inside execute_graph is delivered by it")


def plan(node: Any) -> Plan:
    """What running the graph of ``node`` (a distributed data frame, one of its nodes or results) would invoke.

    Nothing is invoked and nothing uploaded but the payload's bundle, if there is one. ``Plan.deliver`` takes the bytes that
    ``map_reduce`` gave and fills the results that were booked.
    """
    head = _head(node)
    backend = head.backend
    if not isinstance(backend, LithopsBackend):
        raise TypeError(f"expected a data frame that runs on Lithops, got one that runs on {type(backend).__name__}")
    with backend._directed("capture"):
        try:
            head.execute_graph()
        except _Captured as captured:
            taken = captured
        else:
            raise PlanError("expected a graph with something left to compute, got one that has run")
    planned = [item.node_id for item in head._get_action_nodes()]
    if not planned:
        raise PlanError("expected at least one action (Histo1D, Count, …) booked on the data frame, got none")

    prepared = backend._prepared(taken.ranges, taken.mapper, taken.reducer)
    with dataset.counted(backend._account):
        backend._thread.frame = head.rdf_node
        ready = prepared.__enter__()

    def deliver(data: bytes) -> None:
        if [item.node_id for item in head._get_action_nodes()] != planned:
            raise PlanError("the graph has changed since it was planned: plan it again")
        merged = running.Outcome(unpack(data), 0.0, 0.0, 1, 0)
        submit = functools.partial(backend._submit, ready.place)
        outcome = running.finish(submit, ready.plan, backend._with_backups(), merged, account=ready.account)
        result = ready.receive(running.read_result(outcome.envelope), outcome.took_s)
        with backend._directed(result):
            head.execute_graph()
        closing()

    # with the last copy of the plan, or at exit, while there is still a storage to delete from
    closing = weakref.finalize(deliver, prepared.__exit__, None, None, None)
    return dataclasses.replace(ready.plan, deliver=deliver)


def report(node: Any, run: int = -1) -> Report:
    """What a run of the data frame of ``node`` (itself, one of its nodes or results) did: the last one, or number ``run``.

    Runs count from 0, or from the end as in a list; one that failed has its report too. Raises PlanError if nothing ran.
    """
    backend = _head(node).backend
    if not isinstance(backend, LithopsBackend):
        raise TypeError(f"expected a data frame that runs on Lithops, got one that runs on {type(backend).__name__}")
    try:
        return backend.reports[run]
    except IndexError:
        ran = len(backend.reports)
        raise PlanError(f"expected a data frame that has run, got one with {ran} runs, and no run {run}") from None


def _head(node: Any) -> Any:
    if isinstance(node, DataFrame.RDataFrame):
        return node._headnode
    if isinstance(node, Proxy.Proxy):
        return node.proxied_node.get_head()
    raise TypeError(f"expected a distributed RDataFrame, a node or a result of one, got {type(node).__name__}")


def is_ours(handle: Any) -> bool:
    """Whether a result handle belongs to a data frame that runs on Lithops. Triggers nothing."""
    return isinstance(handle, Proxy.Proxy) and isinstance(handle.proxied_node.get_head().backend, LithopsBackend)


proxies.install(is_ours)


def run_graphs(handles: list[Any]) -> int:
    """Run the distinct graphs of ``handles`` at the same time; returns their number. Every failure is raised.

    One failure is raised as it is; several as a RunError-like RdfLithopsError that lists them. Graphs that succeeded
    keep their results and do not run again. Ctrl-C ends them all, and comes back when they have ended.
    """
    graphs = list({handle.proxied_node.get_head(): handle for handle in handles}.values())
    ran = interrupts.at_once([functools.partial(Proxy.execute_graph, handle.proxied_node) for handle in graphs])
    failures = [failure for future in ran if (failure := future.exception()) is not None]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        listed = "\n".join(f"- {failure}" for failure in failures)
        raise RdfLithopsError(f"{len(failures)} of {len(graphs)} graphs failed:\n{listed}") from failures[0]
    return len(graphs)


# -- what comes back --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ready:
    """A run that can go, and what makes DistRDF's result of the bytes that it gives."""

    plan: Plan
    place: run_places.Place
    receive: Callable[[Envelope, float], Any]
    account: Account
    destinations: list[snapshots.Destination]


class _Written(SnapshotResult):  # type: ignore[misc]  # ROOT has no type information
    """The parts of a Snapshot, which become a data frame by their names: DistRDF puts them into a TChain, which crashes over
    RNTuples and knows fewer places."""

    def GetValue(self, backend: Any) -> Any:  # DistRDF's name
        return backend.make_dataframe(self.treename, self.filenames)


def _receive(
    travelling: Travelling,
    place: run_places.Place,
    merge: Callable[[snapshots.Destination, Any, float], None],
    envelope: Envelope,
    took_s: float,
) -> Any:
    """DistRDF's result: arrays whole, Snapshots with the files that the workers have put where they belong."""
    began = time.monotonic()
    if envelope.stored is not None:
        envelope = unpack(place.take(envelope.stored["key"]))
    result = partials.loaded(envelope)
    check_entries(travelling.entries, result)
    destinations = travelling.graph.destinations
    mergeables: list[Any] = getattr(result, "mergeables", None) or []
    written: dict[snapshots.Destination, _Written] = {}
    for index, mergeable in enumerate(mergeables):
        naming.name_variations(mergeable)
        if isinstance(mergeable, arrays.ArrayParts):
            mergeables[index] = AsNumpyResult({}, [])
            mergeables[index]._py_arrays = arrays.joined(mergeable, place.take)
        elif isinstance(mergeable, SnapshotResult):
            mergeables[index] = _Written(mergeable.treename, mergeable.filenames)
            for destination in destinations:
                if destination.wrote(mergeable.filenames[0]):
                    merge(destination, mergeables[index], took_s + time.monotonic() - began)
                    written[destination] = mergeables[index]
    published = snapshots.finish({destination: each.filenames for destination, each in written.items()})
    for destination, names in published.items():
        written[destination].filenames = names
    return result
