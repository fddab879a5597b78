"""Large partials lie in Lithops' storage until they are folded: what travels instead is an envelope that says where.

Lithops hands a reducer all map outputs at once. Where they could be more than it can hold, they are put on a shelf, and
whoever folds them takes down those that it needs. A partial on a shelf is a packed envelope, checked when it is taken down.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..travels.envelope import Envelope, EnvelopeError, pack, unpack
from ..travels.facts import Facts

__all__ = ["Shelf", "Shelved", "bundle", "shelf_of", "size_of", "unbundle"]

READERS = 8  # objects that are read at a time,
SUM_BYTES = 64 * 2**20  # from which on a sum goes past Lithops, which would copy it several times
AHEAD_BYTES = 64 * 2**20  # and what they may have together


@dataclass(frozen=True)
class Shelf:
    """A folder ``prefix`` of the storage for envelopes of ``at_least_bytes`` and more; the run deletes it when it ends."""

    prefix: str
    at_least_bytes: int

    def put(self, packed: bytes, storage: Any) -> bytes:
        """Put a packed envelope on the shelf and return one that says where it lies.

        An envelope that is small, tells of a failure, or is no result yet is returned as it is.
        """
        if storage is None or len(packed) < self.at_least_bytes:
            return packed
        envelope = unpack(packed)
        if envelope.error is not None or envelope.inner:
            return packed
        # a name of its own for each copy of a call: a second one must not replace what a fold is reading
        key = f"{self.prefix}/{envelope.range_ids[0]}-{os.urandom(6).hex()}"
        storage.put_object(storage.bucket, key, packed)
        stored = {"bucket": storage.bucket, "key": key, "bytes": len(packed)}
        facts: Facts = {**envelope.facts, "stored_bytes": len(packed)}
        return pack(dataclasses.replace(envelope, body=b"", stored=stored, facts=facts))


def shelf_of(envelopes: Iterable[Envelope]) -> Shelf | None:
    """Return the shelf for the sum of partials: that on which some of them lie; None where none does, as the sum is not
    large then."""
    keys = (envelope.stored["key"] for envelope in envelopes if envelope.stored is not None)
    return next((Shelf(os.path.dirname(key), SUM_BYTES) for key in keys), None)


def size_of(envelope: Envelope) -> int:
    """Return the bytes of a partial, wherever it lies."""
    return len(envelope.body) if envelope.stored is None else int(envelope.stored["bytes"])


@dataclass(frozen=True)
class Shelved:
    """Packed partials, each once and in order whenever this is iterated over, whether they lie on a shelf or not.

    Small ones are read ahead, large ones when they are asked for; none is kept. Iterating raises EnvelopeError if a partial
    cannot be had, or is that of another call.
    """

    packed: Sequence[bytes]
    storage: Any

    def __len__(self) -> int:
        return len(self.packed)

    def __iter__(self) -> Iterator[bytes]:
        reading: deque[tuple[int, Future[bytes]]] = deque()
        ahead = 0
        with ThreadPoolExecutor(READERS, thread_name_prefix="rdf_lithops-shelf") as readers:
            for each in self.packed:
                reference = unpack(each)
                if reference.stored is None and not reading:
                    yield each  # a thread would cost more than it saves
                    continue
                size = size_of(reference)
                while reading and (ahead + size > AHEAD_BYTES or len(reading) == READERS):
                    ahead -= reading[0][0]
                    yield reading.popleft()[1].result()
                reading.append((size, readers.submit(_take, each, self.storage)))
                ahead += size
            while reading:
                yield reading.popleft()[1].result()


def _take(packed: bytes, storage: Any) -> bytes:
    reference = unpack(packed)
    if reference.stored is None:
        return packed
    try:
        data = bytes(storage.get_object(reference.stored["bucket"], reference.stored["key"]))
    except Exception as problem:  # of the storage's own kind
        raise EnvelopeError(f"the partial at {reference.stored['key']} cannot be read: {problem}") from problem
    found = unpack(data)
    if (found.range_ids, found.half) != (reference.range_ids, reference.half):
        where = reference.stored["key"]
        raise EnvelopeError(f"expected ranges {reference.range_ids} at {where}, got {found.range_ids}")
    return data


def bundle(packed: Sequence[bytes], facts: Facts) -> bytes:
    """Return one envelope that holds several, not folded, in the order of their ranges: the next round's work."""
    pairs = sorted(((unpack(each), each) for each in packed), key=lambda pair: (pair[0].range_ids, pair[0].half))
    return pack(
        Envelope(
            tuple(dict.fromkeys(range_id for envelope, _ in pairs for range_id in envelope.range_ids)),
            None,
            pairs[0][0].root,
            b"".join(each for _, each in pairs),
            facts=facts,
            inner=tuple(len(each) for _, each in pairs),
        )
    )


def unbundle(envelope: Envelope) -> list[bytes]:
    """Return the packed envelopes that :func:`bundle` put together."""
    view, packed, start = memoryview(envelope.body), [], 0
    for length in envelope.inner:
        packed.append(bytes(view[start : start + length]))
        start += length
    return packed
