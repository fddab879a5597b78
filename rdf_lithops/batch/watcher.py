"""Ask Slurm or HTCondor, seldom and for all jobs at once, what became of their elements; tell Lithops what it cannot know.

Lithops waits for a call's status in its storage. A call that was cancelled, ran out of memory or time, or whose node went
away writes none, and is waited for without end. Here it gets one, in which the scheduler's words are the exception.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from .commands import BatchError, SchedulerBusy
from .states import ENDED, RUNNING, WAITING, Element
from .submission import Submission

__all__ = ["Scheduler", "Watcher"]

logger = logging.getLogger(__name__)

GRACE_S = 3.0  # from the end of an element, as the scheduler tells it, until its calls' last words must have been seen
UNKNOWN_S = 60.0  # a scheduler that has just been asked for an array, or was started again, may not know of it yet
_NO_MEMORY = re.compile(r"exceeded (job )?memory limit|oom[-_ ]kill|out of memory", re.IGNORECASE)


class Scheduler(Protocol):
    """What differs between schedulers."""

    def submit(self, submission: Submission) -> None:
        """Queue an array with an element for each of ``range(submission.elements)``. Raises BatchError."""

    def states(self, submissions: list[Submission]) -> dict[tuple[str, int], Element]:
        """What is known of their elements, by the submission's name and the element's number: one query."""

    def cancel(self, submissions: Iterable[Submission]) -> None:
        """Have all elements that wait or run ended."""


class Watcher:
    """Watches the jobs of one executor in a thread, which lives while there are some."""

    def __init__(
        self,
        scheduler: Scheduler,
        poll_s: float,
        unsaid: Callable[[Submission, list[str]], list[str]],
        say: Callable[[Submission, str, str, str], None],
        over: Callable[[Submission], None],
    ) -> None:
        """``unsaid`` gives those of some calls that have no status; ``say`` writes one, for a cause and in words; ``over``
        is told of a job that is over."""
        self._scheduler, self._poll_s, self._unsaid, self._say, self._over = scheduler, poll_s, unsaid, say, over
        self._jobs: dict[str, Submission] = {}
        self._ended_s: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = ""
        self.waiting: dict[str, set[str]] = {}  # by job key: ids of calls that wait in the queue
        self._submitted_s: dict[str, float] = {}

    def watch(self, submission: Submission) -> None:
        """Begin to watch a job that was submitted."""
        with self._lock:
            self._jobs[submission.name] = submission
            self._submitted_s[submission.name] = time.monotonic()
            self.waiting[submission.job_key] = set(submission.calls)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lithops batch", daemon=True)
                self._thread.start()

    def jobs(self) -> list[Submission]:
        """The jobs that are being watched."""
        with self._lock:
            return list(self._jobs.values())

    def drop(self, submissions: Iterable[Submission]) -> None:
        """Watch them no longer."""
        with self._lock:
            for submission in submissions:
                self._jobs.pop(submission.name, None)
                self._submitted_s.pop(submission.name, None)
                self.waiting.pop(submission.job_key, None)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._poll_s)
            self._wake.clear()
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
            try:
                self.look()
            except SchedulerBusy as busy:  # a controller that is started again knows its jobs still
                logger.info("%s; asked again in %g s", busy, self._poll_s)
            except BatchError as error:
                logger.warning("%s; asked again in %g s", error, self._poll_s)
            except Exception as error:  # a storage that does not answer now
                logger.warning("could not look after the jobs: %r", error)

    def look(self) -> None:
        """Ask once, and settle what has ended. Raises BatchError."""
        jobs = self.jobs()
        states = self._scheduler.states(jobs)
        for job in jobs:
            self._settle(job, states)
        self._tell(jobs, states)
        over = [job for job in jobs if job.is_over]
        self.drop(over)
        for job in over:
            self._over(job)

    def _settle(self, job: Submission, states: dict[tuple[str, int], Element]) -> None:
        now_s = time.monotonic()
        left = [number for number in range(job.elements) if number not in job.settled]
        young = now_s - self._submitted_s.get(job.name, now_s) < UNKNOWN_S
        gone = Element(WAITING) if young else Element(ENDED, "lost", "the scheduler knows it no longer")
        known = {number: states.get((job.name, number), gone) for number in left}
        with self._lock:
            if job.name in self._jobs:
                waits = (number for number, element in known.items() if element.phase == WAITING)
                self.waiting[job.job_key] = {call_id for number in waits for call_id in job.calls_of(number)}
        for number, element in known.items():
            if element.phase != ENDED:
                self._ended_s.pop((job.name, number), None)
            elif now_s - self._ended_s.setdefault((job.name, number), now_s) >= GRACE_S or element.cause:
                self._close(job, number, element)

    def _close(self, job: Submission, number: int, element: Element) -> None:
        """An element has ended: its calls that said nothing are said to have ended as it did."""
        unsaid = self._unsaid(job, job.calls_of(number))
        if unsaid:
            log, cause = job.log_of(number), element.cause or "lost"
            if cause == "lost" and _NO_MEMORY.search(log):  # some schedulers say so there alone
                cause = "memory"
            why = (element.words or "it ended") + (f"; the end of what it printed: {log}" if log else "")
        for call_id in unsaid:
            self._say(job, call_id, cause, why)
        job.settled.add(number)
        self._ended_s.pop((job.name, number), None)

    def _tell(self, jobs: list[Submission], states: dict[tuple[str, int], Element]) -> None:
        """Log how many elements wait, and why, and run; once for each change."""
        names = {job.name for job in jobs}
        mine = [element for (name, _), element in states.items() if name in names]
        why = Counter(element.words for element in mine if element.phase == WAITING and element.words)
        reasons = ", ".join(f"{words}: {count}" for words, count in why.most_common(3))
        counts = Counter(element.phase for element in mine)
        told = f"{counts[WAITING]} waiting{f' ({reasons})' if reasons else ''}, {counts[RUNNING]} running"
        if told != self._told:
            self._told = told
            logger.info("elements: %s", told)
