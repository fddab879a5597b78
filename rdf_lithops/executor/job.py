"""The seam with Lithops: the only module that imports it. Submits through ``map_reduce``, waits, fetches, cleans.

Kept per executor is a session: the lock under which jobs are numbered and submitted, the private folder where tasks of
this machine meet the warm ROOT process, and what was changed on the executor (see ``_make_safe``).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import gc
import hashlib
import json
import logging
import os
import pickle
import secrets
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import lithops
from lithops.constants import JOBS_DIR, JOBS_PREFIX, LITHOPS_TEMP_DIR, LOCALHOST, LOGS_DIR, SESSION_ID_ENV
from lithops.storage.utils import StorageNoSuchKeyError, create_init_key, create_status_key
from lithops.wait import ALL_COMPLETED, ALWAYS

from ..dataset import drivers
from ..dataset.credentials import Credential, Keyring
from ..errors import PlanError, RunError, SubmissionError
from ..files import access
from ..options import Options
from ..planning.cost import Offer
from ..planning.limits import Limits, limits_of
from ..planning.plans import Plan
from ..processes import warm
from ..processes.beats import BEAT_NAME
from ..reporting.experience import Experience
from ..run import interrupts
from ..run.books import CallEnd
from ..travels.sealed import KEY_VARIABLE, Sealed
from ..worker.start import launcher, pre_run, prefork
from .invoking import REFUSED, PatientInvoke
from .leftovers import KEY_PREFIX, RECORD_NAME, RUNS_PREFIX, Places, claim
from .localhost import LocalJobs
from .payload import Payload
from .releasing import release_with
from .statuses import read_status

__all__ = [
    "LithopsSubmission",
    "Place",
    "Session",
    "beats",
    "delivered",
    "is_executor",
    "opened",
    "options_of",
    "places",
    "process_settings",
    "rouse",
    "session_for",
    "submit",
    "working_place",
]

logger = logging.getLogger(__name__)

RUN_FIRST = "PRE_RUN"  # Lithops' variable: the dotted name of a function
PRELOADED = ("lithops.worker", "lithops.localhost", "rdf_lithops.worker.task")
PRELOAD_LIMIT_S = 2.0
LOCAL_POLL_S = 0.004
REMOTE_POLL_S = 0.5
LOCAL_BEAT_S = 0.5
REMOTE_BEAT_S = 10.0
HALF_WRITTEN_S = 2.0  # longer is damaged
STORAGE_PATIENCE_S = 60.0  # of errors in a row, beyond the storage client's own repetitions
SWEEP_AGAIN_S = 1.0
END_LIMIT_S = 10.0  # of the preloaded Python, once its input has ended
OF_THE_EXECUTOR = (
    "keep_warm",
    "idle_limit_s",
    "instantiations",
    "memory_limit_mib",
    "cache_limit_mib",
)  # options of its processes
READERS = 16  # threads that read objects of a remote storage at a time
_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
_sessions_lock = threading.Lock()


def options_of(executor: Any, given: Any) -> Options:
    """The options of a data frame: what is ``given``, over what the executor's configuration has in its section for us.

    Raises TypeError, PlanError for what is no option.
    """
    return Options.read(given, executor.config.get("rdf_lithops"))


def is_executor(candidate: Any) -> bool:
    """Whether ``candidate`` is a Lithops executor that has ``map_reduce``."""
    return isinstance(candidate, lithops.FunctionExecutor)


@dataclass
class Session:
    """What is kept for one executor from its first data frame to its end."""

    executor: Any  # a proxy: what is kept here must not keep the executor
    local: bool
    storage: Any = field(repr=False)
    executor_id: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    folder: str | None = None  # of this driver, on localhost with warm runs
    warm_folder: str | None = None  # where the ROOT process is met: the same, or one that outlives the driver
    settled: Options | None = None  # of the first data frame that wants warm processes: they are started with these
    anticipated: Options | None = None  # with which the ROOT process was started before there was a data frame
    warned: set[str] = field(default_factory=set)  # options that came too late
    alive: Any = field(default=None, repr=False)  # the lock of a folder that no process of ours keeps alive
    hold: Connection[Any, Any] | None = None
    prefork: subprocess.Popen[bytes] | None = None
    reader_folder: str | None = None
    reader_hold: Connection[Any, Any] | None = None
    closed: bool = False
    job_keys: list[str] = field(default_factory=list)
    open_keys: set[str] = field(default_factory=set)  # recorded and not forgotten
    cancelled_keys: set[str] = field(default_factory=set)
    gates: threading.local = field(default_factory=threading.local)
    keyring: Keyring = field(default_factory=Keyring, repr=False)
    function_keys: set[str] = field(default_factory=set)  # of our functions, which lie in the storage until the end
    compiled_ahead: set[str] = field(default_factory=set)  # the shapes of graphs that the ROOT process was asked for
    experience: Experience = field(default_factory=Experience)

    def offer(self) -> Offer:
        """What this executor's backend grants a call, per its configuration; on localhost nothing is set apart for one."""
        backend = str(self.executor.config["lithops"]["backend"])
        section = self.executor.config[backend]
        if self.local:
            return Offer(backend, workers=self.workers())
        memory_mib, timeout_s = section.get("runtime_memory"), section.get("runtime_timeout")
        return Offer(
            backend,
            str(section.get("region") or section.get("region_name") or ""),
            False,
            self.workers(),
            None if memory_mib is None else int(memory_mib),
            None if timeout_s is None else float(timeout_s),
        )

    def limits(self) -> Limits:
        """What a call may have at most: the backend's limits, or what is configured within them."""
        backend = str(self.executor.config["lithops"]["backend"])
        return limits_of(backend, self.executor.config[backend])

    def workers(self) -> int:
        """Calls that this executor's backend runs at a time, per its configuration."""
        config = self.executor.config
        section = config[config["lithops"]["backend"]]
        per_machine = int(section.get("worker_processes") or 1)
        return per_machine if self.local else int(section.get("max_workers") or 1) * per_machine

    def describe(self) -> dict[str, Any]:
        """Where it runs, in the words of a report: the backend, its region, memory of a call, calls at a time."""
        backend = self.executor.config["lithops"]["backend"]
        section = self.executor.config[backend]
        region = section.get("region") or section.get("region_name")
        place = f"{backend} in {region}" if region else str(backend)
        memory_mib = None if self.local else section.get("runtime_memory")  # which Lithops calls MB
        return {"place": place, "memory_mib": memory_mib, "workers": self.workers()}

    def end_preloaded(self) -> None:
        """End the preloaded Python: it lives as long as its standard input is open."""
        ending, self.prefork = self.prefork, None
        if ending is None or ending.stdin is None:
            return
        ending.stdin.close()
        try:
            ending.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:  # stopped, perhaps; its children end with it
            ending.kill()
            ending.wait()

    def reader(self, options: Options) -> str:
        """The folder that this driver's reader of remote files serves; it is started when it is first asked for.

        On localhost it is the folder where tasks meet too: what one of them has read is there for all.
        """
        with self.lock:
            if self.reader_folder is None:
                self.folder = self.folder or tempfile.mkdtemp(prefix="rdf_lithops-")
                self.reader_folder = self.warm_folder or self.folder
            if self.reader_hold is None or self.reader_hold.poll():  # nothing is sent unasked: readable means gone
                self.reader_hold = access.hold(self.reader_folder, reader_settings(self.settled or options))
            return self.reader_folder

    def close(self) -> None:
        """End the warm ROOT process of this executor and remove what is left of its runs. Twice does nothing."""
        self.closed = True
        self.end_processes()
        for end in (_sweep, Session._delete_functions):
            try:
                end(self)
            except Exception as problem:  # of the storage's own kind: an end must end, and gc finds what is left
                logger.warning("objects of this executor stay in the storage (%s): rdf-lithops gc removes them", problem)

    def end_processes(self) -> None:
        """End what this driver has started for the executor, or let it go where others may come, and remove its folder."""
        if self.hold is not None:
            self.hold.close()
            self.hold = None
        self.end_preloaded()
        if self.reader_hold is not None:
            self.reader_hold.close()
            self.reader_hold = None
        if self.folder is not None:
            warm.reap(self.folder, "reader")
            warm.reap(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.warm_folder is not None:
            warm.let_go(self.warm_folder)
        if self.alive is not None:
            self.alive.close()
        self.folder = self.warm_folder = self.reader_folder = self.alive = None

    def settle(self, options: Options) -> None:
        """The options of a data frame are those of this executor's processes, if it is the first; else they come too late.

        A process that was started before there was a data frame, and otherwise, is ended.
        """
        foreseen, self.anticipated = self.anticipated, None
        if foreseen is not None and (not options.warm or _of_the_executor(foreseen) != _of_the_executor(options)):
            self.end_processes()
        if not options.warm:
            return
        self.settled = self.settled or options
        known = _of_the_executor(self.settled)
        late = {name: value for name, value in _of_the_executor(options).items() if value != known[name]}
        for name, value in late.items():
            if f"{name}={value}" not in self.warned:
                self.warned.add(f"{name}={value}")
                logger.warning(
                    "options.%s = %r comes too late: this executor's processes have %r, from its first data frame; give it "
                    "there, or in section rdf_lithops of Lithops' configuration",
                    *(name, value, known[name]),
                )

    def _delete_functions(self) -> None:
        keys, self.function_keys = sorted(self.function_keys), set()
        if keys:
            self.storage.delete_objects(self.storage.bucket, keys)
        if self.storage.backend == LOCALHOST:
            with contextlib.suppress(OSError):  # there are the user's own functions, too
                os.rmdir(os.path.join(LITHOPS_TEMP_DIR, self.storage.bucket, JOBS_PREFIX, self.executor_id))


def _of_the_executor(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in OF_THE_EXECUTOR}


def session_for(executor: Any, options: Options, ahead: bool = False) -> Session:
    """The session of ``executor``; on localhost its first one starts the warm ROOT process, in the background.

    ``ahead``: there is no data frame yet, and the next one may say otherwise. Raises PlanError for an executor that was
    closed.
    """
    with _sessions_lock:
        session = _sessions.get(executor)
        if session is None:
            session = Session(weakref.proxy(executor), executor.mode == LOCALHOST, executor.storage, executor.executor_id)
            _make_safe(executor, session)
            _sessions[executor] = session
        _check_open(session)
        if ahead and session.settled is None:
            session.anticipated = options
        elif session.local:
            session.settle(options)
        if session.local and options.warm:
            _warm_this_machine(session, options)
    return session


def _check_open(session: Session) -> None:
    if session.closed:
        raise PlanError("expected an open Lithops executor, got one that was closed; create a new FunctionExecutor")


def anticipate() -> None:
    """If this program has made one executor, and that one on localhost, start its ROOT process now."""
    made = [item for item in gc.get_objects() if issubclass(type(item), lithops.FunctionExecutor)]
    if len(made) == 1 and made[0].mode == LOCALHOST:
        with contextlib.suppress(TypeError, PlanError):  # met again, and told, by the constructor
            session_for(made[0], options_of(made[0], None), ahead=True)


def _warm_this_machine(session: Session, options: Options) -> str:
    """Start the ROOT process in the background, or start it again if it has died; returns this driver's folder."""
    options = session.settled or options
    if session.warm_folder is None:
        session.folder = session.folder or tempfile.mkdtemp(prefix="rdf_lithops-")
        session.warm_folder = session.folder
        if options.keep_warm:
            session.alive = claim(session.folder)
            with contextlib.suppress(warm.WarmProcessUnavailable):
                session.warm_folder = warm.kept_folder({**process_settings(options), **reader_settings(options)})
    kept = session.warm_folder != session.folder
    if session.hold is None or session.hold.poll():  # nothing is ever sent to a holder: readable means gone
        with contextlib.suppress(warm.WarmProcessUnavailable):  # the tasks will say so, and run ROOT themselves
            settings = {"lingers": 1} if kept else {"owns_folder": 1}
            session.hold = warm.hold(session.warm_folder, {**process_settings(options), **settings})
    return str(session.folder)


def rouse(executor: Any, options: Options) -> Session:
    """The session of ``executor``, with everything that a run on this machine needs up or coming up."""
    session = session_for(executor, options)
    _rouse(session, options)
    return session


def _rouse(session: Session, options: Options) -> None:
    """Start what an earlier attempt has lost, and what waited until there is something to run."""
    if session.local and options.warm:
        with _sessions_lock:
            _check_open(session)
            folder = _warm_this_machine(session, options)
            if session.prefork is None or session.prefork.poll() is not None:
                _preload_python(session, folder)


def _preload_python(session: Session, folder: str) -> None:
    """Have Lithops start ``launcher`` as its interpreter, and the Python that has its imports behind it.

    Not before there is something to run: until then the driver's ROOT and the warm one share the cores.
    """
    environment: Any = getattr(session.executor.compute_handler, "env", None)
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


def _await_preloaded(session: Session) -> None:
    """Wait until the preloaded Python listens, which takes it milliseconds: without it a job starts one of its own."""
    deadline = time.monotonic() + PRELOAD_LIMIT_S
    while session.prefork is not None and session.prefork.poll() is None and time.monotonic() < deadline:
        if os.path.exists(os.path.join(str(session.folder), prefork.SOCKET_NAME)):
            return
        time.sleep(0.002)


def working_place() -> dict[str, Any]:
    """This program's working folder ("" for one that is gone) and umask, as tasks are told of them."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:  # Python can only set it, for all threads
        found = (line.split()[1] for line in status if line.startswith("Umask:"))
        return {"cwd": folder, "umask": int(next(found, "77"), 8)}
    return {"cwd": folder, "umask": None}


def process_settings(options: Options) -> dict[str, Any]:
    """The command-line settings of a warm ROOT process."""
    return {
        "idle_limit_s": options.idle_limit_s,
        "memory_limit_mib": options.memory_limit_mib,
        "instantiations": options.instantiations,
    }


def beats(session: Session, options: Options) -> dict[str, Any]:
    """How often, and where, the calls of this executor say that they live."""
    every_s = options.beat_s or (LOCAL_BEAT_S if session.local else REMOTE_BEAT_S)
    found = {"folder_variable": SESSION_ID_ENV, "prefix": JOBS_PREFIX, "ends_with_job": session.local}
    return {"every_s": every_s, "stall_s": options.stall_s, **found}


def reader_settings(options: Options) -> dict[str, Any]:
    """The command-line settings of a reader of remote files."""
    return {"idle_limit_s": options.idle_limit_s, "cache_limit_mib": options.cache_limit_mib}


def _make_safe(executor: Any, session: Session) -> None:
    """Set on a stock executor what keeps it from hanging or losing data under us.

    data_cleaner off: localhost v2 loses jobs while it tears one down, and ``map_reduce`` would delete the maps' outputs
    before its own reducer reads them; we delete what we wrote, and hand the setting back at exit so that Lithops deletes
    the rest. data_limit off: the reducer's input counts against 4 MiB. The interpreter: localhost looks "python3.x" up on
    PATH, which need not be the one that has ROOT. Job numbers: ``total_jobs += 1`` is not safe in several threads, and
    programs that one program has started share its session, so two of them would use the same names in the storage. A
    ``clear`` without job keys is how an executor ends: our processes end with it. ``wait``: the one inside our own
    ``map_reduce`` is ours. Lithops writes its whole configuration, keys included, into each local job's file and, inside
    the futures that it hands to the reducer, into the storage: the local folder is made private, and futures travel without
    keys.
    """
    if session.local:
        _make_private(LITHOPS_TEMP_DIR)
    executor.invoker.storage_config = _StorageConfig(executor.invoker.storage_config)
    executor.total_jobs += secrets.randbelow(10**9)
    wanted = executor.data_cleaner
    executor.data_cleaner = False
    executor.config["lithops"]["data_cleaner"] = False
    executor.config["lithops"]["data_limit"] = False
    number, clear, wait = executor._create_job_id, executor.compute_handler.clear, executor.wait

    def create_job_id(call_type: str) -> str:
        with session.lock:
            return str(number(call_type))

    def clear_and_close(job_keys: Any = None, **given: Any) -> Any:
        if job_keys is None:
            session.close()
        return clear(job_keys, **given)

    run_job = executor.invoker.run_job

    def run_and_note(job: Any) -> Any:
        if getattr(session.gates, "submitting", False):
            session.function_keys.add(job.func_key)
        return run_job(job)

    def wait_or_gate(fs: Any = None, *given: Any, **named: Any) -> Any:
        gate = getattr(session.gates, "current", None)
        return wait(fs, *given, **named) if gate is None else gate.wait_here(fs)

    executor._create_job_id = create_job_id
    if not session.local:
        invoke = executor.compute_handler.invoke
        executor.compute_handler.invoke = PatientInvoke(invoke, functools.partial(_end_refused, executor.internal_storage))
    executor.wait = wait_or_gate
    executor.invoker.run_job = run_and_note
    executor.compute_handler.clear = clear_and_close
    environment: Any = getattr(executor.compute_handler, "env", None)
    if session.local and str(getattr(environment, "runtime_name", "")).startswith("python"):
        environment.runtime_name = sys.executable
        # the name under which Lithops caches a runtime's Python version: "python" in two environments is not one runtime
        executor.invoker.runtime_name = f"{sys.executable}-{sys.version_info.major}.{sys.version_info.minor}"

    release_with(executor, session.close, functools.partial(_hand_back, wanted))


def _hand_back(data_cleaner: bool, executor: Any) -> None:
    """At exit Lithops deletes the rest of what it wrote, if that was its setting."""
    executor.data_cleaner = data_cleaner


def _make_private(folder: str) -> None:
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


@dataclass(frozen=True)
class Place:
    """What one run keeps in Lithops' storage: everything below ``prefix``, which names the second in which it began."""

    run_id: str
    prefix: str
    payload: dict[str, Any]
    storage: Any = field(repr=False)
    job_keys: list[str] = field(default_factory=list)
    outputs: Sequence[tuple[str, str, str]] = ()  # where its Snapshots go: folder, stem, run
    bundle: bytes | None = field(default=None, repr=False)

    def take(self, key: str) -> bytes:
        """An object that a task has put there."""
        return bytes(self.storage.get_object(self.storage.bucket, key))


@contextlib.contextmanager
def opened(session: Session, payload: Payload, outputs: Sequence[tuple[str, str, str]] = ()) -> Iterator[Place]:
    """A place for one run, with the payload's bundle in it; what lies there when the run ends is deleted. ``outputs`` is
    what ``gc`` is to tidy up if this driver is killed: folder, stem and run of each Snapshot."""
    storage = session.executor.storage
    run_id = f"{int(time.time())}-{os.urandom(6).hex()}"
    prefix = f"{RUNS_PREFIX}/{run_id}"
    plain = payload.plain
    if payload.bundle is not None:
        bundle_sha256 = hashlib.sha256(payload.bundle).hexdigest()
        key = f"{prefix}/{bundle_sha256}.tar"
        storage.put_object(storage.bucket, key, payload.bundle)
        plain = {**plain, "bundle": {"bucket": storage.bucket, "key": key, "sha256": bundle_sha256}}
    place = Place(run_id, prefix, plain, storage, outputs=outputs, bundle=payload.bundle)
    try:
        yield place
    finally:
        _withdraw(session, session.open_keys.intersection(place.job_keys), RunError("the run is over"))
        _delete_below(session, prefix)


class _StorageConfig(dict[str, Any]):
    """A storage configuration that says, where it is pickled, which store and bucket it means, and nothing else."""

    def __reduce__(self) -> tuple[Any, ...]:
        backend = self["backend"]
        named = {backend: {"storage_bucket": self[backend]["storage_bucket"]}}
        return dict, ({**{name: value for name, value in self.items() if name != backend}, **named},)


class _Hidden(str):
    """A string that does not show itself where it is part of something printed: Lithops logs the variables of a call."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


@contextlib.contextmanager
def delivered(session: Session, found: Sequence[Credential]) -> Iterator[tuple[Sealed | None, dict[str, str]]]:
    """Seal credentials for the time of a run; yields what goes into the tasks, and the variables that go with the calls.

    The key never goes where the sealed credentials go. Elsewhere it is a variable of the call: Lithops sends those inside
    the invocation. On localhost it writes the invocation into the folder that is also its storage, so there the key is a
    private file of this session, in the folder that goes with its ROOT process if this driver is killed.
    """
    sealed = session.keyring.seal(found)
    variables = _first_of_all(session)
    if sealed is None:
        yield None, variables
    elif not session.local:
        yield sealed[0], {**variables, KEY_VARIABLE: _Hidden(sealed[1])}
    else:
        descriptor, path = tempfile.mkstemp(prefix=KEY_PREFIX, dir=session.folder)  # 0600
        try:
            with os.fdopen(descriptor, "w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)  # until it is closed: gc takes what nobody holds
                stream.write(sealed[1])
                stream.flush()
                yield dataclasses.replace(sealed[0], key_file=path), variables
        finally:
            with contextlib.suppress(FileNotFoundError):  # the executor was closed meanwhile, and its folder with it
                os.unlink(path)


def _first_of_all(session: Session) -> dict[str, str]:
    """What has Lithops call ours first in the process that it forks for a call.

    That one shares the connection on which its parent has asked for the bucket, and both write into it at once: the
    parent that the call began, the child whatever it does first. Over plain HTTP they get each other's answers, an object
    that was never stored counts as stored, and the run waits.
    """
    if session.executor.storage.backend == LOCALHOST:
        return {}
    return {RUN_FIRST: f"{pre_run.__name__}.{pre_run.begin.__name__}"}


def places(executor: Any) -> Places:
    """Where this executor's Lithops keeps its things."""
    in_bucket = os.path.join(LITHOPS_TEMP_DIR, executor.storage.bucket, JOBS_PREFIX)
    return Places(JOBS_PREFIX, (in_bucket, JOBS_DIR, LOGS_DIR), tempfile.gettempdir())


def _record(session: Session, place: Place) -> None:
    """Before an attempt is submitted, write down which of Lithops' jobs it will be, for the case that we are killed."""
    number = str(session.executor.total_jobs).zfill(3)
    keys = [f"{session.executor.executor_id}-{kind}{number}" for kind in "MR"]
    place.job_keys.extend(keys)
    session.open_keys.update(keys)
    named = {"executor_id": session.executor.executor_id, "job_keys": place.job_keys, "outputs": place.outputs}
    record = {**drivers.describe(), **named}
    storage = session.executor.storage
    storage.put_object(storage.bucket, f"{place.prefix}/{RECORD_NAME}", json.dumps(record).encode())


@contextlib.contextmanager
def _submitting(session: Session) -> Iterator[None]:
    """While this lasts, what this thread has Lithops run is ours."""
    session.gates.submitting = True
    try:
        yield
    finally:
        session.gates.submitting = False


def submit(session: Session, plan: Plan, options: Options, place: Place) -> LithopsSubmission:
    """Start ``plan`` through the executor's ``map_reduce``; raises SubmissionError where trying again may help.

    localhost bills nobody and queues the reducer behind the maps. Elsewhere ``map_reduce`` itself waits until the reducer
    should start, so it runs in a thread, and its wait is ours (see ``_Gate``). What was submitted when it fails in the
    middle, or when the user interrupts it, is stopped and deleted.
    """
    given = {"include_modules": None, "timeout": _call_limit_s(plan, options), "extra_env": plan.extra_env}
    functions = plan.map_task, plan.iterdata, plan.reduce_task
    before = set(place.job_keys)
    try:
        if session.local:
            _rouse(session, options)
            _await_preloaded(session)
            with session.lock:
                _check_wanted(session)
                _sweep(session)
                _record(session, place)
                with _submitting(session):
                    futures = session.executor.map_reduce(*functions, spawn_reducer=ALWAYS, **given)
            return LithopsSubmission(session, futures[:-1], futures[-1])
        _check_wanted(session)
        gate = _Gate(session, place)
        maps = gate.start(lambda: session.executor.map_reduce(*functions, spawn_reducer=ALL_COMPLETED, **given))
        return LithopsSubmission(session, maps, None, gate)
    except BaseException as error:
        _withdraw(session, set(place.job_keys) - before, error)
        if isinstance(error, Exception) and _may_pass(error):
            raise SubmissionError(f"Lithops could not submit the calls: {type(error).__name__}: {error}") from error
        raise


def _check_wanted(session: Session) -> None:
    """Raise if the executor was closed, or the run interrupted, while it waited for its turn to submit."""
    interrupts.check()
    _check_open(session)


def _may_pass(error: BaseException) -> bool:
    """Whether an error is that of a service or a network that did not answer as it should."""
    homes = ("botocore", "boto3", "urllib3", "requests", "google", "azure", "redis", "ibm_botocore", "kubernetes")
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in homes


class _Gate:
    """Where a ``map_reduce`` in a thread of its own waits, after the maps, until its reducer is wanted; or is abandoned."""

    def __init__(self, session: Session, place: Place) -> None:
        self._session, self._place = session, place
        self._maps: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        self._wanted = threading.Event()
        self._abandoned = False
        self.futures: list[Any] | None = None
        self.error: Exception | None = None

    def start(self, map_reduce: Callable[[], list[Any]]) -> list[Any]:
        """The futures of the maps, once they are submitted."""
        threading.Thread(target=self._run, args=(map_reduce,), name="rdf_lithops map_reduce", daemon=True).start()
        try:
            while not concurrent.futures.wait([self._maps], interrupts.POLL_S).done:
                interrupts.check()
            return self._maps.result()
        except BaseException:  # interrupted, perhaps: nobody will open it
            self.abandon()
            raise

    def _run(self, map_reduce: Callable[[], list[Any]]) -> None:
        self._session.gates.current = self
        try:
            with self._session.lock, _submitting(self._session):
                if self._abandoned:
                    raise _Abandoned
                _check_open(self._session)
                _sweep(self._session)
                _record(self._session, self._place)
                self.futures = map_reduce()
        except _Abandoned:
            pass  # the attempt is over without a reducer, and whoever ended it knows why
        except Exception as error:
            self.error = error
            if not self._maps.done():
                self._maps.set_exception(error)

    def wait_here(self, maps: list[Any]) -> None:
        """Stands in for the executor's ``wait`` inside ``map_reduce``."""
        self._session.lock.release()
        try:
            self._maps.set_result(list(maps))
            self._wanted.wait()
        finally:
            self._session.lock.acquire()
        if self._abandoned:
            raise _Abandoned

    def open(self) -> None:
        """Have the reducer submitted."""
        self._wanted.set()

    def abandon(self) -> None:
        """Have ``map_reduce`` end without a reducer."""
        self._abandoned = True
        self._wanted.set()


class _Abandoned(Exception):  # a signal that leaves map_reduce, not an error
    """Nobody wants the reducer any more."""


def _call_limit_s(plan: Plan, options: Options) -> float | None:
    """After how long Lithops ends a call; None leaves it to the executor's configuration."""
    return min((limit for limit in (plan.call_limit_s, options.deadline_s) if limit is not None), default=None)


def _poll_s(storage: Any) -> float:
    """How often a storage is asked: one that is a folder may be asked more often."""
    return float(getattr(storage.storage_handler, "poll_s", REMOTE_POLL_S))


class LithopsSubmission:
    """One ``map_reduce`` under way; see ``running.Submission`` for what each method promises."""

    def __init__(self, session: Session, maps: list[Any], reduce: Any, gate: _Gate | None = None) -> None:
        self.session, self.maps, self._reduce, self._gate = session, maps, reduce, gate
        self.poll_s = LOCAL_POLL_S if session.local else _poll_s(session.executor.storage)
        self._open = dict(enumerate(maps))
        self._jobs = LocalJobs(session.executor.compute_handler) if session.local else None
        self._readers = concurrent.futures.ThreadPoolExecutor(READERS)  # starts no thread before it is needed
        self._storage = session.executor.storage
        self._silent_since_s: float | None = None
        self._unreadable_since_s: dict[tuple[str, ...], float] = {}

    @property
    def job_key(self) -> str:
        return str(self.maps[0].job_key)

    @property
    def reduce(self) -> Any:
        """The reducer's future; None while its job is not submitted."""
        if self._reduce is None and self._gate is not None and self._gate.futures is not None:
            self._reduce = self._gate.futures[-1]
        return self._reduce

    def map_ends(self) -> dict[int, CallEnd]:
        if self._jobs is not None:
            with self.session.lock:
                self._jobs.nudge()
        there = None if self._is_near else self._calls_with(self.job_key, "/status.json")
        ready = {i: future for i, future in self._open.items() if there is None or future.call_id in there}
        ends = dict(zip(ready, self._each(self._end, ready.values()), strict=True))
        ended = {position: end for position, end in ends.items() if end is not None}
        for position in ended:
            del self._open[position]
        return ended

    def begun(self) -> set[int]:
        there = self._calls_with(self.job_key, ".init")
        return {position for position, future in self._open.items() if future.call_id in there}

    def beats(self) -> dict[int, dict[str, Any]]:
        # where the storage is far, one list instead of a request for each call that waits
        there = None if self._is_near else self._calls_with(self.job_key, f"/{BEAT_NAME}")
        wanted = {i: future for i, future in self._open.items() if there is None or future.call_id in there}
        read = zip(wanted, self._each(self._beat, wanted.values()), strict=True)
        return {position: beat for position, beat in read if beat is not None}

    def _beat(self, future: Any) -> dict[str, Any] | None:
        name = f"{JOBS_PREFIX}/{future.job_key}/{future.call_id}/{BEAT_NAME}"
        try:
            beat = json.loads(self._ask(lambda: self._storage.get_object(self._storage.bucket, name)) or "null")
        except ValueError:  # half written
            return None
        return beat if isinstance(beat, dict) else None

    @property
    def _is_near(self) -> bool:
        return bool(self._storage.backend == LOCALHOST)

    def _calls_with(self, job_key: str, ending: str) -> set[str]:
        """Lithops' ids of the calls of a job that have an object of that ending."""
        names = self._ask(lambda: self._storage.list_keys(self._storage.bucket, f"{JOBS_PREFIX}/{job_key}/")) or []
        return {name.split("/")[-2] for name in names if name.endswith(ending)}

    def _each(self, read: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """``read`` of each item, some at a time where the storage is far."""
        return [read(item) for item in items] if self._is_near else list(self._readers.map(read, items))

    def _ask(self, read: Callable[[], Any]) -> Any:
        """What the storage says, or None where it has no such object or does not answer; raises if it stays silent."""
        try:
            answer = read()
        except StorageNoSuchKeyError:
            answer = None
        except ValueError:  # it did answer
            raise
        except Exception as error:
            now_s = time.monotonic()
            self._silent_since_s = self._silent_since_s or now_s
            if now_s - self._silent_since_s > STORAGE_PATIENCE_S:
                why = f"{type(error).__name__}: {error}"
                raise RunError(f"Lithops' storage has not answered for {STORAGE_PATIENCE_S:g} s", why=why) from error
            logger.warning("Lithops' storage did not answer: %r", error)
            return None
        self._silent_since_s = None
        return answer

    def reduce_end(self) -> CallEnd | None:
        _check_open(self.session)  # a run in another thread ends with its executor
        if self._gate is not None and self._gate.error is not None:
            return CallEnd(why=f"the reducer could not be submitted: {self._gate.error!r}")
        return None if self.reduce is None else self._end(self.reduce)

    def maps_delivered(self) -> None:
        if self._gate is not None:
            self._gate.open()

    def lost(self) -> set[int]:
        return set(self._open) if self._jobs is not None and self._jobs.is_over(self.job_key) else set()

    def queued(self) -> set[int]:
        # of ours (batch): a scheduler that says so itself
        waiting = getattr(getattr(self.session.executor.compute_handler, "backend", None), "waiting", None)
        there = set() if waiting is None else waiting(self.job_key)
        return {position for position, future in self._open.items() if future.call_id in there}

    def reduce_beat(self) -> int | None:
        if self.reduce is None or not self._calls_with(self.reduce.job_key, ".init"):
            return None
        if not self._is_near and not self._calls_with(self.reduce.job_key, f"/{BEAT_NAME}"):
            return 0
        beat = self._beat(self.reduce)
        return 0 if beat is None else int(beat["beat"])

    def reduce_lost(self) -> bool:
        return self._jobs is not None and self._jobs.is_over(self.reduce.job_key)

    def _end(self, future: Any) -> CallEnd | None:
        ids = future.executor_id, future.job_id, future.call_id
        storage = self.session.executor.internal_storage
        try:
            status = self._ask(lambda: storage.get_call_status(*ids))
        except ValueError as damage:  # localhost writes objects in place: this one is half written, unless it stays so
            since_s = self._unreadable_since_s.setdefault(ids, time.monotonic())
            is_damaged = not self._is_near or time.monotonic() - since_s > HALF_WRITTEN_S
            return CallEnd(None, f"its status cannot be read: {damage!r}", kind="damaged") if is_damaged else None
        if status is None:
            return None
        end: CallEnd | None = self._ask(lambda: read_status(status, lambda: storage.get_call_output(*ids)))
        if (
            end is not None and end.kind == "killed" and not self.session.local
        ):  # a platform's sandbox is killed for its memory alone
            return dataclasses.replace(end, kind="memory")
        return end

    def cancel(self, error: BaseException) -> None:
        if self._gate is not None:
            self._gate.abandon()
        _stop(self.session, {future.job_key for future in self._submitted}, error)

    def forget(self) -> None:
        self._readers.shutdown()
        _forget(self.session, self._submitted, {future.job_key for future in self._submitted})
        before, _, number = self.job_key.rpartition("-M")
        self.session.open_keys.discard(f"{before}-R{number}")  # of a reducer that was never submitted

    @property
    def _submitted(self) -> list[Any]:
        return [*self.maps, *([] if self.reduce is None else [self.reduce])]


def _stop(session: Session, keys: set[str], error: BaseException) -> None:
    """Stop what still runs of these jobs, where the backend can."""
    session.cancelled_keys |= keys
    session.executor.compute_handler.clear(keys, exception=error)


def _forget(session: Session, futures: list[Any], keys: set[str]) -> None:
    """Take finished jobs out of the executor's books and delete their objects."""
    executor = session.executor
    executor.job_monitor.remove(futures)
    with session.lock:
        executor.futures[:] = [future for future in executor.futures if not any(future is ours for ours in futures)]
        session.job_keys += sorted(keys)
        session.open_keys -= keys
    if hasattr(executor.invoker, "discard_pending"):  # the places that they hold among max_workers, if any, are free
        executor.invoker.discard_pending(sorted(keys), {future.job_id for future in futures})
    for job_key in sorted(keys):
        _delete_job(session, job_key)
    if session.local and session.cancelled_keys & keys:
        later = threading.Timer(SWEEP_AGAIN_S, _sweep, [session])  # a process that is being killed may write still
        later.daemon = True
        later.start()


def _withdraw(session: Session, keys: set[str], error: BaseException) -> None:
    """Stop and forget jobs of which nobody has the futures, as their submission failed or was interrupted in the middle."""
    if not keys:
        return
    try:
        with session.lock:  # not while they are being submitted
            futures = [future for future in session.executor.futures if future.job_key in keys]
        _stop(session, keys, error)
        _forget(session, futures, keys)
    except Exception as problem:  # a storage that does not answer is what failed the submission, perhaps
        logger.warning("what was submitted of %s could not be taken back: %r", sorted(keys), problem)


def _delete_job(session: Session, job_key: str) -> None:
    _delete_below(session, f"{JOBS_PREFIX}/{job_key}")
    _delete_job_file(session, job_key)


def _delete_job_file(session: Session, job_key: str) -> None:
    """What localhost version 1 hands a job's process, which deletes it unless it is killed, and fails where it is gone."""
    if not session.local:
        return
    if session.closed or job_key in session.cancelled_keys or LocalJobs(session.executor.compute_handler).has_ended(job_key):
        with contextlib.suppress(OSError):
            bucket = session.storage.bucket
            os.unlink(os.path.join(LITHOPS_TEMP_DIR, bucket, JOBS_PREFIX, f"{job_key}-job.json"))


def _delete_below(session: Session, prefix: str) -> None:
    """Delete all objects of a folder of Lithops' storage; on localhost they are files, and the folder goes with them."""
    storage = session.storage
    if session.local and storage.backend == LOCALHOST:
        shutil.rmtree(os.path.join(LITHOPS_TEMP_DIR, storage.bucket, prefix), ignore_errors=True)
        return
    names = storage.list_keys(storage.bucket, f"{prefix}/")
    if names:
        storage.delete_objects(storage.bucket, names)
    if session.local:  # workers of this machine keep their logs there whatever the storage is
        shutil.rmtree(os.path.join(LITHOPS_TEMP_DIR, storage.bucket, prefix), ignore_errors=True)


def _sweep(session: Session) -> None:
    """Remove what Lithops' local workers write after their call's result is out: markers, logs and per-job folders."""
    with session.lock:
        for job_key in session.job_keys:
            shutil.rmtree(os.path.join(JOBS_DIR, job_key), ignore_errors=True)
            for path in (os.path.join(JOBS_DIR, f"{job_key}.done"), os.path.join(LOGS_DIR, f"{job_key}.log")):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            _delete_job_file(session, job_key)
        session.job_keys.clear()
        # their processes were killed while they wrote, or could not be stopped; other threads add to them
        for job_key in tuple(session.cancelled_keys) if session.local or session.closed else ():
            _delete_job(session, job_key)
