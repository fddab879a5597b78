"""One attempt at some calls of a plan, and what the seam with Lithops tells of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .books import CallEnd

__all__ = ["Attempt", "Submission", "WithoutReducer"]


class Submission(Protocol):
    """One ``map_reduce`` under way, as the seam with Lithops offers it. Calls are counted from 0 within it."""

    @property
    def poll_s(self) -> float:
        """After how many seconds it is worth looking again."""

    @property
    def is_deaf(self) -> bool:
        """Whether nobody answered when this was asked last: that nothing was heard of a call then says nothing of it."""

    @property
    def job_key(self) -> str:
        """Lithops' name of the map job."""

    def map_ends(self) -> dict[int, CallEnd]:
        """Calls that have ended since the last time this was asked."""

    def begun(self) -> set[int]:
        """Calls that a worker has begun; those that were told before may be left out."""

    def beats(self) -> dict[int, dict[str, Any]]:
        """Signs of life, each the latest of its call, of those that have not ended; those that were told before may be left
        out. ``beat`` is another one each time; what else a call says of itself is there if it was read."""

    def given_up(self, positions: Iterable[int]) -> None:
        """These calls are not waited for any more: others may run in their places."""

    def lost(self) -> set[int]:
        """Calls that will never end: what should run them is gone."""

    def queued(self) -> set[int]:
        """Calls that wait in a queue, as the back end itself says: nobody need begin them soon."""

    @property
    def holds_reducer(self) -> bool:
        """Whether the reducer has not begun, and begins when ``maps_delivered`` says so."""

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        """All partials are there: a reducer that was held back begins. It is given these of the calls at these positions
        (of a call that is not wanted any more: nothing) and ``more``, and fetches what the other calls have handed back."""

    def reduce_end(self) -> CallEnd | None:
        """How the reducer ended, or None while it has not."""

    def reduce_beat(self) -> int | None:
        """How often the reducer has said that it lives: 0 once it has begun, None before."""

    def reduce_lost(self) -> bool:
        """Whether the reducer will never end."""

    def cancel(self, error: BaseException) -> None:
        """Stop what still runs, where the backend can."""

    def forget(self) -> None:
        """Delete what it wrote."""


class WithoutReducer:
    """What a Submission says of its reducer where it has none: of calls that were begun before this run asked for them."""

    job_key = ""
    holds_reducer = False

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        """Nobody is there to begin."""

    def reduce_end(self) -> CallEnd | None:
        """None: it has not ended."""
        return None

    def reduce_beat(self) -> int | None:
        """None: it has not begun."""
        return None

    def reduce_lost(self) -> bool:
        """True: it will never end."""
        return True


@dataclass
class Attempt:
    """One submission of some of the calls. ``calls`` are their ids, by position; ``given`` those whose partials its
    reducer's task has; ``delivered`` those that gave a partial.

    ``lacks``: the partials of other calls come too late for its reducer, if it has one. ``why``: of a reducer that never
    ended."""

    number: int
    calls: list[int]
    submission: Submission
    given: frozenset[int] = frozenset()
    delivered: set[int] = field(default_factory=set)
    merged: bytes | None = None
    lacks: bool = False
    is_asked: bool = False  # whether one reducer can fold what it delivered, which is asked once
    why: str = "the reducer never ended: what ran it is gone"

    @property
    def has_delivered(self) -> bool:
        """Whether each of its calls gave a partial."""
        return len(self.delivered) == len(self.calls)
