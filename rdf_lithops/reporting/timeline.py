"""What the pictures of a report have in common: one row per call, its parts end to end, and a colour for each part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .values import CALL_PARTS, RUN_PARTS, Call, RunRecord

__all__ = ["COLOURS", "FAILED_COLOUR", "Row", "Segment", "parts_shown", "path_segments", "rows", "thinned"]

# Waiting is grey, start-up warm, data blue, the event loop green, output violet.
COLOURS = {
    "prepare": "#8d99ae",
    "retries": "#9b2226",
    "submit": "#adb5bd",
    "queue": "#d0d5db",
    "cold start": "#f4a259",
    "initialisation": "#e76f51",
    "graph": "#f2cc8f",
    "compilation": "#d1495b",
    "open": "#8ecae6",
    "read": "#219ebc",
    "decompression": "#126782",
    "loop": "#2a9d5c",
    "merge": "#b7b7f5",
    "serialise": "#9d8df1",
    "upload": "#6a4c93",
    "wait": "#dfe3e8",
    "reduce": "#41337a",
    "files": "#7f5539",
    "deliver": "#5c677d",
    "other": "#c9ada7",
}
STAGES = ("map", "reduce", "files")
MOST_ROWS = 240  # of a picture that has each bar as a shape of its own
FAILED_COLOUR = "#9b2226"
_LAST = ("other", "upload", "wait")
_IN_TIME = (*(name for name in CALL_PARTS if name not in _LAST), *_LAST)


@dataclass(frozen=True)
class Segment:
    """A part of a row: seconds from the begin of the run."""

    part: str
    start_s: float
    length_s: float


@dataclass(frozen=True)
class Row:
    """A call of the picture. Within a call the parts stand in a fixed order: ranges alternate between them."""

    label: str
    call: Call
    segments: tuple[Segment, ...]


def rows(report: RunRecord) -> list[Row]:
    """One row per call, by the time at which a worker had it; those that failed, and reducers, in their places."""
    ordered = sorted(
        report.calls, key=lambda call: (STAGES.index(call.stage), call.began_at or call.submitted_at, call.call_id)
    )
    return [Row(_label(call), call, tuple(_segments(call, report.began_at))) for call in ordered]


def thinned(drawn: list[Row]) -> list[Row]:
    """Of many rows some at even distances, and those that failed or took longest among them."""
    if len(drawn) <= MOST_ROWS:
        return drawn
    some = MOST_ROWS // 8
    slow = sorted(range(len(drawn)), key=lambda i: -drawn[i].call.time_s)
    failed = [i for i in slow if drawn[i].call.outcome != "ok"]
    distances = MOST_ROWS - 2 * some - 1
    even = {i * (len(drawn) - 1) // distances for i in range(distances + 1)}
    return [drawn[i] for i in sorted(even.union(slow[:some], failed[:some]))]


def _label(call: Call) -> str:
    again = f".{call.attempt}" if call.attempt > 1 else ""
    return f"{'call' if call.stage == 'map' else call.stage} {call.call_id}{again}"


def _segments(call: Call, zero: float) -> Iterator[Segment]:
    at = call.submitted_at - zero
    for part in _IN_TIME:
        length_s = call.parts.get(part, 0.0)
        if length_s > 0:
            yield Segment(part, at, length_s)
        at += length_s


def path_segments(report: RunRecord) -> list[Segment]:
    """The run's wall time as one row, in the order of the critical path."""
    segments, at = [], 0.0
    for part in RUN_PARTS:
        length_s = report.path.get(part, 0.0)
        if length_s > 0:
            segments.append(Segment(part, at, length_s))
        at += length_s
    return segments


def parts_shown(report: RunRecord) -> list[str]:
    """The parts that take at least 0.2 % of the wall time somewhere: those that a legend explains."""
    least = 0.002 * report.wall_s
    return [
        name
        for name in RUN_PARTS
        if report.path.get(name, 0.0) > least or any(call.parts.get(name, 0.0) > least for call in report.calls)
    ]
