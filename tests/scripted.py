"""Events of a run that never took place, at times that a test chooses: what consumers of events are tested with."""

from __future__ import annotations

from typing import Any

from rdf_lithops.planning.plans import Plan
from rdf_lithops.reporting import Recorder, Report
from rdf_lithops.run.events import AttemptBegan, CallEnded, Event, ReduceEnded, RunBegan, RunEnded
from rdf_lithops.worker.fold_task import ReduceTask
from rdf_lithops.worker.surroundings import Surroundings
from rdf_lithops.worker.task import MapTask

BEGAN = 1_800_000_000.0  # when the user asked for the result
FACTS = {
    "initialise_s": 0.3,
    "payload_s": 0.1,
    "graph_s": 0.05,
    "compile_s": 0.6,
    "open_s": 0.02,
    "read_s": 0.2,
    "decompress_s": 0.1,
    "loop_s": 0.5,
    "merge_s": 0.03,
    "serialise_s": 0.05,
    "read_bytes": 1000,
    "peak_memory_mib": 500.0,
    "host": "there",
    "process_at": 0.0,
}


def plan(calls: int, entries: int | None = None) -> Plan:
    """A plan of one range per call, of ``entries`` entries each."""
    ranges = [{"id": i, "kind": "files", **({} if entries is None else {"entries": entries})} for i in range(calls)]
    iterdata = [{"call": {"id": plain["id"], "ranges": [plain]}} for plain in ranges]
    surroundings = Surroundings(cwd="/", payload={}, initialisation=b"")
    map_task = MapTask(b"", "", {}, 1, surroundings)
    return Plan(iterdata, map_task, ReduceTask(b"", tuple(range(calls)), surroundings), lambda data: None)


def status(*times: float) -> dict[str, Any]:
    """Lithops' note of when a worker began, its function began and ended, and the worker ended, after BEGAN."""
    names = ("worker_start_tstamp", "worker_func_start_tstamp", "worker_func_end_tstamp", "worker_end_tstamp")
    return {name: BEGAN + time for name, time in zip(names, times, strict=True)}


def ended(call_id: int, times: tuple[float, ...], seen: float, **facts: Any) -> CallEnded:
    """A call that delivered, with a stopwatch that covers all of its function but 0.05 s, if that took 2 s."""
    given = {**FACTS, **facts}
    return CallEnded(
        at=BEGAN + seen,
        call_id=call_id,
        attempt=given.pop("attempt", 1),
        range_ids=(call_id,),
        entries=given.pop("entries", 1000),
        facts=given,
        status=status(*times),
        partial=b"x" * given.pop("partial_bytes", 10),
    )


def reduced(times: tuple[float, ...], seen: float, attempt: int = 1) -> ReduceEnded:
    """A reducer that delivered."""
    return ReduceEnded(at=BEGAN + seen, attempt=attempt, facts={"fold_s": 0.1}, status=status(*times))


def quiet_run(calls: int = 3) -> list[Event]:
    """A run without trouble: prepared in 0.2 s, submitted in 0.3 s, calls of 2 s, a reducer, done after 4 s."""
    happened: list[Event] = [
        RunBegan(at=BEGAN + 0.2, plan=plan(calls, 1000), run_id="quiet"),
        AttemptBegan(at=BEGAN + 0.5, number=1, call_ids=tuple(range(calls)), submit_s=0.3),
    ]
    for i in range(calls):
        late = 0.1 * i
        happened.append(ended(i, (0.6 + late, 0.7 + late, 2.7 + late, 2.8 + late), 2.9 + late))
    last = 2.7 + 0.1 * calls
    happened.append(reduced((last + 0.1, last + 0.2, last + 0.35, last + 0.4), last + 0.5))
    return [*happened, RunEnded(at=BEGAN + last + 0.5, attempts=1, wall_s=last + 0.3)]


def report_of(events: list[Event], ended_s: float = 4.0, **known: Any) -> Report:
    """The report of a run with these events that ended ``ended_s`` after it was asked for."""
    recorder = Recorder(BEGAN)
    for event in events:
        recorder(event)
    return recorder.finish(BEGAN + ended_s, **{"place": "nowhere", **known})
