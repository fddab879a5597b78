"""What is known of a run's calls, and what is to run next: kept partials, trouble by kind, cuts, poison. Pure.

kind of trouble                                   what the next attempt does
range, payload, credentials, output, access       nothing: it would fail again, the run ends
memory, timeout                                   the call's ranges one by one; a single range in two, down to one cluster
died, hung (ROOT ended or stood still in a range) the same again; the same range three times is poison, the run ends
lost, killed, damaged, worker, fold, transfer     the same again (transfer: a remote file could not be read just now)

All of it holds for a call of which no copy runs any more: as long as one does, what became of another copy decides nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import LostRangesError, RunError
from ..fold.shelf import unbundle
from ..planning.plans import Plan
from ..travels.envelope import Envelope, EnvelopeError, checked, unpack
from ..travels.facts import Facts
from ..worker.surroundings import POISON_CRASHES
from ..worker.together import opened
from .events import CallEnded, CallFailed, Consumer, Event

__all__ = ["ADOPTED", "REDUCER", "Books", "CallEnd", "Halve", "Trouble", "never_halved", "reducer_trouble"]

Fields = dict[str, Any]
Halve = Callable[[Fields], list[Fields]]
_PartialKey = tuple[tuple[int, ...], tuple[int, ...]]  # of a partial: its ranges, and which half of one

FINAL = ("range", "payload", "credentials", "output", "access")
TOO_MUCH = ("memory", "timeout")
CRASHES = ("died", "hung")
REDUCER = -1  # stands for a call's id
ADOPTED = 0  # the attempt that a killed driver has made, whose calls are under way
MOST_LISTED = 12  # ranges or calls that an error names one by one


@dataclass(frozen=True)
class CallEnd:
    """How one call ended: with ``data`` (a packed envelope), or without, and ``why``; Lithops' own figures of it."""

    data: bytes | None = None
    why: str = ""
    log_tail: str = ""
    kind: str = "lost"
    status: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trouble:
    """Why a call gave no partial; ``range_ids`` and ``crashes`` of a ROOT process that ended or stood still in a range;
    ``facts`` of one that told them, ``data`` the failure as it came, if that is not all that the call handed back."""

    kind: str
    why: str
    log_tail: str = ""
    range_ids: tuple[int, ...] = ()
    crashes: int = 0
    facts: Facts = field(default_factory=Facts)
    data: bytes = b""


def never_halved(fields: Fields) -> list[Fields]:
    """A range that stays as it is."""
    return []


class Books:
    """The calls that a run is divided into now, every partial that it has, the copies of each call that have not ended, and
    the trouble of those that have, by call and attempt; and of each graph, how it ended.

    A call of several graphs may deliver some of its partials: those are kept, and the rest becomes a call of its own. A
    failure that is final ends its graph, and the others go on.
    """

    def __init__(self, plan: Plan, consumers: tuple[Consumer, ...] = (), halve: Halve = never_halved) -> None:
        self.plan, self.consumers, self.halve = plan, consumers, halve
        self.calls: dict[int, Fields] = {item["call"]["id"]: item["call"] for item in plan.iterdata}
        self.kept: dict[int, tuple[bytes, ...]] = {}
        self.copies: defaultdict[int, set[int]] = defaultdict(set)  # the attempts in which a call has not ended
        self.under_way: defaultdict[int, set[int]] = defaultdict(set)  # the same by attempt: calls
        self.trouble: dict[tuple[int, int], Trouble] = {}
        self.graphs = frozenset(_graph_of(fields) for call in self.calls.values() for fields in call["ranges"])
        self.folded: dict[int, bytes] = {}  # by graph
        self.failed: dict[int, bytes | RunError] = {}  # by graph: what a worker said, or what became of it
        self._graph_of = {fields["id"]: _graph_of(fields) for call in self.calls.values() for fields in call["ranges"]}
        self._partly: defaultdict[int, dict[_PartialKey, bytes]] = defaultdict(dict)  # of calls that are owed
        self._finals: defaultdict[int, dict[int, bytes]] = defaultdict(
            dict
        )  # by call and graph, while a copy may deliver yet
        self._crashes: Counter[int] = Counter()  # by range id
        self._ids = itertools.count(max(self.calls, default=-1) + 1)

    @property
    def unfinished(self) -> frozenset[int]:
        """The graphs of which there is neither a result nor a failure yet."""
        return self.graphs - self.folded.keys() - self.failed.keys()

    @property
    def owed(self) -> list[int]:
        """Calls without a partial."""
        return [call_id for call_id in self.calls if self.owes(call_id)]

    def owes(self, call_id: int) -> bool:
        """Whether the partial of a call is wanted still: it has none, and was not cut, and its graphs have not ended."""
        return call_id in self.calls and call_id not in self.kept and bool(self._missing(call_id))

    def _missing(self, call_id: int) -> list[Fields]:
        """The ranges of a call that are still to be had."""
        if call_id not in self._partly and not self.folded and not self.failed:
            return list(self.calls[call_id]["ranges"])
        there = {range_id for range_ids, _ in self._partly.get(call_id, ()) for range_id in range_ids}
        ended = self.folded.keys() | self.failed.keys()
        ranges = self.calls[call_id]["ranges"]
        return [fields for fields in ranges if fields["id"] not in there and _graph_of(fields) not in ended]

    def tell(self, event: Event) -> None:
        """Hand ``event`` to all who want to know."""
        for consumer in self.consumers:
            consumer(event)

    def expect(self, call_ids: Sequence[int], attempt: int) -> None:
        """A copy of each of these calls was submitted."""
        for call_id in call_ids:
            self.copies[call_id].add(attempt)
        self.under_way[attempt].update(call_ids)

    def _ended(self, call_id: int, attempt: int) -> None:
        self.copies[call_id].discard(attempt)
        self.under_way[attempt].discard(call_id)

    def enter(self, call_id: int, attempt: int, end: CallEnd) -> bool:
        """Sort the end of a copy into partials, final failures, and troubles that another attempt may cure; and tell of it.

        Returns whether all has come that is to come of the call; what was there already is not taken twice. A failure is
        final once no other copy of the call runs.
        """
        self._ended(call_id, attempt)
        if call_id not in self.calls:  # cut meanwhile
            return False
        read = _read(end, self.calls[call_id])
        if isinstance(read, Trouble):
            self._fail(call_id, attempt, [read], end)
            return not self._missing(call_id)
        if not self.owes(call_id):
            return True
        for known, packed in read.partials.items():
            self._partly[call_id].setdefault(known, packed)
        if self._missing(call_id):
            self._fail(call_id, attempt, read.troubles, end, quietly=True)
        if self._missing(call_id):
            self._tell_failure(call_id, attempt, read.troubles[0], end, False)
            return False
        self._settle(call_id)
        found = read.envelope.range_ids, read.envelope.entries, read.envelope.facts, end.status, end.data or b""
        self.tell(CallEnded(call_id, attempt, *found))
        return True

    def _settle(self, call_id: int) -> None:
        """All is there that is to be had of a call; what became of other copies is of no interest."""
        self.kept[call_id] = tuple(self._partly.pop(call_id, {}).values())
        self._finals.pop(call_id, None)
        for known in [known for known in self.trouble if known[0] == call_id]:
            del self.trouble[known]

    def lose(self, call_id: int, attempt: int, why: str) -> None:
        """Give up a copy that has not ended."""
        if attempt in self.copies[call_id]:
            self._ended(call_id, attempt)
            self._fail(call_id, attempt, [Trouble("lost", why)], CallEnd())

    def _fail(self, call_id: int, attempt: int, troubles: list[Trouble], end: CallEnd, quietly: bool = False) -> None:
        """Enter what has become of a copy of a call; ``quietly``: it has delivered something as well."""
        if not self.owes(call_id):
            return
        for trouble in troubles:
            if trouble.kind in FINAL:
                self._finals[call_id].update(
                    dict.fromkeys(self._graphs_of(call_id, trouble), trouble.data or end.data or b"")
                )
            else:
                self.trouble.setdefault((call_id, attempt), trouble)
                self._count_crashes(trouble)
        finals = {} if self.copies[call_id] else self._finals.pop(call_id, {})
        for graph, data in finals.items():
            self.failed.setdefault(graph, data)
        if not self.copies[call_id]:
            for trouble in troubles:
                self._poison(call_id, trouble)
        if not quietly:
            self._tell_failure(call_id, attempt, troubles[0], end, bool(finals))

    def _tell_failure(self, call_id: int, attempt: int, trouble: Trouble, end: CallEnd, is_final: bool) -> None:
        found = trouble.kind, trouble.why, is_final, trouble.log_tail, end.status, trouble.facts
        self.tell(CallFailed(call_id, attempt, *found))

    def _graphs_of(self, call_id: int, trouble: Trouble) -> list[int]:
        """The graphs that a final failure ends: those of the ranges that it names, or all of the call."""
        named = [self._graph_of[range_id] for range_id in trouble.range_ids if range_id in self._graph_of]
        return named or [_graph_of(fields) for fields in self._missing(call_id)]

    def _count_crashes(self, trouble: Trouble) -> None:
        if trouble.kind in CRASHES:
            self._crashes.update(dict.fromkeys(trouble.range_ids, trouble.crashes))

    def _poison(self, call_id: int, trouble: Trouble) -> None:
        """End the graphs of ranges in which ROOT has crashed too often."""
        worst = [fields for fields in self.calls[call_id]["ranges"] if self._crashes[fields["id"]] >= POISON_CRASHES]
        for graph in sorted({_graph_of(fields) for fields in worst} & self.unfinished):
            range_ids = tuple(fields["id"] for fields in worst if _graph_of(fields) == graph)
            self.failed[graph] = LostRangesError(
                f"range {self._named(range_ids)} is poison: ROOT ended or stood still {POISON_CRASHES} times in it",
                where=f"call {call_id} of {self.plan.calls}",
                why=trouble.why,
                log_tail=trouble.log_tail,
                range_ids=self._own(range_ids),
                call_id=call_id,
            )

    def _own(self, range_ids: Iterable[int]) -> tuple[int, ...]:
        """The numbers that ranges of one graph have there."""
        return tuple(self.plan.own_number(range_id) for range_id in range_ids)

    def _named(self, range_ids: Iterable[int]) -> str:
        return ", ".join(map(str, self._own(range_ids)))

    def take(self, data: bytes) -> Facts | None:
        """Enter what a reducer handed back: of each graph its result. Its facts if nothing more is to come, else None."""
        try:
            envelope = unpack(data)
            packed = dict(zip(envelope.graphs, unbundle(envelope), strict=True)) if envelope.graphs else {0: data}
            found = {graph: each for graph, each in packed.items() if unpack(each).error is None}
        except (EnvelopeError, ValueError):
            return None
        if envelope.error is not None:
            return None
        self.folded.update({graph: each for graph, each in found.items() if graph in self.unfinished})
        return None if self.unfinished else envelope.facts

    def next_plan(self, attempt: int) -> Plan:
        """The part of the plan that has no partial yet, with a reducer that folds the kept ones in.

        With nothing missing (the reducer itself was lost) the last call runs again: map_reduce wants one.
        """
        for call_id, number in list(self.trouble):
            if not self.copies[call_id]:  # else another copy may deliver it whole
                trouble = self.trouble.pop((call_id, number))
                if self.owes(call_id):
                    self._divide(call_id, trouble)
        for call_id in [call_id for call_id in self._partly if not self._missing(call_id)]:  # as a graph of it has failed
            self._settle(call_id)
        ended = self.graphs - self.unfinished
        for call_id in self.owed if ended else ():  # what is not wanted any more need not run
            if not self.copies[call_id] and call_id not in self._partly:
                self.calls[call_id] = {**self.calls[call_id], "ranges": self._missing(call_id)}
        again = [call_id for call_id in self.owed if ADOPTED not in self.copies[call_id]] or self._last_wanted()
        kept = tuple(data for call_id, some in self.kept.items() if call_id not in again for data in some)
        tries = {call_id: self._tries(call_id) for call_id in again} if self._crashes else {}
        calls = [{**self.calls[call_id], "attempt": attempt, **tries.get(call_id, {})} for call_id in again]
        reduce_task = self.plan.reduce_of(self.unfinished, kept, attempt)
        return dataclasses.replace(self.plan, iterdata=[{"call": call} for call in calls], reduce_task=reduce_task)

    def _last_wanted(self) -> list[int]:
        wanted = self.unfinished
        calls = [i for i, call in self.calls.items() if any(_graph_of(fields) in wanted for fields in call["ranges"])]
        return calls[-1:]

    def _tries(self, call_id: int) -> dict[str, int]:
        """How often the task itself may try a call whose ranges have crashed before."""
        crashes = max(self._crashes[fields["id"]] for fields in self.calls[call_id]["ranges"])
        return {"tries": max(1, POISON_CRASHES - crashes)} if crashes else {}

    def _divide(self, call_id: int, trouble: Trouble) -> None:
        """Where a call was too much for a worker, put smaller ones in its place; where it delivered something, a call of
        what is missing; and where ROOT crashed in a range, that range's unit does not take the others along again."""
        call = self.calls[call_id]
        if "partials" in call:  # a fold's calls hold what they were given
            return
        ranges = self._missing(call_id)
        groups = [ranges]
        if trouble.kind in TOO_MUCH:
            groups = [[fields] for fields in (ranges if len(ranges) > 1 else self.halve(ranges[0]) or ranges)]
        elif trouble.kind in CRASHES and trouble.range_ids:
            at_fault = {fields.get("unit") for fields in ranges if fields["id"] in trouble.range_ids}
            parted = [[fields for fields in ranges if (fields.get("unit") in at_fault) is side] for side in (True, False)]
            groups = [group for group in parted if group]
        some = self._partly.pop(call_id, {})
        if len(groups) == 1 and not some:
            return
        del self.calls[call_id]
        if some:
            there = {range_id for range_ids, _ in some for range_id in range_ids}
            self.calls[call_id] = {**call, "ranges": [fields for fields in call["ranges"] if fields["id"] in there]}
            self.kept[call_id] = tuple(some.values())
        for group in groups:
            number = next(self._ids)
            self.calls[number] = {"id": number, "ranges": group}

    def describe(self) -> str:
        """The troubles of this attempt, in one line."""
        latest = {call_id: trouble for (call_id, _), trouble in sorted(self.trouble.items())}
        names = {call_id: "the reducer" if call_id == REDUCER else f"call {call_id}" for call_id in latest}
        listed = [f"{names[call_id]}: {trouble.why}" for call_id, trouble in latest.items()]
        return "; ".join(listed[:5]) + (f"; and {len(listed) - 5} more" if len(listed) > 5 else "")

    def give_up(self, attempts: int) -> None:
        """The attempts are used up: end the graphs that have no partial of some range, or, where there are none such, all
        that have no result."""
        lost = {fields["id"]: call_id for call_id in self.owed for fields in self._missing(call_id)}
        for graph in sorted({self._graph_of[range_id] for range_id in lost} or self.unfinished):
            self.failed[graph] = self._gave_up({i: call for i, call in lost.items() if self._graph_of[i] == graph}, attempts)

    def _gave_up(self, lost: dict[int, int], attempts: int) -> LostRangesError:
        """The error of a graph of which no attempt gave the ranges ``lost`` (with the calls that had them), or no fold."""
        range_ids, calls = self._own(lost), sorted(set(lost.values()))
        return LostRangesError(
            f"ranges {_listed(range_ids)} gave no result in {attempts} attempts"
            if lost
            else f"no fold in {attempts} attempts",
            where=f"calls {_listed(calls)} of {self.plan.calls}" if lost else "the reducer",
            why=self.describe() or "nothing was heard of it",
            log_tail=next((trouble.log_tail for trouble in self.trouble.values() if trouble.log_tail), ""),
            next_command="see the log's tail; if memory ran out, use more ranges (npartitions) or a larger runtime_memory",
            range_ids=range_ids,
        )


def _listed(numbers: Sequence[int]) -> str:
    """All of a few numbers; of many the first two, the last, and how many they are."""
    shown = list(numbers)
    return str(shown) if len(shown) <= MOST_LISTED else f"[{shown[0]}, {shown[1]}, ..., {shown[-1]}] ({len(shown)} in all)"


def _graph_of(fields: Fields) -> int:
    """Of which of the plan's graphs a range is."""
    return int(fields.get("graph", 0))


@dataclass(frozen=True)
class _Delivered:
    """What a call handed back that is what it was asked for: ``envelope`` of all, partials, and what failed."""

    envelope: Envelope
    partials: dict[_PartialKey, bytes]
    troubles: list[Trouble]


def _read(end: CallEnd, call: Fields) -> Trouble | _Delivered:
    """What a call delivered; or what is wrong with it as a whole."""
    if end.data is None:
        return Trouble(end.kind, end.why, end.log_tail)
    try:
        envelope, found = opened(end.data)
    except EnvelopeError as damage:
        return Trouble("damaged", str(damage))
    if envelope.error is not None:
        return _trouble(envelope, b"")
    if envelope.range_ids != tuple(sorted(fields["id"] for fields in call["ranges"])):
        return Trouble("damaged", f"it hands back ranges {list(envelope.range_ids)}, which are not its own")
    troubles = [_trouble(each, packed) for each, packed in found if each.error is not None]
    partials = {(each.range_ids, each.half): checked(packed, each) for each, packed in found if each.error is None}
    return _Delivered(envelope, partials, troubles)


def _trouble(envelope: Envelope, packed: bytes) -> Trouble:
    error = envelope.error or {}
    range_ids = tuple(error.get("range_ids", ()))
    found = error["kind"], error["message"], error.get("log_tail", ""), range_ids, error.get("crashes", 0)
    return Trouble(*found, envelope.facts, packed)


def reducer_trouble(end: CallEnd | None, why: str) -> Trouble:
    """Why an attempt gave no result although no call is to blame; ``why`` of a reducer that never ended."""
    if end is None:
        return Trouble("lost", why)
    if end.data is None:
        return Trouble(end.kind, end.why, end.log_tail)
    try:
        error = unpack(end.data).error or {"kind": "fold", "message": "it folded nothing"}
    except EnvelopeError as damage:
        return Trouble("damaged", str(damage))
    return Trouble(error["kind"], error["message"], error.get("log_tail", ""))
