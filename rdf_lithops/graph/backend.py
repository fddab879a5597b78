"""The seam with ROOT on the driver: a DistRDF back end, which has ``execution`` run a graph and hands the result back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..dataset import joining, ranges_by_load
from ..dataset import names as dataset
from ..dataset.columns import shape_of
from ..errors import PlanError
from ..executor import registry, run_places, submission
from ..files import access
from ..files.secret_urls import cleaned
from ..fold import arrays, partials
from ..frame import settings
from ..options import Options
from ..planning.cost import default_calls
from ..planning.plans import Plan
from ..reporting import LaterReport, Recorder
from ..run import interrupts, running
from ..run.events import Consumer, FileSkipped
from ..travels.envelope import unpack
from . import execution, indexed_friends, live_drawing, masks, proxies, selecting
from .bad_files import without_bad_files
from .preparing import Wanted
from .reference import has_run, keep_folder, settle_names

# isort: split
import ROOT
from ROOT._distrdf import DataFrame, HeadNode, Proxy
from ROOT._distrdf.Backends import Base

__all__ = ["Captured", "LithopsBackend", "head_of", "is_ours"]

logger = logging.getLogger(__name__)

arrays.register()  # live drawing folds here too
SERVERLESS_PARTITIONS = 32  # ranges by default where a backend offers hundreds of workers and the load is not known


class Captured(Exception):  # a signal that leaves execute_graph, not an error
    """Carries what DistRDF was about to run out of ``execute_graph``."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.wanted = wanted


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
        self.reports: list[LaterReport] = []
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
        args = dataset.resolved(joining.by_name(args), self._reader_folder)
        if self.options.on_bad_file == "skip" and not isinstance(args[0], int):
            args, self.skipped = without_bad_files(args)
        if isinstance(args[0], ROOT.TChain):
            args = dataset.resolved(_rntuple_arguments(args), self._reader_folder)
        given = args[0]
        args, selected = selecting.of_arguments(args)
        try:
            with indexed_friends.set_aside(args) as indices:
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
        head.rdf_lithops_friend_indices = indices
        if selected is not None and selected.entry_range is not None:  # which DistRDF's own has lost
            head.rdf_node = ROOT.RDataFrame(ROOT.RDF.Experimental.RDatasetSpec(given))
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
            keep_folder(graph)
            with dataset.counted(self._account):
                _execute_keeping_values(graph)
            has_run(graph)
        except BaseException as error:
            recorder.error = " ".join(str(error).split())[:300] or type(error).__name__
            raise
        finally:
            self._thread.recorder = None
            if recorder.run_id:
                self.reports.append(self.reported(recorder))

    def captured(self, graph: Any) -> Wanted:
        """What DistRDF would run of ``graph``, a head node of this back end. PlanError where nothing is left to run."""
        keep_folder(graph)
        with self._directed("capture"), dataset.counted(self._account):
            try:
                type(graph).execute_graph(graph)
            except Captured as captured:
                return captured.wanted
        raise PlanError("expected a graph with something left to compute, got one that has run")

    def deliver(self, graph: Any, result: Any) -> None:
        """Fill what was booked on ``graph`` with DistRDF's ``result`` of it."""
        with self._directed(result), dataset.counted(self._account):
            _execute_keeping_values(graph)
        has_run(graph)

    def reported(self, recorder: Recorder) -> LaterReport:
        """The report of a run that is over, with its bill: made when it is asked for."""
        fetched, self.fetched = self.fetched, access.Fetched()
        known = {"survey_bytes": fetched.bytes, "survey_fetches": fetched.requests, **self.session.describe()}
        return LaterReport(recorder, time.time(), known, self.session.offer(), self.options.usd_per_gb_s)

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
        wanted = Wanted(self, ranges, mapper, reducer)
        if directive == "capture":
            raise Captured(wanted)
        if directive is not None:
            return directive
        recorder = getattr(self._thread, "recorder", None)  # there is none when PyRDF, and not DistRDF, runs a graph
        return execution.run_alone(wanted, recorder, on_partial)

    def _with_backups(self) -> Options:
        backups = self.options.backups if self.options.backups is not None else not self.session.local
        return dataclasses.replace(self.options, backups=backups)

    def _submit(self, place: run_places.Place, part: Plan) -> running.Submission:
        return submission.submit(self.session, part, self.options, place)

    @contextmanager
    def _directed(self, directive: Any) -> Iterator[None]:
        """While this lasts, a run in this thread is captured, or answered with a result that is already there."""
        self._thread.directive = directive
        try:
            yield
        finally:
            self._thread.directive = None


def _execute_keeping_values(graph: Any) -> None:
    """DistRDF's ``execute_graph``, but what has a value keeps it: DistRDF computes a result again whose variations are asked
    for later, and what the user has done to it since would be lost."""
    there = [(node, node.value) for node in graph.graph_nodes if node.value is not None]
    type(graph).execute_graph(graph)
    for node, value in there:
        node.value = value


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


def head_of(node: Any) -> Any:
    """DistRDF's head node of a data frame, or of one of its nodes or results."""
    if isinstance(node, DataFrame.RDataFrame):
        return node._headnode
    if isinstance(node, Proxy.Proxy):
        return node.proxied_node.get_head()
    raise TypeError(f"expected a distributed RDataFrame, a node or a result of one, got {type(node).__name__}")


def is_ours(handle: Any) -> bool:
    """Whether a result handle belongs to a data frame that runs on Lithops. Triggers nothing."""
    return isinstance(handle, Proxy.Proxy) and isinstance(handle.proxied_node.get_head().backend, LithopsBackend)


proxies.install(is_ours)
