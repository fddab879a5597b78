"""Run a scheduler's commands: each with a time limit, and an error that says what it printed and whether it may pass."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["BatchError", "SchedulerBusy", "run"]

logger = logging.getLogger(__name__)

LIMIT_S = 60.0
# How schedulers say "not now": a controller that restarts, is busy, or is reached over a network that is.
_BUSY = re.compile(
    r"Unable to contact|Socket timed out|timed out|Connection (refused|reset)|Zero Bytes were transmitted|"
    r"Transport endpoint|Communication connection failure|try again|temporarily|Failed to connect|"
    r"Can't find address|unable to connect|slurm_receive_msg",
    re.IGNORECASE,
)


class BatchError(RuntimeError):
    """The scheduler refused something, or is not there: its own words."""


class SchedulerBusy(BatchError, ConnectionError):
    """It did not answer; the same may succeed a little later."""


def run(
    command: Sequence[str], given: str = "", variables: Mapping[str, str] | None = None, limit_s: float = LIMIT_S
) -> str:
    """What a command prints; ``given`` is its input, ``variables`` are added to its environment.

    Raises SchedulerBusy, BatchError.
    """
    if shutil.which(command[0]) is None:
        raise BatchError(f"{command[0]} is not on PATH of this machine: is it a submit host?")
    environment = {**os.environ, "LC_ALL": "C", **(variables or {})}
    # a session of its own: Ctrl-C is for the program, which then cancels by itself
    settings = {"text": True, "capture_output": True, "env": environment, "timeout": limit_s}
    settings |= {"start_new_session": True, "cwd": "/"}  # a folder that is there, whatever became of the program's
    try:
        done = subprocess.run(list(command), input=given, **settings)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        raise SchedulerBusy(f"{command[0]} did not answer within {limit_s:g} s") from None
    if done.returncode == 0:
        return str(done.stdout)
    said = " ".join((done.stderr or done.stdout).split())[:600] or f"it ended with {done.returncode} and said nothing"
    kind = SchedulerBusy if _BUSY.search(said) else BatchError
    raise kind(f"{command[0]}: {said}")
