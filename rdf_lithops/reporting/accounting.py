"""From the events of a run to its report: which clock covers which seconds.

A call's time, from its submission until the driver saw its end, is cut at the times that Lithops notes (worker started,
function began, function ended, worker ended), and the function's part of it by the stopwatch of the ROOT process. The run's
wall time is cut along its critical path. So the parts add up to what they are parts of, and what no clock covers has a name
of its own, ``other``, which is to be small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..run.events import (
    AttemptBegan,
    BackupStarted,
    CallEnded,
    CallFailed,
    CallsTakenUp,
    Event,
    FileSkipped,
    FilesMerged,
    FoldRoundEnded,
    LibraryMade,
    ReduceEnded,
    RunBegan,
    RunEnded,
)
from .report import Report
from .values import CALL_PARTS, Call, Share

__all__ = ["Recorder"]

_FUNCTION = {  # part of a call: fact of the ROOT process
    "initialisation": ("initialise_s", "payload_s"),
    "graph": ("graph_s",),
    "compilation": ("compile_s",),
    "open": ("open_s",),
    "read": ("read_s",),
    "decompression": ("decompress_s",),
    "loop": ("loop_s",),
    "merge": ("merge_s", "fold_s"),
    "serialise": ("serialise_s", "output_s"),
}


_TIMES = ("worker_start_tstamp", "worker_func_start_tstamp", "worker_func_end_tstamp", "worker_end_tstamp")
_CallEvent = CallEnded | CallFailed | ReduceEnded


@dataclass
class Recorder:
    """A consumer of events that remembers what a report is made of. ``began_at`` is when the user asked for a result."""

    began_at: float
    run_id: str = ""
    ends: list[tuple[_CallEvent, int]] = field(default_factory=list)  # and the size of the partial, which is not kept
    submissions: list[AttemptBegan | BackupStarted] = field(default_factory=list)
    merged: list[FilesMerged] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    taken_up: int = 0  # calls whose partials were there before
    made: list[LibraryMade] = field(default_factory=list)
    error: str | None = None
    shares: list[tuple[int, int, int]] = field(default_factory=list)  # of several graphs: graph, first range, ranges
    failed: dict[int, str] = field(default_factory=dict)  # graphs, and why

    def __call__(self, event: Event) -> None:
        """Remember ``event``."""
        if isinstance(event, RunBegan):
            self.run_id, self.shares = event.run_id, event.plan.shares()
        elif isinstance(event, (AttemptBegan, BackupStarted)):
            self.submissions.append(event)
        elif isinstance(event, CallEnded):
            stored = event.facts.get("stored_bytes", len(event.partial))  # what came here may only say where it is
            self.ends.append((replace(event, partial=b""), int(stored)))
        elif isinstance(event, (CallFailed, ReduceEnded)):
            self.ends.append((event, 0))
        elif isinstance(event, FoldRoundEnded):
            self.ends += [(fold, 0) for each in event.events for fold in _folds(each)]
        elif isinstance(event, FilesMerged):
            self.merged.append(event)
        elif isinstance(event, CallsTakenUp):
            self.taken_up += len(event.call_ids)
        elif isinstance(event, FileSkipped):
            self.skipped.append(event.path)
        elif isinstance(event, LibraryMade):
            self.made.append(event)
        elif isinstance(event, RunEnded):
            self.error, self.failed = event.error, dict(event.failed)

    @property
    def attempts(self) -> list[AttemptBegan]:
        """The attempts, without backups."""
        return [one for one in self.submissions if isinstance(one, AttemptBegan)]

    def calls(self) -> tuple[Call, ...]:
        """What each call did, in the order in which their ends were seen."""
        return tuple(_calls(self.began_at, self.attempts, self.ends))

    def graphs(self) -> tuple[Share, ...]:
        """Of each of several graphs its share of the run; none for one alone."""
        return tuple(_shares(self.shares, self.failed, self.ends))

    def finish(self, ended_at: float, **known: Any) -> Report:
        """The report of the run, which ended at ``ended_at`` in a result or an error; ``known`` are fields of ``Report``."""
        attempts, calls = self.attempts, self.calls()
        path = _path(self.began_at, ended_at, attempts, calls)
        if self.merged:
            files_s = min(path["deliver"], math.fsum(event.wall_s for event in self.merged))
            path |= {"files": files_s, "deliver": path["deliver"] - files_s}
            calls += tuple(call for event in self.merged for call in _merging(event))
        return Report(
            run_id=self.run_id,
            began_at=self.began_at,
            wall_s=ended_at - self.began_at,
            attempts=len(attempts),
            calls=calls,
            path=path,
            backups=sum(len(one.call_ids) for one in self.submissions if isinstance(one, BackupStarted)),
            repeated=sum(len(one.call_ids) for one in attempts[1:]),
            skipped_files=tuple(self.skipped),
            error=self.error,
            notes=(*_notes(calls, self.taken_up), *map(_library, self.made)),
            graphs=self.graphs(),
            **known,
        )


def _shares(
    shares: list[tuple[int, int, int]], failed: dict[int, str], ends: list[tuple[_CallEvent, int]]
) -> Iterator[Share]:
    """Of each of several graphs what the calls say of its units."""
    units = [(unit, event) for event, _ in ends if isinstance(event, CallEnded) for unit in _units(event)]
    following = [first for _, first, _ in shares[1:]]
    for (graph, first, ranges), behind in zip(shares, [*following, math.inf], strict=False):
        own = [(unit, event) for unit, event in units if first <= unit["range_id"] < behind]
        calls = tuple(_unit(number, unit, event) for number, (unit, event) in enumerate(own))
        yield Share(graph, calls, ranges, failed.get(graph))


def _units(event: CallEnded) -> Sequence[Mapping[str, Any]]:
    """The facts of each unit of a call; a call of one unit tells them as its own."""
    alone = {**event.facts, "range_id": event.range_ids[0], "entries": event.entries}
    found: Sequence[Mapping[str, Any]] = event.facts.get("units") or [alone]
    return found


def _unit(number: int, facts: Mapping[str, Any], event: CallEnded) -> Call:
    parts = {**dict.fromkeys(CALL_PARTS, 0.0), **_inside(facts, float(facts.get("call_s", 0.0)))}
    return Call(
        "map",
        number,
        event.attempt,
        host=str(facts.get("host", "")),
        pid=int(facts.get("pid", 0)),
        entries=facts["entries"],
        began_at=event.at - sum(parts.values()),
        ended_at=event.at,
        seen_at=event.at,
        parts=parts,
        read_bytes=int(facts.get("read_bytes", 0)),
        fetched_bytes=int(facts.get("fetched_bytes", 0)),
        fetches=int(facts.get("fetches", 0)),
        result_bytes=int(facts.get("packed_bytes", 0)),
        peak_memory_mib=float(facts.get("peak_memory_mib", 0.0)),
        library_actions=int(facts.get("library_actions", 0)),
        cling_actions=int(facts.get("cling_actions", 0)),
    )


def _folds(event: Event) -> Iterator[_CallEvent]:
    """The end of a call in a round of the fold, as that of a reducer: each of them folds."""
    if isinstance(event, CallEnded):
        yield ReduceEnded(event.attempt, event.facts, event.status, at=event.at)
    elif isinstance(event, (CallFailed, ReduceEnded)):
        yield event


def _merging(event: FilesMerged) -> Iterator[Call]:
    """The calls that merged files; their reducer, which only says which there are, among them."""
    inner = Recorder(event.at - event.wall_s)
    for each in event.events:
        inner(each)
    for number, call in enumerate(inner.calls()):
        yield replace(call, stage="files", call_id=number)


def _calls(began_at: float, attempts: list[AttemptBegan], ends: list[tuple[_CallEvent, int]]) -> Iterator[Call]:
    """What each call did, in the order in which their ends were seen."""
    submitted = {one.number: one.at - one.submit_s for one in attempts}
    first = _first_of_each_process(ends)
    over_at = -math.inf
    reducers = itertools.count()
    for event, result_bytes in ends:
        facts = event.facts  # what was said of this call, in its task or by the ROOT process
        could_begin = submitted.get(event.attempt, began_at)
        if isinstance(event, ReduceEnded):  # it may be queued long before its partials are there, and is not late then
            could_begin = max(could_begin, over_at)
        is_first = event.status.get(_TIMES[0]) == first.get(_process(event))
        call = replace(_measured(event.status, facts, could_begin, event.at, is_first), attempt=event.attempt)
        if isinstance(event, ReduceEnded):
            yield replace(call, stage="reduce", call_id=next(reducers))
        elif isinstance(event, CallFailed):
            yield replace(call, call_id=event.call_id, outcome=event.kind, why=event.why)
        else:
            over_at = max(over_at, call.ended_at)
            found = replace(call, call_id=event.call_id, ranges=len(event.range_ids), entries=event.entries)
            yield replace(found, result_bytes=result_bytes)


def _process(event: _CallEvent) -> tuple[Any, ...]:
    return event.facts.get("host"), event.facts.get("process")


def _first_of_each_process(ends: list[tuple[_CallEvent, int]]) -> dict[tuple[Any, ...], float]:
    """When each worker process began its first call: the later ones did not wait for it to start, but for each other."""
    first: dict[tuple[Any, ...], float] = {}
    for event, _ in ends:
        began = event.status.get(_TIMES[0])
        if began:
            first[_process(event)] = min(first.get(_process(event), math.inf), began)
    return first


def _measured(status: dict[str, Any], facts: Mapping[str, Any], submitted_at: float, seen_at: float, is_first: bool) -> Call:
    """A call's times, cut into parts, from what Lithops noted (``status``) and the ROOT process (``facts``)."""
    noted = [float(status.get(name) or 0.0) for name in _TIMES]
    if not (noted[0] and noted[3]):
        return Call("map", 0, 0, submitted_at=submitted_at, seen_at=seen_at, parts={"other": seen_at - submitted_at})
    invoked_at = float(facts.get("invoked_at") or 0.0)
    if 0 < invoked_at < noted[0]:  # the entry point was called before Lithops looked at the clock
        noted[0] = invoked_at
    shift = _shift(noted[0], noted[3], submitted_at, seen_at)
    began, function, done, ended = (_between(at + shift, submitted_at, seen_at) for at in _in_order(noted))
    process_at = float(facts.get("process_at") or 0.0) + shift
    cold = is_first and submitted_at < process_at <= function
    queued_until = process_at if cold else began
    parts = {
        "queue": queued_until - submitted_at,
        "cold start": function - queued_until,
        **_inside(facts, done - function),
        "upload": ended - done,
        "wait": seen_at - ended,
    }
    return Call(
        "map",
        0,
        0,
        host=str(facts.get("host", "")),
        pid=int(facts.get("pid", 0)),
        submitted_at=submitted_at,
        began_at=min(began, queued_until),
        ended_at=ended,
        seen_at=seen_at,
        parts={name: parts[name] for name in CALL_PARTS},
        cold=cold,
        restored=bool(facts.get("restored")),
        read_bytes=int(facts.get("read_bytes", 0)),
        fetched_bytes=int(facts.get("fetched_bytes", 0)),
        fetches=int(facts.get("fetches", 0)),
        peak_memory_mib=float(facts.get("peak_memory_mib", 0.0)),
        library_actions=int(facts.get("library_actions", 0)),
        cling_actions=int(facts.get("cling_actions", 0)),
        clock_shift_s=shift,
    )


def _in_order(noted: list[float]) -> list[float]:
    """The four times, none before that which it follows; a function that did not begin, or end, did at the worker's end."""
    began, function, done, ended = noted
    return list(itertools.accumulate((began, function or ended, done or ended, ended), max))


def _shift(began: float, ended: float, low: float, high: float) -> float:
    """The smallest change of a worker's clock that puts its times between the driver's; 0 where they fit already."""
    if began >= low and ended <= high:
        return 0.0
    if ended - began >= high - low:
        return low - began
    return low - began if began < low else high - ended


def _between(at: float, low: float, high: float) -> float:
    return min(max(at, low), high)


def _inside(facts: Mapping[str, Any], time_s: float) -> dict[str, float]:
    """The function's time by part: as the stopwatch has it, the rest as ``other``; never more than there was."""
    parts = {part: sum(float(facts.get(name, 0.0)) for name in names) for part, names in _FUNCTION.items()}
    counted = sum(parts.values())
    if counted > time_s:  # two clocks, rounded
        parts = {part: seconds * time_s / counted for part, seconds in parts.items()}
        counted = time_s
    return {**parts, "other": time_s - counted}


def _path(began_at: float, ended_at: float, attempts: list[AttemptBegan], calls: tuple[Call, ...]) -> dict[str, float]:
    """The wall time along the critical path: driver, the call that ended last (whichever attempt, or backup, it was of),
    reducer, driver."""
    if not attempts:
        return {"prepare": ended_at - began_at}
    first, last = attempts[0], attempts[-1]
    maps = [call for call in calls if call.stage == "map" and call.ended_at]
    if any(call.stage == "reduce" and call.outcome == "ok" for call in calls):  # what failed before was made up for
        maps = [call for call in maps if call.outcome == "ok"]
    slowest = max(maps, key=lambda call: call.ended_at, default=None)
    of_slowest = next((one for one in attempts if slowest is not None and one.number == slowest.attempt), last)
    submitting = of_slowest.at - of_slowest.submit_s
    path = {"prepare": first.at - first.submit_s - began_at, "retries": submitting - (first.at - first.submit_s)}
    if slowest is None:
        return {**path, "submit": last.submit_s, "other": ended_at - last.at}
    return {**path, **_through(slowest, of_slowest), **_after(slowest, ended_at, calls)}


def _through(slowest: Call, last: AttemptBegan) -> dict[str, float]:
    """From the begin of the last submission to the end of its slowest call."""
    parts = {name: seconds for name, seconds in slowest.parts.items() if name != "wait"}
    submit_s = min(last.submit_s, parts.get("queue", 0.0))  # calls begin to run while others are still submitted
    return {**parts, "submit": submit_s, "queue": parts.get("queue", 0.0) - submit_s}


def _after(slowest: Call, ended_at: float, calls: tuple[Call, ...]) -> dict[str, float]:
    """From the end of the slowest call to the result: the reducers', the wait for the last one, the driver."""
    reduces = [call for call in calls if call.stage == "reduce" and call.outcome == "ok"]
    if not reduces:
        return {"wait": ended_at - slowest.ended_at}
    end = max(reduces, key=lambda call: call.seen_at)
    reduced_at = max(end.ended_at or end.seen_at, slowest.ended_at)
    seen_at = max(end.seen_at, reduced_at)
    return {"reduce": reduced_at - slowest.ended_at, "wait": seen_at - reduced_at, "deliver": ended_at - seen_at}


def _library(made: LibraryMade) -> str:
    """What was compiled before the calls, which would have compiled it themselves."""
    what = (
        f"{made.lines} instantiations were compiled into a library before the calls began"
        if made.lines
        else "no library was made"
    )
    return f"{what}, in {made.seconds:.1f} s"


def _notes(calls: Iterable[Call], taken_up: int) -> Iterable[str]:
    if taken_up:
        yield f"{taken_up} calls are not in these figures: their partials are of a run whose driver was killed"
    shifts = [call.clock_shift_s for call in calls if abs(call.clock_shift_s) > 0.01]
    if shifts:
        most = max(map(abs, shifts))
        yield f"clocks of workers differ from this machine's by {most:.2f} s or more: their times were shifted to fit"
    silent = sum(not call.ended_at for call in calls)
    if silent:
        yield f"{silent} calls ended without saying when they ran: they may be billed and are not in the GB-s"
