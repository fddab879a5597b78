"""Find and remove what runs left behind whose driver was killed, and nothing else. Knows neither Lithops nor ROOT.

A run keeps a record in Lithops' storage for as long as it lasts: ``rdf_lithops/runs/<second>-<random>/run.json`` says which
driver it is of and which of Lithops' jobs are its own. A driver that ends takes the record away; so a record whose driver is
gone, or is on another machine and older than the user says, names what may be deleted. On this machine there are also
the folders in which drivers meet their ROOT processes, and keys of runs; a lock tells whether somebody lives there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..dataset import driver_processes

__all__ = [
    "KEY_PREFIX",
    "RECORD_NAME",
    "RUNS_PREFIX",
    "Leftover",
    "LithopsFolders",
    "claim",
    "find",
    "remove",
]

RUNS_PREFIX = "rdf_lithops/runs"
RECORD_NAME = "run.json"
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

    Of a run whose driver ran on this machine, and whose work may be taken up: ``resumes``, what it computes, as its record
    has it (None otherwise); which of its ``calls`` each of its map jobs has, in order (or how many, if all); ``beat_s``."""

    name: str
    age_s: float
    keys: tuple[str, ...] = field(default=(), repr=False)
    paths: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str, str], ...] = ()
    resumes: Any = field(default=None, repr=False)
    calls: dict[str, Any] = field(default_factory=dict, repr=False)
    beat_s: float = 0.0

    @property
    def prefix(self) -> str:
        """Below which a run keeps what is its own in the storage."""
        return f"{RUNS_PREFIX}/{self.name.removeprefix('run ')}"

    @property
    def record(self) -> str:
        """The key of a run's record."""
        return f"{self.prefix}/{RECORD_NAME}"


def claim(folder: str) -> Any:
    """Say that this process lives in ``folder``, until what is returned is closed or the process ends."""
    lock = open(os.path.join(folder, DRIVER_LOCK), "wb")  # noqa: SIM115  # its lock is what is wanted of it
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def find(storage: Any, lithops_folders: LithopsFolders, older_than_s: float) -> list[Leftover]:
    """Leftovers that are at least so old, oldest first. ``storage`` is Lithops' Storage."""
    found = [*_dead_runs(storage, lithops_folders), *_dead_folders(lithops_folders)]
    return sorted((each for each in found if each.age_s >= older_than_s), key=lambda each: -each.age_s)


def _dead_runs(storage: Any, lithops_folders: LithopsFolders) -> Iterator[Leftover]:
    keys = storage.list_keys(storage.bucket, f"{RUNS_PREFIX}/")
    for run_id in sorted({key.split("/")[2] for key in keys}):
        began, _, _ = run_id.partition("-")
        if not began.isdigit():
            continue  # not ours
        record = _read_record(storage, f"{RUNS_PREFIX}/{run_id}/{RECORD_NAME}")
        if driver_processes.lives(record) is True:
            continue
        own = [key for key in keys if key.split("/")[2] == run_id]
        paths: list[str] = []
        for job_key in record.get("job_keys", ()):
            own += storage.list_keys(storage.bucket, f"{lithops_folders.jobs_prefix}/{job_key}/")
            paths += [os.path.join(folder, name) for folder in lithops_folders.job_folders for name in _names_of(job_key)]
        if record.get("executor_id"):  # its functions; only Lithops' own executors of that name use them
            own += storage.list_keys(storage.bucket, f"{lithops_folders.jobs_prefix}/{record['executor_id']}/")
        there = tuple(path for path in paths if os.path.exists(path))
        outputs = tuple((str(folder), str(stem), str(run)) for folder, stem, run in record.get("outputs", ()))
        found = Leftover(f"run {run_id}", time.time() - int(began), tuple(own), there, outputs)
        yield _resumable(found, record) if driver_processes.lives(record) is False else found


def _resumable(found: Leftover, record: dict[str, Any]) -> Leftover:
    calls, beat_s = record.get("calls"), record.get("beat_s")
    return dataclasses.replace(
        found,
        resumes=record.get("resumes") or None,
        calls=calls if isinstance(calls, dict) else {},
        beat_s=float(beat_s or 0.0),
    )


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
