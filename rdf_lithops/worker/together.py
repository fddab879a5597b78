"""Several graphs in one run: their ranges in one call, and their folds in one reducer, each as it would be alone.

    a plan of many graphs numbers all their ranges in one row: graph 0 has 0 to 2, graph 1 has 3 and 4, …
    a call        holds units; a unit is what would be a call, were its graph alone, and gives a partial of its own
    a ROOT process  runs unit after unit, and sees of each what it would see alone: ranges that are numbered from 0
    the reducer   folds the partials of each graph in the order in which it would have folded them alone

So the bits of a graph's result depend on nothing that runs beside it, and what fails is one graph's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..fold.order import flat, fold_order
from ..fold.shelf import Shelf, Shelved, bundle, shelf_of, unbundle
from ..processes.seconds import whereabouts
from ..travels.envelope import Envelope, EnvelopeError, pack, unpack
from ..travels.facts import Began, Facts, UnitFacts
from .fold_task import ReduceTask, Reducing, fold_failure, fold_here
from .messages import Request
from .surroundings import Surroundings
from .task import CallTask, MapTask

__all__ = ["GraphsReduce", "GraphsTask", "joined", "later", "opened", "renumbered", "units_of"]

Fields = dict[str, Any]


def units_of(ranges: Sequence[Fields]) -> Iterator[tuple[int, list[Fields]]]:
    """The units among ``ranges``, in order: of which graph each is, and its ranges."""
    for (graph, _), unit in itertools.groupby(ranges, key=lambda fields: (fields["graph"], fields["unit"])):
        yield graph, list(unit)


def renumbered(packed: bytes, first_id: int) -> bytes:
    """A partial, or a failure, of a graph that was alone, as one of the graph whose first range is ``first_id``."""
    envelope = unpack(packed)
    error = envelope.error
    if error is not None and "range_ids" in error:
        error = {**error, "range_ids": [first_id + number for number in error["range_ids"]]}
    range_ids = tuple(first_id + number for number in envelope.range_ids)
    return pack(dataclasses.replace(envelope, range_ids=range_ids, error=error))


def joined(packed: Sequence[bytes]) -> bytes:
    """The envelope of a call of several units: theirs, in the order of their ranges. Its facts are those of all together,
    and in ``units`` each one's with its first range; its entries those of the units that have a result."""
    found = [unpack(each) for each in packed]
    both = bundle(packed, _added([envelope.facts for envelope in found]))
    units: list[UnitFacts] = [{**each.facts, "range_id": each.range_ids[0], "entries": each.entries} for each in found]
    counts = [envelope.entries for envelope in found if envelope.error is None]
    entries = None if None in counts else sum(count for count in counts if count is not None)
    whole = unpack(both)
    return pack(dataclasses.replace(whole, entries=entries, facts={**whole.facts, "units": units}))


def _added(facts: Sequence[Facts]) -> Facts:
    """Seconds and counts add up, a peak is the highest, and the process is the same for all."""
    added: dict[str, Any] = dict(facts[0])
    for each in facts[1:]:
        for name, value in cast("dict[str, Any]", each).items():
            if name == "peak_memory_mib":
                added[name] = max(value, added.get(name, 0.0))
            elif name.endswith("_s") or name in ("read_bytes", "fetched_bytes", "fetches"):
                added[name] = value + added.get(name, 0)
    return cast(Facts, added)


def opened(packed: bytes) -> tuple[Envelope, list[tuple[Envelope, bytes]]]:
    """What a call handed back, as a whole, and the partials and failures in it; raises EnvelopeError."""
    envelope = unpack(packed)
    if not envelope.inner:
        return envelope, [(envelope, packed)]
    return envelope, [(unpack(each), each) for each in unbundle(envelope)]


@dataclass(frozen=True)
class GraphsTask(CallTask):
    """Run the ranges of one call, of one or more of ``tasks``: each is a graph's, which has the ranges from ``firsts`` on.

    Ranges name their ``graph`` and their ``unit``. What tasks have in common (code, surroundings) travels once, being the
    same object.
    """

    tasks: tuple[MapTask, ...]
    firsts: tuple[int, ...]
    shelf: Shelf | None = None

    @property
    def surroundings(self) -> Surroundings:  # type: ignore[override]  # what CallTask has as an attribute
        """Those of all graphs."""
        return self.tasks[0].surroundings

    def dataset_of(self, fields: Fields) -> dict[str, Any]:
        """What the ranges of the graph of ``fields`` share."""
        return self.tasks[fields["graph"]].dataset

    def _stored(self, packed: bytes, storage: Any) -> bytes:
        envelope = unpack(packed)
        if self.shelf is None or not envelope.inner:
            return super()._stored(packed, storage)
        parts = [self.surroundings.shelved(each, self.shelf, storage) for each in unbundle(envelope)]
        return pack(dataclasses.replace(envelope, body=b"".join(parts), inner=tuple(map(len, parts))))

    def _alone(self, call: Fields) -> Iterator[tuple[int, MapTask, Fields]]:
        """The units of a call: the number of the graph's first range, its task, and the unit as a call of it."""
        for graph, ranges in units_of(call["ranges"]):
            first = self.firsts[graph]
            own = [{**fields, "id": fields["id"] - first} for fields in ranges]
            yield first, self.tasks[graph], {**call, "ranges": own}

    def _message(self, call: Fields, began: Began) -> tuple[str, Request, list[bytes]]:
        works, codes = list[Request](), dict[bytes, int]()
        for first, task, unit in self._alone(call):
            _, message, (code,) = task._message(unit, began)
            works.append({**message, "first_id": first, "code": codes.setdefault(code, len(codes))})
        leading, *more = works
        return leading["graph_digest"], {**leading, "more": more}, list(codes)

    def _work(self, call: Fields, folder: str, began: Began, payload_s: float) -> tuple[bytes, dict[str, bytes]]:
        packed, stored = list[bytes](), dict[str, bytes]()
        for first, task, unit in self._alone(call):
            one, blobs = task._work(unit, folder, began, payload_s)
            packed.append(renumbered(one, first) if first else one)
            stored.update(blobs)
            began, payload_s = later(began), 0.0
        return packed[0] if len(packed) == 1 else joined(packed), stored


def later(began: Began) -> Began:
    """The ``began`` of a unit that is not the first of its call: it was asked for when the one before had ended."""
    return {**began, "asked": time.perf_counter(), "compiled_from": 0.0, "compiled_until": 0.0}


@dataclass(frozen=True)
class GraphsReduce(Reducing):
    """Fold the partials of each graph apart: packed envelopes in, one out, which holds one for each graph. Never raises.

    ``tasks``: as for each graph alone; ``wanted`` are those that are to be folded. An envelope in what comes out is the
    graph's result, its failure, or what is still to be folded because it is too much for one call.
    """

    tasks: tuple[ReduceTask, ...]
    wanted: tuple[int, ...]
    kept: tuple[bytes, ...] = ()
    attempt: int = 1

    @property
    def surroundings(self) -> Surroundings:  # type: ignore[override]  # what Reducing has as an attribute
        """Those of all graphs."""
        return self.tasks[0].surroundings

    @property
    def reducer(self) -> bytes:
        """That of DistRDF, which is the same for all graphs."""
        return self.tasks[0].reducer

    @property
    def range_ids(self) -> tuple[int, ...]:  # type: ignore[override]  # likewise
        """Those of the graphs that are to be folded."""
        return tuple(number for graph in self.wanted for number in self.tasks[graph].range_ids)

    def _fold(self, results: list[bytes], storage: Any, began: Began) -> bytes:
        graph_of = {number: graph for graph in self.wanted for number in self.tasks[graph].range_ids}
        given: dict[int, list[bytes]] = {graph: [] for graph in self.wanted}
        for envelope, packed in itertools.chain.from_iterable(opened(each)[1] for each in [*self.kept, *results]):
            if (graph := graph_of.get(envelope.range_ids[0])) is not None:
                given[graph].append(packed)
        gathered = {graph: self._gathered(graph, given[graph], began) for graph in self.wanted}
        folding = {graph: packed for graph, packed in gathered.items() if isinstance(packed, list)}
        folded = {**gathered, **self._folded(folding, storage, began)}
        parts = [_only_bytes(folded[graph]) for graph in self.wanted]
        facts: Facts = {**whereabouts(began), "fold_s": sum(unpack(part).facts.get("fold_s", 0.0) for part in parts)}
        lengths = tuple(map(len, parts))
        return pack(Envelope(tuple(graph_of), None, "", b"".join(parts), facts=facts, inner=lengths, graphs=self.wanted))

    def _gathered(self, graph: int, packed: list[bytes], began: Began) -> bytes | list[bytes]:
        """What is to be folded of a graph, or what comes of it without folding: a failure, too much."""
        try:
            return self.tasks[graph].gathered(packed, began)
        except EnvelopeError as problem:
            return fold_failure(problem, self.tasks[graph].range_ids)

    def _folded(self, folding: dict[int, list[bytes]], storage: Any, began: Began) -> dict[int, bytes]:
        """The sum of each graph's partials, in one request for all of them; or, where that fails, one by one."""
        found = {graph: packed[0] for graph, packed in folding.items() if len(packed) == 1 and not _is_stored(packed[0])}
        rest = {graph: packed for graph, packed in folding.items() if graph not in found}
        if len(rest) > 1 and self.surroundings.warm:
            with contextlib.suppress(Exception):  # a crash, perhaps, of which one graph alone is the cause
                return {**found, **self._at_once(rest, storage, began)}
        for graph, packed in rest.items():
            task = self.tasks[graph]
            try:
                folded = fold_here(task.reducer, task.surroundings, packed, task.groups, self.attempt, storage, began)
                found[graph] = task.surroundings.shelved(folded, shelf_of(map(unpack, packed)), storage)
            except Exception as problem:
                found[graph] = fold_failure(problem, task.range_ids)
        return found

    def _at_once(self, rest: dict[int, list[bytes]], storage: Any, began: Began) -> dict[int, bytes]:
        heads = {graph: [unpack(each) for each in some] for graph, some in rest.items()}
        orders = {graph: fold_order(heads[graph], self.tasks[graph].groups) for graph in rest}
        ordered = {graph: [rest[graph][position] for position in flat(order)] for graph, order in orders.items()}
        taken = Shelved([each for some in ordered.values() for each in some], storage)
        message: Request = {"op": "fold", "orders": list(orders.values()), "attempt": self.attempt, "began": began}
        _, folded = self.surroundings.request("", message, [self.reducer], storage, more=taken)
        ours = zip(rest, folded, strict=True)
        return {
            graph: self.surroundings.shelved(packed, shelf_of(map(unpack, rest[graph])), storage) for graph, packed in ours
        }


def _is_stored(packed: bytes) -> bool:
    return unpack(packed).stored is not None


def _only_bytes(packed: bytes | list[bytes]) -> bytes:
    assert isinstance(packed, bytes), "what was to be folded is folded"
    return packed
