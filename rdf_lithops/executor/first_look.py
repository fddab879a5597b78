"""What an executor does in its storage before its first run: it leaves a record, and looks for what others have left.

Both take as long as the storage is far; where it is no folder of this machine they are done beside the run's preparation.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..dataset import driver_processes
from . import leftovers
from .session import Session

__all__ = ["begin", "forget", "left", "note_use"]

logger = logging.getLogger(__name__)

NEAR = "localhost"  # Lithops' name of a storage that is a folder of this machine
NEWEST = 200  # runs that are looked at: many may share a storage
USED_AGAIN_S = 3600.0  # after which a record is written again: it tells how long an executor has run nothing


def begin(session: Session, looks: bool) -> None:
    """Begin with both, once, where the storage is far; with the looking if it ``looks``."""
    if session.recorded is not None:  # and an earlier submission may have the lock for as long as it is stuck
        return
    with session.lock:
        if session.storage.backend == NEAR or session.recorded is not None:
            return
        beside = ThreadPoolExecutor(2, thread_name_prefix="rdf_lithops-first-look")
        session.recorded = time.time(), beside.submit(_record, session)
        if looks:
            session.first_look = beside.submit(_runs, session)
        beside.shutdown(wait=False)


def left(session: Session) -> list[leftovers.Leftover]:
    """Runs of killed drivers that were there before this executor's first run, and that nobody has taken up here."""
    if session.first_look is None:
        session.first_look = Future()
        session.first_look.set_result(_runs(session))
    found: list[leftovers.Leftover] = session.first_look.result()
    return found


def forget(session: Session, names: Collection[str]) -> None:
    """These runs have been taken up."""
    if session.first_look is not None:
        found = session.first_look.result()
        found[:] = [run for run in found if run.name not in names]


def note_use(session: Session) -> None:
    """The executor's record is there, and not much older than this run."""
    written_s, being_written = session.recorded or (0.0, None)
    if being_written is not None and not isinstance(being_written.exception(), Exception):
        session.recorded = written_s, None
    elif being_written is not None or time.time() - written_s > USED_AGAIN_S:
        _record(session)
        session.recorded = time.time(), None


def _runs(session: Session) -> list[leftovers.Leftover]:
    try:
        return leftovers.runs(session.storage, NEWEST)
    except Exception as problem:  # of the storage's own kind: a run that could do without must not fail for it
        logger.warning("whether a killed driver has left something is not known, as the storage did not say: %s", problem)
        return []


def _record(session: Session) -> None:
    storage, key = session.storage, f"{leftovers.EXECUTORS_PREFIX}/{session.executor.executor_id}"
    session.jobs.executor_record = key
    record: dict[str, Any] = {**driver_processes.describe(), "used_at": time.time()}
    storage.put_object(storage.bucket, key, json.dumps(record).encode())
