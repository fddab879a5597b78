"""Find and remove what runs left behind whose driver was killed, and nothing else. Knows neither Lithops nor ROOT.

A run keeps a record in Lithops' storage for as long as it lasts: ``rdf_lithops/runs/<second>-<random>/run.json`` says which
driver it is of and which of Lithops' jobs are its own. A driver that ends takes the record away; so a record whose driver is
gone, or is on another machine and older than the user says, names what may be deleted. So does the record that an executor
has from its first run to its end, ``rdf_lithops/executors/<executor_id>``. On this machine there are also the folders in
which drivers meet their ROOT processes, and keys of runs; a lock tells whether somebody lives there.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import glob
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..dataset import driver_processes

__all__ = [
    "EXECUTORS_PREFIX",
    "KEY_PREFIX",
    "RECORD_NAME",
    "RUNS_PREFIX",
    "Leftover",
    "LithopsFolders",
    "claim",
    "find",
    "job_number",
    "lives",
    "remove",
    "runs",
]

RUNS_PREFIX = "rdf_lithops/runs"
RECORD_NAME = "run.json"
EXECUTORS_PREFIX = "rdf_lithops/executors"  # a record of each, for what it keeps between its runs: its functions
FEW, READERS = 4, 16  # records of runs, and threads that read more of them
IDLE_S = 7 * 24 * 3600.0
JOB_DIGITS = 12  # of the numbers of our jobs: Lithops' own, of the user's jobs on the same executor, have at most ten
WARM_FOLDER_PREFIX = "rdf_lithops-"
DRIVER_LOCK = "driver.lock"
_LOCKS_OF_A_FOLDER = (DRIVER_LOCK, "root.lock", "reader.lock")
_SIGNS_OF_OURS = (*_LOCKS_OF_A_FOLDER, "start.lock", "root.log", "reader.log", "prefork.log")
KEY_PREFIX = "rdf_lithops-key-"  # a file with the key of a run, locked by its driver


@dataclass(frozen=True)
class LithopsFolders:
    """Where Lithops keeps its things: a prefix in the storage, and folders of this machine."""

    jobs_prefix: str
    job_folders: tuple[str, ...]
    temporary_folder: str


@dataclass(frozen=True)
class Leftover:
    """What one dead run or process left: a name, its age, keys in the storage, paths on this machine, and Snapshots that
    it was writing: folder, stem and run of each.

    Of a run whose work may be taken up: ``resumes``, what it computes, as its record has it (None otherwise); which of its
    ``calls`` each of its map jobs has, in order (or how many, if all); ``beat_s``; and of a driver that ran on another
    machine its ``host``, as nobody knows here whether it lives."""

    name: str
    age_s: float
    keys: tuple[str, ...] = field(default=(), repr=False)
    paths: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str, str], ...] = ()
    resumes: Any = field(default=None, repr=False)
    calls: dict[str, Any] = field(default_factory=dict, repr=False)
    beat_s: float = 0.0
    host: str = ""

    @property
    def prefix(self) -> str:
        """Below which a run keeps what is its own in the storage."""
        return f"{RUNS_PREFIX}/{self.name.removeprefix('run ')}"

    @property
    def record(self) -> str:
        """The key of a run's record."""
        return f"{self.prefix}/{RECORD_NAME}"


def job_number(number: int) -> str:
    """The number that a job of ours has in its name, which tells it from the user's own, whose results stay."""
    return str(number).zfill(JOB_DIGITS)


def claim(folder: str) -> Any:
    """Say that this process lives in ``folder``, until what is returned is closed or the process ends."""
    lock = open(os.path.join(folder, DRIVER_LOCK), "wb")  # noqa: SIM115  # its lock is what is wanted of it
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def find(storage: Any, lithops_folders: LithopsFolders, older_than_s: float) -> list[Leftover]:
    """Leftovers that are at least so old, oldest first. ``storage`` is Lithops' Storage."""
    found = [*_dead_runs(storage, lithops_folders), *_dead_folders(lithops_folders)]
    return sorted((each for each in found if each.age_s >= older_than_s), key=lambda each: -each.age_s)


def runs(storage: Any, newest: int | None = None) -> list[Leftover]:
    """Runs whose driver does not live, as far as this machine can tell, oldest first, without what they have left in
    Lithops' jobs: a list, and a look at each record, or at so many of the ``newest``."""
    return [_run(run_id, record, tuple(own)) for run_id, record, own in _records(storage, newest)]


def lives(storage: Any, name: str) -> bool:
    """Whether there is a run of this name whose driver lives on this machine."""
    record = _read_record(storage, Leftover(name, 0.0).record)
    return driver_processes.lives(record) is True


def _records(storage: Any, newest: int | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """Of runs whose driver does not live: their name, record, and keys of their own."""
    by_run: dict[str, list[str]] = {}
    for key in storage.list_keys(storage.bucket, f"{RUNS_PREFIX}/"):
        run_id = key.split("/")[2]
        if run_id.partition("-")[0].isdigit():  # else not ours
            by_run.setdefault(run_id, []).append(key)
    run_ids = sorted(by_run)[-(newest or len(by_run)) :]
    records = [f"{RUNS_PREFIX}/{run_id}/{RECORD_NAME}" for run_id in run_ids]
    with ThreadPoolExecutor(READERS if len(records) > FEW else 1) as readers:
        found = list(readers.map(functools.partial(_read_record, storage), records))
    for run_id, record in zip(run_ids, found, strict=True):
        if driver_processes.lives(record) is not True:
            yield run_id, record, by_run[run_id]


def _run(run_id: str, record: dict[str, Any], keys: tuple[str, ...], paths: tuple[str, ...] = ()) -> Leftover:
    outputs = tuple((str(folder), str(stem), str(run)) for folder, stem, run in record.get("outputs", ()))
    calls = record.get("calls")
    return Leftover(
        f"run {run_id}",
        time.time() - int(run_id.partition("-")[0]),
        keys,
        paths,
        outputs,
        resumes=record.get("resumes") or None,
        calls=calls if isinstance(calls, dict) else {},
        beat_s=float(record.get("beat_s") or 0.0),
        host="" if driver_processes.lives(record) is False else str(record.get("host", "another machine")),
    )


def _dead_runs(storage: Any, lithops_folders: LithopsFolders) -> Iterator[Leftover]:
    records = {key.rpartition("/")[2]: key for key in storage.list_keys(storage.bucket, f"{EXECUTORS_PREFIX}/")}
    for run_id, record, own in _records(storage):
        paths: list[str] = []
        for job_key in record.get("job_keys", ()):
            own += storage.list_keys(storage.bucket, f"{lithops_folders.jobs_prefix}/{job_key}/")
            paths += [os.path.join(folder, name) for folder in lithops_folders.job_folders for name in _names_of(job_key)]
        if record.get("executor_id"):  # its functions; only Lithops' own executors of that name use them
            own += storage.list_keys(storage.bucket, f"{lithops_folders.jobs_prefix}/{record['executor_id']}/")
            if known := records.pop(record["executor_id"], None):
                own.append(known)
        yield _run(run_id, record, tuple(own), tuple(path for path in paths if os.path.exists(path)))
    for executor_id, key in sorted(records.items()):
        yield from _dead_executor(storage, lithops_folders, executor_id, key)


def _dead_executor(storage: Any, lithops_folders: LithopsFolders, executor_id: str, key: str) -> Iterator[Leftover]:
    """What an executor has left whose driver was killed after its runs: functions, and what Lithops' local workers wrote
    late. One of another machine may wait for its user with functions that it will not store again: it counts when it has
    run nothing for a week."""
    record = _read_record(storage, key)
    if not record:  # it cannot be read now, and its driver may live
        return
    is_alive, age_s = driver_processes.lives(record), time.time() - float(record.get("used_at") or 0.0)
    if is_alive is False or (is_alive is None and age_s > IDLE_S):
        jobs = f"{lithops_folders.jobs_prefix}/{executor_id}"
        ours = re.compile(rf"{re.escape(jobs)}-[MR]\d{{{JOB_DIGITS}}}/")
        keys = storage.list_keys(storage.bucket, f"{jobs}/")
        keys += filter(ours.match, storage.list_keys(storage.bucket, f"{jobs}-"))
        pattern = f"{glob.escape(executor_id)}-[MR]{'[0-9]' * JOB_DIGITS}*"
        paths = [path for folder in lithops_folders.job_folders for path in _below(folder, pattern)]
        yield Leftover(f"executor {executor_id}", age_s, (*keys, key), tuple(paths))


def _below(folder: str, pattern: str) -> list[str]:
    return sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))


def _names_of(job_key: str) -> tuple[str, ...]:
    """What a job is called in Lithops' local folders."""
    return job_key, f"{job_key}.done", f"{job_key}.log", f"{job_key}-job.json"


def _read_record(storage: Any, key: str) -> dict[str, Any]:
    try:
        record = json.loads(storage.get_object(storage.bucket, key))
    except Exception:  # none was written, or half of one: each storage says so in its own way
        return {}
    return record if isinstance(record, dict) else {}


def _dead_folders(lithops_folders: LithopsFolders) -> Iterator[Leftover]:
    """Folders in which no process lives, and keys of runs that no driver holds."""
    with os.scandir(lithops_folders.temporary_folder) as entries:
        for entry in entries:
            if not entry.name.startswith(WARM_FOLDER_PREFIX):
                continue
            seen = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False) and _is_ours(entry.path):
                kind, locks = "folder", [os.path.join(entry.path, name) for name in _LOCKS_OF_A_FOLDER]
            elif entry.name.startswith(KEY_PREFIX) and entry.is_file(follow_symlinks=False):
                kind, locks = "key", [entry.path]
            else:
                continue
            if seen.st_uid == os.getuid() and not any(map(_is_locked, locks)):
                yield Leftover(f"{kind} {entry.name}", time.time() - seen.st_mtime, paths=(entry.path,))


def _is_ours(folder: str) -> bool:
    """Whether a folder of our prefix is one in which processes met, or were going to: a user may have one of such a name."""
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return not names or not set(names).isdisjoint(_SIGNS_OF_OURS)


def _is_locked(path: str) -> bool:
    """Whether somebody lives who holds this lock: a ROOT process, a reader, or a driver."""
    try:
        with open(path, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def remove(storage: Any, leftovers: list[Leftover], tidy: Callable[[str, str, str], None]) -> None:
    """Delete them; what is gone already is no error. ``tidy`` brings a Snapshot to its end, or takes it back."""
    for leftover in leftovers:
        for place in leftover.outputs:
            tidy(*place)
        if leftover.keys:
            storage.delete_objects(storage.bucket, list(leftover.keys))
        for path in leftover.paths:
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
