"""Is a cluster ready for our jobs: asked on the submit host, and of a node by a job. Answers are values, nothing raises."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import htcondor, slurm
from .commands import BatchError, run
from .settings import memory_mib, seconds
from .submission import Submission

__all__ = ["Answer", "examine"]

COMMANDS = {
    "slurm": ("sbatch", "squeue", "scancel", "srun", "scontrol"),
    "htcondor": ("condor_submit", "condor_q", "condor_history", "condor_rm", "condor_wait"),
}
# of one machine alone; anything else may be shared, and the job on a node finds out whether it is
LOCAL = ("tmpfs", "ramfs", "overlayfs", "ext2/ext3", "xfs", "btrfs", "zfs")
PROBE = """
import importlib, json, os, platform, sys
found = {"node": platform.node(), "python": list(sys.version_info[:2]), "versions": {}, "sees": os.path.exists(sys.argv[1])}
for name in sys.argv[2:]:
    try:
        module = importlib.import_module(name)
        found["versions"][name] = str(getattr(module, "__version__", "there"))
    except Exception as error:
        found["versions"][name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Answer:
    """``level`` is ok, wrong or note; ``remedy`` what mends it."""

    name: str
    level: str
    message: str
    remedy: str = ""


def examine(backend: str, section: dict[str, Any], modules: Sequence[tuple[str, str]]) -> Iterator[Answer]:
    """Ask all questions of a section that is filled in. ``modules``: names that a node must be able to import, and the
    versions that they have here; the first that is missing ends what builds on it."""
    missing = [name for name in COMMANDS[backend] if shutil.which(name) is None]
    if missing:
        yield Answer("commands", "wrong", f"not on PATH: {', '.join(missing)}", "run this on a submit host of the cluster")
        return
    yield Answer("commands", "ok", f"{', '.join(COMMANDS[backend])} are there")
    yield from _folder(section)
    ask = {"slurm": _slurm, "htcondor": _htcondor}[backend]
    refused = False
    for answer in ask(section):
        refused = refused or answer.level == "wrong"
        yield answer
    if not refused:
        yield from _node(backend, section, modules)


def _folder(section: dict[str, Any]) -> Iterator[Answer]:
    folder = str(section["folder"])
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        kind = run(["stat", "--file-system", "--format=%T", folder]).strip()
    except (OSError, BatchError) as error:
        yield Answer("folder", "wrong", f"{folder}: {error}", "set shared_folder.path to a folder that you may write")
        return
    if kind in LOCAL:
        yield Answer("folder", "note", f"{folder} is on {kind}, which nodes do not see unless this machine is one of them")
    else:
        yield Answer("folder", "ok", f"{folder} is on {kind}")


def _slurm(section: dict[str, Any]) -> Iterator[Answer]:
    try:
        asked = [f"--partition={section['partition']}"] if section.get("partition") else []
        listed = run(["sinfo", "--noheader", *asked, "--format=%P|%a|%l|%m|%c"]).splitlines()
    except BatchError as error:
        yield Answer("scheduler", "wrong", str(error), "is the controller up, and this machine one of its hosts?")
        return
    rows = [row.split("|") for row in listed]
    if not rows:
        yield Answer("partition", "wrong", f"there is no partition {section['partition']}", "sinfo --summarize lists them")
        return
    yield from _partition(section, rows)
    yield from _test_only(section)


def _partition(section: dict[str, Any], rows: list[list[str]]) -> Iterator[Answer]:
    name, up, longest, _, _ = rows[0]
    if up != "up":
        yield Answer("partition", "wrong", f"{name} is {up}", "choose another one: sinfo --summarize")
        return
    fits = True
    time_s, most_mib = int(section["runtime_timeout"]), max(memory_mib(row[3].rstrip("+")) for row in rows)
    if longest != "infinite" and time_s > seconds(longest):
        fits = False
        yield Answer(
            "time", "wrong", f"{time_s} s asked, {longest} is the most in {name}", f'set slurm.time to "{longest}" or less'
        )
    if int(section["runtime_memory"]) > most_mib:
        fits = False
        asked = f"{section['runtime_memory']} MiB asked, nodes of {name} have {most_mib}"
        yield Answer("memory", "wrong", asked, f"set slurm.memory to {most_mib} or less")
    limit = slurm.Slurm(section).array_limit
    if fits:
        yield Answer(
            "partition", "ok", f"{name.rstrip('*')}: at most {longest} and {most_mib} MiB; arrays of {limit} elements"
        )


def _test_only(section: dict[str, Any]) -> Iterator[Answer]:
    """What sbatch itself says of such a job, without queueing it: account, limits, options."""
    probe = Submission("/tmp", "lithops-check", "", "", "", ["00000"], 1)
    try:
        said = _both(["sbatch", "--test-only"], slurm.script(section, probe, 0, 1))
    except BatchError as error:
        yield Answer("job", "wrong", str(error), "see the message; the section slurm says what is asked for")
        return
    starts = re.search(r"to start at (\S+)", said)
    yield Answer("job", "ok", f"Slurm would take it{f', and expects to start it at {starts[1]}' if starts else ''}")


def _both(command: list[str], given: str) -> str:
    """What a command prints on either stream."""
    return run(["sh", "-c", f"exec {shlex.join(command)} 2>&1"], given)


def _htcondor(section: dict[str, Any]) -> Iterator[Answer]:
    try:
        said = run(["condor_q", "-totals"]).strip().splitlines()
    except BatchError as error:
        yield Answer("scheduler", "wrong", str(error), "is a schedd up that takes jobs from this machine?")
        return
    yield Answer("scheduler", "ok", said[-1] if said else "it answers")


def _node(backend: str, section: dict[str, Any], modules: Sequence[tuple[str, str]]) -> Iterator[Answer]:
    """By a job, which waits in the queue as any other."""
    ask: Callable[[dict[str, Any], list[str]], str] = {"slurm": slurm.ask_a_node, "htcondor": htcondor.ask_a_node}[backend]
    mark = os.path.join(str(section["folder"]), f"check-{os.urandom(6).hex()}")
    try:
        with open(mark, "x"):
            pass
        said = ask(section, ["-c", PROBE, mark, *(name for name, _ in modules)])
        found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    except (BatchError, OSError, StopIteration, ValueError) as error:
        setup = f"is the set-up of section {backend} right (python, setup, container)?"
        yield Answer("node", "wrong", f"a job on a node did not do what it should: {error}", setup)
        return
    finally:
        with contextlib.suppress(OSError):
            os.unlink(mark)
    if not found["sees"]:
        yield Answer(
            "node",
            "wrong",
            f"{found['node']} does not see {section['folder']}",
            "set shared_folder.path to one that it sees",
        )
    wrong = [
        f"{name} is {found['versions'][name]!r}, here {here}" for name, here in modules if found["versions"][name] != here
    ]
    if wrong:
        remedy = f"set {backend}.python, setup or container so that a node has what this machine has"
        yield Answer("node", "wrong", f"on {found['node']}: {'; '.join(wrong)}", remedy)
    if found["sees"] and not wrong:
        told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        yield Answer("node", "ok", f"{found['node']} sees the folder and has {told}")
