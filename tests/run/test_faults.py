"""Every fault of the script, wherever it strikes: the bits are those of an undisturbed run, or an error says what happened.

It strikes in Lithops' process and in the warm ROOT process, in the map and in the reducer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from kinds import quickly

import rdf_lithops
from rdf_lithops.options import Options
from rdf_lithops.run.events import AttemptBegan, BackupStarted, CallFailed, Event, RunEnded

RANGES = 6
ENTRIES = 60
SLOW = pytest.mark.slow
WATCHFUL: dict[str, Any] = {"ranges_per_call": 2, "beat_s": 0.2, "silence_s": 3.0, "stall_s": 1.5, "backoff_s": 0.01}


@pytest.fixture(scope="module", params=quickly([1, 2], 1), ids=["localhost-v1", "localhost-v2"])
def own(request: pytest.FixtureRequest) -> Iterator[lithops.FunctionExecutor]:
    """An executor of each version of Lithops' localhost backend, which these tests may harm."""
    config = {
        "lithops": {"backend": "localhost", "storage": "localhost"},
        "localhost": {"version": request.param, "worker_processes": 3},
    }
    with lithops.FunctionExecutor(config=config, log_level=None) as executor:
        yield executor


def float_sum(executor: lithops.FunctionExecutor, heard: list[Event] | None = None, **options: Any) -> Any:
    """A sum whose last digits depend on how it is grouped."""
    chosen = Options(**{**WATCHFUL, **options})
    frame = ROOT.RDataFrame(ENTRIES, executor=executor, npartitions=RANGES, options=chosen)
    if heard is not None:
        frame._headnode.backend.consumers = (heard.append,)
    return frame.Define("x", "1.0 / (3.0 + rdfentry_)").Sum("x")


@pytest.fixture(scope="module")
def undisturbed(own: lithops.FunctionExecutor) -> float:
    """The answer of a run that nothing happens to."""
    return float(float_sum(own).GetValue())


def failures(heard: list[Event]) -> list[CallFailed]:
    """The calls that failed, in order."""
    return [event for event in heard if isinstance(event, CallFailed)]


MAP_FAULTS = [  # where, what, the kinds of failure that the driver may see
    *(("task", action, kinds) for action, kinds in {
        "raise": {"worker"},
        "throw": {"worker"},
        "exit": {"lost"},
        "kill": {"killed"},
        "segv": {"lost"},
        "allocate": {"memory"},
        "garbage": {"damaged"},
        "lose": {"lost"},
        "stop": {"lost"},
        "sleep": {"lost"},
    }.items()),
    *(("slot", action, kinds) for action, kinds in {
        "exit": {"died"},
        "kill": {"died", "memory"},
        "segv": {"died"},
        "allocate": {"memory"},
        "garbage": {"damaged"},
        "lose": {"died"},
        "stop": {"hung"},
        "sleep": {"hung"},
    }.items()),
]  # fmt: skip
REDUCER_FAULTS = ["raise", "throw", "exit", "kill", "segv", "allocate", "garbage", "lose", "sleep"]


@pytest.mark.parametrize(("where", "action", "kinds"), MAP_FAULTS, ids=[f"{w}-{a}" for w, a, _ in MAP_FAULTS])
def test_a_fault_in_the_map(
    own: lithops.FunctionExecutor, undisturbed: float, where: str, action: str, kinds: set[str]
) -> None:
    """The call that holds the range fails, of the kind that the fault is; a second attempt gives the same bits."""
    heard: list[Event] = []
    assert undisturbed == float_sum(own, heard, faults={where: {2: [action]}}).GetValue()
    failed = failures(heard)
    assert [1] == [event.call_id for event in failed]
    assert {event.kind for event in failed} <= kinds
    assert isinstance(heard[-1], RunEnded) and 2 == heard[-1].attempts


@pytest.mark.parametrize("where", ["reduce", "fold"])
@pytest.mark.parametrize("action", [*REDUCER_FAULTS, pytest.param("stop", marks=SLOW)])
def test_a_fault_in_the_reducer(own: lithops.FunctionExecutor, undisturbed: float, where: str, action: str) -> None:
    """The reducer runs again over kept partials and gives the same bits; at most one call runs again with it."""
    heard: list[Event] = []
    assert undisturbed == float_sum(own, heard, faults={where: [action]}).GetValue()
    first, second = [event for event in heard if isinstance(event, AttemptBegan)]
    assert (RANGES // 2, 1) == (len(first.call_ids), len(second.call_ids))
    assert [] == failures(heard)


@pytest.mark.parametrize("action", ["raise", "throw"])
def test_an_exception_in_a_range_is_the_users(own: lithops.FunctionExecutor, action: str) -> None:
    """What is raised where a range runs, in Python or in C++, is final: one attempt, and an error with its text."""
    heard: list[Event] = []
    with pytest.raises(rdf_lithops.RangeError, match=f"the fault script says {action}") as caught:
        float_sum(own, heard, faults={"slot": {2: [action]}}).GetValue()
    assert (2,) == caught.value.range_ids
    assert isinstance(heard[-1], RunEnded) and 1 == heard[-1].attempts


def test_a_poison_range_is_named(own: lithops.FunctionExecutor) -> None:
    """A range in which the ROOT process crashes three times ends the run, and the error names it alone."""
    with pytest.raises(rdf_lithops.LostRangesError, match="range 3 is poison") as caught:
        float_sum(own, faults={"slot": {3: ["segv", "segv", "segv"]}}, attempts=5).GetValue()
    assert (3,) == caught.value.range_ids
    assert "SIGSEGV" in caught.value.why
    assert "the fault script says segv" in caught.value.log_tail


def test_a_range_that_needs_too_much_memory_is_cut_in_two(own: lithops.FunctionExecutor) -> None:
    """A call without memory is divided into its ranges, then the range into halves; each entry counts once, every time."""
    answers = []
    for _ in range(2):
        heard: list[Event] = []
        query = float_sum(own, heard, faults={"slot": {2: ["allocate", "allocate"]}}, attempts=4)
        answers.append(query.GetValue())
        calls = [len(event.call_ids) for event in heard if isinstance(event, AttemptBegan)]
        assert [3, 2, 2] == calls
    assert answers[0] == answers[1]
    assert sum(1.0 / (3.0 + entry) for entry in range(ENTRIES)) == pytest.approx(answers[0], rel=1e-12)


def test_a_call_that_is_divided_keeps_its_bits(own: lithops.FunctionExecutor, undisturbed: float) -> None:
    """Ranges that run one by one are folded as the plan has them, so the answer is that of the undisturbed run."""
    heard: list[Event] = []
    assert undisturbed == float_sum(own, heard, faults={"slot": {0: ["allocate"], 5: ["allocate"]}}).GetValue()
    assert [3, 4] == [len(event.call_ids) for event in heard if isinstance(event, AttemptBegan)]


def test_attempts_that_are_used_up(own: lithops.FunctionExecutor) -> None:
    """A call that is killed in every attempt ends the run with an error that names its ranges and says why."""
    with pytest.raises(rdf_lithops.LostRangesError, match=r"ranges \[2, 3\] gave no result in 2 attempts") as caught:
        float_sum(own, faults={"task": {2: ["exit", "exit", "exit"]}}, attempts=2).GetValue()
    assert "exited with code 7" in caught.value.why


@pytest.mark.parametrize("where", ["task", "slot", "reduce", "fold"])
def test_what_is_delivered_twice(own: lithops.FunctionExecutor, undisturbed: float, where: str) -> None:
    """A call that runs and delivers two times, or an answer of a ROOT process that comes two times, changes nothing."""
    heard: list[Event] = []
    script = {where: {2: ["twice"]} if where in ("task", "slot") else ["twice"]}
    assert undisturbed == float_sum(own, heard, faults=script).GetValue()
    assert [] == failures(heard)
    assert isinstance(heard[-1], RunEnded) and 1 == heard[-1].attempts


def test_a_partial_that_is_delivered_twice_counts_once(own: lithops.FunctionExecutor, undisturbed: float) -> None:
    """A backend that runs a call twice, as AWS may, changes nothing."""
    query = float_sum(own)
    plan = rdf_lithops.plan(query)
    futures = own.map_reduce(plan.map_task, [*plan.iterdata, plan.iterdata[1]], plan.reduce_task)
    plan.deliver(own.get_result(futures))
    assert undisturbed == query.GetValue()


@pytest.mark.parametrize("name", ["status.json", "output.pickle"])
def test_an_object_that_gets_lost(own: lithops.FunctionExecutor, undisturbed: float, name: str, tmp_path: Path) -> None:
    """A call whose status or output disappears from the storage is noticed, whoever has read it by then."""
    folder = Path(lithops.constants.LITHOPS_TEMP_DIR) / own.storage.bucket / lithops.constants.JOBS_PREFIX
    before = {path.name for path in folder.iterdir()}
    over, lost = threading.Event(), []

    def lose() -> None:
        while not over.wait(0.0005) and not lost:
            for path in folder.glob(f"*-M*/00001/{name}"):
                if path.parent.parent.name not in before:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                        lost.append(path)

    thread = threading.Thread(target=lose)
    thread.start()
    try:
        frame = ROOT.RDataFrame(ENTRIES, executor=own, npartitions=RANGES, options=Options(**WATCHFUL))
        wide = frame.Define("x", "1.0 / (3.0 + rdfentry_)")
        booked = wide.Sum("x"), wide.Histo1D(("h", "", 4000, 0.0, 1.0), "x")  # too large to travel in the status
        assert undisturbed == booked[0].GetValue()
        assert ENTRIES == booked[1].GetEntries()
    finally:
        over.set()
        thread.join(10)
    assert lost


def test_a_straggler_gets_a_backup(own: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """A call that sleeps while the others are done is run a second time, and nothing waits for the sleeper."""
    if 1 == own.config["localhost"].get("version"):
        pytest.skip("version 1 of Lithops' localhost backend runs one job at a time")
    mark = tmp_path / "slept"
    code = f"""
        if (rdfentry_ == 59 && gSystem->AccessPathName("{mark}")) {{ std::ofstream("{mark}") << 1; gSystem->Sleep(120000); }}
        return 1.0;
    """
    heard: list[Event] = []
    options = Options(ranges_per_call=1, backups=True, beat_s=0.2, deadline_s=100)
    frame = ROOT.RDataFrame(ENTRIES, executor=own, npartitions=RANGES, options=options)
    frame._headnode.backend.consumers = (heard.append,)
    began = time.monotonic()
    assert ENTRIES == frame.Define("x", code).Sum("x").GetValue()
    assert time.monotonic() - began < 100
    assert [(5,)] == [event.call_ids for event in heard if isinstance(event, BackupStarted)]
