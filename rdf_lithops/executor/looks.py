"""How Lithops' storage is asked what has become of calls: call by call where it is near, in lists where it is far."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from lithops.constants import JOBS_PREFIX, LOCALHOST
from lithops.storage.utils import StorageNoSuchKeyError

from ..errors import RunError
from ..processes.beats import BEAT_NAME
from ..run.books import CallEnd
from .session import Session
from .statuses import read_status

__all__ = ["Looks", "pause_s"]

logger = logging.getLogger(__name__)

HALF_WRITTEN_S = 2.0  # longer is damaged
STORAGE_PATIENCE_S = 60.0  # of errors in a row, beyond the storage client's own repetitions
LONGEST_S, SHORTEST_S = 0.5, 0.04  # between two looks at a storage that is far: each is a request that is paid for
BEFORE_THE_END = 0.8  # of the expected time there is little to be seen
PATIENCE = 0.2  # of the time that something has been due, it may be late
READERS = 16  # threads that read objects of a remote storage at a time


def pause_s(elapsed_s: float, expected_s: float, unchanged_s: float) -> float:  # decision 164
    """How long not to look again: calls were submitted ``elapsed_s`` ago and are expected to take ``expected_s`` (0 for not
    known); nothing has changed for ``unchanged_s``."""
    due_s = elapsed_s - BEFORE_THE_END * expected_s
    if due_s < 0:
        return min(LONGEST_S, max(SHORTEST_S, -due_s))
    return min(LONGEST_S, max(SHORTEST_S, PATIENCE * min(due_s, unchanged_s)))


class Looks:
    """What one submission asks the storage. Futures are Lithops', of one call each.

    Every method raises RunError once the storage has not answered for ``STORAGE_PATIENCE_S``.
    """

    def __init__(self, session: Session) -> None:
        executor = session.executor
        self._storage, self._internal = executor.storage, executor.internal_storage
        self._on_this_machine = session.local
        self._readers = concurrent.futures.ThreadPoolExecutor(READERS)  # starts no thread before it is needed
        self._silent_since_s: float | None = None
        self._unreadable_since_s: dict[tuple[str, ...], float] = {}

    @property
    def is_near(self) -> bool:
        """Whether the storage is a folder of this machine."""
        return bool(self._storage.backend == LOCALHOST)

    def calls_with(self, job_key: str, ending: str) -> set[str]:
        """Lithops' ids of the calls of a job that have an object of that ending."""
        names = self._ask(lambda: self._storage.list_keys(self._storage.bucket, f"{JOBS_PREFIX}/{job_key}/")) or []
        return {name.split("/")[-2] for name in names if name.endswith(ending)}

    def ends(self, job_key: str, futures: dict[int, Any]) -> dict[int, CallEnd]:
        """How those of the calls ended that have."""
        return self._of_those("/status.json", job_key, futures, self.end)

    def beats(self, job_key: str, futures: dict[int, Any]) -> dict[int, dict[str, Any]]:
        """The latest sign of life of each call that has given one."""
        return self._of_those(f"/{BEAT_NAME}", job_key, futures, self.beat)

    def _of_those(self, ending: str, job_key: str, futures: dict[int, Any], read: Callable[[Any], Any]) -> dict[int, Any]:
        # where the storage is far, one list instead of a request for each call that waits
        there = None if self.is_near else self.calls_with(job_key, ending)
        wanted = {i: future for i, future in futures.items() if there is None or future.call_id in there}
        answers = zip(wanted, self._each(read, wanted.values()), strict=True)
        return {position: answer for position, answer in answers if answer is not None}

    def beat(self, future: Any) -> dict[str, Any] | None:
        """The latest sign of life of a call, or None."""
        name = f"{JOBS_PREFIX}/{future.job_key}/{future.call_id}/{BEAT_NAME}"
        try:
            beat = json.loads(self._ask(lambda: self._storage.get_object(self._storage.bucket, name)) or "null")
        except ValueError:  # half written
            return None
        return beat if isinstance(beat, dict) else None

    def end(self, future: Any) -> CallEnd | None:
        """How a call ended, or None where it has not."""
        ids = future.executor_id, future.job_id, future.call_id
        storage = self._internal
        try:
            status = self._ask(lambda: storage.get_call_status(*ids))
        except ValueError as damage:  # localhost writes objects in place: this one is half written, unless it stays so
            since_s = self._unreadable_since_s.setdefault(ids, time.monotonic())
            is_damaged = not self.is_near or time.monotonic() - since_s > HALF_WRITTEN_S
            return CallEnd(None, f"its status cannot be read: {damage!r}", kind="damaged") if is_damaged else None
        if status is None:
            return None
        end: CallEnd | None = self._ask(lambda: read_status(status, lambda: storage.get_call_output(*ids)))
        if end is not None and end.kind == "killed" and not self._on_this_machine:
            return dataclasses.replace(end, kind="memory")  # a platform's sandbox is killed for its memory alone
        return end

    def close(self) -> None:
        """Nothing more is asked."""
        self._readers.shutdown()

    def _each(self, read: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """``read`` of each item, some at a time where the storage is far."""
        return [read(item) for item in items] if self.is_near else list(self._readers.map(read, items))

    def _ask(self, read: Callable[[], Any]) -> Any:
        """What the storage says, or None where it has no such object or does not answer; raises if it stays silent."""
        try:
            answer = read()
        except StorageNoSuchKeyError:
            answer = None
        except ValueError:  # it did answer
            raise
        except Exception as error:
            now_s = time.monotonic()
            self._silent_since_s = self._silent_since_s or now_s
            if now_s - self._silent_since_s > STORAGE_PATIENCE_S:
                why = f"{type(error).__name__}: {error}"
                raise RunError(f"Lithops' storage has not answered for {STORAGE_PATIENCE_S:g} s", why=why) from error
            logger.warning("Lithops' storage did not answer: %r", error)
            return None
        self._silent_since_s = None
        return answer
