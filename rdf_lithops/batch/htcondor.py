"""HTCondor: ``condor_submit`` with ``queue N``, ``condor_q`` (``condor_history`` for what has left it), ``condor_rm``."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterable
from typing import Any

from . import settings
from .backend import BatchBackend
from .commands import BatchError, run
from .nodes import element_lines, python_command
from .states import ENDED, RUNNING, WAITING, Element
from .submission import Submission

__all__ = ["HTCondor", "HTCondorBackend", "description", "load_config"]

OWN = {"accounting_group", "requirements", "environment"}
SCRIPT, DESCRIPTION, VARIABLES = "element.sh", "submit.sub", "variables.sh"
ATTRIBUTES = (
    "ClusterId", "ProcId", "JobStatus", "HoldReasonCode", "HoldReason", "RemoveReason", "ExitBySignal", "ExitCode",
    "ExitSignal", "RemoteHost", "LastRemoteHost",
)  # fmt: skip
IDLE, RUNS, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5  # JobStatus; 6 and 7 run, too (output is sent, suspended)
_HELD_FOR = {34: "memory", 46: "time", 47: "time"}  # HoldReasonCode
# what an environment of the driver is made of, and a node needs of it where it is shared
_INHERITED = (
    "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "ROOTSYS", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONSAFEPATH",
    "CLING_STANDARD_PCH", "ROOT_INCLUDE_PATH", "CMAKE_PREFIX_PATH",
)  # fmt: skip
_NOTHING_THERE = "matching constraint"


def load_config(config: dict[str, Any]) -> None:
    """Fill in the section ``htcondor``. Raises ValueError."""
    section = settings.fill_in(config, "htcondor", OWN)
    section["environment"] = settings.lines(section.get("environment", list(_INHERITED)))


def description(section: dict[str, Any], submission: Submission) -> str:
    """The submit description of a job: its limits, the site's own lines, and ``queue N``."""
    count = submission.elements
    head = {
        "universe": "vanilla",
        "executable": f"{submission.folder}/{SCRIPT}",
        "arguments": "$(ProcId)",
        "initialdir": submission.folder,
        "output": "0-$(ProcId).log",
        "error": "0-$(ProcId).log",
        "log": "events.log",
        "should_transfer_files": "NO",  # the folder is shared
        "batch_name": submission.name,
        "request_cpus": str(section["cpus"]),
        "request_memory": str(section["runtime_memory"]),
        "allowed_execute_duration": str(section["runtime_timeout"]),
        **({"max_materialize": str(section["max_workers"])} if count > int(section["max_workers"]) else {}),
        **{name: str(section[name]) for name in ("accounting_group", "requirements") if section.get(name)},
    }
    return "\n".join([*(f"{name} = {value}" for name, value in head.items()), *section["options"], f"queue {count}", ""])


def element_of(job: dict[str, Any]) -> Element:
    """What HTCondor's attributes of an element mean."""
    status, host = int(job.get("JobStatus", 0)), job.get("RemoteHost") or job.get("LastRemoteHost") or ""
    where = f" on {host}" if host else ""
    if status == IDLE:
        return Element(WAITING, words="idle")
    if status == HELD:
        code = int(job.get("HoldReasonCode", 0))
        return Element(
            ENDED, _HELD_FOR.get(code, "lost"), f"held{where} (code {code}): {job.get('HoldReason', 'no reason given')}"
        )
    if status == REMOVED:
        return Element(ENDED, "lost", f"removed{where}: {job.get('RemoveReason', 'no reason given')}")
    if status == COMPLETED:
        if job.get("ExitBySignal"):
            return Element(ENDED, "lost", f"ended{where} by signal {job.get('ExitSignal')}")
        code = int(job.get("ExitCode", 0))
        return Element(ENDED, "" if code == 0 else "lost", f"ended{where} with {code}")
    return Element(RUNNING)


class HTCondor:
    """The commands of HTCondor; see ``watcher.Scheduler``."""

    def __init__(self, section: dict[str, Any]) -> None:
        self.section = section

    def submit(self, submission: Submission) -> None:
        """Write script and description into the folder, and queue them."""
        write(submission.folder, VARIABLES, _exports(submission))
        names = [name for name in self.section["environment"] if name in os.environ]
        lines = [
            "#!/bin/bash",
            *(f"export {name}={shlex.quote(os.environ[name])}" for name in names),
            f". {shlex.quote(os.path.join(submission.folder, VARIABLES))}",
            *element_lines(self.section, submission.folder, "$1"),
        ]
        os.chmod(write(submission.folder, SCRIPT, "\n".join([*lines, ""])), 0o700)
        path = write(submission.folder, DESCRIPTION, description(self.section, submission))
        said = run(["condor_submit", "-terse", path])
        found = re.match(r"\s*(\d+)\.\d+", said)
        if found is None:
            raise BatchError(f"condor_submit did not name a cluster: {said.strip()[:300]}")
        submission.scheduler_ids[:] = [found[1]]

    def states(self, submissions: list[Submission]) -> dict[tuple[str, int], Element]:
        """One ``condor_q`` for all; then one ``condor_history`` for those that have left the queue."""
        by_id = {job.scheduler_ids[0]: job for job in submissions if job.scheduler_ids}
        if not by_id:
            return {}
        found = self._read("condor_q", by_id)
        gone = [
            cluster for cluster, job in by_id.items()
            if any((job.name, number) not in found and number not in job.settled for number in range(job.elements))
        ]  # fmt: skip
        return {**(self._read("condor_history", {cluster: by_id[cluster] for cluster in gone}) if gone else {}), **found}

    @staticmethod
    def _read(command: str, by_id: dict[str, Submission]) -> dict[tuple[str, int], Element]:
        said = run([command, *by_id, "-json", "-attributes", ",".join(ATTRIBUTES)])
        jobs = json.loads(said) if said.strip() else []
        return {(by_id[str(job["ClusterId"])].name, int(job["ProcId"])): element_of(job) for job in jobs}

    def cancel(self, submissions: Iterable[Submission]) -> None:
        """By name: what was queued without an answer has no number that we know."""
        for submission in submissions:
            try:
                run(cancelling(submission))
            except BatchError as error:
                if _NOTHING_THERE not in str(error):
                    raise


def cancelling(submission: Submission) -> list[str]:
    """The command that cancels a job."""
    return ["condor_rm", "-constraint", f'JobBatchName == "{submission.name}"']


def _exports(submission: Submission) -> str:
    """The variables of the calls; not in the job's description, which anybody may read."""
    given = {"LITHOPS_BATCH_NAME": submission.name, **{f"LITHOPS_BATCH_{k}": v for k, v in submission.variables.items()}}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in given.items())


def write(folder: str, name: str, text: str) -> str:
    """Write a file that only this user may read; returns its path."""
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    return path


class HTCondorBackend(BatchBackend):
    """``lithops: {backend: htcondor}``."""

    name = "htcondor"

    def __init__(self, section: dict[str, Any], internal_storage: Any) -> None:
        super().__init__(section, internal_storage, HTCondor(section))

    def cancelling(self, submission: Submission) -> list[str]:
        """See there."""
        return cancelling(submission)

    def ask_a_node(self, arguments: list[str]) -> str:
        """See there."""
        return ask_a_node(self.section, arguments)


def ask_a_node(section: dict[str, Any], arguments: list[str]) -> str:
    """What Python prints on a node: by a job of one element, for which ``condor_wait`` waits."""
    os.makedirs(section["folder"], 0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=section["folder"]) as folder:
        command = " ".join([python_command(section), *map(shlex.quote, arguments)])
        text = "\n".join(["#!/bin/bash", *element_lines(section, "", "")[:-1], command, ""])
        os.chmod(write(folder, SCRIPT, text), 0o700)
        probe = Submission(folder, os.path.basename(folder), "", "", "", ["00000"], 1)
        run(["condor_submit", "-terse", write(folder, DESCRIPTION, description(section, probe))])
        try:
            run(["condor_wait", "-wait", "600", os.path.join(folder, "events.log")], limit_s=660)
            with open(os.path.join(folder, "0-0.log")) as log:
                return log.read()
        except BatchError:
            HTCondor(section).cancel([probe])
            raise
