"""Whose turn it is among a back end's ``max_workers``: a call that has ended makes room for one that waits.

Lithops invokes as many calls as may run at a time, and one more for each token in a queue. Its monitor would put one there
for each worker whose calls have all ended; what we know of our calls, we know before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Turns"]

TOKEN = "#"  # Lithops' word: something to be taken before an invocation


class Turns:
    """The turns that the ``calls`` calls of a job hold."""

    def __init__(self, executor: Any, calls: int) -> None:
        self._executor, self._calls = executor, calls
        self._chunk = int(executor.config["lithops"].get("chunksize") or 1)
        self._over: set[str] = set()
        self._left: dict[int, int] = {}  # of a worker: calls that it has not ended

    def give_back(self, calls: Iterable[str]) -> None:
        """These calls, by Lithops' names of them, have ended, or are given up."""
        if not hasattr(self._executor.invoker, "pending_calls_q"):
            return  # of a back end that queues calls itself
        for call in calls:
            if call in self._over:
                continue
            self._over.add(call)
            worker = int(call) // self._chunk
            whole = min(self._chunk, self._calls - worker * self._chunk)
            self._left[worker] = self._left.get(worker, whole) - 1
            if self._left[worker] == 0:
                self._executor.job_monitor.token_bucket_q.put(TOKEN)
