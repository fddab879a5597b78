"""What one run keeps in Lithops' storage and gives its calls: a folder with the user's code in it, keys, a record."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lithops.constants import JOBS_DIR, JOBS_PREFIX, LITHOPS_TEMP_DIR, LOGS_DIR, SESSION_ID_ENV

from ..dataset import driver_processes
from ..dataset.credentials import Credential
from ..options import Options
from ..travels.sealed import KEY_VARIABLE, Sealed
from ..worker.start import pre_run
from . import first_look
from .leftovers import KEY_PREFIX, RECORD_NAME, RUNS_PREFIX, LithopsFolders, job_number
from .likeness import Likeness
from .payload import Payload
from .session import Session

__all__ = ["RunFolder", "beats", "call_off", "delivered", "lithops_folders", "opened", "record", "working_folder"]

logger = logging.getLogger(__name__)

RUN_VARIABLE = "RDF_LITHOPS_RUN"  # which names a run's record to its calls
# Lithops' variable, and the dotted name of what it calls first in the process that it forks for a call. That one shares the
# connection on which its parent has asked for the bucket, and both write into it at once: the parent that the call began,
# the child whatever it does first. Over plain HTTP they get each other's answers, an object that was never stored counts as
# stored, and the run waits. And a reducer sleeps over partials that are there, on this machine as well.
FIRST_OF_ALL = {"PRE_RUN": f"{pre_run.__name__}.{pre_run.begin.__name__}"}
MANY_CALLS = 500  # whose objects take longer to delete than anybody should wait
LOCAL_BEAT_S = 0.5
REMOTE_BEAT_S = 10.0


@dataclass(frozen=True)
class RunFolder:
    """What one run keeps in Lithops' storage: everything below ``prefix``, which names the second in which it began."""

    run_id: str
    prefix: str
    payload: dict[str, Any]
    storage: Any = field(repr=False)
    job_keys: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)  # of them: their calls are to end
    outputs: Sequence[tuple[str, str, str]] = ()  # where its Snapshots go: folder, stem, run
    bundle: bytes | None = field(default=None, repr=False)
    resumes: Likeness | None = None  # what it computes, if another run may take it up
    calls: dict[str, Any] = field(default_factory=dict)  # of each map job: its calls, or how many, if they are all
    beat_s: float = 0.0

    def take(self, key: str) -> bytes:
        """An object that a task has put there."""
        return bytes(self.storage.get_object(self.storage.bucket, key))


@contextlib.contextmanager
def opened(session: Session, payload: Payload, outputs: Sequence[tuple[str, str, str]] = ()) -> Iterator[RunFolder]:
    """A folder for one run, with the payload's bundle in it; what lies there when the run ends is deleted. ``outputs`` is
    what ``gc`` is to tidy up if this driver is killed: folder, stem and run of each Snapshot."""
    storage = session.executor.storage
    run_id = f"{int(time.time())}-{os.urandom(6).hex()}"
    prefix = f"{RUNS_PREFIX}/{run_id}"
    fields = payload.fields
    if payload.bundle is not None:
        bundle_sha256 = hashlib.sha256(payload.bundle).hexdigest()
        key = f"{prefix}/{bundle_sha256}.tar"
        storage.put_object(storage.bucket, key, payload.bundle)
        fields = {**fields, "bundle": {"bucket": storage.bucket, "key": key, "sha256": bundle_sha256}}
    run_folder = RunFolder(run_id, prefix, fields, storage, outputs=outputs, bundle=payload.bundle)
    try:
        yield run_folder
    finally:
        session.jobs.withdraw(set(run_folder.job_keys))
        calls = sum(given if isinstance(given, int) else len(given) for given in run_folder.calls.values())
        session.jobs.release(run_folder.job_keys, many=calls > MANY_CALLS)
        try:
            session.jobs.delete_below(prefix)
        except Exception as problem:  # of the storage's own kind; it must not hide the result, or what the run ended in
            why = str(problem).partition("\n")[0]
            logger.warning("%s stays in the storage (%s): rdf-lithops gc removes it", prefix, why)


class _Hidden(str):
    """A string that does not show itself where it is part of something printed: Lithops logs the variables of a call."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


@contextlib.contextmanager
def delivered(
    session: Session, run_folder: RunFolder, found: Sequence[Credential]
) -> Iterator[tuple[Sealed | None, dict[str, str]]]:
    """Seal credentials for the time of a run; yields what goes into the tasks, and the variables that go with the calls:
    those are the run's own, and the tasks, which Lithops stores, the same for all runs of a graph.

    The key never goes where the sealed credentials go. Elsewhere it is a variable of the call: Lithops sends those inside
    the invocation. On localhost it writes the invocation into the folder that is also its storage, so there the key is a
    private file of this session, in the folder that goes with its ROOT process if this driver is killed.
    """
    sealed = session.keyring.seal(found) if found else None
    variables = dict(FIRST_OF_ALL)
    if not session.local:
        variables[RUN_VARIABLE] = f"{run_folder.prefix}/{RECORD_NAME}"
    if sealed is None:
        yield None, variables
    elif not session.local:
        yield sealed[0], {**variables, KEY_VARIABLE: _Hidden(sealed[1])}
    else:
        descriptor, path = tempfile.mkstemp(prefix=KEY_PREFIX, dir=session.processes.folder)  # 0600
        try:
            with os.fdopen(descriptor, "w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)  # until it is closed: gc takes what nobody holds
                stream.write(sealed[1])
                stream.flush()
                yield dataclasses.replace(sealed[0], key_file=session.processes.seen_by_calls(path)), variables
        finally:
            with contextlib.suppress(FileNotFoundError):  # the executor was closed meanwhile, and its folder with it
                os.unlink(path)


def lithops_folders(executor: Any) -> LithopsFolders:
    """Where this executor's Lithops keeps its things."""
    in_bucket = os.path.join(LITHOPS_TEMP_DIR, executor.storage.bucket, JOBS_PREFIX)
    return LithopsFolders(JOBS_PREFIX, (in_bucket, JOBS_DIR, LOGS_DIR), tempfile.gettempdir())


def record(session: Session, run_folder: RunFolder, calls: Sequence[int] = ()) -> None:
    """Before an attempt at ``calls`` is submitted, write down which of Lithops' jobs it will be, for the case that we are
    killed."""
    number = job_number(session.executor.total_jobs)
    keys = [f"{session.executor.executor_id}-{kind}{number}" for kind in "MR"]
    run_folder.job_keys.extend(keys)
    run_folder.calls[keys[0]] = len(calls) if list(calls) == list(range(len(calls))) else list(calls)
    session.jobs.open(keys)
    first_look.note_use(session)
    _write_record(session, run_folder)


def call_off(session: Session, run_folder: RunFolder, job_keys: Collection[str]) -> None:
    """Have the calls of these jobs end at their next beat, where nobody can kill them. With the run all of them do."""
    run_folder.stopped.extend(sorted(job_keys))
    _write_record(session, run_folder)


def _write_record(session: Session, run_folder: RunFolder) -> None:
    named = {"executor_id": session.executor.executor_id, "job_keys": run_folder.job_keys, "outputs": run_folder.outputs}
    record = {**driver_processes.describe(), **named, "stopped": run_folder.stopped}
    if run_folder.resumes is not None:
        record |= {"resumes": run_folder.resumes.fields(), "calls": run_folder.calls, "beat_s": run_folder.beat_s}
    storage = session.executor.storage
    storage.put_object(storage.bucket, f"{run_folder.prefix}/{RECORD_NAME}", json.dumps(record).encode())


def working_folder() -> dict[str, Any]:
    """This program's working folder ("" for one that is gone) and umask, as tasks are told of them."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:  # Python can only set it, for all threads
        found = (line.split()[1] for line in status if line.startswith("Umask:"))
        return {"cwd": folder, "umask": int(next(found, "77"), 8)}
    return {"cwd": folder, "umask": None}


def beats(session: Session, options: Options) -> dict[str, Any]:
    """How often, and where, the calls of this executor say that they live."""
    every_s = options.beat_s or (LOCAL_BEAT_S if session.local else REMOTE_BEAT_S)
    found: dict[str, Any] = {"folder_variable": SESSION_ID_ENV, "prefix": JOBS_PREFIX, "ends_with_job": session.local}
    if not session.local:
        found["run_variable"] = RUN_VARIABLE
    return {"every_s": every_s, "stall_s": options.stall_s, **found}
