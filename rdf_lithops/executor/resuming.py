"""Partials of a run whose driver was killed, taken up by the run of the same program that comes after it. No ROOT.

They are found by the record that each run keeps in the storage anyway: with ``options.resume`` it has the run's key.
Partials are copied to the new run's place: two programs that start again at the same time need nothing of each other.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..fold.shelf import Shelf
from ..travels.envelope import EnvelopeError, unpack
from .leftovers import Leftover, Places, find, key_of, remove

__all__ = ["Taken", "take_up"]

logger = logging.getLogger(__name__)


class Taken:
    """What was taken up: ``partials`` by call, and the ``runs`` that they are of."""

    def __init__(self) -> None:
        self.partials: dict[int, bytes] = {}
        self.runs: list[Leftover] = []

    def remove(self, storage: Any) -> None:
        """Delete all that those runs have left; to be called when the answer is there."""
        remove(storage, self.runs, lambda folder, stem, run: None)  # runs with Snapshots are never taken up


def take_up(storage: Any, places: Places, key: str, shelf: Shelf, iterdata: Sequence[dict[str, Any]]) -> Taken:
    """Take up the partials of runs of this ``key`` whose driver ran on this machine and is gone, onto the ``shelf``.

    A partial that cannot be read, is damaged, or is of no call of ``iterdata`` as a whole is left, and computed anew.
    """
    taken = Taken()
    calls = {tuple(sorted(plain["id"] for plain in item["call"]["ranges"])): item["call"]["id"] for item in iterdata}
    for run in find(storage, places, 0.0):
        if key_of(storage, run) != key:
            continue
        taken.runs.append(run)
        for name in run.keys:
            if "/partials/" in name:
                _take(storage, name, shelf, calls, taken.partials)
    if taken.runs:
        said = len(taken.partials), len(iterdata), ", ".join(run.name for run in taken.runs)
        logger.warning("%d of %d calls are taken up from %s, whose driver was killed", *said)
    return taken


def _take(storage: Any, name: str, shelf: Shelf, calls: dict[tuple[int, ...], int], partials: dict[int, bytes]) -> None:
    try:
        packed = bytes(storage.get_object(storage.bucket, name))
        envelope = unpack(packed)
    except EnvelopeError:
        return
    except Exception as problem:  # of the storage's own kind: another program has taken it up, and removed it
        logger.debug("%s cannot be read: %s", name, problem)
        return
    call_id = calls.get(envelope.range_ids)
    if call_id is None or call_id in partials or envelope.piece or envelope.error is not None or envelope.stored is not None:
        return
    partials[call_id] = shelf.put(packed, storage)
