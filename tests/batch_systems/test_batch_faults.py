"""What a cluster does to its jobs, done on a real Slurm: each is named, and cured or a clear error; nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from batch import cluster
from batch.cluster import Slurm
from conftest import REPOSITORY
from servers import daemons
from test_batch import configuration, executor, files_below, sleeps  # noqa: F401  # a fixture is among them
from waiting import until

import rdf_lithops

SLEEP = "gSystem->Sleep(300000);"
Make = Callable[..., lithops.FunctionExecutor]
MINE = f"--user={os.environ.get('USER', 'root')}"


def waits_once(executor: lithops.FunctionExecutor, mark: Path, **options: Any) -> Any:  # noqa: F811
    """A sum of ten ones, of which the first takes five minutes when it is added for the first time."""
    frame = ROOT.RDataFrame(10, executor=executor, npartitions=2, options={"backoff_s": 0.0, **options})
    first_time = f'rdfentry_ == 0 && gSystem->AccessPathName("{mark}")'
    code = f'if ({first_time}) {{ std::ofstream("{mark}") << getenv("SLURMD_NODENAME"); {SLEEP} }} return 1;'
    return frame.Define("one", code).Sum("one")


@contextlib.contextmanager
def once(happened: Callable[[], Any], then: Callable[[], Any]) -> Iterator[None]:
    """While the block runs, do something as soon as something has happened. What that starts lives as long as the block."""
    failed: list[BaseException] = []
    over = threading.Event()

    def wait_and_do() -> None:
        try:
            assert until(lambda: bool(happened()))
            then()
        except BaseException as error:
            failed.append(error)
        over.wait()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert [] == failed


def written(mark: Path) -> bool:
    """Whether the mark is there, and whole."""
    return mark.exists() and mark.stat().st_size > 0


@pytest.mark.slow
def test_a_cancelled_element_is_run_again(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """Somebody cancels it: the run gives the right answer all the same, and its report tells of it."""
    mark = tmp_path / "mark"
    total = waits_once(executor(), mark)
    with once(lambda: written(mark), lambda: slurm.ask("scancel", "--state=RUNNING", MINE)):
        assert 10 == total.GetValue()
    assert 1 <= rdf_lithops.report(total).repeated


@pytest.mark.slow
def test_a_node_that_is_set_down(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """Its elements run again on another node."""
    mark = tmp_path / "mark"
    total = waits_once(executor(), mark)

    def set_down() -> None:
        slurm.ask("scontrol", "update", f"NodeName={mark.read_text()}", "State=DOWN", "Reason=test")

    try:
        with once(lambda: written(mark), set_down):
            assert 10 == total.GetValue()
    finally:
        with contextlib.suppress(daemons.ServerFailed):  # it may have come back by itself
            slurm.ask("scontrol", "update", f"NodeName={mark.read_text()}", "State=RESUME")
    assert until(slurm.idle)


def test_out_of_memory_is_named(slurm: Slurm, executor: Make) -> None:  # noqa: F811
    """A call that takes more memory than its job may have is a MemoryError, told by Lithops' worker or else by Slurm."""
    fexec = executor(memory=300)
    with pytest.raises(MemoryError, match=r"slurm: (OUT_OF_MEMORY|FAILED)|SIGKILL"):
        fexec.get_result(fexec.map(takes, [1200]))


def takes(mib: int) -> int:
    """Holds so much memory, and waits for what comes of it."""
    import time

    held = bytearray(mib * 2**20)
    for start in range(0, len(held), 4096):
        held[start] = 1
    time.sleep(60)
    return len(held)


@pytest.mark.slow
def test_the_time_limit_is_named(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """A call that takes longer than its job may take is a TimeoutError with Slurm's words."""
    fexec = executor(options=["--time=1"])  # behind Lithops' back, which would end the call itself before that
    with pytest.raises(TimeoutError, match="slurm: TIMEOUT"):
        fexec.get_result(fexec.map(sleeps, [(str(tmp_path / "mark"), 300.0)]), timeout=170)


@pytest.mark.slow
def test_a_job_of_higher_priority_is_named(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """An element whose place another job takes is told as preempted."""
    mark = tmp_path / "mark"
    fexec = executor()
    futures = fexec.map(sleeps, [(str(mark), 300.0)])
    assert until(mark.exists)
    slurm.ask("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    with pytest.raises(RuntimeError, match="slurm: PREEMPTED"):
        fexec.get_result(futures)


@pytest.mark.slow
def test_waiting_is_not_lost(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """Elements that wait in the queue longer than a run waits for a call to begin are not given up, nor submitted twice."""
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    frame = ROOT.RDataFrame(10, executor=executor(), npartitions=2, options={"start_s": 4.0, "beat_s": 0.2})
    total = frame.Sum("rdfentry_")
    watched: list[int] = []

    def watch_and_open() -> None:
        watched.append(len(slurm.queue()))
        slurm.ask("sleep", "8")
        watched.append(len(slurm.queue()))
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")

    with once(slurm.queue, watch_and_open):
        assert 45 == total.GetValue()
    assert [2, 2] == watched
    assert 0 == rdf_lithops.report(total).repeated


@pytest.mark.slow
def test_waiting_behind_long_calls_is_not_lost(slurm: Slurm, executor: Make) -> None:  # noqa: F811
    """Where fewer elements run at a time than there are, those that wait for the others are not given up meanwhile."""
    options = {"start_s": 5.0, "beat_s": 0.2, "ranges_per_call": 1}
    frame = ROOT.RDataFrame(2, executor=executor(max_workers=1), npartitions=2, options=options)
    total = frame.Define("one", "gSystem->Sleep(12000); return 1;").Sum("one")
    assert 2 == total.GetValue()
    assert 0 == rdf_lithops.report(total).repeated


@pytest.mark.slow
def test_the_controller_is_started_again(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """A run goes on while nobody answers for Slurm, and what is submitted then waits for it."""
    mark, second = tmp_path / "mark", tmp_path / "second"
    fexec = executor()
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
    code = f'std::ofstream("{mark}") << 1; while (gSystem->AccessPathName("{second}")) gSystem->Sleep(20); return 1;'
    total = frame.Define("one", code).Sum("one")

    def restart() -> None:
        slurm.stop("slurmctld")
        second.touch()
        slurm.ask("sleep", "5")
        slurm.start_controller()

    try:
        with once(lambda: written(mark), restart):
            assert 10 == total.GetValue()
    finally:  # one that does not end with a thread
        slurm.stop("slurmctld")
        slurm.start_controller()
    assert 0 == rdf_lithops.report(total).repeated
    assert until(slurm.idle)


@pytest.mark.slow
@pytest.mark.parametrize("room", ["for calls", "for nothing"])
def test_a_full_shared_disk_is_said(room: str, slurm: Slurm, tmp_path: Path) -> None:
    """Calls that cannot write their results end with an error that says why, and what could be written is removed."""
    shared = tmp_path / "small"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(shared)], check=True)
    try:
        with lithops.FunctionExecutor(config=configuration(shared)) as fexec:
            if room == "for nothing":
                subprocess.run(["dd", "if=/dev/zero", f"of={shared / 'others'}", "bs=4k"], stderr=subprocess.DEVNULL)
            frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2, options={"backoff_s": 0.0, "attempts": 2})
            histogram = frame.Define("x", "1.").Histo1D(("h", "", 500_000, 0, 1), "x")
            with pytest.raises(rdf_lithops.RunError, match="No space left on device"):
                histogram.GetValue()
            fexec.clean()
        assert until(lambda: slurm.queue() == [])
        assert [] == files_below(shared / "submissions")
    finally:
        subprocess.run(["umount", "-l", str(shared)], check=True)


DRIVER = """
import lithops, ROOT, rdf_lithops, json
fexec = lithops.FunctionExecutor(config=json.loads('''{config}'''))
frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
print(frame.Define("one", 'std::ofstream("{mark}") << 1; gSystem->Sleep(300000); return 1;').Sum("one").GetValue())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_driver_that_ends_takes_its_jobs_along(slurm: Slurm, shared: Path, tmp_path: Path, number: int) -> None:
    """Killed or interrupted: nothing of it waits or runs any more, no folder of a job is left, nor anything on a node."""
    mark = tmp_path / "mark"
    config = configuration(shared, scratch=str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    program = DRIVER.format(config=json.dumps(config), mark=mark)
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    driver = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert until(mark.exists)
        driver.send_signal(number)
        assert driver.wait(timeout=60) != 0
    finally:
        driver.kill()
    assert until(lambda: slurm.queue() == [])
    assert until(lambda: list((shared / "submissions").iterdir()) == [])
    assert until(lambda: list((tmp_path / "scratch").iterdir()) == [])


USER_PROGRAM = """
import json, os, sys, lithops, ROOT, rdf_lithops
offset = float(sys.argv[2])
with lithops.FunctionExecutor(config=json.loads(sys.argv[1])) as fexec:
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=3, options={"ranges_per_call": 1})
    total = frame.Define("x", f"gSystem->Sleep(5); return rdfentry_ + {offset};").Sum("x")
    assert total.GetValue() == 499500 + 1000 * offset
print("right", os.getuid())
"""
NOBODY = 65534


@pytest.mark.slow
def test_two_users_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of two users at the same time, on the same nodes, are right, and neither leaves anything."""
    python = f"/usr/bin/python3.{sys.version_info.minor}"
    packages = os.pathsep.join([str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))])
    given = {"python": python, "setup": f"export PYTHONPATH={packages}"}
    if not os.path.exists(python) or not _may_read(packages):
        pytest.skip("needs a Python of this version, and packages, that user nobody may read")
    with contextlib.ExitStack() as stack:  # a folder that both may open, and a Slurm in it
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        (folder / "slurm").mkdir()
        folder.chmod(0o755)
        slurm = stack.enter_context(cluster.running(folder / "slurm"))
        for name, value in slurm.variables.items():
            monkeypatch.setenv(name, value)
        runs = {user: _start_as(user, folder, given, python, packages) for user in (0, NOBODY)}
        for user, run in runs.items():
            stack.callback(run.kill)
            said, _ = run.communicate(timeout=150)
            assert (0, f"right {user}") == (run.returncode, said.strip())
        assert [[], []] == [list(path.iterdir()) for path in folder.glob("*/shared/submissions")]
        assert until(lambda: slurm.queue() == [])


def _may_read(packages: str) -> bool:
    """Whether user nobody may read all of these folders."""
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "test", "-r"]
    return all(subprocess.run([*command, path]).returncode == 0 for path in packages.split(os.pathsep))


def _start_as(user: int, folder: Path, section: dict[str, Any], python: str, packages: str) -> Any:
    home = folder / str(user)
    for path in (home, home / "shared", home / "tmp"):
        path.mkdir(mode=0o755)
        os.chown(path, user, user)
    config = json.dumps(configuration(home / "shared", **section))
    name = "root" if user == 0 else "nobody"
    variables = {"HOME": str(home), "USER": name, "LOGNAME": name, "TMPDIR": str(home / "tmp"), "PYTHONPATH": packages}
    command = [python, "-W", "ignore", "-c", USER_PROGRAM, config, str(user)]
    who: dict[str, Any] = {} if user == 0 else {"user": user, "group": user, "extra_groups": []}
    environment = {**os.environ, **variables}
    return subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.PIPE, text=True, **who)
