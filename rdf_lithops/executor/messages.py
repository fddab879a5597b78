"""Calls that have ended, as Lithops' own monitoring tells it by messages, where the user's configuration has that.

With ``lithops: monitoring: aws_sqs`` (or redis, rabbitmq, gcp_pubsub, azure_queue) a call sends a message and then writes
its status into the storage. Lithops' monitor hears it in a thread, and what it notes is noted here: the driver asks for that
status at once, and again until it is there, and lists the storage less often. A message that is lost, or a channel that is
broken, costs the time until the next list, and nothing else.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Messages", "messages_of"]

STORAGE = "storage"  # Lithops' monitoring without messages


class Messages:
    """What the monitor of an executor hears, by job; nothing where Lithops looks into its storage instead."""

    def __init__(self, are_sent: bool) -> None:
        self._are_sent = are_sent
        self.arrive = False  # whether any has
        self._lock = threading.Lock()
        self._ended: defaultdict[str, list[str]] = defaultdict(list)
        self._heard: set[int] = set()  # monitors

    def of_job(self, job_monitor: Any, start: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Stands in for ``start`` of Lithops' ``job_monitor`` for a job of ours. Places among ``max_workers`` are given back
        by us (``turns``), and not once more by it."""
        if not self._are_sent:
            return
        self._hear(job_monitor.monitor)  # which was made before the calls were invoked
        start(*given, **{**named, "generate_tokens": False})
        self._hear(job_monitor.monitor)
        job_monitor.close_jobs({named["job_id"]} if named.get("job_id") else set())

    def _hear(self, monitor: Any) -> None:
        """Have Lithops' thread tell us what it notes; it looks for nothing in the storage itself."""
        if monitor is None or id(monitor) in self._heard:
            return
        self._heard.add(id(monitor))
        monitor.STORAGE_SWEEP_INTERVAL = 0  # it would list all objects of all calls, as we do
        mark = monitor._mark_ready

        def mark_and_tell(future: Any, *given: Any, **named: Any) -> Any:
            with self._lock:
                self.arrive = True
                self._ended[future.job_key].append(future.call_id)
            return mark(future, *given, **named)

        monitor._mark_ready = mark_and_tell

    def ended(self, job_key: str) -> list[str]:
        """Calls of a job of which it was heard, since this was asked last, that they have ended."""
        if job_key not in self._ended:
            return []
        with self._lock:
            return self._ended.pop(job_key)


def messages_of(executor: Any, is_local: bool) -> Messages:
    """What will be heard of the calls of ``executor``; where they run on this machine, looking is as quick."""
    return Messages(not is_local and executor.job_monitor.type != STORAGE)
