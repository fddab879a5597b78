"""What a driver keeps for an executor: begun with the options of its first data frame, and gone when the executor is."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from conftest import CAPTURED
from test_warm import CONFIG, LIMIT_S, cmdline, count
from waiting import until

from rdf_lithops.errors import PlanError
from rdf_lithops.executor import lithops_patches, local_processes, registry
from rdf_lithops.options import Options


def ours() -> dict[int, str]:
    """The processes that this one has started for executors, by their command lines."""
    children = psutil.Process().children(recursive=True)
    return {child.pid: " ".join(line) for child in children if "rdf_lithops.worker" in " ".join(line := cmdline(child))}


@pytest.mark.slow
def test_executors_that_nobody_holds_leave_nothing() -> None:
    """Three executors that are made, used and let go, as by a cell of a notebook, leave no process, folder or object."""
    known, folders = set(ours()), []

    def query() -> int:
        executor = lithops.FunctionExecutor(config=CONFIG, log_level=None)
        frame = ROOT.RDataFrame(10, executor=executor, npartitions=1)
        value = int(frame.Count().GetValue())
        session = registry.session_of(executor)
        folders.append(str(session.processes.folder))
        storage, key = session.storage, f"lithops.jobs/{session.executor.executor_id}"
        assert storage.list_keys(storage.bucket, key)
        keys.append((storage, key))
        return value

    keys: list[tuple[Any, str]] = []
    assert [query() for _ in range(3)] == [10] * 3
    gc.collect()
    assert until(lambda: not set(ours()) - known), "the end of their processes"
    assert until(lambda: not any(map(os.path.exists, folders))), "the end of their folders"
    assert until(lambda: not any(storage.list_keys(storage.bucket, key) for storage, key in keys)), "their objects"
    assert len(set(folders)) == 3


def test_a_data_frame_holds_its_executor() -> None:
    """A result that is asked for later is computed although the program has let the executor go by name."""

    def booked() -> Any:
        executor = lithops.FunctionExecutor(config=CONFIG, log_level=None)
        return executor.executor_id, ROOT.RDataFrame(10, executor=executor, npartitions=1).Count()

    known = set(ours())
    _, result = booked()
    gc.collect()
    assert 10 == result.GetValue()
    del result
    gc.collect()
    assert until(lambda: not set(ours()) - known), "the end of its processes"


PROGRAM = """
import json, os, sys, lithops, ROOT, rdf_lithops
options, configured = json.loads(sys.argv[1]), json.loads(sys.argv[2])
config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
config["rdf_lithops"] = configured
with lithops.FunctionExecutor(config=config, log_level=None) as fexec:
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=1, options=options)
    value = frame.Count().GetValue()
    from rdf_lithops.executor import registry
    session = registry.session_of(fexec)
    import psutil
    children = psutil.Process().children(recursive=True)
    lines = [child.cmdline() for child in children if child.status() != psutil.STATUS_ZOMBIE]
    commands = [line for line in lines if any("worker.root.parent" in word for word in line)]
    kept = session.processes.warm_folder is not None and session.processes.warm_folder != session.processes.folder
    print(json.dumps({"value": value, "kept": kept, "commands": commands}))
"""


def said(tmp_path: Path, options: dict[str, Any], configured: dict[str, Any]) -> dict[str, Any]:
    """What a program that is written as README.md has it, with these options, says of its ROOT processes."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(options), json.dumps(configured)]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    assert 10 == answer["value"]
    return answer


@pytest.mark.slow
def test_options_of_a_data_frame_are_those_of_its_processes(tmp_path: Path) -> None:
    """The process that was started while ROOT came up has the options that the data frame then gives, or is replaced."""
    given = {"keep_warm": True, "idle_limit_s": 2.0, "memory_limit_mib": 777.0}
    answer = said(tmp_path, given, {})
    assert answer["kept"]
    assert all({"--idle_limit_s=2.0", "--memory_limit_mib=777.0"} <= set(command) for command in answer["commands"])
    assert answer["commands"]


@pytest.mark.slow
def test_options_of_a_data_frame_go_before_those_of_the_configuration(tmp_path: Path) -> None:
    """Where the configuration says otherwise, the processes have the options of the data frame."""
    assert not said(tmp_path, {"keep_warm": False}, {"keep_warm": True, "idle_limit_s": 2.0})["kept"]


@pytest.mark.slow
def test_without_warm_processes_none_is_left(tmp_path: Path) -> None:
    """A data frame that wants no warm process has none, although one was begun before it was there."""
    assert [] == said(tmp_path, {"warm": False}, {})["commands"]


@pytest.mark.slow
def test_an_option_that_comes_too_late_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A second data frame with another limit is warned about, once, and runs with that of the first."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        assert 1000 == count(fexec)
        with caplog.at_level(logging.WARNING, "rdf_lithops"):
            for _ in range(2):
                frame = ROOT.RDataFrame(10, executor=fexec, npartitions=1, options={"memory_limit_mib": 50.0})
                assert 10 == frame.Count().GetValue()
        late = [record.getMessage() for record in caplog.records if "too late" in record.getMessage()]
        assert 1 == len(late)
        assert "options.memory_limit_mib = 50.0" in late[0]
        assert "3000.0" in late[0]


def test_the_first_that_wants_warm_processes_says_how() -> None:
    """A data frame that goes without them leaves the choice to the next."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        session = registry.session_for(fexec, Options(warm=False))
        assert session.processes.settled is None
        registry.session_for(fexec, Options(idle_limit_s=7.0))
        assert session.processes.settled == Options(idle_limit_s=7.0)


def test_a_local_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Keys and pickles do not go through a folder that another user owns; what to do is said. Our own is made private."""
    mine = tmp_path / "mine"
    mine.mkdir(0o777)
    mine.chmod(0o777)
    lithops_patches.make_private(str(mine))
    assert 0o700 == mine.stat().st_mode & 0o777
    lithops_patches.make_private(str(tmp_path / "new"))
    assert 0o700 == (tmp_path / "new").stat().st_mode & 0o777
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(PlanError, match="set TMPDIR"):
        lithops_patches.make_private(str(tmp_path / "link"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that is somebody else's")
def test_a_program_in_a_foreign_folder_says_so(tmp_path: Path) -> None:
    """Without USER Lithops has one name for all users' folders: whoever meets a stranger's there is told so."""
    foreign = tmp_path / "lithops-root"
    foreign.mkdir()
    os.chown(foreign, 12345, 12345)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, "{}", "{}"]
    environment = {name: value for name, value in os.environ.items() if name != "USER"}
    done = subprocess.run(command, env={**environment, "TMPDIR": str(tmp_path)}, **CAPTURED)
    assert 0 != done.returncode
    assert "belongs to user id 12345" in done.stderr
    assert "set TMPDIR" in done.stderr


def test_a_close_reaches_its_end(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A preloaded Python that does not end is killed, a storage that refuses to delete is a warning, all else is closed."""
    monkeypatch.setattr(local_processes, "END_LIMIT_S", 0.2)
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as fexec:
        assert 1000 == count(fexec)
        session = registry.session_of(fexec)
        folder, stopped = str(session.processes.folder), session.processes.prefork
        assert stopped is not None
        os.kill(stopped.pid, signal.SIGSTOP)

        def refuse(*given: Any) -> None:
            raise ConnectionError("the storage is away")

        with monkeypatch.context() as patch:
            patch.setattr(session.storage, "delete_objects", refuse)
            session.close()
        assert stopped.poll() is not None
        assert until(lambda: not os.path.exists(folder)), "the end of its folder"
        assert "the storage is away" in caplog.text


@pytest.mark.slow
def test_a_killed_driver_without_warm_processes_leaves_none(tmp_path: Path) -> None:
    """SIGKILL of a driver whose tasks run ROOT themselves: what runs for it is gone soon after."""
    program = f"""
import lithops, ROOT, rdf_lithops
with lithops.FunctionExecutor(config={CONFIG!r}, log_level=None) as fexec:
    frame = ROOT.RDataFrame(20, executor=fexec, npartitions=2, options={{"warm": False}})
    frame.Define("x", 'std::ofstream("begun") << 1; gSystem->Sleep(2000); return 1.0;').Sum("x").GetValue()
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as driver:
        assert until((tmp_path / "begun").exists), "a task at work"
        at_work = {child.pid: child for child in psutil.Process(driver.pid).children(recursive=True)}
        assert at_work
        driver.send_signal(signal.SIGKILL)
        driver.wait(LIMIT_S)
    assert until(lambda: not any(map(psutil.Process.is_running, at_work.values()))), "the end of what it ran"


FORKS = """
import os, sys
import lithops, ROOT, rdf_lithops

def made():
    return lithops.FunctionExecutor(config={"lithops": {"backend": "localhost", "storage": "localhost"}}, log_level=None)

def count(fexec):
    return ROOT.RDataFrame(10, executor=fexec, npartitions=2).Count().GetValue()

executor = made()
print("parent", count(executor), flush=True)
for ends in (os._exit, sys.exit):
    child = os.fork()
    if not child:
        try:
            print("an answer", count(executor))
        except rdf_lithops.PlanError as error:
            print("child refused", "create a new FunctionExecutor" in str(error))
        with made() as own:
            print("child", count(own), flush=True)
        ends(0)
    print("ended", os.waitpid(child, 0)[1])
    print("parent", count(executor), flush=True)
"""


@pytest.mark.slow
def test_a_fork_owns_nothing_of_an_executor(tmp_path: Path) -> None:
    """A fork of the program is told to make an executor of its own, and the program's goes on when the fork ends."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS], env={**os.environ, "TMPDIR": str(tmp_path)}, **CAPTURED
    )
    assert 0 == done.returncode, done.stderr[-2000:]
    once = ["child refused True", "child 10", "ended 0", "parent 10"]
    assert ["parent 10", *once, *once] == done.stdout.splitlines(), done.stderr[-2000:]
    assert "attempt 1" not in done.stderr
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith("rdf_lithops-")]


FULL = """
import os, subprocess, sys
import lithops, ROOT, rdf_lithops
folder, left = os.environ["TMPDIR"], int(sys.argv[1])
config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
with lithops.FunctionExecutor(config=config, log_level=None) as fexec:
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2, options={"backoff_s": 0.0})
    assert 10 == frame.Count().GetValue()
    there = os.statvfs(folder)
    with open(os.path.join(folder, "others"), "wb") as others:
        others.write(bytes(there.f_bavail * there.f_frsize - left))
    try:
        print(frame.Sum("rdfentry_").GetValue())
    except rdf_lithops.RunError as error:
        print(error)
    os.unlink(os.path.join(folder, "others"))
    print(frame.Max("rdfentry_").GetValue())
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
@pytest.mark.parametrize("left", [0, 20_000])
def test_a_full_disk_is_said(left: int, tmp_path: Path) -> None:
    """Where no room is left for what runs write, the error names the folder; with room again, the next query is right."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(small)], check=True)
    try:
        command = [sys.executable, "-W", "ignore", "-c", FULL, str(left)]
        done = subprocess.run(command, env={**os.environ, "TMPDIR": str(small)}, **CAPTURED)
        assert 0 == done.returncode, done.stderr[-2000:]
        assert f"the disk of {small} is full" in done.stdout
        assert "9.0" == done.stdout.splitlines()[-1]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
