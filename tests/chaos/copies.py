"""Copies of calls that a run has cancelled although they lived and nobody else had delivered: there must be none.

A copy lives if its ROOT process does, and if what would report it does too: a slot goes on for a moment when the process of
its job was killed, and nobody would ever hear of it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import psutil

from rdf_lithops.planning.plans import Plan
from rdf_lithops.run import watch
from rdf_lithops.run.events import BackupStarted, CallEnded, Event

__all__ = ["Copies", "hasten"]

OVER = "this attempt is over"  # in the words of running: the run itself goes on


def hasten() -> None:
    """Have backups begin after half a second: chaos has no time for calls that are late by five."""
    watch.STRAGGLER_LEAST_S, watch.STRAGGLER_FACTOR = 0.5, 1.2


@dataclass
class Copies:
    """What is known of the copies of one run's calls."""

    backups: int = 0
    delivered: set[int] = field(default_factory=set)
    healthy_cancelled: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        """To be a consumer of the run's events."""
        self.backups += isinstance(event, BackupStarted)
        if isinstance(event, CallEnded):
            self.delivered.add(event.call_id)

    def listen_to(self, frame: Any) -> None:
        """From now on, look at each attempt of ``frame`` when it is cancelled."""
        backend = frame._headnode.backend
        submit, backend.consumers = backend._submit, (self.hear,)

        def watched(place: Any, part: Plan) -> Any:
            submission = submit(place, part)
            calls = [item["call"]["id"] for item in part.iterdata]
            submission.cancel = functools.partial(self._cancel, submission, submission.cancel, calls)
            return submission

        backend._submit = watched

    def _cancel(self, submission: Any, cancel: Any, calls: list[int], error: BaseException) -> None:
        if OVER in str(error):
            begun, beats = submission.begun(), submission.beats()
            over = submission.map_ends().keys() | submission.lost()
            for position, beat in beats.items():
                is_owed = calls[position] not in self.delivered and position not in over
                if position in begun and is_owed and psutil.pid_exists(beat["pid"]):
                    self.healthy_cancelled.append(f"call {calls[position]}, process {beat['pid']}: {error}")
        cancel(error)
