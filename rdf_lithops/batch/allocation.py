"""An allocation of Slurm that stays for a session: jobs are steps in it, run by agents that stay on its nodes.

Nothing waits in the queue but the allocation, once. It ends with the executor, or after the time that was asked for it.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import step
from .commands import BatchError, run
from .nodes import element_lines, python_command
from .slurm_words import DIRECTIVES, element_of
from .states import ENDED, RUNNING, Element
from .submission import Submission

__all__ = ["Allocation"]

logger = logging.getLogger(__name__)

HERE = "here"
STEP = "step.py"
POLL_S = 0.2
STARTS_S = 60.0  # from the start of an allocation until its agents listen
_OF_TASKS = re.compile(r"error: (\S+): tasks? ([\d,-]+): (.*)")


@dataclass
class _Step:
    """A job as a step: the process of its srun, and what that printed."""

    process: subprocess.Popen[bytes]
    log: str
    tasks: int


class Allocation:
    """Stands in for ``Slurm``; see ``watcher.Scheduler``."""

    def __init__(self, section: dict[str, Any]) -> None:
        self.section = section
        self.wanted: Any = section["allocation"]
        self.id = ""
        self._steps: dict[str, _Step] = {}
        self._agents: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._tasks = 1
        self._lock = threading.Lock()

    # -- the allocation ----------------------------------------------------------------------------------------------

    @property
    def folder(self) -> str:
        """On the shared file system: where agents say that they are ready, and what they print."""
        if not self._folder:
            os.makedirs(self.section["folder"], 0o700, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix="allocation-", dir=self.section["folder"])
            shutil.copy(step.__file__, os.path.join(self._folder, STEP))  # nodes need not see this package
        return self._folder

    @property
    def name(self) -> str:
        """Slurm's name of it, which no other of this user has."""
        return os.path.basename(self.folder)

    def socket(self) -> str:
        """On each node: where its agent is met."""
        scratch = str(self.section.get("scratch") or "/tmp")
        return f"{scratch}/lithops-agent-{os.getuid()}-$SLURM_JOB_ID-$SLURMD_NODENAME.sock"

    def ensure(self) -> None:
        """Have the allocation, and agents on its nodes; waits for its place in the queue. Raises BatchError."""
        with self._lock:
            if self.id and not self._lives():
                logger.warning("the allocation %s has ended; another one is asked for", self.id)
                self.id = ""
            if self.id:
                return
            if self.wanted == HERE:
                self._join()
            else:
                self._ask()
            self._await_agents()

    def _lives(self) -> bool:
        said = run(["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T"])
        return f"{self.id}|RUNNING" in said.split()

    def _agent(self) -> str:
        modules = " ".join(self.section["preload"])
        given = f'"{self.socket()}" {shlex.quote(self.folder)} {modules}'
        return f"{python_command(self.section)} -m rdf_lithops.batch.agent {given}"

    def _ask(self) -> None:
        """Queue a job that holds the nodes and does nothing but run the agents."""
        nodes = int(self.wanted["nodes"])
        head = {
            "job-name": self.name,
            "nodes": str(nodes),
            "ntasks-per-node": "1",
            "cpus-per-task": str(self.wanted.get("cpus", self.section["cpus"])),
            "mem": f"{self.wanted.get('memory_mib', self.section['runtime_memory'])}M",
            "time": str(self.wanted["minutes"]),
            "output": f"{self.folder}/allocation.log",
            **{name: str(self.section[name]) for name in DIRECTIVES if self.section.get(name)},
        }
        inner = "\n".join([*element_lines(self.section, "", "")[:-1], f"exec {self._agent()}"])
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH --{name}={value}" for name, value in head.items()),
            "#SBATCH --no-requeue",
            *(f"#SBATCH {option}" for option in self.section["options"]),
            f"srun --overlap --mpi=none --cpu-bind=none --nodes={nodes} --ntasks={nodes} bash -c {shlex.quote(inner)}",
        ]
        self.id = run(["sbatch", "--parsable", f"--chdir={self.folder}"], "\n".join([*lines, ""])).strip().partition(";")[0]
        self._wait_for_a_place()

    def _wait_for_a_place(self) -> None:
        told = ""
        while True:
            said = run(["squeue", "--noheader", "--states=all", f"--jobs={self.id}", "--format=%T|%r|%C|%D"]).strip()
            state, reason, cpus, _ = said.split("|")
            element = element_of(state, reason, "")
            if element.phase == ENDED:
                raise BatchError(f"the allocation {self.id} ended before it began: {element.words}")
            if element.phase == RUNNING:
                self._tasks = max(1, int(cpus) // int(self.section["cpus"]))
                return
            if reason != told:
                told = reason
                logger.info("the allocation %s waits in the queue (%s)", self.id, reason)
            time.sleep(POLL_S)

    def _join(self) -> None:
        """Use the allocation in which this program runs."""
        self.id = os.environ.get("SLURM_JOB_ID", "")
        if not self.id:
            raise BatchError("slurm.allocation is 'here', and this program runs in none: start it in salloc")
        self._wait_for_a_place()
        nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
        inner = "\n".join([*element_lines(self.section, "", "")[:-1], f"exec {self._agent()}"])
        command = ["srun", *self._shared(), f"--nodes={nodes}", f"--ntasks={nodes}", "bash", "-c", inner]
        with open(os.path.join(self.folder, "allocation.log"), "ab") as log:
            self._agents = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _shared(self) -> list[str]:
        """Steps share the allocation's processors and memory: agents are there all the time."""
        return [f"--jobid={self.id}", "--overlap", "--mpi=none", "--cpu-bind=none", "--mem=0"]

    def _await_agents(self) -> None:
        nodes = int(self.wanted["nodes"]) if self.wanted != HERE else int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
        deadline = time.monotonic() + STARTS_S
        while len([name for name in os.listdir(self.folder) if "." not in name]) < nodes:
            if time.monotonic() > deadline or (self._agents is not None and self._agents.poll() is not None):
                with open(os.path.join(self.folder, "allocation.log"), errors="replace") as log:
                    said = log.read()[-2000:]
                raise BatchError(f"the agents of allocation {self.id} do not start: {said}")
            time.sleep(POLL_S)

    def close(self) -> None:
        """Give it back; one in which this program runs is the user's, and stays."""
        for number in list(self._steps):
            self._stop(number)
        if self._agents is not None:
            self._agents.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._agents.wait(timeout=10)
            self._agents = None
        if self.id and self.wanted != HERE:
            with contextlib.suppress(BatchError):
                run(self.cancelling())
        self.id = ""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def give_up(self) -> None:
        """Take back a request for nodes that waits in the queue: whoever waits for it gets a BatchError."""
        if self.wanted != HERE:
            with contextlib.suppress(BatchError):
                run(self.cancelling())

    def cancelling(self) -> list[str]:
        """The command that gives it back."""
        return ["scancel", "--quiet", f"--user={getpass.getuser()}", f"--name={self.name}"]

    # -- jobs --------------------------------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> None:
        """Run a job as a step: a task for each processor of the allocation, or for each element if those are fewer."""
        self.ensure()
        tasks = min(self._tasks, submission.elements)
        variables = {f"LITHOPS_BATCH_{name}": value for name, value in submission.variables.items()}
        environment = {**os.environ, **variables, "LITHOPS_BATCH_NAME": submission.name}
        given = [self.socket(), submission.folder, str(submission.elements), str(tasks)]
        task = [*self._interpreter(), "-S", "-I", os.path.join(self.folder, STEP), *given]
        log = os.path.join(submission.folder, "step.log")
        with open(log, "ab") as stream:
            command = ["srun", *self._shared(), f"--ntasks={tasks}", f"--job-name={submission.name}", *task]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
        self._steps[submission.name] = _Step(process, log, tasks)

    def _interpreter(self) -> list[str]:
        """The Python that hands elements to agents: it needs no packages."""
        if self.section.get("tarball"):  # which the agent has unpacked
            return ["bash", "-c", f'exec {python_command(self.section)} "$@"', "bash"]
        return [str(self.section.get("python") or sys.executable)]

    def states(self, submissions: list[Submission]) -> dict[tuple[str, int], Element]:
        """As its srun says: which tasks ended, and whether all did."""
        found = {}
        for submission in submissions:
            running = self._steps.get(submission.name)
            if running is None:
                continue
            ended = self._ended(running)
            for number in range(submission.elements):
                found[submission.name, number] = ended.get(number % running.tasks, Element(RUNNING))
        return found

    def _ended(self, running: _Step) -> dict[int, Element]:
        code = running.process.poll()
        with contextlib.suppress(OSError), open(running.log, errors="replace") as log:
            said = log.read()
            words = {
                task: Element(ENDED, "lost", f"{node}: {why}")
                for node, tasks, why in _OF_TASKS.findall(said) if "Exited with exit code" not in why
                for task in _numbers(tasks)
            }  # fmt: skip
            if code is None:
                return words
            cause = "time" if "TIME LIMIT" in said else "" if code == 0 else "lost"
            rest = Element(ENDED, cause, f"its step ended with {code}: {' '.join(said.split())[-300:]}")
            return {task: words.get(task, rest) for task in range(running.tasks)}
        return {}

    def cancel(self, submissions: Iterable[Submission]) -> None:
        """End their steps."""
        for submission in submissions:
            self._stop(submission.name)

    def _stop(self, name: str) -> None:
        running = self._steps.pop(name, None)
        if running is None or running.process.poll() is not None:
            return
        running.process.terminate()
        try:
            running.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()


def _numbers(text: str) -> list[int]:
    """``0,2-4`` as numbers."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
