"""A job of Lithops' localhost back end that is a fork of the preloaded Python is to Lithops what a process of its own is."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from test_warm import CONFIG, LIMIT_S
from waiting import until

from rdf_lithops.executor import registry
from rdf_lithops.executor.forked_jobs import ForkedJob
from rdf_lithops.processes import warm
from rdf_lithops.worker.start import prefork


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder in which a preloaded Python listens."""
    with tempfile.TemporaryDirectory() as place, open(os.path.join(place, "log"), "ab") as log:
        serving = warm.run_module("prefork", [place], log, subprocess.PIPE)
        assert serving.stdin is not None
        assert until(lambda: os.path.exists(os.path.join(place, prefork.SOCKET_NAME))), "the preloaded Python"
        yield place
        serving.stdin.close()
        serving.wait(LIMIT_S)


def script(folder: str, text: str) -> list[str]:
    """The command of a Python script of that text."""
    path = Path(folder, "script.py")
    path.write_text(text)
    return [str(path), "an argument"]


def test_it_has_what_a_command_prints_and_how_it_ends(folder: str) -> None:
    """Streams are told apart, however much is printed to both, and the exit status is the script's."""
    text = "import sys\nfor _ in range(3000):\n  print(sys.argv[1] * 9)\n  print('no' * 50, file=sys.stderr)\nsys.exit(7)"
    job = ForkedJob(folder, script(folder, text))
    assert ((b"an argument" * 9 + b"\n") * 3000, (b"no" * 50 + b"\n") * 3000) == job.communicate()
    assert 7 == job.returncode == job.poll() == job.wait(0.1)


def test_it_runs_where_and_with_what_its_driver_has(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job has the driver's folder and environment of the moment, and nothing to read."""
    monkeypatch.chdir(tmp_path)
    value = "its\nvalue"
    monkeypatch.setenv("A_VARIABLE", value)
    text = "import os, sys; print(os.getcwd(), repr(os.environ['A_VARIABLE']), repr(sys.stdin.read()))"
    output, errors = ForkedJob(folder, script(folder, text)).communicate()
    assert f"{tmp_path} {value!r} ''\n" == output.decode()
    assert b"" == errors


def test_lithops_can_kill_it(folder: str) -> None:
    """Its process group is its own, and ends as a whole when Lithops kills it; the preloaded Python forks on."""
    text = "import subprocess, time\nprint('there', flush=True)\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)"
    job = ForkedJob(folder, script(folder, text))
    assert job.poll() is None
    assert job.wait(0.01) is None
    children = until(lambda: psutil.Process(job.pid).children())
    assert children, "its child"
    assert job.pid == os.getpgid(job.pid) != os.getpgid(0)
    os.killpg(os.getpgid(job.pid), signal.SIGKILL)
    assert b"there\n" == job.communicate()[0]
    assert -signal.SIGKILL == job.returncode
    assert until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children)), "its end"
    assert b"again\n" == ForkedJob(folder, script(folder, "print('again')")).communicate()[0]


def test_several_threads_may_look_at_one_job(folder: str) -> None:
    """Whoever waits for a job, and whoever looks whether it has ended, sees the same end, and nobody an error."""
    for _ in range(20):
        job = ForkedJob(folder, script(folder, "import time\ntime.sleep(0.02)\nraise SystemExit(3)"))
        with ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(job.wait, LIMIT_S) for _ in range(2)]
            looking = threads.submit(until, lambda job=job: job.poll() is not None)
            assert [3, 3] == [each.result(LIMIT_S) for each in waiting]
            assert looking.result(LIMIT_S)
        assert (b"", b"") == job.communicate()


def test_a_driver_may_have_many_files_open(folder: str) -> None:
    """A job is seen to end by a driver whose descriptors have numbers beyond those of select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while stack.enter_context(open(os.devnull, "rb")).fileno() < 1100:
            pass
        job = ForkedJob(folder, script(folder, "print('there')"))
        assert b"there\n" == job.communicate()[0]
        assert job.returncode == 0


def test_without_a_preloaded_python_there_is_none(tmp_path: Path) -> None:
    """Where nobody listens it is an error at once, whereupon Lithops' own way is taken."""
    with pytest.raises(OSError, match="No such file"):
        ForkedJob(str(tmp_path), ["a script"])


def test_a_job_ends_with_the_preloaded_python(folder: str) -> None:
    """When the preloaded Python is killed, the job counts as killed."""
    job = ForkedJob(folder, script(folder, "import time\ntime.sleep(600)"))
    psutil.Process(job.pid).parent().kill()  # type: ignore[union-attr]  # it has one
    assert -signal.SIGKILL == job.wait(LIMIT_S)


def test_a_query_goes_on_when_the_preloaded_python_was_killed() -> None:
    """After the preloaded Python of an executor is gone, the next query starts another and has its result."""
    executor: Any = lithops.FunctionExecutor(config=CONFIG, log_level=None)
    with executor:
        assert 10 == ROOT.RDataFrame(10, executor=executor, npartitions=2).Count().GetValue()
        assert all(isinstance(job, ForkedJob) for job in executor.compute_handler.env.jobs.values())
        psutil.Process(registry.session_of(executor).processes.prefork.pid).kill()  # type: ignore[union-attr]
        assert 20 == ROOT.RDataFrame(20, executor=executor, npartitions=2).Count().GetValue()
