"""What ``gc`` counts as left by a dead driver: what is known to be ours, and nothing of the user's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG

from rdf_lithops.dataset import driver_processes
from rdf_lithops.executor import leftovers
from rdf_lithops.executor.run_folders import lithops_folders

DEAD = "dead00-0"
JOBS, OURS = "lithops.jobs", "000000000005"  # and the number of a job of ours
FUNCTION = f"{JOBS}/{DEAD}/f.func.pickle"
LATE = f"{JOBS}/{DEAD}-M{OURS}/00000/x.init"
USERS = [f"{JOBS}/{DEAD}-{job}/00000/status.json" for job in ("M123456789", "R005", "A000")]
RECORD = f"{leftovers.EXECUTORS_PREFIX}/{DEAD}"
DRIVER = "import json; from rdf_lithops.dataset import driver_processes as d; print(json.dumps(d.describe()))"


def gone() -> dict[str, Any]:
    """A driver of this machine that has ended."""
    done = subprocess.run([sys.executable, "-c", DRIVER], capture_output=True, text=True, timeout=120, check=True)
    return {**json.loads(done.stdout), "used_at": time.time()}


@pytest.fixture
def storage(fexec: lithops.FunctionExecutor) -> Iterator[Any]:
    """A storage in which an executor has left a function and an object that was written late, and the user's own results."""
    storage, written = fexec.storage, [FUNCTION, LATE, *USERS]
    for key in written:
        storage.put_object(storage.bucket, key, b"{}")
    yield storage
    for key in (*written, RECORD):
        storage.delete_object(storage.bucket, key)


def left(fexec: lithops.FunctionExecutor) -> list[set[str]]:
    """The keys that are counted as left by that executor."""
    found = leftovers.find(fexec.storage, lithops_folders(fexec), 0.0)
    return [set(each.keys) for each in found if each.name == f"executor {DEAD}"]


def test_the_users_own_results_stay(storage: Any, fexec: lithops.FunctionExecutor) -> None:
    """Of an executor whose driver is dead its functions and our jobs are left; jobs of the user's own on it are not."""
    storage.put_object(storage.bucket, RECORD, json.dumps(gone()).encode())
    assert [{FUNCTION, LATE, RECORD}] == left(fexec)


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"{}"])
def test_a_record_that_cannot_be_read(record: bytes, storage: Any, fexec: lithops.FunctionExecutor) -> None:
    """Says nothing of its driver, which may live: nothing is left."""
    storage.put_object(storage.bucket, RECORD, record)
    assert [] == left(fexec)


@pytest.mark.parametrize(("days", "expected"), [(0, 0), (6, 0), (8, 1)])
def test_a_driver_elsewhere(days: int, expected: int, storage: Any, fexec: lithops.FunctionExecutor) -> None:
    """Whose executor has run nothing for a week is dead; before, nobody here knows."""
    driver = {**driver_processes.describe(), "host": "elsewhere", "used_at": time.time() - days * 24 * 3600.0}
    storage.put_object(storage.bucket, RECORD, json.dumps(driver).encode())
    assert expected == len(left(fexec))


def test_a_driver_that_lives(storage: Any, fexec: lithops.FunctionExecutor) -> None:
    """Has left nothing, however long ago it ran something."""
    driver = {**driver_processes.describe(), "used_at": 0.0}
    storage.put_object(storage.bucket, RECORD, json.dumps(driver).encode())
    assert [] == left(fexec)


def test_our_jobs_are_told_from_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of queries have numbers of a length that no job of the user's on the same executor has."""
    names: list[str] = []
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG), log_level=None) as executor:
        run_job = executor.invoker.run_job
        monkeypatch.setattr(executor.invoker, "run_job", lambda job: (names.append(job.job_id), run_job(job))[1])
        assert 10 == ROOT.RDataFrame(10, executor=executor, npartitions=2).Count().GetValue()
        ours, before = set(names), len(names)
        assert [4, 9] == executor.get_result(executor.map(lambda number: number**2, [2, 3], include_modules=None))
    assert {len(OURS) + 1} == {len(name) for name in ours}
    assert max(len(name) for name in names[before:]) < len(OURS)
