"""Slurm: ``sbatch --array``, ``squeue`` (and ``sacct`` for what it has forgotten), ``scancel``."""

from __future__ import annotations

import contextlib
import functools
import getpass
import logging
import re
import shlex
from collections.abc import Iterable
from typing import Any

from . import settings
from .allocation import Allocation
from .backend import BatchBackend
from .commands import BatchError, run
from .nodes import element_lines, python_command
from .slurm_words import DIRECTIVES, element_of
from .states import Element
from .submission import Submission

__all__ = ["Slurm", "SlurmBackend", "load_config"]

logger = logging.getLogger(__name__)

OWN = {"partition", "account", "qos", "constraint", "allocation", "preload", "array_limit"}
ARRAY_LIMIT = 1001  # Slurm's default of MaxArraySize


def load_config(config: dict[str, Any]) -> None:
    """Fill in the section ``slurm``. Raises ValueError."""
    section = settings.fill_in(config, "slurm", OWN)
    section["preload"] = settings.lines(section.get("preload"))
    wanted = section.setdefault("allocation", None)
    if wanted not in (None, "here") and not (isinstance(wanted, dict) and {"nodes", "minutes"} <= set(wanted)):
        raise ValueError(
            f"slurm.allocation is 'here', or has nodes and minutes (and cpus, memory_mib of a node), got {wanted!r}"
        )


def runs_of(numbers: list[int], limit: int) -> list[tuple[int, int]]:
    """Cut elements into arrays that Slurm takes: first element and how many."""
    return [(numbers[at], len(numbers[at : at + limit])) for at in range(0, len(numbers), limit)]


def script(section: dict[str, Any], submission: Submission, first: int, count: int) -> str:
    """The script of an array: its limits, the site's set-up, and an element for each of its indices."""
    at_a_time = f"%{section['max_workers']}" if count > int(section["max_workers"]) else ""
    head = {
        "job-name": submission.name,
        "array": f"0-{count - 1}{at_a_time}",
        "output": f"{submission.folder}/{first}-%a.log",
        "mem": f"{section['runtime_memory']}M",
        "time": _minutes(int(section["runtime_timeout"])),
        "cpus-per-task": str(section["cpus"]),
        "ntasks": "1",
        **{name: str(section[name]) for name in DIRECTIVES if section.get(name)},
    }
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH --{name}={value}" for name, value in head.items()),
            "#SBATCH --no-requeue",  # who waits for it decides what is run again
            "#SBATCH --open-mode=append",
            *(f"#SBATCH {option}" for option in section["options"]),
            *element_lines(section, submission.folder, f"$(({first} + SLURM_ARRAY_TASK_ID))"),
            "",
        ]
    )


def _minutes(time_s: int) -> str:
    """Slurm counts whole minutes."""
    return str(-(-time_s // 60))


class Slurm:
    """The commands of Slurm; see ``watcher.Scheduler``."""

    def __init__(self, section: dict[str, Any]) -> None:
        self.section = section

    @functools.cached_property
    def array_limit(self) -> int:
        """How many elements an array may have here."""
        if self.section.get("array_limit"):
            return int(self.section["array_limit"])
        with contextlib.suppress(BatchError):
            found = re.search(r"^MaxArraySize\s*=\s*(\d+)", run(["scontrol", "show", "config"]), re.MULTILINE)
            if found:
                return max(1, int(found[1]) - 1)  # the largest index is one less
        return ARRAY_LIMIT - 1

    def submit(self, submission: Submission) -> None:
        """Queue the array; in parts, where it is larger than an array may be."""
        variables = {f"LITHOPS_BATCH_{name}": value for name, value in submission.variables.items()}
        variables["LITHOPS_BATCH_NAME"] = submission.name
        submission.array_limit = self.array_limit
        for first, count in runs_of(list(range(submission.elements)), self.array_limit):
            text = script(self.section, submission, first, count)
            submitted = run(["sbatch", "--parsable", "--export=ALL", f"--chdir={submission.folder}"], text, variables)
            submission.scheduler_ids.append(submitted.strip().partition(";")[0])

    def states(self, submissions: list[Submission]) -> dict[tuple[str, int], Element]:
        """One ``squeue`` for all; then, for arrays that it has forgotten, one ``sacct`` where there is accounting."""
        first = {
            array: (job, self.array_limit * part) for job in submissions for part, array in enumerate(job.scheduler_ids)
        }
        if not first:
            return {}
        listed = run(["squeue", "--noheader", "--array", "--states=all", f"--user={_user()}", "--format=%F|%K|%T|%r|%N"])
        found = self._read(listed, first)
        forgotten = {
            array for array, (job, at) in first.items()
            if any((job.name, n) not in found and n not in job.settled
                   for n in range(at, min(at + self.array_limit, job.elements)))
        }  # fmt: skip
        if forgotten:
            with contextlib.suppress(BatchError):  # no accounting here
                given = ["--noheader", "--parsable2", "--allocations", f"--jobs={','.join(sorted(forgotten))}"]
                told = run(["sacct", *given, "--format=JobID,State,NodeList"])
                lines = [line.split("|") for line in told.splitlines()]
                listed = "\n".join(
                    "|".join([*job.split("_"), state, "None", node]) for job, state, node in lines if "_" in job
                )
                found = {**self._read(listed, first), **found}
        return found

    @staticmethod
    def _read(listed: str, first: dict[str, tuple[Submission, int]]) -> dict[tuple[str, int], Element]:
        found = {}
        for line in listed.splitlines():
            array, index, state, reason, node = (field.strip() for field in line.split("|"))
            if array in first and index.isdigit():
                job, at = first[array]
                found[job.name, at + int(index)] = element_of(state, reason, node)
        return found

    def cancel(self, submissions: Iterable[Submission]) -> None:
        """By name: what was queued without an answer has no number that we know."""
        for submission in submissions:
            run(cancelling(submission))


def cancelling(submission: Submission) -> list[str]:
    """The command that cancels a job."""
    return ["scancel", "--quiet", f"--user={_user()}", f"--name={submission.name}"]


def _user() -> str:
    return getpass.getuser()


class SlurmBackend(BatchBackend):
    """``lithops: {backend: slurm}``."""

    name = "slurm"

    def __init__(self, section: dict[str, Any], internal_storage: Any) -> None:
        self.allocation = Allocation(section) if section.get("allocation") else None
        self._awaits_nodes: str | None = None  # the key of a job that is not submitted before there are some
        super().__init__(section, internal_storage, self.allocation or Slurm(section))

    def invoke(self, runtime_name: str, runtime_memory: int, payload: dict[str, Any]) -> str:
        """See there; with an allocation, that is there first, and is given back should this process be killed."""
        if self.allocation is not None:
            if not self.allocation.id:
                self.tell_guard("+", self.allocation.folder, *self.allocation.cancelling())
            self._awaits_nodes = payload["job_key"]
            try:
                self.allocation.ensure()
            finally:
                self._awaits_nodes = None
        return super().invoke(runtime_name, runtime_memory, payload)

    def cancelling(self, submission: Submission) -> list[str]:
        """See there."""
        return cancelling(submission)

    def clear(self, job_keys: Iterable[str] | None = None) -> None:
        """See there; all of them end with the allocation."""
        super().clear(job_keys)
        if self.allocation is not None and job_keys is not None and self._awaits_nodes in set(job_keys):
            self.allocation.give_up()
        if job_keys is None and self.allocation is not None and self.allocation.id:
            folder = self.allocation.folder
            self.allocation.close()
            self.tell_guard("-", folder)

    def ask_a_node(self, arguments: list[str]) -> str:
        """See there."""
        return ask_a_node(self.section, arguments)


def ask_a_node(section: dict[str, Any], arguments: list[str]) -> str:
    """What Python prints on a node: by ``srun``, in the queue like anybody."""
    asked = [f"--{name}={section[name]}" for name in DIRECTIVES if section.get(name)]
    command = " ".join([python_command(section), *map(shlex.quote, arguments)])
    lines = "\n".join([*element_lines(section, "", "")[:-1], command])
    given = [*asked, f"--mem={section['runtime_memory']}M", *section["options"], "bash", "-c", lines]
    return run(["srun", "--ntasks=1", "--time=5", "--quiet", "--mpi=none", "--chdir=/", *given], limit_s=600)
