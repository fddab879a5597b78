"""What a run has come to: of each of its graphs a result, or an error. Knows neither Lithops nor ROOT."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import CredentialsError, DataAccessError, OutputError, PayloadError, RangeError, RunError
from ..travels.envelope import Envelope

__all__ = ["Outcome", "raised", "read_result"]

WHY_CHARACTERS = 300  # of what is said of a failure in a line


@dataclass(frozen=True)
class Outcome:
    """Of each graph of a run its merged result as it came back, or the error of one that has none; seconds; attempts made;
    calls that had to be run again."""

    results: tuple[Envelope | RunError, ...]
    submit_s: float
    wait_s: float
    attempts: int
    repeated_calls: int

    @property
    def envelope(self) -> Envelope:
        """The result of a run of one graph; raises its error."""
        return raised(self.results[0])

    @property
    def failures(self) -> dict[int, str]:
        """Of each graph that has no result, why, in a line."""
        ended = [result if isinstance(result, RunError) else result.error for result in self.results]
        said = {
            graph: end.what if isinstance(end, RunError) else str(end["message"])
            for graph, end in enumerate(ended)
            if end is not None
        }
        return {graph: " ".join(why.split())[:WHY_CHARACTERS] for graph, why in said.items()}

    @property
    def failure(self) -> str | None:
        """What is said of a run that is over: None, its failure, or how many of its graphs failed."""
        failures = list(self.failures.values())
        if len(self.results) == 1 or not failures:
            return next(iter(failures), None)
        return f"{len(failures)} of {len(self.results)} graphs failed: {failures[0]}"

    @property
    def took_s(self) -> float:
        """From the first submission to the result."""
        return self.submit_s + self.wait_s

    def replaced(self, graph: int, result: Envelope | RunError) -> Outcome:
        """The same with another result of one graph."""
        return dataclasses.replace(self, results=(*self.results[:graph], result, *self.results[graph + 1 :]))


def raised(result: Envelope | RunError) -> Envelope:
    """The result, if it is one; else the error is raised."""
    if isinstance(result, RunError):
        raise result
    return result


def _as_numbered(range_id: int) -> int:
    return range_id


def read_result(envelope: Envelope, own_number: Callable[[int], int] = _as_numbered) -> Envelope:
    """The envelope of a merged result; raises the error that it carries instead, if it does. ``own_number`` is the number
    that a range has in its graph."""
    error = envelope.error
    if error is None:
        return envelope
    error = {**error, "range_ids": [own_number(range_id) for range_id in error.get("range_ids", ())]}
    if error["kind"] == "payload":
        raise PayloadError(error["what"], error["message"].removeprefix(f"{error['what']}: "), error["log_tail"])
    if error["kind"] == "credentials":
        raise CredentialsError("a worker could not open the credentials of this run", error["message"])
    if error["kind"] == "output":
        raise OutputError(error["what"], why=error["message"], range_ids=tuple(error["range_ids"]), call_id=error["call_id"])
    ranges = ", ".join(map(str, error["range_ids"]))
    if "access" in error:
        raise DataAccessError.of(error["access"], f"call {error['call_id']}, {error['where']}", tuple(error["range_ids"]))
    if error["kind"] == "range":
        failure = RangeError(
            f"range {ranges} failed: {error['message']}",
            where=f"call {error['call_id']}, {error['where']}",
            why=error["traceback"].strip(),
            range_ids=tuple(error["range_ids"]),
            call_id=error["call_id"],
        )
        failure.type_name = error["type"]
        raise failure
    raise RunError(
        f"ranges {ranges}: {error['message']}",
        why=error.get("traceback", ""),
        log_tail=error.get("log_tail", ""),
        range_ids=tuple(error["range_ids"]),
        call_id=error.get("call_id"),
    )
