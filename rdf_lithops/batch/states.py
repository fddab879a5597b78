"""What a scheduler says of one element of an array, in words that all schedulers share."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENDED", "RUNNING", "WAITING", "Element"]

WAITING, RUNNING, ENDED = "waiting", "running", "ended"


@dataclass(frozen=True)
class Element:
    """``phase`` is one of the three above; ``cause`` of an end: "" (by itself), "memory", "time", or "lost".

    ``words`` are the scheduler's own: a state, a reason, a node.
    """

    phase: str
    cause: str = ""
    words: str = ""
