"""What runs, waits or was lost in Lithops' localhost backend: its handler is looked into, and nothing of Lithops imported.

Both versions keep a queue that a thread drains and that ends when there is nothing left to do. A job that is queued while
that thread is about to end stays in the queue; ``nudge`` starts the thread again, and the job runs as if nothing had been.
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["LocalJobs"]

GONE_AFTER_S = 5.0  # a job is between queue and process for a moment
LOOK_S = 0.5  # what one look counts at most: between two of them this machine may have slept, and the job with it


class LocalJobs:
    """The jobs of one localhost handler, as far as they can be seen from outside."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self._missed: dict[str, tuple[float, float]] = {}  # when a job was last missed, and for how long by then

    def is_over(self, job_key: str) -> bool:
        """Whether nothing of a job runs or will run: it has ended, or it is nowhere to be found."""
        entry = self._handler.env.jobs.get(job_key)
        if self.has_ended(job_key):
            return True
        if self._is_somewhere(job_key, entry):
            self._missed.pop(job_key, None)
            return False
        now_s = time.monotonic()
        last_s, missed_s = self._missed.get(job_key, (now_s, 0.0))
        missed_s += min(now_s - last_s, LOOK_S)
        self._missed[job_key] = now_s, missed_s
        return missed_s > GONE_AFTER_S

    def has_ended(self, job_key: str) -> bool:
        """Whether a job is known that has ended."""
        entry = self._handler.env.jobs.get(job_key)
        return entry is not None and (bool(entry.done) if hasattr(entry, "done") else entry.poll() is not None)

    def _is_somewhere(self, job_key: str, entry: Any) -> bool:
        """Whether a process of the job runs, or the job waits in the queue."""
        processes = getattr(self._handler.env, "task_processes", None)
        if processes is None:  # version 1: one process per job
            return entry is not None or any(
                job_key == job["job_key"] for job, _ in list(self._handler.job_queue.queue) if job
            )
        if any(key.startswith(job_key) for key in list(processes)):
            return True
        return any(f'"{job_key}"' in text for text in list(self._handler.env.work_queue.queue) if text)

    def nudge(self) -> None:
        """Where jobs wait and nobody drains the queue, have Lithops start its thread again."""
        queue = getattr(self._handler, "job_queue", None) or self._handler.env.work_queue
        manager = self._handler.job_manager
        if queue.qsize() == 0 or (manager is not None and manager.is_alive()):
            return
        self._handler.job_manager = None  # of one that died
        self._handler.start_manager()
