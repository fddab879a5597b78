"""Several submissions as one: a round of the fold of which some calls were begun early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .attempts import Submission, WithoutReducer
from .books import CallEnd

__all__ = ["Joint"]


class Joint(WithoutReducer):
    """Several submissions as one, without a reducer (see ``attempts.Submission``): of each those positions that are wanted,
    with the positions that they have here, and ends that are known already, to which those that come are added."""

    def __init__(self, asked: Sequence[tuple[Submission, Mapping[int, int], dict[int, CallEnd]]]) -> None:
        self._asked = [(submission, positions) for submission, positions, _ in asked]
        self._ends = {id(submission): ends for submission, _, ends in asked}
        found = [(positions.get(local), end) for _, positions, ends in asked for local, end in ends.items()]
        self._known = {here: end for here, end in found if here is not None}
        self._open = {here for _, positions in self._asked for here in positions.values()} - self._known.keys()

    def _live(self) -> list[tuple[Submission, Mapping[int, int]]]:
        """Those of which something has not ended."""
        return [(submission, positions) for submission, positions in self._asked if self._open & set(positions.values())]

    @property
    def poll_s(self) -> float:
        return min((submission.poll_s for submission, _ in self._live()), default=0.01)

    @property
    def is_deaf(self) -> bool:
        return any(submission.is_deaf for submission, _ in self._live())

    def map_ends(self) -> dict[int, CallEnd]:
        found, self._known = self._known, {}
        for submission, positions in self._live():
            ends = submission.map_ends()
            self._ends[id(submission)].update(ends)
            found |= {positions[local]: end for local, end in ends.items() if local in positions}
        self._open -= found.keys()
        return found

    def _those(self, ask: Callable[[Submission], Iterable[int]]) -> set[int]:
        asked = [(positions, local) for submission, positions in self._live() for local in ask(submission)]
        return {positions[local] for positions, local in asked if local in positions} & self._open

    def begun(self) -> set[int]:
        return self._those(lambda submission: submission.begun())

    def beats(self) -> dict[int, dict[str, Any]]:
        told: dict[int, dict[str, Any]] = {}
        for submission, positions in self._live():
            told |= {positions[local]: beat for local, beat in submission.beats().items() if local in positions}
        return told

    def given_up(self, positions: Iterable[int]) -> None:
        gone = set(positions)
        for submission, own in self._asked:
            submission.given_up([local for local, here in own.items() if here in gone])
        self._open -= gone

    def lost(self) -> set[int]:
        return self._those(lambda submission: submission.lost())

    def queued(self) -> set[int]:
        return self._those(lambda submission: submission.queued())

    def cancel(self, error: BaseException) -> None:
        """Who began them ends them."""

    def forget(self) -> None:
        """And deletes what they wrote."""
