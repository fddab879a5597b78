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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import LostRangesError
from ..planning.plans import Plan
from ..travels.envelope import Envelope, EnvelopeError, unpack
from ..worker.task import POISON_CRASHES
from .events import CallEnded, CallFailed, Consumer, Event

__all__ = ["REDUCER", "Books", "CallEnd", "Cut", "Trouble", "never_cut"]

Plain = dict[str, Any]
Cut = Callable[[Plain], list[Plain]]

FINAL = ("range", "payload", "credentials", "output", "access")
TOO_MUCH = ("memory", "timeout")
CRASHES = ("died", "hung")
REDUCER = -1  # stands for a call's id


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
    ``facts`` of one that told them."""

    kind: str
    why: str
    log_tail: str = ""
    range_ids: tuple[int, ...] = ()
    crashes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def never_cut(plain: Plain) -> list[Plain]:
    """A range that stays as it is."""
    return []


class Books:
    """The calls that a run is divided into now, every partial that it has, the copies of each call that have not ended, and
    the trouble of those that have, by call and attempt."""

    def __init__(self, plan: Plan, consumers: tuple[Consumer, ...] = (), cut: Cut = never_cut) -> None:
        self.plan, self.consumers, self.cut = plan, consumers, cut
        self.calls: dict[int, Plain] = {item["call"]["id"]: item["call"] for item in plan.iterdata}
        self.kept: dict[int, bytes] = {}
        self.copies: defaultdict[int, set[int]] = defaultdict(set)  # the attempts in which a call has not ended
        self.trouble: dict[tuple[int, int], Trouble] = {}
        self.final: bytes | None = None
        self.poison: LostRangesError | None = None
        self._finals: dict[int, bytes | None] = {}  # by call, as long as another copy may deliver yet
        self._crashes: Counter[int] = Counter()  # by range id
        self._ids = itertools.count(max(self.calls, default=-1) + 1)

    @property
    def owed(self) -> list[int]:
        """Calls without a partial."""
        return [call_id for call_id in self.calls if call_id not in self.kept]

    def owes(self, call_id: int) -> bool:
        """Whether the partial of a call is wanted still: it has none, and was not cut."""
        return call_id in self.calls and call_id not in self.kept

    def tell(self, event: Event) -> None:
        """Hand ``event`` to all who want to know."""
        for consumer in self.consumers:
            consumer(event)

    def expect(self, call_ids: Sequence[int], attempt: int) -> None:
        """A copy of each of these calls was submitted."""
        for call_id in call_ids:
            self.copies[call_id].add(attempt)

    def enter(self, call_id: int, attempt: int, end: CallEnd) -> bool:
        """Sort the end of a copy into partial, final failure, or trouble that another attempt may cure; and tell of it.

        Returns whether a partial has come; one that was there already is not taken twice. A failure is final once no other
        copy of the call runs.
        """
        self.copies[call_id].discard(attempt)
        if call_id not in self.calls:  # cut meanwhile
            return False
        read = _read(end, self.calls[call_id])
        if isinstance(read, Trouble):
            self._fail(call_id, attempt, read, end)
            return False
        if self.owes(call_id):
            envelope, self.kept[call_id] = read
            self._forgive(call_id)
            found = envelope.range_ids, envelope.entries, envelope.facts, end.status, self.kept[call_id]
            self.tell(CallEnded(call_id, attempt, *found))
        return True

    def _forgive(self, call_id: int) -> None:
        """What became of other copies of a call that has delivered is of no interest."""
        self._finals.pop(call_id, None)
        for known in [known for known in self.trouble if known[0] == call_id]:
            del self.trouble[known]

    def lose(self, call_id: int, attempt: int, why: str) -> None:
        """Give up a copy that has not ended."""
        if attempt in self.copies[call_id]:
            self.copies[call_id].discard(attempt)
            self._fail(call_id, attempt, Trouble("lost", why), CallEnd())

    def _fail(self, call_id: int, attempt: int, trouble: Trouble, end: CallEnd) -> None:
        if not self.owes(call_id):
            return
        if trouble.kind in FINAL:
            self._finals[call_id] = end.data
        else:
            self.trouble[call_id, attempt] = trouble
            self._count_crashes(trouble)
        is_last = not self.copies[call_id]
        is_final = is_last and call_id in self._finals
        if is_final:
            self.final = self._finals[call_id]
        elif is_last:
            self.poison = self._poison(call_id, trouble)
        found = trouble.kind, trouble.why, is_final, trouble.log_tail, end.status, trouble.facts
        self.tell(CallFailed(call_id, attempt, *found))

    def _count_crashes(self, trouble: Trouble) -> None:
        if trouble.kind in CRASHES:
            self._crashes.update(dict.fromkeys(trouble.range_ids, trouble.crashes))

    def _poison(self, call_id: int, trouble: Trouble) -> LostRangesError | None:
        """The error of a call that has a range in which ROOT has crashed too often, if it has one."""
        ids = [plain["id"] for plain in self.calls[call_id]["ranges"]]
        worst = [range_id for range_id in ids if self._crashes[range_id] >= POISON_CRASHES]
        if not worst:
            return None
        return LostRangesError(
            f"range {', '.join(map(str, worst))} is poison: ROOT ended or stood still {POISON_CRASHES} times in it",
            where=f"call {call_id} of {self.plan.calls}",
            why=trouble.why,
            log_tail=trouble.log_tail,
            range_ids=tuple(worst),
            call_id=call_id,
        )

    def next_part(self, attempt: int) -> Plan:
        """The part of the plan that has no partial yet, with a reducer that folds the kept ones in.

        With nothing missing (the reducer itself was lost) the last call runs again: map_reduce wants one.
        """
        for call_id, number in list(self.trouble):
            if not self.copies[call_id]:  # else another copy may deliver it whole
                trouble = self.trouble.pop((call_id, number))
                if self.owes(call_id):
                    self._divide(call_id, trouble)
        again = self.owed or list(self.calls)[-1:]
        kept = tuple(data for call_id, data in self.kept.items() if call_id not in again)
        calls = [{**self.calls[call_id], "attempt": attempt, **self._tries(call_id)} for call_id in again]
        reduce_task = dataclasses.replace(self.plan.reduce_task, kept=kept, attempt=attempt)
        return dataclasses.replace(self.plan, iterdata=[{"call": call} for call in calls], reduce_task=reduce_task)

    def _tries(self, call_id: int) -> dict[str, int]:
        """How often the task itself may try a call whose ranges have crashed before."""
        crashes = max(self._crashes[plain["id"]] for plain in self.calls[call_id]["ranges"])
        return {"tries": max(1, POISON_CRASHES - crashes)} if crashes else {}

    def _divide(self, call_id: int, trouble: Trouble) -> None:
        """Where a call was too much for a worker, put smaller ones in its place."""
        call = self.calls[call_id]
        if trouble.kind not in TOO_MUCH or "partials" in call:  # a fold's calls hold what they were given
            return
        ranges = call["ranges"]
        pieces = [[plain] for plain in (ranges if len(ranges) > 1 else self.cut(ranges[0]))]
        if len(pieces) > 1:
            del self.calls[call_id]
            for piece in pieces:
                number = next(self._ids)
                self.calls[number] = {"id": number, "ranges": piece}

    def describe(self) -> str:
        """The troubles of this attempt, in one line."""
        latest = {call_id: trouble for (call_id, _), trouble in sorted(self.trouble.items())}
        names = {call_id: "the reducer" if call_id == REDUCER else f"call {call_id}" for call_id in latest}
        listed = [f"{names[call_id]}: {trouble.why}" for call_id, trouble in latest.items()]
        return "; ".join(listed[:5]) + (f"; and {len(listed) - 5} more" if len(listed) > 5 else "")

    def gave_up(self, attempts: int) -> LostRangesError:
        """The error of a run whose attempts are used up."""
        lost = [self.calls[call_id] for call_id in self.owed]
        range_ids = tuple(dict.fromkeys(plain["id"] for call in lost for plain in call["ranges"]))
        return LostRangesError(
            f"ranges {list(range_ids)} gave no result in {attempts} attempts" if lost else f"no fold in {attempts} attempts",
            where=f"calls {[call['id'] for call in lost]} of {self.plan.calls}" if lost else "the reducer",
            why=self.describe(),
            log_tail=next((trouble.log_tail for trouble in self.trouble.values() if trouble.log_tail), ""),
            next_command="see the log's tail; if memory ran out, use more ranges (npartitions) or a larger runtime_memory",
            range_ids=range_ids,
        )


def _read(end: CallEnd, call: Plain) -> Trouble | tuple[Envelope, bytes]:
    """The envelope of a call that delivered what it was asked for; else what is wrong with it."""
    if end.data is None:
        return Trouble(end.kind, end.why, end.log_tail)
    try:
        envelope = unpack(end.data)
    except EnvelopeError as damage:
        return Trouble("damaged", str(damage))
    error = envelope.error
    if error is not None:
        range_ids = tuple(error.get("range_ids", ()))
        found = error["kind"], error["message"], error.get("log_tail", ""), range_ids, error.get("crashes", 0)
        return Trouble(*found, envelope.facts)
    if envelope.range_ids != tuple(sorted(plain["id"] for plain in call["ranges"])):
        return Trouble("damaged", f"it hands back ranges {list(envelope.range_ids)}, which are not its own")
    return envelope, end.data
