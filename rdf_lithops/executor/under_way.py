"""What the calls of killed drivers have done, and those that run on elsewhere: the next driver waits for them.

A call's partial is in Lithops' storage, as it would be read of a call of one's own: in its status, in an object beside it,
or on the shelf of its run, from where it is copied. On localhost calls end with their driver. Elsewhere they work on, and
say that they live; nothing but this tells the new driver of them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from lithops.constants import JOBS_PREFIX

from ..fold.shelf import Shelf
from ..run.attempts import WithoutReducer
from ..run.books import CallEnd
from ..travels.envelope import Envelope, EnvelopeError, pack, unpack
from ..worker.together import opened
from .leftovers import Leftover
from .looks import Looks
from .session import Session

__all__ = ["UnderWay"]

logger = logging.getLogger(__name__)

LOOK_S = 0.5
FRESH_S = 60.0  # what has said nothing for longer than this is not waited for
FRESH_BEATS = 3
READERS = 16


class UnderWay(WithoutReducer):
    """The calls of killed drivers' ``runs``: those that have ended well are ``partials``, by call; those that live are a
    Submission without a reducer (see ``run.attempts``).

    ``wanted`` are the calls that are wanted of them, by the ids of their ranges; a partial that cannot be read, is damaged,
    or is of no such call as a whole counts as not there. What lies on another run's shelf is copied to the ``shelf``.
    """

    poll_s = LOOK_S

    def __init__(
        self, session: Session, runs: Sequence[Leftover], shelf: Shelf | None, wanted: Mapping[tuple[int, ...], int]
    ) -> None:
        self.partials: dict[int, tuple[bytes, ...]] = {}
        self._session, self._runs, self._shelf, self._storage = session, runs, shelf, session.executor.storage
        self._looks = Looks(session)
        self._calls: dict[tuple[str, str], int] = {}  # of the runs' jobs: Lithops' names of them, and ours
        self._ended: set[int] = set()
        self._positions: dict[int, int] = {}
        self._listings: dict[str, Any] = {}
        self._beaten: dict[tuple[str, str], object] = {}
        self._next_look_s = 0.0
        self._wanted = wanted
        for run in runs:
            self._find(run, set(wanted.values()))

    def _find(self, run: Leftover, wanted: Collection[int]) -> None:
        for job_key, given in run.calls.items():
            ids = range(given) if isinstance(given, int) else given
            names = {f"{number:05d}": call_id for number, call_id in enumerate(ids)}
            listing = self._looks.listing(job_key, names, self._session.workers())
            seen = listing.look(names, is_over=True)
            there = {name: names[name] for name in sorted(seen.ended & names.keys())}
            self._take(job_key, {name: each for name, each in there.items() if each in wanted and each not in self.partials})
            if self._session.local:
                continue
            alive = self._alive(job_key, seen.begun - seen.ended, run.beat_s)
            new = {name: names[name] for name in sorted(alive) if names[name] in wanted}
            known = set(self._calls.values())
            self._calls.update({(job_key, name): call_id for name, call_id in new.items() if call_id not in known})
            self._listings[job_key] = listing

    def _take(self, job_key: str, ended: dict[str, int]) -> None:
        """Read what calls have handed back, a few at a time."""
        ends = self._looks.ends([_future(job_key, name) for name in ended])
        with concurrent.futures.ThreadPoolExecutor(1 if self._looks.is_near else READERS) as readers:
            found = readers.map(self._parts, ends)
        for call_id, (range_ids, parts) in zip(ended.values(), found, strict=True):
            if range_ids and self._wanted.get(range_ids) == call_id:
                self.partials[call_id] = parts

    def _parts(self, end: CallEnd | None) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
        """The ids of the ranges of what a call has handed back, and its partials: several where it ran several graphs."""
        if end is None or end.data is None:
            return (), ()
        try:
            _, found = opened(end.data)
            if any(envelope.error is not None or envelope.half for envelope, _ in found):
                return (), ()
            parts = tuple(self._one(envelope, packed) for envelope, packed in found)
        except EnvelopeError:
            return (), ()
        except Exception as problem:  # of the storage's own kind: whoever took it up as well has removed it
            logger.debug("what a call has left cannot be read: %s", problem)
            return (), ()
        return tuple(sorted(number for envelope, _ in found for number in envelope.range_ids)), parts

    def _one(self, envelope: Envelope, packed: bytes) -> bytes:
        """A partial, from another run's shelf onto this one's."""
        if envelope.stored is not None:
            packed = bytes(self._storage.get_object(envelope.stored["bucket"], envelope.stored["key"]))
            there = unpack(packed)
            if (there.range_ids, there.half) != (envelope.range_ids, envelope.half):
                raise EnvelopeError(f"expected ranges {envelope.range_ids}, got {there.range_ids}")
        return packed if self._shelf is None else self._shelf.put(packed, self._storage)

    def _alive(self, job_key: str, begun: Collection[str], beat_s: float) -> set[str]:
        """Those that began, or beat, not long ago, where the storage says when; else all of them."""
        if not begun or getattr(self._storage.storage_handler, "names_only", False):
            return set(begun)
        newest: dict[str, datetime] = {}
        for each in self._storage.list_objects(self._storage.bucket, f"{JOBS_PREFIX}/{job_key}/"):
            name, changed = each["Key"].split("/")[2], each.get("LastModified")
            if isinstance(changed, datetime) and changed.tzinfo is not None:
                newest[name] = max(newest.get(name, changed), changed)
        now, patience_s = datetime.now(timezone.utc), max(FRESH_S, FRESH_BEATS * beat_s)
        return {name for name in begun if name not in newest or (now - newest[name]).total_seconds() < patience_s}

    def alive(self) -> list[int]:
        """Those that are waited for, in order: all that live and whose partial is not there."""
        self._calls = {key: call_id for key, call_id in self._calls.items() if call_id not in self.partials}
        found = sorted(self._calls.values())
        self._positions = {call_id: position for position, call_id in enumerate(found)}
        return found

    def map_ends(self) -> dict[int, CallEnd]:
        """See ``run.attempts.Submission``, as for the others."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return {}
        self._next_look_s = now_s + LOOK_S
        found: dict[int, CallEnd] = {}
        for job_key, listing in self._listings.items():
            open_calls = [name for key, name in self._calls if key == job_key]
            if not open_calls:
                continue
            seen = listing.look(open_calls)
            self._beaten.update({(job_key, name): change for name, change in seen.beaten.items()})
            for name in sorted(seen.ended & set(open_calls)):
                end = self._looks.end(_future(job_key, name))
                if end is not None:
                    found[self._positions[self._calls.pop((job_key, name))]] = self._copied(end)
        return found

    def _copied(self, end: CallEnd) -> CallEnd:
        """The end of a call whose partial lies on its old run's shelf, with a copy on this one's."""
        try:
            if end.data is None:
                return end
            whole, found = opened(end.data)
            if not any(envelope.stored is not None for envelope, _ in found):
                return end
            parts = [self._one(envelope, packed) for envelope, packed in found]
            if not whole.inner:
                return dataclasses.replace(end, data=parts[0])
            inner = dataclasses.replace(whole, body=b"".join(parts), inner=tuple(map(len, parts)))
            return dataclasses.replace(end, data=pack(inner))
        except EnvelopeError as damage:
            return CallEnd(None, str(damage), kind="damaged", status=end.status)
        except Exception as problem:  # of the storage's own kind: whoever took it up as well has removed it
            return CallEnd(None, f"its partial cannot be read any more: {problem}", status=end.status)

    @property
    def is_deaf(self) -> bool:
        return self._looks.is_deaf

    def begun(self) -> set[int]:
        return {self._positions[call_id] for call_id in self._calls.values()}

    def beats(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for (job_key, name), change in list(self._beaten.items()):
            call_id = self._calls.get((job_key, name))
            if call_id is not None:
                found[self._positions[call_id]] = self._looks.beat(_future(job_key, name)) or {"beat": change}
        self._beaten.clear()
        return {position: beat for position, beat in found.items() if beat["beat"] is not None}

    def given_up(self, positions: Iterable[int]) -> None:
        gone = set(positions)
        self._calls = {key: each for key, each in self._calls.items() if self._positions[each] not in gone}

    def lost(self) -> set[int]:
        return set()

    def queued(self) -> set[int]:
        return set()

    def cancel(self, error: BaseException) -> None:
        """Have them end at their next sign of life: the record of their run says that they are not wanted."""
        for run in self._runs if self._calls else ():
            with contextlib.suppress(Exception):  # of a storage that does not answer, or from which it was removed
                record = json.loads(self._storage.get_object(self._storage.bucket, run.record))
                record["stopped"] = record.get("job_keys", [])
                self._storage.put_object(self._storage.bucket, run.record, json.dumps(record).encode())

    def forget(self) -> None:
        """What their runs have left goes when the answer is there."""
        self._looks.close()


def _future(job_key: str, name: str) -> Any:
    """What is asked of one of Lithops' futures here."""
    executor_id, _, job_id = job_key.rpartition("-")
    return SimpleNamespace(executor_id=executor_id, job_id=job_id, job_key=job_key, call_id=name)
