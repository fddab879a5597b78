"""Reducers on the submit host: what folds a job's results need not wait in the queue once more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from typing import Any

from .nodes import element_lines
from .states import ENDED, RUNNING, Element
from .submission import Submission
from .watcher import Scheduler

__all__ = ["ReduceHere", "is_reducer"]

END_S = 10.0


def is_reducer(submission: Submission) -> bool:
    """Lithops' names of jobs begin with what they are."""
    return submission.job_id.startswith("R")


class ReduceHere:
    """A scheduler that hands everything to another one but reducers, which it runs as processes of this machine."""

    def __init__(self, section: dict[str, Any], scheduler: Scheduler) -> None:
        self.section, self.scheduler = section, scheduler
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, submission: Submission) -> None:
        """See ``watcher.Scheduler``."""
        if not is_reducer(submission):
            self.scheduler.submit(submission)
            return
        lines = "\n".join(element_lines(self.section, submission.folder, "0"))
        variables = {f"LITHOPS_BATCH_{name}": value for name, value in submission.variables.items()}
        environment = {**os.environ, **variables, "LITHOPS_BATCH_NAME": submission.name}
        with open(os.path.join(submission.folder, "0-0.log"), "ab") as log:
            self._running[submission.name] = subprocess.Popen(
                ["bash", "-c", lines],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def states(self, submissions: list[Submission]) -> dict[tuple[str, int], Element]:
        """See there; the scheduler is asked for nothing if there are reducers alone."""
        others = [submission for submission in submissions if not is_reducer(submission)]
        found = self.scheduler.states(others) if others else {}
        for name, process in self._running.items():
            code = process.poll()
            cause = "" if code == 0 else "memory" if code == -9 else "lost"
            found[name, 0] = (
                Element(RUNNING) if code is None else Element(ENDED, cause, f"ended with {code} on this machine")
            )
        return found

    def cancel(self, submissions: Iterable[Submission]) -> None:
        """See there."""
        jobs = list(submissions)
        for process in filter(None, (self._running.pop(job.name, None) for job in jobs)):
            process.terminate()  # the element ends what it started
            try:
                process.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        others = [job for job in jobs if not is_reducer(job)]
        if others:
            self.scheduler.cancel(others)

    def cancelling(self, submission: Submission) -> list[str]:
        """The command that ends a reducer which this process can no longer end."""
        process = self._running[submission.name]
        return ["sh", "-c", f"kill -TERM {process.pid} 2>/dev/null; true"]
