"""Runs what DistRDF wants, one graph or several in one run, and hands the results back. One thread at a time uses ROOT.

Computation, Computation, … ──preparing──> Ready ──running──> Outcome ──delivering──> DistRDF's result, or error, of each
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..compiled import signals
from ..dataset import credentials, halving, snapshots
from ..dataset import names as dataset
from ..errors import DataAccessError, RangeError, RunError
from ..executor import asked_for, first_look, registry, replay, resuming, run_folders
from ..executor.session import Session
from ..planning.plans import Plan, work_of
from ..reporting import Recorder
from ..reporting.progress import consumer as bar
from ..run import interrupts, outcomes, running
from ..run.events import AttemptBegan, Consumer, Event
from ..travels.envelope import Envelope
from ..worker.task import MapTask
from . import foreseeing, kept_instantiations, libraries_first, sameness, undeclared, unseen
from .computation import Computation
from .delivering import received
from .preparing import Ready, coded, compiling_ahead, prepared, taken, user_code_of

__all__ = ["in_root", "run_alone", "run_together"]

logger = logging.getLogger(__name__)

LEAST_ROOM = 2**20  # bytes that the smallest run needs on the disk, about
Before = TypeVar("Before")
After = TypeVar("After")

in_root = threading.RLock()  # of runs in threads of one program: two threads that compile at the same time crash


def run_alone(computation: Computation, recorder: Any = None, live: Consumer | None = None) -> Any:
    """Run one graph; DistRDF's result of it. ``recorder`` is told what happens, and so is ``live``, which needs partials."""
    with contextlib.ExitStack() as stack:
        ready = _ready([computation], stack, {})
        (result,) = _run(ready, recorder, live)
    if isinstance(result, BaseException):
        raise result
    return result


def run_together(computations: Sequence[Computation], recorder: Any = None) -> list[Any]:
    """Run several graphs, which have executor and options in common, as one run; of each DistRDF's result, or the error
    that it ended in."""
    with contextlib.ExitStack() as stack:
        failed: dict[int, Exception] = {}
        ready = _ready(computations, stack, failed)
        done = iter(_run(ready, recorder) if ready is not None else ())
        return [failed[number] if number in failed else next(done) for number in range(len(computations))]


def _ready(computations: Sequence[Computation], stack: contextlib.ExitStack, failed: dict[int, Exception]) -> Any:
    """The run of those that can run, while ``stack`` lasts; what is wrong with the others goes into ``failed``, by number.
    None if there is nothing to run; of one alone, what is wrong is raised."""
    for backend in {id(each.backend): each.backend for each in computations}.values():
        backend.session = registry.session_for(backend.executor, backend.options)
        first_look.begin(backend.session, looks=backend.options.resume is not False)
    stack.enter_context(interrupts.heard())
    with in_root, dataset.counted(computations[0].backend.account):
        user_code = user_code_of(computations[0].backend)
        codes = _each(coded, dict(enumerate(computations)), failed, len(computations) == 1)
        if codes:
            stack.enter_context(compiling_ahead([*codes.values()], user_code))
        graphs = _each(taken, codes, failed, len(computations) == 1)
        return stack.enter_context(prepared([*graphs.values()], user_code)) if graphs else None


def _each(
    step: Callable[[Before], After], graphs: dict[int, Before], failed: dict[int, Exception], alone: bool
) -> dict[int, After]:
    """``step`` of each of ``graphs``, by number. What is wrong with one goes into ``failed``; ``alone``, it is raised."""
    done: dict[int, After] = {}
    for number, graph in graphs.items():
        interrupts.check()
        try:
            done[number] = step(graph)
        except Exception as problem:
            if alone:
                raise
            failed[number] = problem
    return done


def _run(ready: Ready, recorder: Any, live: Consumer | None = None) -> list[Any]:
    leader, run_plan = ready.taken[0].backend, ready.plan
    if ready.destinations:
        snapshots.begin(ready.destinations)
    if live is not None and isinstance(run_plan.map_task, MapTask):  # partials are wanted here as they arrive
        run_plan = _unshelved(run_plan)
    run_plan.validate()
    made, elsewhere = list[Event](), tuple[Consumer, ...]()
    if not leader.session.local:  # whose workers have this machine's libraries
        run_plan, made = libraries_first.made_first(ready, run_plan)
        elsewhere = (libraries_first.learned(ready),)
    heard = recorder or Recorder(time.time())
    consumers: tuple[Consumer, ...] = (*_consumers(ready, heard, live), *elsewhere, _foresees(ready))
    for event in (*made, *(event for each in ready.taken for event in each.backend.skipped)):
        for consumer in consumers:
            consumer(event)
    submit = functools.partial(leader.submit, ready.run_folder)
    taken_up = _taken_up(ready, run_plan)
    left = (taken_up.partials, taken_up.under_way) if taken_up is not None else (None, None)
    given = consumers, ready.run_folder.run_id, halving.halves, ready.account, *left
    try:
        outcome = running.run(submit, run_plan, leader.with_backups(), *given)
    except RunError as failure:
        raise _explained(failure, ready, 0) from failure.__cause__
    logger.debug("%s", outcome)
    results = [_result_of(ready, graph, result, outcome.took_s, recorder) for graph, result in enumerate(outcome.results)]
    if taken_up is not None and not any(isinstance(result, BaseException) for result in results):
        taken_up.remove(leader.session, run_folders.lithops_folders(leader.session.executor))
    taught = [
        None if isinstance(result, BaseException) else (each.coded.shape, alone.iterdata)
        for result, each, alone in zip(results, ready.taken, ready.alone, strict=True)
    ]
    lesson = functools.partial(_teach, heard, taught, leader.session)
    leader.session.experience.learn_later(lesson)
    return results


def _taken_up(ready: Ready, run_plan: Plan) -> resuming.Taken | None:
    """What a run of this likeness, whose driver was killed, has left for this one."""
    likeness, options = ready.run_folder.resumes, ready.taken[0].backend.options
    if likeness is None and not asked_for.is_any():
        return None
    travelling = [each.travelling for each in ready.taken]
    wanting = resuming.Wanting(
        likeness,
        functools.partial(sameness.why_not, run_plan, travelling, options),
        getattr(run_plan.map_task, "shelf", None),
        run_plan.iterdata,
        options.resume is True,
        functools.partial(unseen.in_run, [each.graph.nodes for each in travelling], ready.user_code, options.declared),
    )
    return resuming.take_up(ready.taken[0].backend.session, wanting)


def _unshelved(run_plan: Plan) -> Plan:
    assert isinstance(run_plan.map_task, MapTask)
    return dataclasses.replace(run_plan, map_task=dataclasses.replace(run_plan.map_task, shelf=None))


def _result_of(ready: Ready, graph: int, result: Envelope | RunError, took_s: float, recorder: Any) -> Any:
    """DistRDF's result of a graph, or the error that it ended in. What a graph that failed has written is removed."""
    try:
        if isinstance(result, RunError):
            raise result
        envelope = outcomes.read_result(result, ready.plan.own_number)
        with in_root:
            return received(ready, graph, envelope, took_s, recorder)
    except RunError as failure:
        failed: Exception = _explained(failure, ready, graph)
    except Exception as problem:  # an answer that cannot be read, a payload that does not load
        failed = problem
    snapshots.discard(ready.taken[graph].travelling.graph.destinations)
    return failed


def _explained(failure: RunError, ready: Ready, graph: int) -> RunError:
    """The error with what helps: which credentials there are, how to replay the range."""
    if isinstance(failure, DataAccessError):
        credentials.told_beside(failure)
    options, run_folder = ready.taken[graph].backend.options, ready.run_folder
    undeclared.explain(failure, options)
    is_of_the_graph = isinstance(failure, RangeError) and "No space left" not in str(failure)
    if not is_of_the_graph and (room := _missing_room(ready.taken[graph].backend.session)):
        failure.next_command = room
        return failure
    if options.keep_failed is not None and failure.range_ids:
        name = run_folder.run_id if len(ready.taken) == 1 else f"{run_folder.run_id}-{graph}"
        given = options.keep_failed, name, ready.alone[graph], failure.range_ids, run_folder.bundle
        try:
            failure.next_command = replay.keep(*given)
        except OSError as problem:  # the failure itself is what has to be told
            failure.next_command = f"name a folder in options.keep_failed that can be written ({problem}), and run again"
    elif failure.range_ids and not failure.next_command:
        failure.next_command = "set options.keep_failed to a folder and run again: the error then says how to replay it"
    return failure


def _missing_room(session: Session | None) -> str:
    """What to do about a full disk of this machine, where the calls of ``session`` run here; empty where it is not full."""
    folder = tempfile.gettempdir()
    if session is None or not session.local or (free := shutil.disk_usage(folder).free) >= LEAST_ROOM:
        return ""
    return f"make room: the disk of {folder} is full ({free // 1024} KiB left); or have TMPDIR name a folder on another one"


def _consumers(ready: Ready, recorder: Any, live: Consumer | None) -> tuple[Consumer, ...]:
    """Who is told what happens in a run: those that are there for all runs, a bar, the live drawing."""
    backends = [each.backend for each in ready.taken]
    own = list(dict.fromkeys(consumer for backend in backends for consumer in backend.consumers))
    told = (recorder, *own, bar(backends[0].options.progress), kept_instantiations.keep, live)
    return tuple(consumer for consumer in told if consumer is not None)


def _foresees(ready: Ready) -> Consumer:
    """Who gets ready for the results while the driver waits for them."""

    def foresee(event: Event) -> None:
        if isinstance(event, AttemptBegan):
            nodes = [node for each in ready.taken for node in each.coded.graph.nodes]
            with in_root, signals.held():
                foreseeing.prepare({getattr(node.operation, "name", "") for node in nodes})

    return foresee


def _teach(heard: Recorder, graphs: Sequence[tuple[str, list[dict[str, Any]]] | None], session: Session) -> None:
    """Teach the session what the next plan of the same graphs needs to know: of each graph that ended well its shape, and
    calls alone."""
    vcpus, is_alone = session.offer().vcpus, len(graphs) == 1
    calls = [heard.calls()] if is_alone else [share.units for share in heard.graphs()]
    for number, graph in enumerate(graphs):
        if graph is not None:
            shape, iterdata = graph
            works = {item["call"]["id"]: work for item in iterdata if (work := work_of(item)) is not None}
            session.experience.learn(shape, works, calls[number], vcpus, is_alone)
