"""RunGraphs: the graphs of one executor are one run; each has its results, or its failure.

handles ──computation──> what DistRDF would run of each ──execution──> one run ──> results delivered, failures together
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import GraphsError, PlanError
from ..files import access
from ..reporting import Recorder
from ..run import interrupts
from . import execution
from .backend import is_ours
from .computation import Computation, computation_of

# isort: split
from ROOT._distrdf import Proxy

__all__ = ["run_graphs"]


def run_graphs(handles: list[Any], run_others: Callable[[list[Any]], int]) -> int:
    """Run the distinct graphs of ``handles`` as one run, or one for each executor and set of options; returns what local
    ROOT's RunGraphs does: how many graphs there are, or 0 where all are ready. Handles of other back ends go to
    ``run_others``. Raises PlanError for what is no result.

    One failure is raised as it is; several as a GraphsError, the first in full. Graphs that succeeded keep their results and
    do not run again. Ctrl-C ends them all, and comes back when they have ended.
    """
    for handle in handles:
        if not isinstance(handle, (Proxy.ResultPtrProxy, Proxy.ResultMapProxy)):
            raise PlanError(f"RunGraphs: expected results, as Count() and Histo1D(...) return them, got {handle!r}")
    others = [handle for handle in handles if not is_ours(handle)]
    others_ran = run_others(others) if others else 0
    nodes = [handle.proxied_node for handle in handles if is_ours(handle)]
    graphs = list(dict.fromkeys(node.get_head() for node in nodes))
    waiting = list({node.get_head(): node for node in nodes if node.value is None}.values())
    failed: dict[int, Exception] = {}
    runs = [functools.partial(_run, run, failed) for run in _runs(waiting)]
    if len(runs) == 1:
        runs[0]()
    for future in interrupts.at_once(runs) if len(runs) > 1 else ():
        future.result()
    failures = [failed[id(node)] for node in waiting if id(node) in failed]
    if len(failures) == 1:
        raise failures[0]
    if failures:  # it tells of the first itself, and no longer than a screen: so it has no cause
        raise GraphsError(failures, len(graphs), [_name_of(node) for node in waiting if id(node) in failed])
    return others_ran + (len(graphs) if waiting else 0)


def _name_of(node: Any) -> str:
    """A result as a user would call it: its operation with the name of its histogram, or its first column."""
    if node.operation.name == "VariationsFor":
        return f"VariationsFor {_name_of(node.parent)}"
    first = next(iter(node.operation.args), "")
    first = first[0] if isinstance(first, (tuple, list)) and first else getattr(first, "fName", first)
    return f"{node.operation.name} {first}".strip()


def _runs(nodes: Sequence[Any]) -> list[list[Any]]:
    """Which of the graphs make one run: those of one executor with the same options; one that is drawn live is alone."""
    runs: list[list[Any]] = []
    for node in nodes:
        run = next((run for run in runs if _go_together(run[0].get_head(), node.get_head())), None)
        if run is None:
            runs.append([node])
        else:
            run.append(node)
    return runs


def _go_together(one: Any, other: Any) -> bool:
    if any(head.drawables_dict is not None for head in (one, other)):
        return False
    return one.backend.executor is other.backend.executor and one.backend.options == other.backend.options


def _run(nodes: list[Any], failed: dict[int, Exception]) -> None:
    """Run the graphs of ``nodes``; what becomes of those that fail goes into ``failed``, by the id of the node."""
    if len(nodes) == 1:
        try:
            Proxy.execute_graph(nodes[0])
        except Exception as problem:
            failed[id(nodes[0])] = problem
        return
    recorder = Recorder(time.time())
    try:
        _run_together(nodes, failed, recorder)
    except BaseException as problem:
        recorder.error = type(problem).__name__
        raise
    finally:
        backends = [node.get_head().backend for node in nodes]
        if recorder.run_id:
            for other in backends[1:]:  # what each has looked for in its own files is of the one run
                backends[0].fetched, other.fetched = backends[0].fetched + other.fetched, access.Fetched()
            report = backends[0].reported(recorder)
            for backend in backends:
                backend.reports.append(report)


def _run_together(nodes: list[Any], failed: dict[int, Exception], recorder: Recorder) -> None:
    computations: dict[int, Computation] = {}
    with Proxy._managed_tcontext():
        for number, node in enumerate(nodes):
            interrupts.check()
            try:
                with execution.in_root:
                    computations[number] = computation_of(node.get_head())
            except Exception as problem:
                failed[id(node)] = problem
        results = execution.run_together(list(computations.values()), recorder) if computations else []
        for (number, computation), result in zip(computations.items(), results, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result
                with execution.in_root:
                    computation.deliver(result)
            except Exception as problem:
                failed[id(nodes[number])] = problem
