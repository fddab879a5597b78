"""The fold of many or large partials: rounds of ``map_reduce``, a tree of calls in range order. Pure.

    round 1   calls that run ranges     ──> a reducer: folds, if partials are few and small enough; else hands them on
    round 2   calls that fold a group   ──> a reducer: the same
    ...                                     until one has folded what was left

Each round starts when the one before has ended, so nobody is paid for waiting; where the driver can see beforehand that a
reducer would only hand on, and that one has not begun, it does without; and each reducer decides by the partials as
they are, not as they were planned. The partials of one call of a round stay together, and groups are as many calls each: so
the tree is the same whatever became of the calls.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..fold.order import FoldLimits
from ..fold.shelf import bundle, size_of, unbundle
from ..planning.plans import Plan
from ..travels.envelope import Envelope, EnvelopeError, checked, unpack
from ..travels.facts import Began, Facts
from ..worker.fold_task import FoldTask, ReduceTask

__all__ = ["all_there", "group_edges", "handed_on", "next_round", "round_of"]


def handed_on(plan: Plan, kept: Iterable[bytes]) -> bytes | None:  # decision 256
    """What the reducer of ``plan`` would hand on, once all partials are ``kept``; None where it would fold them, or has more
    to say."""
    task = plan.reduce_task
    if not isinstance(task, ReduceTask):
        return None
    try:
        found = task.gathered(list(kept), Began(process=0, process_at=0.0, invoked_at=0.0))
    except EnvelopeError:
        return None
    return found if isinstance(found, bytes) else None


def all_there(plan: Plan, kept: Iterable[bytes]) -> bytes | None:  # decision 300
    """All partials of a run of one graph, ``kept`` before there was a reducer, as one would hand them on: what it would fold
    in a line is folded in a line, so the bits are the same. None of several graphs."""
    task, packed = plan.reduce_task, list(kept)
    if not isinstance(task, ReduceTask):
        return None
    return bundle(packed, Facts(in_line=not task.asks_for_a_tree(list(map(unpack, packed)))))


def next_round(plan: Plan, envelope: Envelope, known: Iterable[bytes] = ()) -> Plan:
    """The plan that folds what the reducer of ``plan`` handed on in ``envelope``; calls are counted on from the plan's.
    ``known`` are partials that the driver has checked, and need not be again."""
    task = plan.reduce_task
    assert isinstance(task, ReduceTask), "graphs are folded in rounds one by one"
    remembering = {each: each for each in known}
    packed = [remembering.get(each) or checked(each, unpack(each)) for each in unbundle(envelope)]
    by_call = _by_call(packed, task.groups)
    sizes = [size_of(unpack(each)) for some in by_call for each in some]
    in_line = [0, len(by_call)]
    edges = in_line if envelope.facts.get("in_line") else group_edges(len(by_call), sum(sizes) / len(by_call), task.limits)
    groups = [[each for some in by_call[start:end] for each in some] for start, end in itertools.pairwise(edges)]
    return round_of(plan, dict(enumerate(groups)))


def group_edges(calls: int, mean_bytes: float, limits: FoldLimits) -> list[int]:
    """Where the groups of a round begin and end that folds the partials of so many calls, each with about so many bytes."""
    # rounded, so that a call that came in several parts, which are a little more together, does not change the tree
    count = limits.groups(calls, 2.0 ** round(math.log2(max(1.0, mean_bytes))))
    return [calls * number // count for number in range(count + 1)]


def round_of(plan: Plan, groups: Mapping[int, list[bytes]]) -> Plan:
    """The plan that folds these groups of partials of ``plan``'s calls, by their number in the round."""
    task = plan.reduce_task
    assert isinstance(task, ReduceTask), "graphs are folded in rounds one by one"
    first = 1 + max(item["call"]["id"] for item in plan.iterdata)
    iterdata = [{"call": _call(first + number, packed)} for number, packed in groups.items()]
    of_round = tuple(tuple(fields["id"] for fields in item["call"]["ranges"]) for item in iterdata)
    return dataclasses.replace(
        plan,
        iterdata=iterdata,
        map_task=FoldTask(task.reducer, task.surroundings, plan.map_task.shelf, task.groups),
        reduce_task=dataclasses.replace(task, groups=of_round),
    )


def _by_call(packed: list[bytes], calls: tuple[tuple[int, ...], ...]) -> list[list[bytes]]:
    """The partials of each call of the round before, in order."""
    call_of = {range_id: number for number, range_ids in enumerate(calls) for range_id in range_ids}
    found: dict[int, list[bytes]] = {}
    for each in packed:
        found.setdefault(call_of[unpack(each).range_ids[0]], []).append(each)
    return [found[number] for number in sorted(found)]


def _call(number: int, packed: list[bytes]) -> dict[str, Any]:
    range_ids = dict.fromkeys(range_id for each in packed for range_id in unpack(each).range_ids)
    return {"id": number, "ranges": [{"id": range_id} for range_id in range_ids], "partials": packed}
