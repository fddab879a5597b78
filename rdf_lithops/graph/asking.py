"""What users ask of a data frame that runs here: what a run would invoke, and what one did."""

from __future__ import annotations

import dataclasses
import functools
import weakref
from typing import Any

from ..dataset import names as dataset
from ..errors import PlanError
from ..executor import registry
from ..planning.plans import Plan
from ..reporting import Report
from ..run import outcomes, running
from ..travels.envelope import unpack
from .backend import LithopsBackend, head_of
from .computation import computation_of
from .delivering import received
from .preparing import coded, prepared, taken, user_code_of

__all__ = ["plan", "report"]


def plan(node: Any) -> Plan:
    """What running the graph of ``node`` (a distributed data frame, one of its nodes or results) would invoke.

    Nothing is invoked and nothing uploaded but the payload's bundle, if there is one. ``Plan.deliver`` takes the bytes that
    ``map_reduce`` gave and fills the results that were booked.
    """
    head = head_of(node)
    backend = head.backend
    if not isinstance(backend, LithopsBackend):
        raise TypeError(f"expected a data frame that runs on Lithops, got one that runs on {type(backend).__name__}")
    computation = computation_of(head)
    planned = [item.node_id for item in computation.actions]
    if not planned:
        raise PlanError("expected at least one action (Histo1D, Count, …) booked on the data frame, got none")

    with dataset.counted(backend.account):
        backend.session = registry.session_for(backend.executor, backend.options)
        preparing = prepared([taken(coded(computation))], user_code_of(backend))
        ready = preparing.__enter__()

    def deliver(data: bytes) -> None:
        if [item.node_id for item in head._get_action_nodes()] != planned:
            raise PlanError("the graph has changed since it was planned: plan it again")
        merged = outcomes.Outcome((unpack(data),), 0.0, 0.0, 1, 0)
        submit = functools.partial(backend.submit, ready.run_folder)
        outcome = running.finish(submit, ready.plan, backend.with_backups(), merged, account=ready.account)
        computation.deliver(received(ready, 0, outcomes.read_result(outcome.envelope), outcome.took_s))
        closing()

    # with the last copy of the plan, or at exit, while there is still a storage to delete from
    closing = weakref.finalize(deliver, preparing.__exit__, None, None, None)
    return dataclasses.replace(ready.plan, deliver=deliver)


def report(node: Any, run: int = -1) -> Report:
    """What a run of the data frame of ``node`` (itself, one of its nodes or results) did: the last one, or number ``run``.

    Runs count from 0, or from the end as in a list; one that failed has its report too. Raises PlanError if nothing ran.
    """
    backend = head_of(node).backend
    if not isinstance(backend, LithopsBackend):
        raise TypeError(f"expected a data frame that runs on Lithops, got one that runs on {type(backend).__name__}")
    try:
        return backend.reports[run].report
    except IndexError:
        ran = len(backend.reports)
        raise PlanError(f"expected a data frame that has run, got one with {ran} runs, and no run {run}") from None
