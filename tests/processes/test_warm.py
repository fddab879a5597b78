"""The warm ROOT process: compiled once, one payload each, killed and restarted, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from kinds import quickly
from ROOT._distrdf.Backends.Base import BaseBackend
from waiting import until

import rdf_lithops
from rdf_lithops.executor import registry, run_folders, submission
from rdf_lithops.executor.payload import Payload
from rdf_lithops.processes import warm
from rdf_lithops.run import running
from rdf_lithops.run.events import CallEnded
from rdf_lithops.travels.envelope import pack, unpack

CONFIG = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
LIMIT_S = 30.0


@pytest.fixture
def own_fexec() -> Iterator[lithops.FunctionExecutor]:
    """An executor whose processes this test may kill."""
    executor = lithops.FunctionExecutor(config=CONFIG, log_level=None)
    yield executor
    executor.__exit__(None, None, None)


def root_processes(fexec: lithops.FunctionExecutor) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The (parent, slots) of an executor's folder."""
    folder = registry.session_of(fexec).processes.warm_folder
    found = {}  # by number, with the number of whoever forked it: numbers begin anew now and then, and say nothing of age
    for process in psutil.process_iter(["cmdline", "ppid"]):
        command = process.info["cmdline"] or []
        if "rdf_lithops.worker.root.parent" in command and folder in command:
            found[process.pid] = process, process.info["ppid"]
    slots = [process for process, parent in found.values() if parent in found]
    return [process for process, parent in found.values() if parent not in found], slots


def working_slots(fexec: lithops.FunctionExecutor, before: dict[psutil.Process, float]) -> list[psutil.Process]:
    """The slots that have used CPU time since ``before``, which has what each had used."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [slot for slot in root_processes(fexec)[1] if slot.cpu_times().user > before.get(slot, 0.0) + 0.05]
    return []


def cmdline(process: psutil.Process) -> list[str]:
    """The command line of a process that may be gone."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def count(fexec: lithops.FunctionExecutor, entries: int = 1000) -> int:
    """The cheapest query there is."""
    return int(ROOT.RDataFrame(entries, executor=fexec, npartitions=2).Count().GetValue())


def busy(fexec: lithops.FunctionExecutor, milliseconds: int) -> Any:
    """A booked sum of 20 entries of which each takes that long, with a range for each of two calls.

    The file ``looping``, in the working folder, says that an event loop has begun.
    """
    code = f'std::ofstream("looping") << 1; gSystem->Sleep({milliseconds}); return 1.0;'
    return ROOT.RDataFrame(20, executor=fexec, npartitions=2).Define("x", code).Sum("x")


def in_thread(query: Any) -> tuple[threading.Thread, dict[str, Any]]:
    """Run ``query.GetValue()`` in a thread; its value or exception lands in the dictionary."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = query.GetValue()
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def finished(thread: threading.Thread) -> bool:
    """Whether a query ends, in its thread."""
    thread.join(LIMIT_S)
    return not thread.is_alive()


def facts_of(node: Any, fexec: lithops.FunctionExecutor) -> list[dict[str, Any]]:
    """Run a plan by hand and return the facts of its calls."""
    plan = rdf_lithops.plan(node)
    options = rdf_lithops.Options()
    session = registry.session_of(fexec)
    told: list[Any] = []
    with run_folders.opened(session, Payload({}, b"", None)) as run_folder:
        outcome = running.run(
            lambda part: submission.submit(session, part, options, run_folder), plan, options, (told.append,)
        )
    plan.deliver(pack(outcome.envelope))
    return [dict(event.facts) for event in told if isinstance(event, CallEnded)]


def test_graph_compiles_once_per_slot(own_fexec: lithops.FunctionExecutor) -> None:
    """The same graph in new data frames is compiled by the first query alone, in processes that stay."""

    def query() -> Any:
        frame = ROOT.RDataFrame(1000, executor=own_fexec, npartitions=6)
        return frame.Define("x", "0.25 * rdfslot_ + 1.5").Filter("x > 1").Histo1D(("h", "", 10, 0.0, 2.0), "x")

    first, second = (facts_of(query(), own_fexec) for _ in range(2))
    assert {fact["pid"] for fact in second} <= {fact["pid"] for fact in first}  # one slot may be quick enough to serve all
    assert sum(fact["compile_s"] for fact in second) < 0.25 * sum(fact["compile_s"] for fact in first)


def test_changed_cut_compiles_again_and_gives_its_own_answer(own_fexec: lithops.FunctionExecutor) -> None:
    """A graph that differs in one number is another graph."""
    for cut in (10, 20, 10):
        frame = ROOT.RDataFrame(100, executor=own_fexec, npartitions=3)
        assert 100 - cut == frame.Filter(f"rdfentry_ >= {cut}").Count().GetValue()


def test_rewritten_file_is_not_read_through_an_old_graph(own_fexec: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """The same graph over the same path reads the new contents, of another type, once the file was rewritten."""
    path = str(tmp_path / "data.root")
    for code, expected in (("1.5f", 15.0), ("int(7)", 70.0)):
        ROOT.RDataFrame(10).Define("x", code).Snapshot("tree", path, ["x"])
        assert expected == ROOT.RDataFrame("tree", path, executor=own_fexec).Sum("x").GetValue()


@pytest.mark.slow
def test_payloads_do_not_share_a_process(own_fexec: lithops.FunctionExecutor, registries: Any) -> None:
    """Two values of one C++ function, declared one after the other, each give their own answer, and the first again."""
    del registries
    for value in (1, 2, 1):
        BaseBackend.strings_to_declare = {"f": f"int rdf_lithops_test_value() {{ return {value}; }}"}
        frame = ROOT.RDataFrame(10, executor=own_fexec, npartitions=2)
        job_frame = frame.Define("x", 'gInterpreter->ProcessLine("rdf_lithops_test_value();")')
        assert 10 * value == job_frame.Sum("x").GetValue()


@pytest.mark.parametrize("which", quickly(["slots", "parent"], "slots"))
def test_killed_while_idle(own_fexec: lithops.FunctionExecutor, which: str) -> None:
    """A ROOT process that was killed between two queries is replaced, unnoticed."""
    assert 1000 == count(own_fexec)
    parents, slots = root_processes(own_fexec)
    assert 1 == len(parents)
    assert slots
    for victim in slots if which == "slots" else parents:
        victim.kill()
    assert 500 == count(own_fexec, 500)
    assert 300 == count(own_fexec, 300)


@pytest.mark.parametrize("which", quickly(["parent", "prefork", "slots"], "slots"))
def test_stopped_while_idle(own_fexec: lithops.FunctionExecutor, which: str) -> None:
    """A process that somebody stops is ended by those who wait for it, and replaced; the answer is right."""
    assert 1000 == count(own_fexec)
    session = registry.session_of(own_fexec)
    assert session is not None and session.processes.prefork is not None
    parents, slots = root_processes(own_fexec)
    prefork = psutil.Process(session.processes.prefork.pid)
    victims = {"parent": parents, "prefork": [prefork], "slots": slots}[which]
    for victim in victims:
        victim.suspend()
    options = {"stall_s": 1.0, "beat_s": 0.1, "ranges_per_call": 1}
    frame = ROOT.RDataFrame(500, executor=own_fexec, npartitions=2, options=options)
    assert 500 == frame.Count().GetValue()
    assert until(lambda: all(is_gone(victim) for victim in victims)), "its end"
    assert 300 == count(own_fexec, 300)


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("which", quickly(["slots", "parent"], "slots"))
def test_killed_while_looping(own_fexec: lithops.FunctionExecutor, which: str) -> None:
    """A ROOT process killed in the event loop: the range runs again in another one; the answer is right."""
    assert 1000 == count(own_fexec)
    thread, outcome = in_thread(busy(own_fexec, 100))
    assert until(Path("looping").exists), "an event loop"
    parents, slots = root_processes(own_fexec)
    for victim in slots[:1] if which == "slots" else parents:
        victim.kill()
    assert finished(thread)
    assert {"value": 20.0} == outcome
    assert 1000 == count(own_fexec)


@pytest.mark.parametrize("how", quickly(["kill", "suspend"], "suspend"))
def test_killed_while_compiling(own_fexec: lithops.FunctionExecutor, how: str) -> None:
    """A ROOT process killed, or stopped, as soon as it got a graph, which it then is compiling: the answer is right. The
    driver has asked for it, and the calls, which wait for it, notice."""
    assert 1000 == count(own_fexec)
    before = {slot: slot.cpu_times().user for slot in root_processes(own_fexec)[1]}
    options = {"stall_s": 1.0, "beat_s": 0.1}
    frame = ROOT.RDataFrame(1000, executor=own_fexec, npartitions=2, options=options)
    for i in range(30):
        frame = frame.Define(f"x{i}", f"ROOT::RVecD(3, {i}.0 + rdfentry_)[1]")
    thread, outcome = in_thread(frame.Max("x29"))
    compiling = until(lambda: working_slots(own_fexec, before))
    assert compiling, "a slot that compiles"
    for slot in compiling:
        getattr(slot, how)()
    assert finished(thread)
    assert {"value": 1028.0} == outcome


def test_crashing_code_is_an_error_with_the_log(own_fexec: lithops.FunctionExecutor) -> None:
    """A segmentation fault in user code ends soon, in an error that names the signal; the next query works."""
    frame = ROOT.RDataFrame(10, executor=own_fexec, npartitions=2)
    crashing = frame.Define("x", 'std::cerr << "about to crash" << std::endl; return *(volatile int*)nullptr;').Sum("x")
    with pytest.raises(rdf_lithops.RunError, match="SIGSEGV") as caught:
        crashing.GetValue()
    assert "about to crash" in caught.value.log_tail
    assert 1000 == count(own_fexec)


def test_killed_driver_leaves_nothing(tmp_path: Path) -> None:
    """SIGKILL of the driver in mid-run: its ROOT processes, its preloaded Python and its folder are gone soon after."""
    program = f"""
import lithops, ROOT, rdf_lithops, sys
from rdf_lithops.executor import registry
if __name__ == "__main__":
    fexec = lithops.FunctionExecutor(config={CONFIG!r}, log_level=None)
    frame = ROOT.RDataFrame(20, executor=fexec, npartitions=2)
    query = frame.Define("x", "gSystem->Sleep(2000); return 1.0;").Sum("x")
    print(registry.session_of(fexec).processes.warm_folder, flush=True)
    query.GetValue()
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, text=True) as driver:
        assert driver.stdout is not None
        folder = driver.stdout.readline().strip()
        assert until(lambda: list(Path(folder).glob("slot-*.log"))), "a slot at work"
        driver.send_signal(signal.SIGKILL)
        driver.wait(LIMIT_S)

    def users() -> list[int]:
        return [p.pid for p in psutil.process_iter(["cmdline"]) if folder in (p.info["cmdline"] or [])]

    assert until(lambda: not users()), "the end of its processes"
    assert not os.path.exists(folder)


def test_process_that_nobody_holds_ends_when_idle(tmp_path: Path) -> None:
    """Where no driver holds it (a container that is reused), the ROOT process ends by itself after its idle limit."""
    folder = tmp_path / "meet"
    folder.mkdir(0o700)
    warm.start(str(folder), {"idle_limit_s": 1.0})
    assert until((folder / "root.sock").exists), "a listening process"
    assert until(lambda: not (folder / "root.sock").exists()), "the end of an idle process"
    warm.reap(str(folder))


def test_process_past_its_memory_limit_is_replaced() -> None:
    """A slot that has grown past the limit serves no second call."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        options = rdf_lithops.Options(memory_limit_mib=50.0)

        def pids() -> set[int]:
            frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2, options=options)
            return {fact["pid"] for fact in facts_of(frame.Count(), fexec)}

        assert not pids() & pids()


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    """A meeting folder that others may write to is not used."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(warm.WarmProcessUnavailable, match="not a private folder"):
        warm.folder_for(str(folder))


def test_without_warm_processes_the_answer_is_the_same() -> None:
    """options.warm=False runs ROOT in the Lithops task itself: slower, equal."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        frame = ROOT.RDataFrame(100, executor=fexec, npartitions=2, options={"warm": False})
        assert 4950.0 == frame.Define("x", "double(rdfentry_)").Sum("x").GetValue()
        assert registry.session_of(fexec).processes.warm_folder is None


def test_closed_executor_ends_its_processes() -> None:
    """Leaving the executor's context ends the ROOT process and removes its folder."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        assert 1000 == count(fexec)
        folder = registry.session_of(fexec).processes.warm_folder
        parents, _ = root_processes(fexec)
    for parent in parents:
        parent.wait(LIMIT_S)
    assert until(lambda: not os.path.exists(folder)), "the folder to go"


@pytest.mark.slow
def test_many_queries_do_not_grow(own_fexec: lithops.FunctionExecutor) -> None:
    """Sixty queries leave as many processes, descriptors and threads as ten did, and all answers are equal."""

    def footprint() -> tuple[int, int, int]:
        me = psutil.Process()
        assert until(lambda: not [p for p in me.children() if "run_job" in " ".join(cmdline(p))]), "Lithops' last processes"
        parents, slots = root_processes(own_fexec)
        return len(parents) + len(slots), me.num_fds(), sum(process.num_fds() for process in [*parents, *slots])

    for _ in range(10):
        assert 1000 == count(own_fexec)
    before = footprint()
    for _ in range(50):
        assert 1000 == count(own_fexec)
    after = footprint()
    assert all(now <= then + 2 for then, now in zip(before, after, strict=True)), f"grew from {before} to {after}"


def test_envelope_of_a_failed_call_is_plain() -> None:
    """What a call hands back when the user's code fails needs no ROOT to be read."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        frame = ROOT.RDataFrame(10, executor=fexec, npartitions=1)
        plan = rdf_lithops.plan(frame.Define("x", 'throw std::runtime_error("on purpose"); return 1;').Sum("x"))
        futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
        envelope = unpack(fexec.get_result(futures))
        assert envelope.error is not None
        assert "on purpose" in envelope.error["message"]
        assert [0] == envelope.error["range_ids"]
