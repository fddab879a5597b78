"""Several plans as one: the calls that each graph would have alone are units, which are packed into calls by cost. Pure.

    graph 0: units of 2 s and 2 s ─┐
    graph 1: a unit of 1 s        ─┼─> call 0: 2 s + 1 s,  call 1: 2 s + 1 s
    graph 2: a unit of 1 s        ─┘

Units of the same code stay together as long as that leaves no worker idle: it is compiled once then, and where it is split,
once in each call that has some of it. A call that has both units of a graph of two sums them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..fold.shelf import Shelf
from ..worker.fold_task import ReduceTask
from ..worker.task import MapTask
from ..worker.together import GraphsReduce, GraphsTask
from .cost import Offer, Work, default_calls
from .outlook import Outlook
from .plans import Plan, work_of

__all__ = ["Unit", "pack_units", "summed_units", "together"]

SPLIT = 1.1  # times its share of all work: code that has more to do is split


@dataclass(frozen=True)
class Unit:
    """What one graph would have as a call: its ranges, numbered through; the seconds that it takes once its ``code`` is
    compiled, which takes ``compile_s``."""

    ranges: tuple[dict[str, Any], ...]
    seconds: float
    code: str
    compile_s: float = 0.0


def pack_units(units: Sequence[Unit], calls: int) -> list[list[Unit]]:
    """Put ``units`` into ``calls`` calls, or fewer, that take about as long; each call's in the order of their ranges."""
    by_code: defaultdict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        by_code[unit.code].append(unit)
    whole_s = sum(unit.seconds for unit in units) + sum(some[0].compile_s for some in by_code.values())
    share_s = whole_s / calls
    bundles = [bundle for some in by_code.values() for bundle in _bundles(some, share_s, calls)]
    bundles.sort(key=lambda bundle: -_seconds(bundle))
    packed: list[list[Unit]] = [[] for _ in range(min(calls, len(bundles)))]
    filled = [0.0] * len(packed)
    for bundle in bundles:
        lightest = min(range(len(packed)), key=lambda number: (filled[number], len(packed[number])))
        packed[lightest] += bundle
        filled[lightest] += _seconds(bundle)
    return [sorted(some, key=lambda unit: int(unit.ranges[0]["id"])) for some in packed if some]


def _seconds(units: Sequence[Unit]) -> float:
    return units[0].compile_s + sum(unit.seconds for unit in units)


def _bundles(units: list[Unit], share_s: float, calls: int) -> list[list[Unit]]:
    """Units of one code, in as few rows as leave no row much more than its share."""
    wanted = 1 if _seconds(units) <= SPLIT * share_s else math.ceil(_seconds(units) / max(share_s, 1e-9))
    count = min(len(units), calls, wanted)
    edges = [len(units) * number // count for number in range(count + 1)]
    return [units[start:end] for start, end in itertools.pairwise(edges)]


def together(
    plans: Sequence[Plan],
    offer: Offer,
    target_s: float | None,
    each_alone: bool,
    shelf_for: Callable[[int], Shelf | None],
) -> Plan:
    """One plan for the graphs of ``plans``, each planned as if it were alone. ``each_alone``: a unit is a call of its own;
    ``shelf_for`` says where the partials of so many units go that are large."""
    firsts = tuple(itertools.accumulate((1 + max(_reduce_task(plan).range_ids) for plan in plans), initial=0))[:-1]
    units = [unit for graph, plan in enumerate(plans) for unit in _units(graph, plan, firsts[graph])]
    least = max(len(plan.iterdata) for plan in plans)
    whole_s = sum(unit.seconds for unit in units)
    calls = len(units) if each_alone else min(len(units), max(least, default_calls(whole_s, offer, target_s)))
    packed = [[unit] for unit in units] if each_alone else pack_units(units, calls)
    pairs = {graph for graph, plan in enumerate(plans) if len(plan.iterdata) == 2}
    iterdata = [
        {"call": {"id": number, "ranges": [fields for unit in summed_units(some, pairs) for fields in unit]}}
        for number, some in enumerate(packed)
    ]
    tasks = [dataclasses.replace(_map_task(plan), shared=_map_task(plan).shared or len(packed) > 1) for plan in plans]
    reduces = [_numbered(_reduce_task(plan), first) for plan, first in zip(plans, firsts, strict=True)]
    map_task = GraphsTask(tuple(tasks), firsts, shelf_for(len(units)))
    reduce_task = GraphsReduce(tuple(reduces), tuple(range(len(plans))))
    outlook = _outlook([plan.outlook for plan in plans if plan.outlook is not None], packed, iterdata)
    return dataclasses.replace(plans[0], iterdata=iterdata, map_task=map_task, reduce_task=reduce_task, outlook=outlook)


def summed_units(units: Sequence[Unit], pairs: Collection[int]) -> list[list[dict[str, Any]]]:  # decision 394
    """The ranges of a call's units, in which both units of a graph of ``pairs``, which has no other, are one: their sum is
    that of the fold, which makes no tree of two. ``summand`` says which unit a range was of."""
    found: list[list[dict[str, Any]]] = []
    for graph, some in itertools.groupby(units, key=lambda unit: int(unit.ranges[0]["graph"])):
        each = [list(unit.ranges) for unit in some]
        if graph in pairs and len(each) == 2:
            each = [each[0] + [{**fields, "unit": 0, "summand": 1} for fields in each[1]]]
        found += each
    return found


def _map_task(plan: Plan) -> MapTask:
    assert isinstance(plan.map_task, MapTask), "a run begins with its map"
    return plan.map_task


def _reduce_task(plan: Plan) -> ReduceTask:
    assert isinstance(plan.reduce_task, ReduceTask), "it is planned as if it were alone"
    return plan.reduce_task


def _numbered(task: ReduceTask, first: int) -> ReduceTask:
    groups = tuple(tuple(first + number for number in group) for group in task.groups)
    return dataclasses.replace(task, range_ids=tuple(first + number for number in task.range_ids), groups=groups)


def _units(graph: int, plan: Plan, first: int) -> list[Unit]:
    task, outlook = _map_task(plan), plan.outlook
    new = outlook is not None and outlook.starting + outlook.compiling > 0
    units = []
    for number, item in enumerate(plan.iterdata):
        ranges = [
            {**fields, "id": first + fields["id"], "graph": graph, "unit": number} for fields in item["call"]["ranges"]
        ]
        compile_s = outlook.speeds.compile_s if new and outlook is not None else 0.0
        units.append(Unit(tuple(ranges), _unit_s(outlook, work_of(item), len(ranges)), task.graph_digest, compile_s))
    return units


def _unit_s(outlook: Outlook | None, work: Work | None, ranges: int) -> float:
    """Seconds of a unit; where its files were not looked into, as they are small, of its ranges alone."""
    if outlook is None:
        return float(ranges)
    return outlook.speeds.range_s * ranges + (
        outlook.speeds.open_s * ranges if work is None else outlook.speeds.load_of(work)
    )


def _outlook(each: Sequence[Outlook], packed: Sequence[Sequence[Unit]], iterdata: list[dict[str, Any]]) -> Outlook | None:
    """What is known beforehand of all of them together."""
    if not each:
        return None
    works = [work_of(item) for item in iterdata]
    known = tuple(work for work in works if work is not None)
    speeds = dataclasses.replace(each[0].speeds, memory_mib=max(one.speeds.memory_mib for one in each))
    fixed_s = speeds.handling_s + speeds.result_s
    starting = min(len(packed), max(one.starting for one in each))
    seconds = []
    for position, some in enumerate(packed):
        compile_s = sum({unit.code: unit.compile_s for unit in some}.values())
        start_s = speeds.start_s if position < starting else 0.0
        work_s = start_s + compile_s + sum(unit.seconds for unit in some)
        seconds.append(work_s / min(1.0, each[0].offer.vcpus) + fixed_s)
    clusters = [one.clusters for one in each]
    return dataclasses.replace(
        each[0],
        speeds=speeds,
        calls=len(iterdata),
        works=known if len(known) == len(works) else None,
        fold=(1,),
        starting=starting,
        compiling=sum(one.compiling > 0 for one in each),
        clusters=None if None in clusters else sum(count or 0 for count in clusters),
        merge_calls=sum(one.merge_calls for one in each),
        merges=sum(one.merges for one in each),
        seconds=tuple(seconds),
    )
