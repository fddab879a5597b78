"""Nothing lost, nothing hung: kill any process below the driver; the answer keeps its bits, or an error says why."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from chaos import family
from kinds import quickly
from test_warm import in_thread

import rdf_lithops
from rdf_lithops.executor import registry
from rdf_lithops.files import access
from rdf_lithops.options import Options
from rdf_lithops.planning.plans import Plan
from rdf_lithops.run import running
from rdf_lithops.run.events import CallBegan
from rdf_lithops.run.running import CallEnd
from rdf_lithops.travels.envelope import Envelope, pack
from rdf_lithops.worker.fold_task import ReduceTask
from rdf_lithops.worker.surroundings import Surroundings
from rdf_lithops.worker.task import MapTask

LIMIT_S = 60.0


@pytest.fixture(params=quickly([1, 2], 1), ids=["localhost-v1", "localhost-v2"])
def own_fexec(request: pytest.FixtureRequest) -> Iterator[lithops.FunctionExecutor]:
    """An executor of each version of Lithops' localhost backend, whose processes this test may kill."""
    config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": request.param}}
    executor = lithops.FunctionExecutor(config=config, log_level=None)
    yield executor
    executor.__exit__(None, None, None)


def slow_sum(fexec: lithops.FunctionExecutor, calls: int = 4, milliseconds: int = 40) -> Any:
    """A float sum whose last digits depend on the order of folding; each of 40 entries takes some milliseconds."""
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=calls, options=Options(ranges_per_call=1, beat_s=0.1))
    return frame.Define("x", f"gSystem->Sleep({milliseconds}); return 1.0 / (3.0 + rdfentry_);").Sum("x")


def processes(fexec: lithops.FunctionExecutor, words: tuple[str, ...], leaf: bool) -> list[psutil.Process]:
    """Processes of this executor that have all ``words`` in their command line; the leaves of them, or the roots."""
    folder = registry.session_of(fexec).processes.warm_folder
    found = []
    for process in psutil.process_iter(["cmdline"]):
        text = " ".join(process.info["cmdline"] or [])
        if folder in text and all(word in text for word in words):
            found.append(process)
    if leaf is None:
        preloaded = registry.session_of(fexec).processes.prefork
        return [process for process in found if preloaded is not None and process.ppid() == preloaded.pid]
    parents = {process.ppid() for process in found if process.is_running()}
    return [process for process in found if (process.pid not in parents) == leaf]


VICTIMS = {
    "task": (("rdf_lithops.worker.start.prefork",), True),  # Lithops' process for one call, a fork of the preloaded Python
    "job": (("rdf_lithops.worker.start.prefork",), None),  # that of a job, which has forked those of its calls
    "preloaded Python": (("rdf_lithops.worker.start.prefork",), False),
    "slot": (("rdf_lithops.worker.root.parent",), True),
    "parent": (("rdf_lithops.worker.root.parent",), False),
}


@pytest.mark.parametrize("victim", quickly(VICTIMS, "task", "slot", "parent"))
def test_killed_process_costs_time_alone(own_fexec: lithops.FunctionExecutor, victim: str) -> None:
    """SIGKILL of one process of each kind in mid-run: the same bits as undisturbed, within the time limit."""
    expected = slow_sum(own_fexec, milliseconds=0).GetValue()
    query, began = slow_sum(own_fexec), threading.Event()
    query.proxied_node.get_head().backend.consumers = (lambda event: began.set() if isinstance(event, CallBegan) else None,)
    thread, outcome = in_thread(query)
    assert began.wait(LIMIT_S)
    until, killed = time.monotonic() + LIMIT_S, None
    while thread.is_alive() and killed is None and time.monotonic() < until:
        for process in processes(own_fexec, *VICTIMS[victim])[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
                killed = process
        time.sleep(0.005)
    thread.join(LIMIT_S)
    assert not thread.is_alive(), "the query hangs"
    assert killed is not None
    assert {"value": expected} == outcome
    assert 100 == ROOT.RDataFrame(100, executor=own_fexec).Count().GetValue()


def test_nothing_of_a_killed_job_goes_on(own_fexec: lithops.FunctionExecutor) -> None:
    """When the process that started a job's workers is killed, they end with it: no call begins, no object is written."""
    assert 40 == ROOT.RDataFrame(40, executor=own_fexec).Count().GetValue()
    options = Options(ranges_per_call=1, beat_s=2.0)  # what looks for its job at each beat alone would write after the run
    frame = ROOT.RDataFrame(40, executor=own_fexec, npartitions=8, options=options)
    query = frame.Define("x", "gSystem->Sleep(40); return 1.0;").Sum("x")
    workers: list[psutil.Process] = []

    def kill_once_there() -> None:
        preloaded = psutil.Process(registry.session_of(own_fexec).processes.prefork.pid)  # type: ignore[union-attr]
        until = time.monotonic() + LIMIT_S
        while len(workers) < 4 and time.monotonic() < until:
            workers[:] = preloaded.children(recursive=True)
            time.sleep(0.01)
        preloaded.kill()

    killer = threading.Thread(target=kill_once_there)
    killer.start()
    assert 40.0 == query.GetValue()
    killer.join()
    assert workers
    assert [] == psutil.wait_procs(workers, LIMIT_S)[1]
    until = time.monotonic() + 10
    while (left := family.left_in_storage(own_fexec)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [] == [name for name in left if own_fexec.executor_id in name]


def test_user_failure_is_not_tried_again(own_fexec: lithops.FunctionExecutor, tmp_path: Any) -> None:
    """A C++ exception is raised after one attempt: each range ran at most once."""
    mark = tmp_path / "ran"
    code = f'std::ofstream("{mark}", std::ios::app) << "x"; throw std::runtime_error("on purpose"); return 1;'
    frame = ROOT.RDataFrame(2, executor=own_fexec, npartitions=2).Define("x", code)
    with pytest.raises(rdf_lithops.RangeError, match="on purpose"):
        frame.Sum("x").GetValue()
    assert len(mark.read_text()) <= 2


def test_deadline_is_an_error_that_says_so(own_fexec: lithops.FunctionExecutor) -> None:
    """A run past its deadline ends in an error that names the calls, and the next query works."""
    options = Options(deadline_s=1.0)
    frame = ROOT.RDataFrame(2, executor=own_fexec, npartitions=2, options=options)
    with pytest.raises(rdf_lithops.RunError, match="deadline"):
        frame.Define("x", "gSystem->Sleep(30000); return 1;").Sum("x").GetValue()
    assert 100 == ROOT.RDataFrame(100, executor=own_fexec).Count().GetValue()


# -- the logic of attempts, without a backend --------------------------------------------------------------------------

SURROUNDINGS = Surroundings(cwd="/", payload={}, initialisation=b"")


def partial(range_id: int, error: dict[str, Any] | None = None) -> bytes:
    """What a call of one range hands back."""
    return pack(Envelope((range_id,), 1, "6", b"" if error else b"partial", error))


def made_plan(calls: int) -> Plan:
    """A plan of ``calls`` calls of one range each."""
    iterdata = [{"call": {"id": i, "ranges": [{"id": i}]}} for i in range(calls)]
    map_task = MapTask(b"", "", {}, 1, SURROUNDINGS)
    return Plan(iterdata, map_task, ReduceTask(b"", tuple(range(calls)), SURROUNDINGS), lambda data: None)


class Scripted:
    """A submission whose calls end as a script says; records which calls each attempt was given."""

    poll_s = 0.0
    job_key = "scripted"
    is_deaf = False
    holds_reducer = False

    def __init__(self, script: dict[int, list[Any]]) -> None:
        self.script, self.attempts, self.kept = script, [], []
        self.cancelled, self.forgotten = 0, 0

    def __call__(self, part: Plan) -> Scripted:
        self.calls = [item["call"]["id"] for item in part.iterdata]
        self.attempts.append(self.calls)
        self.kept.append(len(part.reduce_task.kept))
        self.ends = {}
        for position, call_id in enumerate(self.calls):
            what = self.script.get(call_id, []).pop(0) if self.script.get(call_id) else partial(call_id)
            if what != "lost":
                self.ends[position] = what if isinstance(what, CallEnd) else CallEnd(what)
        return self

    def map_ends(self) -> dict[int, CallEnd]:
        ends, self.ends = self.ends, {}
        self.told = {**getattr(self, "told", {}), **{self.calls[i]: end for i, end in ends.items()}}
        return ends

    def beats(self) -> dict[int, dict[str, Any]]:
        return {}

    def begun(self) -> set[int]:
        return set()

    def queued(self) -> set[int]:
        return set()

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        pass

    def lost(self) -> set[int]:
        return {i for i, call_id in enumerate(self.calls) if call_id not in self.told}

    def reduce_end(self) -> CallEnd | None:
        known = getattr(self, "told", {})
        good = [call_id for call_id in self.calls if call_id in known and known[call_id].data == partial(call_id)]
        everything = tuple(range(self.total))
        return CallEnd(pack(Envelope(everything, self.total, "6", b"merged"))) if good == self.calls else None

    def reduce_beat(self) -> int | None:
        return None

    def reduce_lost(self) -> bool:
        return False

    def cancel(self, error: BaseException) -> None:
        self.cancelled += 1

    def forget(self) -> None:
        self.forgotten += 1
        self.told: dict[int, CallEnd] = {}


def scripted_run(calls: int, script: dict[int, list[Any]], attempts: int = 3) -> tuple[Scripted, running.Outcome]:
    """Run a scripted plan to its outcome."""
    submission = Scripted(script)
    submission.total = calls
    return submission, running.run(submission, made_plan(calls), Options(attempts=attempts, progress=False))


def test_only_what_is_missing_runs_again() -> None:
    """A killed, a lost and a damaged call are repeated, and nothing else; the others' partials are kept for the fold."""
    damaged = CallEnd(partial(3)[:-1])
    submission, outcome = scripted_run(5, {1: [CallEnd(why="killed")], 2: ["lost"], 3: [damaged]})
    assert [[0, 1, 2, 3, 4], [1, 2, 3]] == submission.attempts
    assert [0, 2] == submission.kept
    assert b"merged" == outcome.envelope.body
    assert (2, 3) == (outcome.attempts, outcome.repeated_calls)


def test_a_broken_read_of_a_remote_file_runs_again(tmp_path: Path) -> None:
    """What ROOT says when a file breaks off in the middle of its loop is no failure of the user's where a file is remote."""
    names = [str(tmp_path / f"{i}.root") for i in range(2)]
    for name in names:
        ROOT.RDataFrame(10).Define("x", "1").Snapshot("t", name)
    chained = ROOT.RDataFrame("t", names).Sum("x")
    os.unlink(names[1])
    with pytest.raises(Exception, match="TTreeReader status") as caught:
        chained.GetValue()
    assert access.broken_off(names, str(caught.value)) is None
    broken = access.broken_off([names[0], "root://somewhere//2.root"], str(caught.value))
    assert broken is not None and "root://somewhere//2.root" == broken["url"]
    error = {"kind": "transfer", "message": broken["why"]}
    submission, outcome = scripted_run(2, {1: [partial(1, error)]})
    assert ([[0, 1], [1]], b"merged") == (submission.attempts, outcome.envelope.body)


def test_poison_range_is_named() -> None:
    """A range that fails in every attempt ends the run with an error that names it and says why."""
    crash = partial(1, {"kind": "died", "message": "killed by SIGSEGV", "log_tail": "segfault here"})
    with pytest.raises(rdf_lithops.LostRangesError, match=r"ranges \[1\] gave no result in 3 attempts") as caught:
        scripted_run(3, {1: [crash] * 3})
    assert (1,) == caught.value.range_ids
    assert "SIGSEGV" in caught.value.why
    assert "segfault here" in str(caught.value)


def test_final_failure_ends_the_run_and_cancels_the_rest() -> None:
    """A failure of the user's graph is handed back after one attempt, and what still runs is stopped."""
    failure = partial(0, {"kind": "range", "message": "no column x"})
    submission, outcome = scripted_run(3, {0: [failure], 2: ["lost"]})
    assert outcome.envelope.error is not None
    assert 1 == len(submission.attempts) == submission.cancelled == submission.forgotten


def test_final_failure_that_is_seen_late_is_final() -> None:
    """A failure that is read only after its job was found gone ends the run too: it is not mistaken for a lost call."""

    class Late(Scripted):
        looks = 0

        def map_ends(self) -> dict[int, CallEnd]:
            self.looks += 1
            return {} if self.looks == 1 else super().map_ends()

    submission = Late({0: [partial(0, {"kind": "range", "message": "no column x"})]})
    submission.told, submission.total = {}, 1
    outcome = running.run(submission, made_plan(1), Options(progress=False))
    assert outcome.envelope.error is not None
    assert [[0]] == submission.attempts


def test_attempts_are_limited() -> None:
    """attempts=1 means: no second try."""
    with pytest.raises(rdf_lithops.LostRangesError, match="in 1 attempts"):
        scripted_run(2, {0: ["lost"]}, attempts=1)
