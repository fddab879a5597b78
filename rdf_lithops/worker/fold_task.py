"""The objects that Lithops calls to fold partials: the reducer, and the rounds of a tree where one reducer is too few."""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..fold import partials
from ..fold.order import FoldLimits, check_each_range_once, flat, fold_order, one_fold_s
from ..fold.shelf import Shelf, Shelved, bundle, shelf_of, size_of, unbundle
from ..processes import warm
from ..processes.beats import STATUS_NAME
from ..processes.seconds import began_here, whereabouts
from ..travels import sealed as credentials
from ..travels.envelope import Envelope, pack, unpack
from ..travels.facts import Began
from . import faults
from .messages import Request
from .root.initialisation import initialise
from .surroundings import Crashed, Surroundings

__all__ = ["FoldTask", "ReduceTask", "Reducing", "fold_failure", "fold_here"]

HANDED_ON_BYTES = 64 * 2**20


class Reducing:
    """What Lithops calls with the partials of a run, whatever is made of them: an envelope comes out, and nothing is raised.

    ``range_ids`` are all that are wanted of it; ``attempt`` is counted from 1.
    """

    surroundings: Surroundings
    range_ids: tuple[int, ...]
    attempt: int

    def __call__(self, results: list[bytes], storage: Any = None) -> bytes:
        """``results`` is every map's output; ``storage`` is filled in by Lithops, which recognises the name."""
        credentials.take_key()  # nothing is read or written here: it is not needed
        began = began_here()
        try:
            if (script := self.surroundings.faults) is not None:
                garbage = faults.strike_reduce(script, self.attempt, storage, self.surroundings.key_of(STATUS_NAME))
                if garbage is not None:
                    return garbage
            return self._fold(results, storage, began)
        except Exception as problem:
            return fold_failure(problem, self.range_ids)

    def _fold(self, results: list[bytes], storage: Any, began: Began) -> bytes:
        raise NotImplementedError


@dataclass(frozen=True)
class ReduceTask(Reducing):
    """Fold partials in range order with ROOT's reducer: packed envelopes in, one out. Never raises.

    ``reducer`` is cloudpickled; ``range_ids`` are all that the plan has: a shortfall is an error that names them;
    ``kept`` are packed partials of earlier attempts, to be folded with those of this one; ``groups`` the range ids of each
    call of the plan (none: the calls are those whose partials come). What is more than the ``limits`` say is not folded here
    but handed on together, for a round of ``FoldTask``. Partials that come bundled are a group of such a round, and are
    folded first. A large result goes to the shelf on which its partials lay.
    """

    reducer: bytes
    range_ids: tuple[int, ...]
    surroundings: Surroundings
    kept: tuple[bytes, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    attempt: int = 1
    limits: FoldLimits = field(default_factory=FoldLimits)

    def _fold(self, results: list[bytes], storage: Any, began: Began) -> bytes:
        def summed(group: Envelope) -> bytes:
            return fold_here(self.reducer, self.surroundings, unbundle(group), self.groups, self.attempt, storage, began)

        packed = self.gathered([*self.kept, *results], began, summed)
        if isinstance(packed, bytes):
            return packed
        folded = fold_here(self.reducer, self.surroundings, packed, self.groups, self.attempt, storage, began)
        return self.surroundings.shelved(folded, shelf_of(map(unpack, packed)), storage)

    def gathered(
        self, results: list[bytes], began: Began, summed: Callable[[Envelope], bytes] | None = None
    ) -> bytes | list[bytes]:
        """The partials among ``results``, each once; or what comes of them without a fold: a failure, or all of them
        together where they are too much for one call. Of a group its sum, as ``summed`` makes it. Raises EnvelopeError
        unless each range is there once."""
        arrived: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Envelope, bytes]] = {}
        for data in results:
            envelope = unpack(data)
            if envelope.inner and summed is not None:  # decision 399
                data = summed(envelope)
                envelope = unpack(data)
            if envelope.error is not None:
                return data
            # a partial that was delivered twice counts once
            arrived.setdefault((envelope.range_ids, envelope.half), (envelope, data))
        envelopes = [envelope for envelope, _ in arrived.values()]
        check_each_range_once(self.range_ids, envelopes)
        packed = [data for _, data in arrived.values()]
        is_much = len(packed) > 2 and self.asks_for_a_tree(envelopes)
        return bundle(packed, whereabouts(began)) if is_much else packed

    def asks_for_a_tree(self, envelopes: list[Envelope]) -> bool:
        """Whether it is too much for one call; what lies in no storage would go by way of the driver, and not for speed."""
        all_bytes, here_bytes = sum(map(size_of, envelopes)), sum(len(envelope.body) for envelope in envelopes)
        results = max(len(envelope.pickles) for envelope in envelopes)
        return self.tree_for(len(envelopes), results, all_bytes, here_bytes)

    def tree_for(self, partials: int, results: int, all_bytes: float, here_bytes: float) -> bool:
        """The same of so many partials of so many results, with so many bytes, of which these lie in no storage."""
        one_s = one_fold_s(results, all_bytes / partials) if here_bytes <= HANDED_ON_BYTES else 0.0
        return self.limits.ask_for_a_tree(partials, all_bytes, one_s)


@dataclass(frozen=True)
class FoldTask:
    """Fold one group of partials, in a round of the tree: ``{"id", "ranges", "partials"}`` in, a packed envelope out.

    Never raises. ``groups`` as in ReduceTask. What it folded goes to the ``shelf`` again, if it is large.
    """

    reducer: bytes
    surroundings: Surroundings
    shelf: Shelf | None = None
    groups: tuple[tuple[int, ...], ...] = ()

    def dataset_of(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Nothing: no range is read here."""
        return {}

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        credentials.take_key()  # no file is read here: it is not needed
        began = began_here()
        range_ids = tuple(fields["id"] for fields in call["ranges"])
        try:
            given = call["partials"], self.groups, call.get("attempt", 1)
            partial = fold_here(self.reducer, self.surroundings, *given, storage, began)
            return self.surroundings.shelved(partial, self.shelf, storage)
        except Exception as problem:
            kind = "memory" if isinstance(problem, MemoryError) else "fold"
            return fold_failure(problem, range_ids, kind, call_id=call["id"])


def fold_failure(problem: Exception, range_ids: tuple[int, ...], kind: str = "fold", **more: Any) -> bytes:
    """The envelope of a fold that was not to be had, to be made while ``problem`` is handled; ``more`` is told with it."""
    error: dict[str, Any] = {"kind": kind, "type": type(problem).__name__, "message": str(problem)}
    if isinstance(problem, Crashed):
        error.update(message=f"{problem.died.how}, in the fold", log_tail=problem.died.log_tail)
    error.update(traceback=traceback.format_exc(), range_ids=list(range_ids), **more)
    return pack(Envelope(range_ids, None, "", error=error))


def fold_here(
    reducer: bytes,
    surroundings: Surroundings,
    packed: list[bytes],
    groups: tuple[tuple[int, ...], ...],
    attempt: int,
    storage: Any,
    began: Began,
) -> bytes:
    """Take partials down from the shelf and fold them in a warm ROOT process, or in this one."""
    if len(packed) == 1:
        alone = unpack(next(iter(Shelved(packed, storage))))
        return pack(dataclasses.replace(alone, facts=whereabouts(began)))
    order = fold_order([unpack(each) for each in packed], groups)
    taken = Shelved([packed[position] for position in flat(order)], storage)
    if surroundings.warm:
        with contextlib.suppress(warm.WarmProcessUnavailable):
            message: Request = {"op": "fold", "orders": [order], "attempt": attempt, "began": began}
            return surroundings.request("", message, [reducer], storage, more=taken)[1][0]
    return partials.fold(reducer, taken, order, began, initialise())
