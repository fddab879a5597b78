"""What is kept for one executor, from its first data frame to its end."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from ..dataset.credentials import Keyring
from ..errors import PlanError
from ..options import Options
from ..planning.cost import CORE_HOURS, Offer
from ..planning.limits import Limits, limits_of, wants_snapstart
from ..processes.library_making import make_missing
from ..reporting.experience import Experience
from ..travels.libraries import Libraries
from .jobs import Jobs
from .local_processes import LocalProcesses
from .messages import Messages, messages_of

__all__ = ["Session"]


OF_A_JOB = ("SLURM_JOB_ID", "_CONDOR_JOB_AD")  # variables that a batch system gives its jobs


@dataclass
class Session:
    """One executor's jobs and processes, what its runs have taught, and what it grants a call.

    ``executor`` is a proxy: what is kept here must not keep the executor. ``lock`` is the one under which its jobs are
    numbered and submitted; ``gates`` is per thread: ``current``, the gate at which its ``map_reduce`` waits, and
    ``submitting``, whether what it has Lithops run is ours.
    """

    executor: Any
    local: bool
    storage: Any = field(repr=False)
    jobs: Jobs = field(repr=False)
    processes: LocalProcesses = field(repr=False)
    lock: threading.RLock
    messages: Messages = field(repr=False)
    closed: bool = False
    pid: int = field(default_factory=os.getpid)  # of the process that made the executor
    gates: threading.local = field(default_factory=threading.local)
    keyring: Keyring = field(default_factory=Keyring, repr=False)
    compiled_ahead: set[str] = field(default_factory=set)  # the shapes of graphs that the ROOT process was asked for
    experience: Experience = field(default_factory=Experience)
    asked: dict[str, set[str]] = field(default_factory=dict)  # what graphs, by shape, had Cling instantiate on workers
    offered: tuple[Any, Libraries] | None = None  # the instantiation libraries of this machine as of a look at them
    first_look: Any = field(default=None, repr=False)  # a Future of what killed drivers have left
    recorded: Any = field(default=None, repr=False)  # when its record was written last, and a Future of that
    makes_libraries: bool = False  # those that are missing, when it ends; on localhost the ROOT process does that

    @classmethod
    def of(cls, executor: Any, proxy: Any, local: bool) -> Session:
        """A session for ``executor``, which only ``proxy`` reaches from here."""
        lock, storage = threading.RLock(), executor.storage
        jobs = Jobs(proxy, executor.executor_id, storage, local, lock)
        return cls(proxy, local, storage, jobs, LocalProcesses(proxy), lock, messages_of(executor, local))

    def may_compile(self) -> bool:  # decision 314
        """Whether a compiler may run on this machine for calls that run elsewhere: not on the login node of a batch system,
        which many share, unless the driver is a job itself."""
        is_job = any(name in os.environ for name in OF_A_JOB)
        return str(self.executor.config["lithops"]["backend"]) not in CORE_HOURS or is_job

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
            wants_snapstart(backend, section),
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

    def reader(self, options: Options) -> str:
        """The folder that this driver's reader of remote files serves; it is started when it is first asked for."""
        with self.lock:
            return self.processes.reader(options)

    def check_open(self) -> None:
        """Raises PlanError where the executor was closed, or is another process's."""
        if self.is_inherited:
            raise PlanError(
                f"expected a Lithops executor that this process has made, got one of process {self.pid}, of which it "
                "is a fork; create a new FunctionExecutor here"
            )
        if self.closed:
            raise PlanError("expected an open Lithops executor, got one that was closed; create a new FunctionExecutor")

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that made the executor, and that has all that belongs to it."""
        return os.getpid() != self.pid

    def close(self) -> None:
        """End the processes of this executor and remove what is left of its runs. Twice does nothing, nor does a fork."""
        if self.is_inherited:
            return
        self.closed = True
        self.processes.end()
        self.jobs.end()
        if self.makes_libraries:
            make_missing()
