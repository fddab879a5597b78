"""What is set on a stock Lithops executor, so that it neither hangs nor loses data under us.

All of Lithops' insides that are changed are changed here (read in Lithops 3.8).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pickle
import secrets
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

from lithops.constants import JOBS_DIR, LITHOPS_TEMP_DIR
from lithops.storage.utils import create_init_key, create_status_key
from lithops.utils import CountDownLatch

from ..errors import PlanError, RunError
from . import aliases, complaints
from .invoking import REFUSED, PatientInvoke
from .leftovers import job_number
from .releasing import release_with
from .session import Session

__all__ = ["make_private", "make_safe"]


def make_safe(executor: Any, session: Session) -> None:
    """Set on a stock executor what keeps it from hanging or losing data under us.

    data_cleaner off: localhost v2 loses jobs while it tears one down, and ``map_reduce`` would delete the maps' outputs
    before its own reducer reads them; we delete what we wrote, and hand the setting back at exit so that Lithops deletes
    the rest. data_limit off: the reducer's input counts against 4 MiB. The interpreter: localhost looks "python3.x" up on
    PATH, which need not be the one that has ROOT. Job numbers: ``total_jobs += 1`` is not safe in several threads, and
    programs that one program has started share its session, so two of them would use the same names in the storage. A
    ``clear`` without job keys is how an executor ends: our processes end with it. ``wait``: the one inside our own
    ``map_reduce`` is ours, and so is what watches its calls: Lithops' monitor would list them, and read the status of each,
    a second time (see ``turns``); messages it hears for us. localhost version 2 copies the whole job for each of its calls.
    Lithops writes its whole configuration, keys included, into each local job's file and, inside the futures that it hands
    to the reducer, into the storage: the local folder is made private, and futures travel without keys.
    """
    if session.local:
        make_private(LITHOPS_TEMP_DIR)
        complaints.install()
    executor.invoker.storage_config = _StorageConfig(executor.invoker.storage_config)
    executor.total_jobs += secrets.randbelow(10**9)
    wanted = executor.data_cleaner
    executor.data_cleaner = False
    executor.config["lithops"]["data_cleaner"] = False
    executor.config["lithops"]["data_limit"] = False
    number, clear, wait = executor._create_job_id, executor.compute_handler.clear, executor.wait

    def create_job_id(call_type: str) -> str:
        with session.lock:
            given, count = str(number(call_type)), executor.total_jobs - 1
        return f"{call_type}{job_number(count)}" if getattr(session.gates, "submitting", False) else given

    def clear_and_close(job_keys: Any = None, **given: Any) -> Any:
        if job_keys is None:
            session.close()
        return clear(job_keys, **given)

    run_job, monitor, jobs = executor.invoker.run_job, executor.job_monitor.start, executor.job_monitor

    def run_and_note(job: Any) -> Any:
        if getattr(session.gates, "submitting", False):  # the job is ours, and so is its function
            session.jobs.note_function(job.func_key)
        return run_job(job)

    def monitor_or_not(*given: Any, **named: Any) -> Any:
        ours = getattr(session.gates, "submitting", False)
        return session.messages.of_job(jobs, monitor, given, named) if ours else monitor(*given, **named)

    def wait_or_gate(fs: Any = None, *given: Any, **named: Any) -> Any:
        gate = getattr(session.gates, "current", None)
        return wait(fs, *given, **named) if gate is None else gate.wait_here(fs)

    executor._create_job_id = create_job_id
    if not session.local:
        _of_other_machines(executor, session)
    executor.wait = wait_or_gate
    executor.job_monitor.start = monitor_or_not
    executor.invoker.run_job = run_and_note
    executor.compute_handler.clear = clear_and_close
    if session.local:
        _of_this_machine(executor)
    release_with(executor, session.close, functools.partial(_hand_back, wanted))


def _invoke_and_look(invoke: Callable[[dict[str, Any]], Any], session: Session, payload: dict[str, Any]) -> Any:
    """A back end may wait in ``invoke`` for so long that the run is over meanwhile."""
    identifier = invoke(payload)
    session.jobs.stop_again(payload["job_key"])
    return identifier


def _of_other_machines(executor: Any, session: Session) -> None:
    backend = aliases.invoke_published(executor)
    if "botocore.httpsession" in sys.modules:  # which Lithops has imported if it invokes with it
        from .invocations import keep_connections

        keep_connections(executor, backend)
    invoke = functools.partial(_invoke_and_look, executor.compute_handler.invoke, session)
    executor.compute_handler.invoke = PatientInvoke(invoke, functools.partial(_end_refused, executor.internal_storage))


def _of_this_machine(executor: Any) -> None:
    environment: Any = getattr(executor.compute_handler, "env", None)
    if str(getattr(environment, "runtime_name", "")).startswith("python"):
        environment.runtime_name = sys.executable
        # the name under which Lithops caches a runtime's Python version: "python" in two environments is not one runtime
        executor.invoker.runtime_name = f"{sys.executable}-{sys.version_info.major}.{sys.version_info.minor}"
    if hasattr(environment, "work_queue"):
        environment.run_job = functools.partial(_queue_calls, environment)


def _queue_calls(environment: Any, job: dict[str, Any]) -> None:  # decision 251
    """In the place of ``run_job`` of localhost version 2: each call is queued with what is its own, and not with a copy of
    what all calls have."""
    key, data = job["job_key"], job["data_byte_ranges"]
    environment.jobs[key] = CountDownLatch(len(job["call_ids"]))
    os.makedirs(os.path.join(JOBS_DIR, key), exist_ok=True)
    with environment.task_processes_lock:
        environment.stopped_jobs.discard(key)
    for call_id in job["call_ids"]:
        of_call = {"call_ids": [call_id], "data_byte_ranges": [data[int(call_id)]]}
        environment.work_queue.put(json.dumps({**job, **of_call}))


def _hand_back(data_cleaner: bool, executor: Any) -> None:
    """At exit Lithops deletes the rest of what it wrote, if that was its setting."""
    executor.data_cleaner = data_cleaner


def make_private(folder: str) -> None:
    """Make ``folder`` ours alone: keys and pickles go through it, and whoever can write there runs as us."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise PlanError(
            f"expected Lithops' local folder {folder} to be this user's, it belongs to user id {seen.st_uid}; before "
            "lithops is imported, set TMPDIR to a folder of yours (or USER, which names that folder, to your name)"
        )
    if seen.st_mode & 0o077:
        os.chmod(folder, 0o700)


def _end_refused(storage: Any, payload: dict[str, Any], why: str) -> None:
    """Record the calls of an invocation that was refused as ended, where Lithops' monitor and we look for it.

    Without it they are waited for without end, and hold the places of others among ``max_workers``.
    """
    error = RunError(why)
    ended = {
        "type": "__end__",
        "exception": True,
        "exc_info": str(pickle.dumps((RunError, error, None))),
        "executor_id": payload["executor_id"],
        "job_id": payload["job_id"],
        "activation_id": REFUSED,
        "worker_start_tstamp": time.time(),
        "worker_end_tstamp": time.time(),
    }
    for call_id in payload["call_ids"]:
        call = payload["executor_id"], payload["job_id"], call_id
        # a place is given back once for each worker, and only for a call that began
        storage.put_data(create_init_key(*call, f"{REFUSED}{os.urandom(8).hex()}"), "")
        storage.put_data(create_status_key(*call), json.dumps({**ended, "call_id": call_id}))


class _StorageConfig(dict[str, Any]):
    """A storage configuration that says, where it is pickled, which store and bucket it means, and nothing else."""

    def __reduce__(self) -> tuple[Any, ...]:
        backend = self["backend"]
        named = {backend: {"storage_bucket": self[backend]["storage_bucket"]}}
        return dict, ({**{name: value for name, value in self.items() if name != backend}, **named},)
