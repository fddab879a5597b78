"""Copies of calls that a run has cancelled although they lived and nobody else had delivered: there must be none.

A copy lives if its ROOT process does, and if what would report it does too: a slot goes on for a moment when the process of
its job was killed, and nobody would ever hear of it. One that has said nothing for as long as a run waits for a word counts
apart: on a machine that is busy with other work, a run cannot know it.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from rdf_lithops.planning.plans import Plan
from rdf_lithops.run import watch
from rdf_lithops.run.events import BackupStarted, CallEnded, Event

__all__ = ["Copies", "hasten"]

SILENT_S = 9.0  # runs here wait for 10 s
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
    silent_cancelled: int = 0

    def hear(self, event: Event) -> None:
        """To be a consumer of the run's events."""
        self.backups += isinstance(event, BackupStarted)
        if isinstance(event, CallEnded):
            self.delivered.add(event.call_id)

    def listen_to(self, frame: Any) -> None:
        """From now on, look at each attempt of ``frame`` when it is cancelled."""
        backend = frame._headnode.backend
        submit, backend.consumers = backend.submit, (self.hear,)

        def watched(place: Any, part: Plan) -> Any:
            submission = submit(place, part)
            calls = [item["call"]["id"] for item in part.iterdata]
            heard = dict[int, tuple[Any, float]]()
            submission.beats = functools.partial(_beats, submission.beats, heard)
            submission.cancel = functools.partial(self._cancel, submission, submission.cancel, calls, heard)
            return submission

        backend.submit = watched

    def _cancel(
        self, submission: Any, cancel: Any, calls: list[int], heard: dict[int, tuple[Any, float]], error: BaseException
    ) -> None:
        if OVER in str(error):
            over = submission.map_ends().keys() | submission.lost()
            begun, beats = submission.begun(), submission.beats()
            for position, beat in beats.items():
                is_owed = calls[position] not in self.delivered and position not in over
                if not (position in begun and is_owed and psutil.pid_exists(beat["pid"])):
                    continue
                if time.monotonic() - heard[position][1] > SILENT_S:
                    self.silent_cancelled += 1
                else:
                    self.healthy_cancelled.append(f"call {calls[position]}, process {beat['pid']}: {error}")
        cancel(error)


def _beats(beats: Any, heard: dict[int, tuple[Any, float]]) -> Any:
    """What ``beats`` says; ``heard`` keeps when each call said something new for the last time."""
    found = beats()
    for position, beat in found.items():
        if position not in heard or heard[position][0] != beat["beat"]:
            heard[position] = beat["beat"], time.monotonic()
    return found
