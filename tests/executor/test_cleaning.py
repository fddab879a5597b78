"""What a run wrote goes with it, also when it fails, is interrupted or loses its driver; a failed range can be replayed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from click.testing import CliRunner
from conftest import CAPTURED, LOCALHOST_CONFIG
from kinds import quickly
from waiting import until

import rdf_lithops
from rdf_lithops.cli import FAILED, main
from rdf_lithops.errors import RunError
from rdf_lithops.executor import leftovers, registry
from rdf_lithops.options import Options
from rdf_lithops.run.events import CallBegan, Event

LIMIT_S = 90.0
PROGRAM = """
import sys, lithops, ROOT, rdf_lithops
with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    ROOT.RDataFrame(10, executor=fexec).Count().GetValue()
    print("warm", flush=True)
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=2)
    frame.Define("x", "gSystem->Sleep(1000); return 1;").Sum("x").GetValue()
"""


def started(folder: Path, text: str = PROGRAM, sign: str = "/beat.json", **variables: str) -> subprocess.Popen[str]:
    """A program of its own in the middle of a long run, with all its temporary files below ``folder``: one has ``sign`` in
    its name."""
    (folder / "program.py").write_text(text)
    command = [sys.executable, "-W", "ignore", str(folder / "program.py"), str(LOCALHOST_CONFIG)]
    environment = {**os.environ, **variables, "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    program = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert "warm" == program.stdout.readline().strip()
    assert until(lambda: any(sign in name for name in files(folder / "tmp")))
    return program


def gc(folder: Path, *given: str) -> dict[str, Any]:
    """What ``rdf-lithops gc`` says of that temporary folder, however young what lies there is."""
    words = ["gc", "--json", "--older-than", "0", "--config", str(LOCALHOST_CONFIG), *given]
    command = [sys.executable, "-m", "rdf_lithops", *words]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}, **CAPTURED)
    assert 0 == done.returncode, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def files(folder: Path) -> list[str]:
    """All files below a folder, sockets included."""
    return [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]


def processes_in(folder: Path) -> list[psutil.Process]:
    """Processes whose temporary folder is this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def of_runs(folder: Path) -> list[str]:
    """What is left of runs below a temporary folder: not Lithops' own package, caches and logs."""
    kept = (
        "/lithops-root/lithops/",
        "runner",
        "/cache/",
        "/cleaner",
        "localhost-runner",
        "/logs/",
        ".meta.json",
        ".lithops-copy.lock",
        "functions.log",
    )
    left = ("rdf_lithops", "lithops.jobs")
    return [name for name in files(folder) if any(k in name for k in left) or not any(k in name for k in kept)]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """An interrupt in mid-run ends the program with KeyboardInterrupt, its processes, its objects and its folders."""
    program = started(tmp_path)
    program.send_signal(signal.SIGINT)
    _, complaint = program.communicate(timeout=LIMIT_S)
    assert 0 != program.returncode
    assert "KeyboardInterrupt" in complaint
    assert until(lambda: not processes_in(tmp_path / "tmp"))
    assert [] == of_runs(tmp_path / "tmp")


def test_jobs_that_are_cancelled_during_a_sweep(fexec: lithops.FunctionExecutor) -> None:
    """One thread submits, which sweeps, while others cancel theirs: neither meets the other's work half done."""
    session = registry.session_for(fexec, Options())
    over, failures = threading.Event(), list[BaseException]()

    def cancel() -> None:
        try:
            for number in range(3000):
                session.jobs.stop({f"{fexec.executor_id}-M{number}-never"}, RunError("cancelled"))
        except BaseException as failure:
            failures.append(failure)
        finally:
            over.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        while not over.is_set():
            session.jobs.sweep()
    finally:
        thread.join()
        session.jobs._cancelled.clear()
    assert [] == failures


def test_a_jobs_own_file_is_its_process_to_delete() -> None:
    """A job whose process lives keeps its file, whoever sweeps: else Lithops says that it failed. None stays in the end."""
    config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
    with lithops.FunctionExecutor(config=config, log_level=None) as executor:
        folder = Path(lithops.constants.LITHOPS_TEMP_DIR) / executor.storage.bucket / lithops.constants.JOBS_PREFIX
        kept: list[bool] = []

        def sweep(event: Event) -> None:
            if isinstance(event, CallBegan):
                (path,) = folder.glob(f"{executor.executor_id}-M*-job.json")
                registry.session_of(executor).jobs.delete_job_file(path.name.removesuffix("-job.json"))
                kept.append(path.exists())

        frame = ROOT.RDataFrame(2, executor=executor, npartitions=1)
        frame._headnode.backend.consumers = (sweep,)
        assert 2.0 == frame.Define("x", "gSystem->Sleep(500); return 1.0;").Sum("x").GetValue()
        assert [True] == kept
        mine = f"{executor.executor_id}-*-job.json"
    assert until(lambda: not list(folder.glob(mine)))


DROPPED = """
import signal, sys, lithops, ROOT, rdf_lithops
from rdf_lithops.run.events import AttemptBegan

class Dropper:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        print("met a finaliser", flush=True)

def drop(event):
    if isinstance(event, AttemptBegan):
        Dropper()

with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=2)
    frame._headnode.backend.consumers = (drop,)
    frame.Define("x", "gSystem->Sleep(1000); return 1;").Sum("x").GetValue()
"""


def test_a_ctrl_c_that_is_dropped_ends_the_run(tmp_path: Path) -> None:
    """An interrupt that Python drops in a finaliser, or C++ in a call, still ends the run, and nothing is left."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-W", "ignore", "-c", DROPPED, str(LOCALHOST_CONFIG)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, **CAPTURED)
    assert "Exception ignored" in done.stderr
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert until(lambda: not processes_in(tmp_path / "tmp"))
    assert [] == of_runs(tmp_path / "tmp")


def test_the_users_handler_of_ctrl_c_stays(fexec: lithops.FunctionExecutor) -> None:
    """After a run the handler is the one that was there before it; one of the user's own is in place during it, too."""

    def own(number: int, frame: Any) -> None:
        raise AssertionError("nobody pressed")

    before = signal.getsignal(signal.SIGINT)
    try:
        for handler in (signal.default_int_handler, own):
            during: list[Any] = []
            signal.signal(signal.SIGINT, handler)
            frame = ROOT.RDataFrame(10, executor=fexec)
            frame._headnode.backend.consumers = (lambda event: during.append(signal.getsignal(signal.SIGINT)),)  # noqa: B023
            assert 10 == frame.Count().GetValue()
            assert handler is signal.getsignal(signal.SIGINT)
            assert during and (handler is not own or {own} == set(during))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_gc_removes_what_a_killed_driver_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on is not listed; once its driver is killed, it is listed, removed, and nothing else is."""
    program = started(tmp_path)
    bystander = Path(next(name for name in files(tmp_path / "tmp") if "/lithops.jobs/" in name)).parents[2] / "mine" / "kept"
    bystander.parent.mkdir()
    bystander.write_text("not yours")

    assert [] == [each for each in gc(tmp_path / "tmp")["leftovers"] if each["name"].startswith("run ")]
    program.kill()
    program.communicate(timeout=LIMIT_S)
    assert until(lambda: not processes_in(tmp_path / "tmp"))
    (listed,) = [each for each in gc(tmp_path / "tmp")["leftovers"] if each["name"].startswith("run ")]
    assert listed["objects"] > 0
    assert gc(tmp_path / "tmp", "--remove")["removed"]
    assert [] == gc(tmp_path / "tmp")["leftovers"]
    assert [str(bystander)] == of_runs(tmp_path / "tmp")
    assert "not yours" == bystander.read_text()


KEYED = """
import sys, lithops, ROOT, rdf_lithops
options = rdf_lithops.Options(credentials=("token",), warm={warm})
with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    print("warm", flush=True)
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=2, options=options)
    frame.Define("x", "gSystem->Sleep(1000); return 1;").Sum("x").GetValue()
"""


@pytest.mark.parametrize("warm", quickly([True, False], True))
def test_the_key_of_a_killed_run_does_not_stay(tmp_path: Path, warm: bool) -> None:
    """A run's key is a private file; when its driver is killed it goes with the ROOT process, or with the next gc."""

    def keys() -> list[str]:
        return [name for name in files(tmp_path / "tmp") if "rdf_lithops-key-" in name]

    program = started(tmp_path, KEYED.format(warm=warm), "rdf_lithops-key-", BEARER_TOKEN="opaque")
    (key,) = keys()
    assert 0o600 == os.stat(key).st_mode & 0o777
    gc(tmp_path / "tmp", "--remove")
    assert [key] == keys()
    program.kill()
    program.communicate(timeout=LIMIT_S)
    assert until(lambda: not processes_in(tmp_path / "tmp"))
    if not warm:
        gc(tmp_path / "tmp", "--remove")
    assert [] == keys()


@pytest.mark.parametrize("lock", ["root.lock", "reader.lock"])
def test_a_folder_in_which_a_process_lives_is_no_leftover(tmp_path: Path, lock: str) -> None:
    """A driver's folder is in use as long as its ROOT process or its reader of remote files holds its lock."""
    folder = tmp_path / "rdf_lithops-x"
    folder.mkdir()
    lithops_folders = leftovers.LithopsFolders("", (), str(tmp_path))
    with open(folder / lock, "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [] == list(leftovers._dead_folders(lithops_folders))
    assert [str(folder)] == [path for each in leftovers._dead_folders(lithops_folders) for path in each.paths]


def test_gc_leaves_folders_of_the_user_alone(tmp_path: Path) -> None:
    """What merely begins with our name is not ours, unless there is a lock or a log of ours in it, or nothing."""
    for name in ("rdf_lithops-analysis/results.root", "rdf_lithops-x/driver.lock", "rdf_lithops-y/root.log"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "rdf_lithops-empty").mkdir()
    found = leftovers._dead_folders(leftovers.LithopsFolders("", (), str(tmp_path)))
    assert {"rdf_lithops-x", "rdf_lithops-y", "rdf_lithops-empty"} == {Path(each.paths[0]).name for each in found}


def test_a_failed_range_is_kept_and_replayed(fexec: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """The error names the command; it runs that one range here and shows its error, or that it runs without one."""
    mark = tmp_path / "mark"
    code = f'if (rdfentry_ == 7 && gSystem->AccessPathName("{mark}")) throw std::runtime_error("on purpose"); return 1;'
    options = Options(keep_failed=str(tmp_path / "failed"))
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=5, options=options)
    with pytest.raises(rdf_lithops.RangeError) as caught:
        frame.Define("x", code).Sum("x").GetValue()
    words = re.search(r"rdf-lithops (replay) (\S+range-3.json)", str(caught.value))
    assert words is not None
    command = [sys.executable, "-m", "rdf_lithops", *words.groups()]
    failed = subprocess.run(command, **CAPTURED)
    assert FAILED == failed.returncode
    assert "on purpose" in failed.stderr
    mark.touch()
    again = subprocess.run(command, **CAPTURED)
    assert 0 == again.returncode, again.stderr
    assert "range 3 ran without an error, 2 entries" in again.stdout


@pytest.mark.slow
def test_a_failed_range_of_one_graph_of_many_is_replayed(fexec: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """Of several graphs that run together, the one that failed is kept, in its own numbers, and its range runs again."""
    options = Options(keep_failed=str(tmp_path / "failed"))
    frames = [ROOT.RDataFrame(n, executor=fexec, npartitions=2, options=options) for n in (10, 20, 30)]
    code = 'if (rdfentry_ == 17) throw std::runtime_error("on purpose"); return 1;'
    handles = [frame.Define("x", code if number == 1 else "1").Sum("x") for number, frame in enumerate(frames)]
    with pytest.raises(rdf_lithops.RangeError) as caught:
        ROOT.RDF.RunGraphs(handles)
    words = re.search(r"rdf-lithops (replay) (\S+range-1.json)", str(caught.value))
    assert words is not None
    failed = subprocess.run([sys.executable, "-m", "rdf_lithops", *words.groups()], **CAPTURED)
    assert FAILED == failed.returncode
    assert "range 1 failed" in failed.stderr
    assert "on purpose" in failed.stderr


def test_a_range_that_cannot_be_kept_has_its_error(fexec: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """What went wrong in the range is what is told, and with it that the folder cannot be written."""
    (tmp_path / "file").touch()
    frame = ROOT.RDataFrame(
        10, executor=fexec, npartitions=2, options=Options(keep_failed=str(tmp_path / "file" / "failed"))
    )
    code = 'if (rdfentry_ == 7) throw std::runtime_error("on purpose"); return 1;'
    with pytest.raises(rdf_lithops.RangeError, match=r"(?s)on purpose.*keep_failed that can be written"):
        frame.Define("x", code).Sum("x").GetValue()


def test_replay_of_something_else_says_so(tmp_path: Path) -> None:
    """A file that is no kept range is an error with a sentence."""
    (tmp_path / "range-1.json").write_text("{}")
    result = CliRunner().invoke(main, ["replay", str(tmp_path / "range-1.json")])
    assert FAILED == result.exit_code
    assert "keep_failed" in result.output
