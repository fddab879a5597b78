"""How Lithops' storage is asked what became of calls: one list (``listings``) for all, and each object read once."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from lithops.constants import JOBS_PREFIX, LITHOPS_TEMP_DIR, LOCALHOST
from lithops.storage.utils import StorageNoSuchKeyError, create_output_key, create_status_key

from ..errors import RunError
from ..processes.beats import BEAT_NAME, STATUS_NAME
from ..run.books import CallEnd
from .listings import FolderListing, StoreListing, StretchListing
from .objects import S3Objects
from .session import Session
from .statuses import read_status

__all__ = ["LONGEST_S", "OUTAGE_PATIENCE_S", "Looks", "pause_s", "rest_s"]

logger = logging.getLogger(__name__)

HALF_WRITTEN_S = 2.0  # longer is damaged
STORAGE_PATIENCE_S = 60.0  # of refusals in a row, beyond the storage client's own repetitions
OUTAGE_PATIENCE_S = 1800.0  # of a network that is away, or a server that fails: meanwhile nothing is known of the calls
LONGEST_S, SHORTEST_S = 0.5, 0.04  # between two looks at a storage that is far: each is a request that is paid for
BEFORE_THE_END = 0.8  # of the expected time there is little to be seen
PATIENCE = 0.2  # of the time that something has been due, it may be late
LOOKING_SHARE, WAITING_SHARE = 0.15, 0.005  # of the driver's time, once calls end and before
READERS, S3_READERS = 16, 64  # threads that read objects of a remote storage at a time; not all clients have so many ways
LISTERS = 32  # and threads that list them


def pause_s(elapsed_s: float, expected_s: float, unchanged_s: float) -> float:  # decision 164
    """How long not to look again: calls were submitted ``elapsed_s`` ago and are expected to take ``expected_s`` (0 for not
    known); nothing has changed for ``unchanged_s``."""
    due_s = elapsed_s - BEFORE_THE_END * expected_s
    if due_s < 0:
        return min(LONGEST_S, max(SHORTEST_S, -due_s))
    return min(LONGEST_S, max(SHORTEST_S, PATIENCE * min(due_s, unchanged_s)))


def rest_s(cost_s: float, elapsed_s: float, is_ending: bool) -> float:  # decision 164
    """How long not to look again at a storage that is far, after a look that took ``cost_s`` of the processor:
    ``is_ending`` once the first call has ended, as the last one is to be seen soon."""
    if is_ending:
        return cost_s / LOOKING_SHARE
    return min(cost_s / WAITING_SHARE, max(SHORTEST_S, PATIENCE * elapsed_s / 2))


class Looks:
    """What one submission asks the storage. Futures are Lithops', of one call each.

    Every method raises RunError once the storage has refused to answer for ``STORAGE_PATIENCE_S``, or has not answered for
    ``OUTAGE_PATIENCE_S``.
    """

    def __init__(self, session: Session) -> None:
        executor = session.executor
        self._storage, self._objects = executor.storage, session.jobs.objects
        self._folder = os.path.join(LITHOPS_TEMP_DIR, self._storage.bucket, JOBS_PREFIX)  # of this machine, if it is near
        self.is_near = bool(self._storage.backend == LOCALHOST)  # whether the storage is a folder of this machine
        self._on_this_machine = session.local
        readers = S3_READERS if isinstance(self._objects, S3Objects) else READERS  # decision 349
        self._readers = concurrent.futures.ThreadPoolExecutor(readers)  # starts no thread before it is needed
        self.readers = readers  # that read at a time
        self._listers = concurrent.futures.ThreadPoolExecutor(LISTERS)  # a look does not wait for what is being read
        self._silent_since_s: float | None = None
        self._unreadable_since_s: dict[tuple[str, ...], float] = {}

    @property
    def is_deaf(self) -> bool:
        """Whether the storage did not answer when it was asked last."""
        return self._silent_since_s is not None

    def listing(self, job_key: str, calls: Collection[str], at_a_time: int) -> FolderListing | StoreListing:
        """What tells which of a job's calls, by Lithops' names of them, have begun, beaten and ended."""
        if self.is_near:
            return FolderListing(os.path.join(self._folder, job_key), sorted(calls), at_a_time)
        folder, objects = f"{JOBS_PREFIX}/{job_key}", self._objects
        if isinstance(objects, S3Objects):
            between = objects.between
            return StretchListing(folder, calls, lambda *ends: self._ask(lambda: between(*ends)) or {}, self._listers.map)
        return StoreListing(folder, calls, lambda beginning: self._ask(lambda: objects.below(beginning)) or {})

    def ends(self, futures: Sequence[Any]) -> list[CallEnd | None]:
        """How calls ended; None of one that has not."""
        return self._each(self.end, futures)

    def begin_ends(self, futures: Sequence[Any]) -> concurrent.futures.Future[list[CallEnd | None]]:
        """The same as ``ends``, read by one thread in the background; at once where the storage is near."""
        if not self.is_near:
            return self._readers.submit(lambda: [self.end(future) for future in futures])
        found: concurrent.futures.Future[list[CallEnd | None]] = concurrent.futures.Future()
        found.set_result([self.end(future) for future in futures])
        return found

    def beats(self, futures: Sequence[Any]) -> list[dict[str, Any] | None]:
        """The latest sign of life of calls; None of one that has given none."""
        return self._each(self.beat, futures)

    def beat(self, future: Any) -> dict[str, Any] | None:
        """The latest sign of life of a call, or None."""
        name = f"{JOBS_PREFIX}/{future.job_key}/{future.call_id}/{BEAT_NAME}"
        try:
            beat = json.loads(self._ask(lambda: self._objects.get(name)) or "null")
        except ValueError:  # half written
            return None
        return beat if isinstance(beat, dict) else None

    def end(self, future: Any) -> CallEnd | None:
        """How a call ended, or None where it has not."""
        ids = future.executor_id, future.job_id, future.call_id
        if self.is_near and not os.path.exists(os.path.join(self._folder, future.job_key, future.call_id, STATUS_NAME)):
            return None
        objects = self._objects
        try:
            status = json.loads(self._ask(lambda: objects.get(create_status_key(*ids))) or "null")
        except ValueError as damage:  # localhost writes objects in place: this one is half written, unless it stays so
            since_s = self._unreadable_since_s.setdefault(ids, time.monotonic())
            is_damaged = not self.is_near or time.monotonic() - since_s > HALF_WRITTEN_S
            return CallEnd(None, f"its status cannot be read: {damage!r}", kind="damaged") if is_damaged else None
        if status is None:
            return None
        end: CallEnd | None = self._ask(lambda: read_status(status, lambda: objects.get(create_output_key(*ids))))
        if end is not None and end.kind == "killed" and not self._on_this_machine:
            return dataclasses.replace(end, kind="memory")  # a platform's sandbox is killed for its memory alone
        return end

    def close(self) -> None:
        """Nothing more is asked."""
        self._readers.shutdown(cancel_futures=True)
        self._listers.shutdown()

    def _each(self, read: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """``read`` of each item, some at a time where the storage is far."""
        if self.is_near or len(items) <= 1:
            return [read(item) for item in items]
        shares = [items[first :: self.readers] for first in range(min(self.readers, len(items)))]
        found: list[Any] = [None] * len(items)
        for first, some in enumerate(self._readers.map(lambda share: [read(item) for item in share], shares)):
            found[first :: self.readers] = some
        return found

    def _ask(self, read: Callable[[], Any]) -> Any:
        """What the storage says, or None where it has no such object or does not answer; raises if it stays silent."""
        try:
            answer = read()
        except (StorageNoSuchKeyError, FileNotFoundError):
            answer = None
        except ValueError:  # it did answer
            raise
        except Exception as error:
            self._note_silence(error)
            return None
        if self._silent_since_s is not None:
            logger.warning("Lithops' storage answers again, after %.0f s", time.monotonic() - self._silent_since_s)
        self._silent_since_s = None
        return answer

    def _note_silence(self, error: Exception) -> None:
        """The storage did not answer: say so once, and raise if that goes on for too long."""
        now_s = time.monotonic()
        if self._silent_since_s is None:
            self._silent_since_s = now_s
            why = str(error).partition("\n")[0]
            logger.warning("Lithops' storage did not answer (%s: %s): it is asked again", type(error).__name__, why)
        patience_s = STORAGE_PATIENCE_S if _is_refusal(error) else OUTAGE_PATIENCE_S
        if now_s - self._silent_since_s > patience_s:
            why = f"{type(error).__name__}: {error}"
            raise RunError(f"Lithops' storage has not answered for {patience_s:g} s", why=why) from error


def _is_refusal(error: Exception) -> bool:
    """Whether a server has answered that it may not be asked so: it will say the same later."""
    answered = getattr(error, "response", None)  # of boto3
    code = answered.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(answered, dict) else 0
    return 400 <= code < 500 or type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
