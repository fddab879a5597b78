"""The seam with Lithops: the only module that imports it. Submits through ``map_reduce``, waits, fetches, cleans.

Kept per executor is a session: the lock under which jobs are numbered and submitted, the private folder where tasks of
this machine meet the warm ROOT process, and what was changed on the executor (see ``_make_safe``).
"""

from __future__ import annotations

import ast
import atexit
import base64
import contextlib
import gc
import hashlib
import logging
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import lithops
from lithops.constants import JOBS_DIR, JOBS_PREFIX, LITHOPS_TEMP_DIR, LOCALHOST, LOGS_DIR
from lithops.wait import ALL_COMPLETED, ALWAYS

from .errors import PlanError
from .payload import Payload
from .planning import Options, Plan
from .running import CallEnd
from .worker import launcher, warm

__all__ = ["LithopsSubmission", "Session", "is_executor", "process_settings", "session_for", "submit", "uploaded"]

logger = logging.getLogger(__name__)

PRELOADED = ("lithops.worker", "lithops.localhost", "rdf_lithops.worker.task")
PAYLOAD_PREFIX = "rdf_lithops/payloads"
LOCAL_POLL_S = 0.004
REMOTE_POLL_S = 0.5
_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
_sessions_lock = threading.Lock()


def is_executor(candidate: Any) -> bool:
    """Whether ``candidate`` is a Lithops executor that has ``map_reduce``."""
    return isinstance(candidate, lithops.FunctionExecutor)


@dataclass
class Session:
    """What is kept for one executor from its first data frame to its end."""

    executor: Any
    local: bool
    lock: threading.RLock = field(default_factory=threading.RLock)
    warm_folder: str | None = None
    hold: Connection[Any, Any] | None = None
    prefork: subprocess.Popen[bytes] | None = None
    closed: bool = False
    job_keys: list[str] = field(default_factory=list)

    def workers(self) -> int:
        """Calls that this executor's backend runs at a time, per its configuration."""
        config = self.executor.config
        section = config[config["lithops"]["backend"]]
        per_machine = int(section.get("worker_processes") or 1)
        return per_machine if self.local else int(section.get("max_workers") or 1) * per_machine

    def end_preloaded(self) -> None:
        """End the preloaded Python: it lives as long as its standard input is open."""
        if self.prefork is not None and self.prefork.stdin is not None:
            self.prefork.stdin.close()
            self.prefork.wait(timeout=10)
            self.prefork = None

    def close(self) -> None:
        """End the warm ROOT process of this executor and remove what is left of its runs. Twice does nothing."""
        self.closed = True
        if self.hold is not None:
            self.hold.close()
            self.hold = None
        self.end_preloaded()
        if self.warm_folder is not None:
            warm.reap(self.warm_folder)
            shutil.rmtree(self.warm_folder, ignore_errors=True)
            self.warm_folder = None
        _sweep(self)


def session_for(executor: Any, options: Options) -> Session:
    """The session of ``executor``; on localhost its first one starts the warm ROOT process, in the background.

    Raises PlanError for an executor that was closed.
    """
    with _sessions_lock:
        session = _sessions.get(executor)
        if session is None:
            session = Session(weakref.proxy(executor), executor.mode == LOCALHOST)
            _make_safe(executor, session)
            _sessions[executor] = session
        if session.closed:
            raise PlanError("expected an open Lithops executor, got one that was closed; create a new FunctionExecutor")
        if session.local and options.warm:
            _warm_this_machine(executor, session, options)
    return session


def anticipate() -> None:
    """If this program has made one executor, and that one on localhost, start its ROOT process now."""
    made = [item for item in gc.get_objects() if issubclass(type(item), lithops.FunctionExecutor)]
    if len(made) == 1 and made[0].mode == LOCALHOST:
        session_for(made[0], Options())


def _warm_this_machine(executor: Any, session: Session, options: Options) -> None:
    """Start, in the background, what makes localhost fast, or start it again if it has died."""
    if session.warm_folder is None:
        session.warm_folder = tempfile.mkdtemp(prefix="rdf_lithops-")
    if session.hold is None or session.hold.poll():  # nothing is ever sent to a holder: readable means gone
        with contextlib.suppress(warm.WarmProcessUnavailable):  # the tasks will say so, and run ROOT themselves
            session.hold = warm.hold(session.warm_folder, process_settings(options, owns_folder=True))
    if session.prefork is None or session.prefork.poll() is not None:
        _preload_python(executor, session, session.warm_folder)


def _preload_python(executor: Any, session: Session, folder: str) -> None:
    """Have Lithops start ``launcher`` as its interpreter, and the Python that has its imports behind it."""
    environment: Any = getattr(executor.compute_handler, "env", None)
    interpreter = os.path.join(folder, "python")
    if getattr(environment, "runtime_name", None) not in (sys.executable, interpreter):
        return  # the user's own interpreter, or a container
    session.end_preloaded()
    with open(os.path.join(folder, "prefork.log"), "ab") as log:
        session.prefork = warm.run_module("prefork", [folder, *PRELOADED], log, subprocess.PIPE)
    with open(interpreter, "w") as script:
        command = [sys.executable, "-S", "-I", launcher.__file__, folder]
        script.write(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    os.chmod(interpreter, 0o700)
    environment.runtime_name = interpreter


def process_settings(options: Options, owns_folder: bool = False) -> dict[str, Any]:
    """The command-line settings of a warm ROOT process."""
    return {
        "idle_limit_s": options.idle_limit_s,
        "memory_limit_mib": options.memory_limit_mib,
        "owns_folder": int(owns_folder),
    }


def _make_safe(executor: Any, session: Session) -> None:
    """Set on a stock executor what keeps it from hanging or losing data under us.

    data_cleaner off: localhost v2 loses jobs while it tears one down, and ``map_reduce`` would delete the maps' outputs
    before its own reducer reads them; we delete what we wrote, and hand the setting back at exit so that Lithops deletes
    the rest. data_limit off: the reducer's input counts against 4 MiB. The interpreter: localhost looks "python3.x" up on
    PATH, which need not be the one that has ROOT. Job numbers: ``total_jobs += 1`` is not safe in several threads. A
    ``clear`` without job keys is how an executor ends: our processes end with it.
    """
    wanted = executor.data_cleaner
    executor.data_cleaner = False
    executor.config["lithops"]["data_cleaner"] = False
    executor.config["lithops"]["data_limit"] = False
    number, clear = executor._create_job_id, executor.compute_handler.clear

    def create_job_id(call_type: str) -> str:
        with session.lock:
            return str(number(call_type))

    def clear_and_close(job_keys: Any = None, **given: Any) -> Any:
        if job_keys is None:
            session.close()
        return clear(job_keys, **given)

    executor._create_job_id = create_job_id
    executor.compute_handler.clear = clear_and_close
    environment: Any = getattr(executor.compute_handler, "env", None)
    if session.local and str(getattr(environment, "runtime_name", "")).startswith("python"):
        environment.runtime_name = sys.executable
        # the name under which Lithops caches a runtime's Python version: "python" in two environments is not one runtime
        executor.invoker.runtime_name = f"{sys.executable}-{sys.version_info.major}.{sys.version_info.minor}"

    def end() -> None:
        session.close()
        executor.data_cleaner = wanted

    atexit.register(end)  # runs before Lithops' own hook, which was registered when the executor was made


@contextlib.contextmanager
def uploaded(session: Session, payload: Payload) -> Iterator[dict[str, Any]]:
    """Put the payload's bundle into Lithops' storage for the time of a run; yields the plain payload with its key."""
    if payload.bundle is None:
        yield payload.plain
        return
    storage = session.executor.storage
    bundle_sha256 = hashlib.sha256(payload.bundle).hexdigest()
    key = f"{PAYLOAD_PREFIX}/{os.urandom(8).hex()}/{bundle_sha256}.tar"
    storage.put_object(storage.bucket, key, payload.bundle)
    try:
        yield {**payload.plain, "bundle": {"bucket": storage.bucket, "key": key, "sha256": bundle_sha256}}
    finally:
        storage.delete_object(storage.bucket, key)


def submit(session: Session, plan: Plan, options: Options) -> LithopsSubmission:
    """Start ``plan`` through the executor's ``map_reduce``."""
    with session.lock:
        _sweep(session)
        futures = session.executor.map_reduce(
            plan.map_task,
            plan.iterdata,
            plan.reduce_task,
            # localhost bills nobody, and queues the reducer behind the maps; elsewhere it starts when the maps are done
            spawn_reducer=ALWAYS if session.local else ALL_COMPLETED,
            include_modules=None,
            timeout=options.deadline_s,
        )
    return LithopsSubmission(session, futures[:-1], futures[-1])


class LithopsSubmission:
    """One ``map_reduce`` under way; see ``running.Submission`` for what each method promises."""

    def __init__(self, session: Session, maps: list[Any], reduce: Any) -> None:
        self.session, self.maps, self.reduce = session, maps, reduce
        self.poll_s = LOCAL_POLL_S if session.local else REMOTE_POLL_S
        self._open = dict(enumerate(maps))

    def map_ends(self) -> dict[int, CallEnd]:
        ends = {position: end for position, future in self._open.items() if (end := self._end(future)) is not None}
        for position in ends:
            del self._open[position]
        return ends

    def reduce_end(self) -> CallEnd | None:
        return self._end(self.reduce)

    def lost(self) -> set[int]:
        return set(self._open) if self._over(self.maps[0].job_key) else set()

    def reduce_lost(self) -> bool:
        return self._over(self.reduce.job_key)

    def _over(self, job_key: str) -> bool:
        """Whether nothing of a local job runs any more: its process (version 1) or all its tasks (version 2) have ended."""
        if not self.session.local:
            return False
        entry = self.session.executor.compute_handler.env.jobs.get(job_key)
        if entry is None:  # still queued
            return False
        return bool(entry.done) if hasattr(entry, "done") else entry.poll() is not None

    def _end(self, future: Any) -> CallEnd | None:
        storage = self.session.executor.internal_storage
        try:
            status = storage.get_call_status(future.executor_id, future.job_id, future.call_id)
        except ValueError:  # localhost writes objects in place: this one is half written
            return None
        if status is None or status["type"] != "__end__":
            return None
        if status.get("exception"):
            return _failure(status)
        return _output(storage, future, status)

    def cancel(self, error: BaseException) -> None:
        keys = {self.maps[0].job_key, self.reduce.job_key}
        self.session.executor.compute_handler.clear(keys, exception=error)

    def forget(self) -> None:
        _forget(self.session, [*self.maps, self.reduce])


def _output(storage: Any, future: Any, status: dict[str, Any]) -> CallEnd:
    """A call's return value: small ones travel inside the status, larger ones are an object of their own."""
    pickled = (
        ast.literal_eval(status["result"])
        if "result" in status
        else storage.get_call_output(future.executor_id, future.job_id, future.call_id)
    )
    if pickled is None:
        return CallEnd(why=f"it says that it is done, but its output is gone from the storage ({future.job_key})")
    value = pickle.loads(pickled)
    return CallEnd(value) if isinstance(value, bytes) else CallEnd(why=f"expected bytes from it, got {type(value).__name__}")


def _failure(status: dict[str, Any]) -> CallEnd:
    """What Lithops says of a call that ended without our envelope: killed, out of memory, timed out."""
    try:
        _, cause, _ = pickle.loads(ast.literal_eval(status["exc_info"]))
        why = f"{type(cause).__name__}: {' '.join(str(part) for part in cause.args if part != 'HANDLER')}"
    except Exception as error:
        why = f"Lithops' own record of it cannot be read ({error})"
    logs = zlib.decompress(base64.b64decode(status["logs"])).decode(errors="replace") if "logs" in status else ""
    return CallEnd(why=why, log_tail=logs[-4000:])


def _forget(session: Session, futures: list[Any]) -> None:
    """Take a finished run out of the executor's books and delete its objects."""
    executor = session.executor
    executor.job_monitor.remove(futures)
    with session.lock:
        executor.futures[:] = [future for future in executor.futures if not any(future is ours for ours in futures)]
        keys = sorted({future.job_key for future in futures})
        session.job_keys += keys
    storage = executor.storage
    for job_key in keys:
        names = storage.list_keys(storage.bucket, f"{JOBS_PREFIX}/{job_key}/")
        if names:
            storage.delete_objects(storage.bucket, names)
        if session.local:
            shutil.rmtree(os.path.join(LITHOPS_TEMP_DIR, storage.bucket, JOBS_PREFIX, job_key), ignore_errors=True)


def _sweep(session: Session) -> None:
    """Remove what Lithops' local workers write after their call's result is out: markers, logs and per-job folders."""
    with session.lock:
        for job_key in session.job_keys:
            shutil.rmtree(os.path.join(JOBS_DIR, job_key), ignore_errors=True)
            for path in (os.path.join(JOBS_DIR, f"{job_key}.done"), os.path.join(LOGS_DIR, f"{job_key}.log")):
                with contextlib.suppress(OSError):
                    os.unlink(path)
        session.job_keys.clear()
