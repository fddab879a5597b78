"""Objects of calls that have been read, deleted while others still run: thousands at the end would hold up the result."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Iterable

from .objects import Objects

__all__ = ["Clearing"]

logger = logging.getLogger(__name__)

BATCH = 500  # names that are deleted at a time
AT_A_TIME = 4


class Clearing:
    """What is deleted of one submission as it goes on. What cannot be, or is written later, goes when it is forgotten."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._waiting: list[str] = []
        self._deleters = concurrent.futures.ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="rdf_lithops-clearing")

    def add(self, names: Iterable[str]) -> None:
        """Nobody will ask for these objects again."""
        self._waiting.extend(names)
        while len(self._waiting) >= BATCH:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            self._deleters.submit(self._delete, batch)

    def close(self) -> None:
        """Wait for what is being deleted."""
        self._deleters.shutdown()

    def _delete(self, names: list[str]) -> None:
        try:
            self._objects.delete(names)
        except Exception as problem:  # of the storage's own kind
            logger.debug("%d objects are deleted later: %r", len(names), problem)
