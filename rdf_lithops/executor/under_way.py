"""Calls that a driver had begun before it was killed, and that run on elsewhere: the next driver waits for them.

On localhost calls end with their driver. Elsewhere they work on, put their partials where the old run keeps them, and say
that they live; nothing but this tells the new driver of them. They are asked as calls of its own would be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from lithops.constants import JOBS_PREFIX

from ..fold.shelf import Shelf
from ..run.attempts import WithoutReducer
from ..run.books import CallEnd
from ..travels.envelope import EnvelopeError, unpack
from .leftovers import Leftover
from .looks import Looks
from .session import Session

__all__ = ["UnderWay"]

logger = logging.getLogger(__name__)

LOOK_S = 0.5
FRESH_S = 60.0  # what has said nothing for longer than this is not waited for
FRESH_BEATS = 3


class UnderWay(WithoutReducer):
    """The calls of killed drivers' ``runs`` that live, as a Submission without a reducer (see ``run.attempts``).

    ``wanted`` are the calls that are wanted of them; their partials are copied to the ``shelf`` as they come.
    """

    poll_s = LOOK_S

    def __init__(self, session: Session, runs: Sequence[Leftover], shelf: Shelf, wanted: Collection[int]) -> None:
        self._session, self._runs, self._shelf, self._storage = session, runs, shelf, session.executor.storage
        self._looks = Looks(session)
        self._calls: dict[tuple[str, str], int] = {}  # of the runs' jobs: Lithops' names of them, and ours
        self._ended: set[int] = set()
        self._positions: dict[int, int] = {}
        self._listings: dict[str, Any] = {}
        self._beaten: dict[tuple[str, str], object] = {}
        self._next_look_s = 0.0
        if not session.local:
            for run in runs:
                self._find(run, wanted)

    def _find(self, run: Leftover, wanted: Collection[int]) -> None:
        for job_key, given in run.calls.items():
            ids = range(given) if isinstance(given, int) else given
            names = {f"{number:05d}": call_id for number, call_id in enumerate(ids)}
            listing = self._looks.listing(job_key, names, self._session.workers())
            seen = listing.look(names)
            alive = self._alive(job_key, seen.begun - seen.ended, run.beat_s)
            new = {name: names[name] for name in sorted(alive) if names[name] in wanted}
            known = set(self._calls.values())
            self._calls.update({(job_key, name): call_id for name, call_id in new.items() if call_id not in known})
            self._listings[job_key] = listing

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

    def without(self, there: Collection[int]) -> list[int]:
        """Those that are waited for, in order: all but the calls whose partial is ``there``."""
        self._calls = {key: call_id for key, call_id in self._calls.items() if call_id not in there}
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
        """The end of a call whose partial lies in its old run's place, with a copy in this run's."""
        try:
            stored = None if end.data is None else unpack(end.data).stored
            if stored is None:
                return end
            packed = bytes(self._storage.get_object(stored["bucket"], stored["key"]))
            return dataclasses.replace(end, data=self._shelf.put(packed, self._storage))
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
