"""Jobs of Lithops' local back end: which of them are lost, and what is said of those that we have stopped."""

from __future__ import annotations

import importlib
import logging
import queue
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rdf_lithops.executor import complaints, localhost


class Clock:
    """Seconds that a test lets pass."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the module looks at."""
    made = Clock()
    monkeypatch.setattr(localhost, "time", made)
    return made


def handler(**jobs: Any) -> Any:
    """A handler of Lithops' first version, with these jobs and an empty queue."""
    return SimpleNamespace(env=SimpleNamespace(jobs=jobs), job_queue=queue.Queue())


def test_a_job_that_stays_away_is_lost(clock: Clock) -> None:
    """A job that is neither queued nor runs, look after look, counts as gone."""
    jobs, looks = localhost.LocalJobs(handler()), 0
    while not jobs.is_over("job"):
        clock.now_s += 0.1
        looks += 1
        assert looks < 100
    assert looks > 20


def test_a_machine_that_slept_has_lost_nothing(clock: Clock) -> None:
    """Between two looks a minute has passed, as the driver did not get to run: nothing is gone for that."""
    jobs = localhost.LocalJobs(handler())
    for _ in range(5):
        assert not jobs.is_over("job")
        clock.now_s += 60.0


def test_a_job_that_was_between_queue_and_process(clock: Clock) -> None:
    """A job that is found again is not gone, and what it was missed for does not count later."""
    theirs = handler()
    jobs = localhost.LocalJobs(theirs)
    for _ in range(3):
        for _ in range(30):
            assert not jobs.is_over("job")
            clock.now_s += 0.1
        theirs.env.jobs["job"] = SimpleNamespace(poll=lambda: None)
        assert not jobs.is_over("job")
        del theirs.env.jobs["job"]
    theirs.env.jobs["job"] = SimpleNamespace(poll=lambda: 0)
    assert jobs.is_over("job")


@pytest.mark.parametrize(("version", "key"), [("v1", "abc-1-M007"), ("v2", "abc-2-M007")])
def test_complaints_about_jobs_that_were_stopped(version: str, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Lithops' words for a process that failed are kept back for a job that we have stopped, and for no other."""
    lithops_localhost: Any = importlib.import_module(f"lithops.localhost.{version}.localhost")
    caplog.set_level(logging.DEBUG)
    lithops_localhost.logger.propagate, before = True, lithops_localhost.logger.propagate
    complaints.install()
    said = []
    for stopped in (False, True):
        caplog.clear()
        if stopped:
            complaints.expect([key])
        run_failing(lithops_localhost, key)
        lithops_localhost.logger.error("something else")
        said.append([record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR])
    lithops_localhost.logger.propagate = before
    assert ["failed with return code 3" in said[0][0], said[0][1:]] == [True, ["printed", "something else"]]
    assert ["something else"] == said[1]


def run_failing(version: Any, key: str) -> None:
    """Have this version of Lithops run a process of a job that prints something and fails."""
    command = [sys.executable, "-c", "import sys; print('printed', file=sys.stderr); sys.exit(3)"]
    if hasattr(version, "LocalhostHandlerV2"):
        fields = {"task_processes": {}, "task_processes_lock": threading.Lock(), "stopped_jobs": set()}
        version.ExecutionEnvironment._run_task_process(SimpleNamespace(**fields), f"{key}-00000", command)
        return
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    env = SimpleNamespace(run_job=lambda job_key, file: process)
    executor_id, _, job_id = key.rpartition("-")
    payload = {"executor_id": executor_id, "job_id": job_id, "job_key": key, "call_ids": ["00000"]}
    version.LocalhostHandlerV1._run_queued_job(SimpleNamespace(env=env), payload, "")
