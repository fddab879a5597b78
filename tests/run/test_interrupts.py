"""Ctrl-C and RunGraphs: all graphs end, nothing is submitted after the press, and nothing of them goes on or stays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from chaos import family
from conftest import CAPTURED
from kinds import quickly
from test_cleaning import of_runs, processes_in
from test_warm import in_thread
from waiting import until

import rdf_lithops
from rdf_lithops.compiled import signals
from rdf_lithops.dataset import survey
from rdf_lithops.executor import releasing
from rdf_lithops.frame import schema
from rdf_lithops.run import interrupts
from rdf_lithops.run.events import AttemptBegan, CallBegan, Event, RunBegan, RunEnded

LIMIT_S = 60.0


def press() -> None:
    """What a terminal does."""
    os.kill(os.getpid(), signal.SIGINT)


def test_all_tasks_end() -> None:
    """One press ends everything that runs at once; it comes back when all has ended, and what waits does not begin."""
    together, seen = threading.Barrier(3), list[str]()

    def task() -> None:
        together.wait(LIMIT_S)
        try:
            while True:
                interrupts.check()
        except KeyboardInterrupt:
            seen.append("ended")
            raise

    def presses() -> None:
        together.wait(LIMIT_S)
        press()
        task_ended.wait(LIMIT_S)

    task_ended = threading.Event()
    threading.Timer(0.0, lambda: (until(lambda: 2 == len(seen)), task_ended.set())).start()
    with pytest.raises(KeyboardInterrupt):
        interrupts.at_once([task, task, presses])
    assert ["ended", "ended"] == seen
    interrupts.check()


def test_a_second_press_is_not_waited_for() -> None:
    """Where a task does not end at the first press, because it is in the middle of something, the second one leaves it."""
    release, ended = threading.Event(), threading.Event()

    def stubborn() -> None:
        press()
        seen = threading.Event()
        while not seen.wait(0.01):
            try:
                interrupts.check()
            except KeyboardInterrupt:
                seen.set()
        press()
        assert release.wait(LIMIT_S)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        interrupts.at_once([stubborn])
    assert not ended.is_set()
    release.set()
    assert ended.wait(LIMIT_S)


def test_failures_come_back_as_they_are() -> None:
    """Without a press each task's result, or what it raised, is in its place."""
    done, failed = interrupts.at_once([lambda: 1, lambda: [].pop()])  # type: ignore[misc]
    assert 1 == done.result()
    assert isinstance(failed.exception(), IndexError)


def slow_graphs(executor: lithops.FunctionExecutor, consumer: Any, graphs: int = 3) -> list[Any]:
    """Booked sums, each of which takes minutes."""
    booked = []
    for _ in range(graphs):
        frame = ROOT.RDataFrame(20, executor=executor, npartitions=2, options={"beat_s": 0.1, "ranges_per_call": 1})
        frame._headnode.backend.consumers = (consumer,)
        booked.append(frame.Define("x", "gSystem->Sleep(20000); return 1;").Sum("x"))
    return booked


def test_a_press_that_is_held() -> None:
    """Ctrl-C ends nothing in the middle of what must not be interrupted, and what comes after it at once."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        with signals.held():
            press()
            done.append("held")
        done.append("after")
    assert ["held"] == done


def test_a_press_while_the_program_ends() -> None:
    """What an executor leaves is removed to its end, and Python has nothing to say of the press."""
    done: list[str] = []

    class Executor:
        def _clean_at_exit(self) -> None:
            done.append("Lithops")

    def close() -> None:
        press()
        done.append("closed")

    executor = Executor()
    releasing._end(os.getpid(), weakref.ref(executor), close, lambda _: done.append("handed back"))
    assert ["closed", "handed back", "Lithops"] == done


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("module", [schema, survey])
def test_a_press_while_c_calls_python(module: Any, is_heard: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a file's tree is looked at is not dropped, in a run or before it, and nothing is made of half a look."""
    path = str(tmp_path / "one.root")
    ROOT.RDataFrame(3).Define("x", "1.0").Snapshot("t", path)
    look = {
        schema: lambda: schema.look(path, "t", ["x"], False),
        survey: lambda: survey.read_layouts([path], ["t"], frozenset({"x"}), False),
    }[module]
    schema.prepare()
    survey._surveyor(False)
    kind = module._GIVE

    def pressing(take: Any) -> Any:
        return kind(lambda *told: (press(), take(*told))[0])

    monkeypatch.setattr(module, "_GIVE", pressing)
    with pytest.raises(KeyboardInterrupt), interrupts.heard() if is_heard else contextlib.nullcontext():
        look()


@pytest.mark.parametrize("version", quickly([1, 2], 1))
@pytest.mark.parametrize(
    "moment", [CallBegan, *(pytest.param(moment, marks=pytest.mark.slow) for moment in (RunBegan, AttemptBegan))]
)
def test_run_graphs_is_interrupted(version: int, moment: type) -> None:
    """The press meets graphs that run, are prepared or are submitted: all end with it, and the next query works."""
    heard: list[Event] = []
    pressed = threading.Event()

    def hear(event: Event) -> None:
        heard.append(event)
        if isinstance(event, moment) and not pressed.is_set():
            pressed.set()
            press()

    with family.executor(version) as executor:
        assert 10 == ROOT.RDataFrame(10, executor=executor).Count().GetValue()
        with pytest.raises(KeyboardInterrupt):
            ROOT.RDF.RunGraphs(slow_graphs(executor, hear))
        assert pressed.is_set()
        jobs = executor.total_jobs
        began = sum(isinstance(event, RunBegan) for event in heard)
        assert began == sum(isinstance(event, RunEnded) for event in heard), "a run goes on after RunGraphs has come back"
        assert began >= sum(isinstance(event, AttemptBegan) for event in heard)
        assert 10 == ROOT.RDataFrame(10, executor=executor).Count().GetValue()
        assert jobs + 1 == executor.total_jobs
        assert until(lambda: not [key for key in family.left_in_storage(executor) if executor.executor_id in key])


def test_a_run_in_another_thread_ends_with_its_executor(tmp_path: Path) -> None:
    """When Ctrl-C has left the executor's block, runs of other threads end too, and are not tried again."""
    heard: list[Event] = []
    began = threading.Event()

    def hear(event: Event) -> None:
        heard.append(event)
        if isinstance(event, CallBegan):
            began.set()

    executor = family.executor(2)
    with executor:
        thread, outcome = in_thread(slow_graphs(executor, hear, graphs=1)[0])
        assert began.wait(LIMIT_S)
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert isinstance(outcome["error"], rdf_lithops.PlanError) and "was closed" in str(outcome["error"])
    assert 1 == sum(isinstance(event, AttemptBegan) for event in heard)


PROGRAM = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
import lithops, ROOT, rdf_lithops
from rdf_lithops.run.events import AttemptBegan, CallBegan
from test_interrupts import slow_graphs
from chaos import family

pressed = threading.Event()
def hear(event):
    if isinstance(event, AttemptBegan):
        print("attempt", event.number, "after the press" if pressed.is_set() else "", flush=True)
    if isinstance(event, CallBegan) and not pressed.is_set():
        pressed.set()
        os.kill(os.getpid(), signal.SIGINT)

with family.executor(int(sys.argv[1])) as fexec:
    ROOT.RDF.RunGraphs(slow_graphs(fexec, hear, graphs=2))
"""


def test_a_program_of_graphs_ends(tmp_path: Path) -> None:
    """A whole program ends with KeyboardInterrupt, and no attempt follows, nor does a process, object or folder stay."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("PYTEST_XDIST_WORKER", None)  # conftest, which the program imports, would move it elsewhere half-way
    (tmp_path / "tmp").mkdir()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, "2"], env=environment, cwd=tmp_path, **CAPTURED)
    assert "KeyboardInterrupt" == done.stderr.splitlines()[-1], done.stderr
    assert 0 != done.returncode
    assert "attempt 1" in done.stdout and "after" not in done.stdout and "attempt 2" not in done.stdout
    assert "attempt 1 of" not in done.stderr
    assert until(lambda: not processes_in(tmp_path / "tmp"))
    assert [] == of_runs(tmp_path / "tmp")
