"""The fold of many or large partials: rounds of ``map_reduce``, a tree of calls in range order. Pure.

    round 1   calls that run ranges     ──> a reducer: folds, if partials are few and small enough; else hands them on
    round 2   calls that fold a group   ──> a reducer: the same
    ...                                     until one has folded what was left

Each round starts when the one before has ended, so nobody is paid for waiting; and each reducer decides by the partials as
they are, not as they were planned.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from .layout import even_edges
from .outlook import FoldLimits, groups
from .planning import Plan
from .worker.envelope import Envelope, unpack
from .worker.shelf import size_of, unbundle
from .worker.task import FoldTask

__all__ = ["next_round"]


def next_round(plan: Plan, envelope: Envelope) -> Plan:
    """The plan that folds what the reducer of ``plan`` handed on in ``envelope``; calls are counted on from the plan's."""
    packed = unbundle(envelope)
    partials = [unpack(each) for each in packed]
    sizes = [float(size_of(each)) for each in partials]
    limits = FoldLimits(plan.reduce_task.fold_partials, plan.reduce_task.fold_bytes)
    edges = even_edges(sizes, groups(len(sizes), sum(sizes) / len(sizes), limits))
    first = 1 + max(item["call"]["id"] for item in plan.iterdata)
    iterdata: list[dict[str, Any]] = [
        {
            "call": {
                "id": first + number,
                "ranges": [{"id": range_id} for each in partials[start:end] for range_id in each.range_ids],
                "partials": packed[start:end],
            }
        }
        for number, (start, end) in enumerate(itertools.pairwise(edges))
    ]
    task = plan.reduce_task
    fold_task = FoldTask(task.reducer, task.surroundings, plan.map_task.shelf)
    return dataclasses.replace(plan, iterdata=iterdata, map_task=fold_task)
