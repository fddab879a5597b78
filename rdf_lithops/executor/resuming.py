"""What runs have left whose driver was killed, taken up by the run of the same program that comes after them. No ROOT.

They are found by the record that each run keeps in the storage anyway: with ``options.resume`` it says what the run
computes. Partials are copied to the new run's place: two programs that start again at the same time need nothing of each
other. Calls that are under way still, on machines that did not go with the driver, are waited for (``under_way``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..fold.shelf import Shelf
from ..travels.envelope import EnvelopeError, unpack
from .leftovers import Leftover, LithopsFolders, find, remove
from .likeness import Likeness
from .session import Session
from .under_way import UnderWay

__all__ = ["Taken", "partials_of", "resumable", "take_up"]

logger = logging.getLogger(__name__)

_told: set[str] = set()  # runs that this program has been told of


class Taken:
    """What was taken up: ``partials`` by call, calls that are ``under_way``, and the ``runs`` that they are of."""

    def __init__(self) -> None:
        self.partials: dict[int, bytes] = {}
        self.runs: list[Leftover] = []
        self.under_way: tuple[list[int], UnderWay] | None = None

    def remove(self, session: Session, folders: LithopsFolders) -> None:
        """Delete all that those runs have left; to be called when the answer is there."""
        if not self.runs:
            return
        storage, names = session.executor.storage, {run.name for run in self.runs}
        now = [each for each in find(storage, folders, 0.0) if each.name in names]  # their calls have written meanwhile
        remove(storage, now, lambda folder, stem, run: None)  # runs with Snapshots are never taken up


def take_up(
    session: Session, folders: LithopsFolders, likeness: Likeness, shelf: Shelf, iterdata: Sequence[dict[str, Any]]
) -> Taken:
    """Take up what runs of this ``likeness`` have left whose driver ran on this machine and is gone: partials go onto the
    ``shelf``. What another run of the same program has left, and what makes it useless, is said in the log.

    A partial that cannot be read, is damaged, or is of no call of ``iterdata`` as a whole is left, and computed anew.
    """
    taken, storage = Taken(), session.executor.storage
    calls = {tuple(sorted(fields["id"] for fields in item["call"]["ranges"])): item["call"]["id"] for item in iterdata}
    for run in find(storage, folders, 0.0):
        before = Likeness.read(run.resumes)
        if before is None:
            continue
        if before.key == likeness.key:
            taken.runs.append(run)
        elif before.program == likeness.program:
            _tell_useless(run, likeness, before)
    # who is under way is asked before partials are listed: a call that ends in between is seen by its partial
    under_way = UnderWay(session, taken.runs, shelf, set(calls.values()))
    for run in taken.runs:
        for name in storage.list_keys(storage.bucket, f"{run.prefix}/partials/"):
            _take(storage, name, shelf, calls, taken.partials)
    waited_for = under_way.without(taken.partials)
    if waited_for:
        taken.under_way = waited_for, under_way
    else:
        under_way.forget()
    if taken.runs:
        _tell_taken(taken, len(iterdata))
    return taken


def partials_of(leftover: Leftover) -> int:
    """How many partials a run has left."""
    return len(_partial_keys(leftover))


def resumable(storage: Any, leftover: Leftover) -> dict[str, Any] | None:
    """What is told of a run that the same program takes up: ``name``, ``age_s``, ``calls``, their ``partials`` and
    ``bytes``, the ``script`` and the ``folder`` in which it was started. None for anything else."""
    likeness = Likeness.read(leftover.resumes)
    if likeness is None:
        return None
    script, folder = likeness.program
    keys = _partial_keys(leftover)
    size = sum(int(each.get("Size") or 0) for each in storage.list_objects(storage.bucket, f"{leftover.prefix}/partials/"))
    calls = next((given if isinstance(given, int) else len(given) for given in leftover.calls.values()), 0)
    said = {"partials": len(keys), "calls": calls, "bytes": size, "script": script, "folder": folder}
    return {"name": leftover.name, "age_s": leftover.age_s, **said}


def _partial_keys(leftover: Leftover) -> list[str]:
    return [key for key in leftover.keys if key.startswith(f"{leftover.prefix}/partials/")]


def _tell_taken(taken: Taken, calls: int) -> None:
    waits = f", and {len(taken.under_way[0])} that are under way still are waited for" if taken.under_way else ""
    said = len(taken.partials), calls, ", ".join(run.name for run in taken.runs), waits
    logger.warning("%d of %d calls are taken up from %s, whose driver was killed%s", *said)


def _tell_useless(run: Leftover, likeness: Likeness, before: Likeness) -> None:
    """Once, and no louder than it deserves: another query of the same program computes something else, too."""
    if run.name in _told:
        return
    say = logger.info
    if likeness.computes_as(before):
        _told.add(run.name)
        say = logger.warning
    given = run.name, partials_of(run), ", ".join(likeness.differences(before)) or "something"
    say("%s, whose driver was killed, has %d partials that are not taken up, as this is not the same: %s", *given)


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
    if call_id is None or call_id in partials or envelope.half or envelope.error is not None or envelope.stored is not None:
        return
    partials[call_id] = shelf.put(packed, storage)
