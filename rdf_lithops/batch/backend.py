"""Lithops' interface of a compute back end, on a batch system: what Slurm and HTCondor share."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from lithops import utils
from lithops.constants import COMPUTE_CLI_MSG, JOBS_PREFIX
from lithops.storage.utils import create_init_key, create_status_key
from lithops.version import __version__

from . import guard
from .here import ReduceHere, is_reducer
from .nodes import ask_here, brings_its_own, unpacked
from .submission import Submission
from .watcher import Scheduler, Watcher

__all__ = ["BatchBackend"]

logger = logging.getLogger(__name__)

ERRORS: dict[str, type[Exception]] = {"memory": MemoryError, "time": TimeoutError, "lost": RuntimeError}
DESCRIBE = "import json; from lithops.worker.utils import get_runtime_metadata as tell; print(json.dumps(tell()))"
GUARD_S = 2.0  # until it has seen that there is nothing to do


class BatchBackend:
    """A job is one array of the scheduler, a call one element of it (``cpus`` calls where an element has several)."""

    name = "batch"
    type = utils.BackendType.BATCH.value

    def __init__(self, section: dict[str, Any], internal_storage: Any, scheduler: Scheduler) -> None:
        self.section, self.internal_storage = section, internal_storage
        self.scheduler = ReduceHere(section, scheduler) if section["reduce"] == "here" else scheduler
        self.watcher = Watcher(self.scheduler, float(section["poll_s"]), self._unsaid, self._say, self._is_over)
        self._guard: subprocess.Popen[str] | None = None
        self._lock, self._pid = threading.Lock(), os.getpid()
        atexit.register(self.close)
        logger.info("%s", COMPUTE_CLI_MSG.format(self.name))

    # -- what Lithops calls ------------------------------------------------------------------------------------------

    def invoke(self, runtime_name: str, runtime_memory: int, payload: dict[str, Any]) -> str:
        """Queue a job; returns the scheduler's name of it. Raises BatchError."""
        submission = Submission.of(str(self.section["folder"]), payload)
        self.tell_guard("+", submission.folder, *self.cancelling(submission))
        try:
            self.scheduler.submit(submission)
        except BaseException:
            self._end([submission])
            raise
        if isinstance(self.scheduler, ReduceHere) and is_reducer(submission):
            self.tell_guard("+", submission.folder, *self.scheduler.cancelling(submission))
        self.watcher.watch(submission)
        return submission.name

    def clear(self, job_keys: Iterable[str] | None = None) -> None:
        """Cancel what waits or runs of these jobs, or of all of this executor, and delete their folders."""
        wanted = None if job_keys is None else set(job_keys)
        jobs = [job for job in self.watcher.jobs() if wanted is None or job.job_key in wanted]
        self.watcher.drop(jobs)
        self._end(jobs)

    def clean(self, all: bool = False) -> None:
        """Nothing outlives an executor but its jobs."""
        self.clear()

    def close(self) -> None:
        """End with the executor, or with the program; not with a fork of it, whose jobs they are not."""
        if os.getpid() != self._pid:
            return
        self.clear()
        with self._lock:
            if self._guard is not None and self._guard.stdin is not None:
                with contextlib.suppress(OSError):
                    self._guard.stdin.close()
                try:
                    self._guard.wait(timeout=GUARD_S)
                except subprocess.TimeoutExpired:  # it has something to cancel, of a scheduler that does not answer now
                    self._guard.returncode = 0  # or Python warns that nobody waits for it
                self._guard = None

    def waiting(self, job_key: str) -> set[str]:
        """The calls of a job that wait in the scheduler's queue: nothing is wrong with them."""
        return self.watcher.waiting.get(job_key, set())

    def build_runtime(self, runtime_name: str, file: str, extra_args: Any = None) -> None:
        """Nothing is built for a batch system."""
        raise NotImplementedError(
            f"{self.name} runs the environment or the container of its section; build that by its own tools"
        )

    def deploy_runtime(self, runtime_name: str, memory: int, timeout: int) -> dict[str, Any]:
        """What Lithops wants to know of a runtime, above all which modules are there: asked of it.

        Of the interpreter that nodes share with this machine it is asked here, outside this program, whose own folder is on
        its search path and not on theirs; of a container or a tarball it is asked on a node.
        """
        given = ["-c", DESCRIBE]
        said = self.ask_a_node(given) if brings_its_own(self.section) else ask_here(self.section, given)
        return dict(json.loads(said.splitlines()[-1]))

    def ask_a_node(self, arguments: list[str]) -> str:
        """What Python prints on a node when it is given ``arguments``: a job that somebody waits for."""
        raise NotImplementedError

    def delete_runtime(self, runtime_name: str, memory: int, version: str = __version__) -> None:
        """Nothing was deployed."""

    def list_runtimes(self, runtime_name: str = "all") -> list[Any]:
        """Nothing is deployed."""
        return []

    def get_runtime_key(self, runtime_name: str, runtime_memory: int, version: str = __version__) -> str:
        """Under which name Lithops remembers what it was told of the runtime."""
        own = unpacked(self.section) if self.section.get("tarball") else self.section.get("container")
        home = str(own or self.section.get("python") or sys.executable)
        known = hashlib.sha256(f"{home} {sys.version} {os.environ.get('PYTHONPATH', '')}".encode()).hexdigest()[:16]
        return os.path.join(self.name, version, known)

    def get_runtime_info(self) -> dict[str, Any]:
        """The limits of an element."""
        known = ("runtime_memory", "runtime_timeout", "runtime_cpu", "max_workers")
        return {"runtime_name": self.section.get("runtime") or "python", **{name: self.section[name] for name in known}}

    # -- ours --------------------------------------------------------------------------------------------------------

    def cancelling(self, submission: Submission) -> list[str]:
        """The command that cancels a job which this process can no longer cancel."""
        raise NotImplementedError

    def _end(self, jobs: list[Submission]) -> None:
        if not jobs:
            return
        try:
            self.scheduler.cancel(jobs)
        except Exception as error:  # the guard tries again when this process ends
            logger.warning("could not cancel %s: %s", ", ".join(job.name for job in jobs), error)
            return
        for job in jobs:
            self._is_over(job)

    def _is_over(self, job: Submission) -> None:
        self.tell_guard("-", job.folder)
        job.remove()

    def tell_guard(self, *fields: str) -> None:
        """Have the process that outlives this one know, should this one be killed."""
        with self._lock:
            if self._guard is None or self._guard.poll() is not None:
                command = [sys.executable, "-S", "-I", guard.__file__]
                pipes: dict[str, Any] = {
                    "stdin": subprocess.PIPE,
                    "stdout": subprocess.DEVNULL,
                    "stderr": subprocess.DEVNULL,
                }
                self._guard = subprocess.Popen(command, text=True, start_new_session=True, cwd="/", **pipes)
            assert self._guard.stdin is not None
            with contextlib.suppress(OSError):
                self._guard.stdin.write("\t".join(fields) + "\n")
                self._guard.stdin.flush()

    def _unsaid(self, job: Submission, call_ids: list[str]) -> list[str]:
        """Those calls that have no status; none at all of a job whose objects were deleted: nobody waits for it any more."""
        storage = self.internal_storage.storage
        there = storage.list_keys(storage.bucket, f"{JOBS_PREFIX}/{job.job_key}/")
        ended = {key.split("/")[-2] for key in there if key.endswith("/status.json")}
        return [call_id for call_id in call_ids if call_id not in ended] if there else []

    def _say(self, job: Submission, call_id: str, cause: str, why: str) -> None:
        """Write the status of a call that could not write it: Lithops then raises an exception of the kind."""
        known = job.executor_id, job.job_id, call_id
        error = ERRORS[cause]("HANDLER", f"{self.name}: {why}")
        now = time.time()
        status = {
            "type": "__end__",
            "exception": True,
            "exc_info": str(pickle.dumps((type(error), error, None))),
            "executor_id": job.executor_id,
            "job_id": job.job_id,
            "call_id": call_id,
            "activation_id": job.name,
            "host_submit_tstamp": now,
            "worker_start_tstamp": now,
            "worker_end_tstamp": now,
        }
        logger.warning("%s call %s: %s", job.job_key, call_id, why.partition("; the end of")[0])
        self.internal_storage.put_data(create_init_key(*known, job.name), "")
        self.internal_storage.put_data(create_status_key(*known), json.dumps(status))
