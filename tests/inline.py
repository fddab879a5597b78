"""A run without Lithops and without ROOT: the first thing to read of how a run goes.

``running.run`` hands a plan, or what is left of one, to ``submit`` and then asks what came back how it is. Here are the two
halves of that contract, as small as they get: ``submit`` maps and folds in this process, and ``text_plan`` is a plan whose
calls hand back their ranges' numbers, and whose fold strings them together::

    outcome = running.run(inline.submit, inline.text_plan(3), Options())
    bytes(outcome.envelope.body)                                    # b"0 1 2"

``copies`` has the same with a clock of its own, on which calls end late, never, or badly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rdf_lithops.fold.order import check_each_range_once
from rdf_lithops.planning.outlook import Outlook
from rdf_lithops.planning.plans import Plan
from rdf_lithops.run.books import CallEnd
from rdf_lithops.travels.envelope import Envelope, pack, unpack
from rdf_lithops.worker.fold_task import ReduceTask
from rdf_lithops.worker.surroundings import Surroundings
from rdf_lithops.worker.task import MapTask

__all__ = ["Inline", "submit", "text_plan"]


class Inline:
    """A ``map_reduce`` that has happened: its calls ran, one after the other, and the fold is made when it is asked for."""

    poll_s = 0.0
    job_key = "inline"
    is_deaf = False
    holds_reducer = False

    def __init__(self, part: Plan) -> None:
        self.part = part
        self.ends = {position: CallEnd(part.map_task(item["call"])) for position, item in enumerate(part.iterdata)}
        self.partials = [end.data for end in self.ends.values() if end.data is not None]

    def map_ends(self) -> dict[int, CallEnd]:
        ended, self.ends = self.ends, {}
        return ended

    def begun(self) -> set[int]:
        return set()

    def beats(self) -> dict[int, dict[str, Any]]:
        return {}

    def given_up(self, positions: Iterable[int]) -> None:
        pass

    def queued(self) -> set[int]:
        return set()

    def lost(self) -> set[int]:
        return set()

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        pass

    def reduce_end(self) -> CallEnd | None:
        return CallEnd(self.part.reduce_task(self.partials))

    def reduce_beat(self) -> int | None:
        return None

    def reduce_lost(self) -> bool:
        return False

    def cancel(self, error: BaseException) -> None:
        pass

    def forget(self) -> None:
        pass


submit = Inline


class TextTask(MapTask):
    """A map that needs no ROOT: it hands back the numbers of its ranges."""

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        names = [_name(plain) for plain in call["ranges"]]
        half = tuple(call["ranges"][0].get("half", ()))
        range_ids = tuple(plain["id"] for plain in call["ranges"])
        return pack(Envelope(range_ids, len(names), "6", " ".join(names).encode(), half=half))


def _name(plain: dict[str, Any]) -> str:
    return "".join(map(str, (plain["id"], *("ab"[half] for half in plain.get("half", ())))))


class TextFold(ReduceTask):
    """A fold that needs no ROOT: partials in the order of the plan. A range that is missing or there twice is an error."""

    def _fold(self, results: list[bytes], storage: Any, began: dict[str, float]) -> bytes:
        envelopes = {(found.range_ids, found.half): found for found in map(unpack, [*self.kept, *results])}
        check_each_range_once(self.range_ids, list(envelopes.values()))
        entries = sum(found.entries or 0 for found in envelopes.values())
        body = " ".join(bytes(envelopes[known].body).decode() for known in sorted(envelopes))
        return pack(Envelope(self.range_ids, entries, "6", body.encode()))


def text_plan(calls: int, per_call: int = 1, beat_s: float | None = None, outlook: Outlook | None = None) -> Plan:
    """A plan of ``calls`` calls of ``per_call`` ranges, which are to say every ``beat_s`` that they live."""
    beats = None if beat_s is None else {"every_s": beat_s}
    surroundings = Surroundings(cwd="/", payload={}, initialisation=b"", beats=beats)
    fold = TextFold(b"", tuple(range(calls * per_call)), surroundings)
    ranges = [[{"id": call * per_call + number} for number in range(per_call)] for call in range(calls)]
    iterdata = [{"call": {"id": number, "ranges": plain}} for number, plain in enumerate(ranges)]
    return Plan(iterdata, TextTask(b"", "", {}, 1, surroundings), fold, lambda data: None, outlook=outlook)
