"""The seam with ROOT on the driver: a DistRDF back end, which has ``execution`` run a graph and hands the result back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import time
import weakref
from collections.abc import Callable
from typing import Any

from ..compiled.compiling import compiling_quickly
from ..dataset import joining
from ..dataset import names as dataset
from ..executor import registry, run_folders, submission
from ..files import access
from ..files.secret_urls import cleaned
from ..fold import partials
from ..frame import settings
from ..options import Options
from ..planning.plans import Plan
from ..reporting import LaterReport, Recorder
from ..run import interrupts, running
from ..run.events import Consumer, FileSkipped
from . import afterwards, execution, indexed_friends, live_drawing, masks, proxies, selecting, told_entries
from .bad_files import without_bad_files
from .computation import Computation, computation_of
from .reference import settle_names

# isort: split
import ROOT
from ROOT._distrdf import DataFrame, HeadNode, Proxy
from ROOT._distrdf.Backends import Base

__all__ = ["LithopsBackend", "head_of", "is_ours"]

logger = logging.getLogger(__name__)

SERVERLESS_PARTITIONS = 32  # ranges by default where a backend offers hundreds of workers and the load is not known


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

    def optimize_npartitions(self) -> int:
        """The number of ranges by default: one per worker of this executor, within reason."""
        return min(self.session.workers(), max(SERVERLESS_PARTITIONS, os.cpu_count() or 1))

    def make_dataframe(self, *args: Any, npartitions: int | None = None) -> Any:
        """A distributed RDataFrame over ``args`` (those of ROOT.RDataFrame) that runs here."""
        with dataset.counted(self.account):
            return self._make_dataframe(args, npartitions)

    def account(self, more: access.Fetched) -> None:
        """Have the next report tell that this process has fetched ``more``."""
        self.fetched += more

    def _make_dataframe(self, args: tuple[Any, ...], npartitions: int | None) -> Any:
        original = args[0]
        told_entries.check(original)
        args = dataset.resolved(joining.by_name(args), self._reader_folder)
        if self.options.on_bad_file == "skip" and not isinstance(args[0], int):
            args, self.skipped = without_bad_files(args)
        if isinstance(args[0], ROOT.TChain):
            args = dataset.resolved(_rntuple_arguments(args), self._reader_folder)
        given = args[0]
        args, selected = selecting.of_arguments(args)
        try:
            with indexed_friends.set_aside(args) as indices, compiling_quickly():  # decision 423
                head = HeadNode.get_headnode(self, npartitions, *args)
        except TypeError as error:
            refused = dataset.refused()
            if refused is not None:
                raise refused from error
            shown = cleaned(", ".join(map(repr, args)))
            why = error.__context__ or error  # DistRDF's own message leaves out what C++ said
            raise TypeError(f"{error}\nGiven was ({shown}); C++ says:\n{cleaned(str(why))}") from error
        settle_names(head, args)
        afterwards.note_chain(head, original)
        head.rdf_lithops_selection = selected
        head.rdf_lithops_friend_indices = indices
        if selected is not None and selected.entry_range is not None:  # which DistRDF's own has lost
            head.rdf_node = ROOT.RDataFrame(ROOT.RDF.Experimental.RDatasetSpec(given))
        head.rdf_lithops_arguments = args  # DistRDF keeps references into a specification, and not the specification
        head.execute_graph = functools.partial(self._execute, weakref.ref(head))
        head.rdf_lithops_has_masks = isinstance(head, HeadNode.TreeHeadNode) and masks.are_in(head.rdf_node.GetColumnNames())
        return DataFrame.RDataFrame(head)

    def _execute(self, head: weakref.ref[Any]) -> None:
        """Stands for ``execute_graph`` of DistRDF's ``head``: run what is booked on it, and fill what was asked for."""
        recorder = Recorder(time.time())
        try:
            interrupts.check()
            with dataset.counted(self.account):
                computation = computation_of(head())
                computation.deliver(self._result_of(computation, recorder))
        except BaseException as error:
            recorder.error = " ".join(str(error).split())[:300] or type(error).__name__
            raise
        finally:
            if recorder.run_id:
                self.reports.append(self.reported(recorder))

    def _result_of(self, computation: Computation, recorder: Recorder) -> Any:
        drawables = live_drawing.drawables_of(computation) if computation.head.drawables_dict else {}
        if not drawables:
            return execution.run_alone(computation, recorder)
        with live_drawing.canvas(drawables, self.options.live_picture) as drawing:
            result = execution.run_alone(computation, recorder, live_drawing.Following(computation, drawing))
            drawing.draw(result.mergeables)
            return result

    def reported(self, recorder: Recorder) -> LaterReport:
        """The report of a run that is over, with its bill: made when it is asked for."""
        fetched, self.fetched = self.fetched, access.Fetched()
        known = {"survey_bytes": fetched.bytes, "survey_fetches": fetched.requests, **self.session.describe()}
        return LaterReport(recorder, time.time(), known, self.session.offer(), self.options.usd_per_gb_s)

    def pinned(self, names: list[str]) -> contextlib.AbstractContextManager[dict[str, str]]:
        """While it lasts, remote files of ``names`` are opened in the versions that it gives."""
        return dataset.pinned(names, self._reader_folder)

    def _reader_folder(self) -> str:
        return self.session.reader(self.options)

    def distribute_unique_paths(self, paths: Any) -> None:
        """Nothing to do: files travel in the payload of the run."""

    def ProcessAndMerge(  # DistRDF's name
        self, ranges: list[Any], mapper: Callable[..., Any], reducer: Callable[..., Any]
    ) -> Any:
        """Run ``mapper`` over ``ranges`` and return the results folded with ``reducer``: PyRDF runs its graphs so."""
        return execution.run_alone(Computation(self, ranges, mapper, functools.partial(partials.merge_results, reducer)))

    def with_backups(self) -> Options:
        """The options of a run, in which it is settled whether slow calls get a second copy."""
        backups = self.options.backups if self.options.backups is not None else not self.session.local
        return dataclasses.replace(self.options, backups=backups)

    def submit(self, run_folder: run_folders.RunFolder, part: Plan) -> running.Submission:
        """Have Lithops run ``part`` of a plan, in the ``run_folder`` of its run."""
        return submission.submit(self.session, part, self.options, run_folder)


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
