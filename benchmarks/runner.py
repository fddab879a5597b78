"""Runs the programs, one at a time, the places in turn, and writes one JSON line for each."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from . import data, processes, workloads
from .machine import core_seconds, describe
from .places import PLACES
from .program import Order, Talk
from .questions import ENTRIES, QUESTIONS, Question

__all__ = ["Answers", "Query", "Record", "Schedule", "run", "run_program"]

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE_S = 1.0  # between two looks at the memory of all processes: one look costs 8 ms of a core for each ROOT process
END_GRACE_S = 15.0  # for a program whose last query is done
DATA_LIMIT_S = 900.0
LIBRARIES_S = 600.0  # to make libraries in; a base library takes a minute
LOG_LINES = 15


@dataclass(frozen=True)
class Schedule:
    """What to run: every question in each of its places, ``repetitions`` programs each."""

    questions: Sequence[str]
    places: Sequence[str] = tuple(PLACES)
    repetitions: int = 3
    later: int = 5
    scale: float = 1.0
    limit_s: float = 300.0  # of one program
    cores: int = os.cpu_count() or 1


@dataclass(frozen=True)
class Query:
    """One query. ``kind`` is first, later, or changed (a graph that the program has not run before); ``facts`` are the
    place's own seconds."""

    kind: str
    wall_s: float
    cpu_s: float
    facts: dict[str, float] = field(default_factory=dict)


@dataclass
class Record:
    """What is known of one program when it has ended; one line of ``results.jsonl``.

    ``others_cpu_s``: processor seconds that the machine spent on something else meanwhile. ``core_s``: what one loop took on
    each core before (see ``core_seconds``). ``left_behind``: processes that had to be killed after the program had ended.
    ``error``: why there are fewer queries than were asked for.
    """

    question: str
    place: str
    repetition: int
    events: int
    files: int
    ranges: int
    queries: list[Query] = field(default_factory=list)
    peak_memory_mib: float = 0.0
    wall_s: float = 0.0
    others_cpu_s: float = 0.0
    core_s: list[float] = field(default_factory=list)
    left_behind: int = 0
    error: str = ""


class Answers:
    """The first answer to each question, and who disagreed with it."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[str, workloads.Fingerprint]] = {}
        self.disagreements: list[str] = []

    def check(self, question: Question, number: int, place: str, given: workloads.Fingerprint) -> None:
        """Compare with what came first; the same analysis of the same data has one answer, however it is cut."""
        key = f"{question.book.__name__} of {question.dataset}, graph {number}"
        expected_from, expected = self.first.setdefault(key, (place, given))
        different = workloads.differences(expected, given)
        if different:
            names = ", ".join(different[:5]) + (f" and {len(different) - 5} more" if len(different) > 5 else "")
            said = f"{key}: {place} and {expected_from} disagree on {names}"
            self.disagreements.append(f"{said}; {given.get(different[0])} and {expected.get(different[0])}")


def run(schedule: Schedule, results: Path, answers: Answers) -> Iterator[Record]:
    """Run ``schedule``; each record is appended to ``results`` before it is yielded."""
    session = {"session": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "schedule": asdict(schedule), **describe()}
    results.parent.mkdir(parents=True, exist_ok=True)
    processes.adopt_orphans()
    for name in schedule.questions:
        question = QUESTIONS[name]
        _prepare(question, schedule.scale)
        places = [place for place in question.places if place in schedule.places]
        for place in places:
            if PLACES[place].learns:
                _learn(schedule, question, place)
        for repetition in range(schedule.repetitions):
            for place in _rotated(places, repetition):
                record = run_program(schedule, question, place, repetition, answers)
                with results.open("a") as lines:
                    lines.write(json.dumps({**session, **asdict(record)}) + "\n")
                yield record


def _learn(schedule: Schedule, question: Question, place: str) -> None:
    """Run a program that nobody measures, and let what it started make the libraries that the next programs find."""
    ranges = question.ranges or schedule.cores
    order = Order(place, question.name, question.arguments(schedule.scale), ranges, schedule.cores, schedule.later)
    ignored = Record(question.name, place, 0, 0, 0, order.ranges)
    with _scratch() as scratch:
        watched = _Watched(order, question, ignored, Answers(), scratch, sampled=False)
        try:
            watched.until(time.monotonic() + schedule.limit_s)
        finally:
            watched.end(leave=True)
            processes.end_all(grace_s=0.0 if ignored.error else LIBRARIES_S)


def _rotated(places: list[str], by: int) -> list[str]:
    """Another one begins each time, so that none always follows the same neighbour."""
    start = by % len(places) if places else 0
    return places[start:] + places[:start]


def _prepare(question: Question, scale: float) -> None:
    """Write the input unless it is there, and read it once."""
    dataset = question.data(scale)
    if dataset is None:
        return
    if not all(path.exists() for path in dataset.paths):
        print(f"writing {dataset.events:,} events for {question.name}", file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks.data", str(question.dataset), repr(scale)]
        with _scratch() as scratch:
            subprocess.run(command, check=True, timeout=DATA_LIMIT_S, env=_environment(scratch), cwd=scratch)
    data.read_once(map(str, dataset.paths))


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """A folder for everything temporary of one program, gone afterwards."""
    folder = tempfile.mkdtemp(prefix="rdf-bench-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(scratch: str) -> dict[str, str]:
    search = filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LITHOPS_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # or each program compiles this package, which an installed one is not
    return {
        **kept,
        "PATH": os.pathsep.join(
            [os.path.dirname(sys.executable), kept.get("PATH", os.defpath)]
        ),  # plain Lithops runs "python"
        "PYTHONPATH": os.pathsep.join(search),
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "ignore",
        "TMPDIR": scratch,
        "SPARK_LOCAL_DIRS": scratch,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={scratch} -XX:-UsePerfData",
    }


def run_program(schedule: Schedule, question: Question, place: str, repetition: int, answers: Answers) -> Record:
    """One program from its start until nothing of it is left. Never raises for what the program does."""
    dataset = question.data(schedule.scale)
    ranges = question.ranges or schedule.cores
    events, files = (dataset.events, dataset.files) if dataset else (ENTRIES, 0)
    record = Record(question.name, place, repetition, events, files, ranges, core_s=list(core_seconds().values()))
    order = Order(place, question.name, question.arguments(schedule.scale), ranges, schedule.cores, schedule.later)
    busy, ours = processes.machine_cpu_s(), processes.cpu_s() + _own_cpu_s()
    with _scratch() as scratch:
        if PLACES[place].kept:
            record.error = _go_before(order, question, scratch, time.monotonic() + schedule.limit_s)
        if record.error:  # nothing was left warm: what follows would be measured under a wrong name
            processes.end_all(grace_s=0.0)
            return record
        last = repetition == schedule.repetitions - 1
        watched = _Watched(order, question, record, answers, scratch, sampled=last)
        try:
            watched.until(time.monotonic() + schedule.limit_s)
        except BaseException as error:  # Ctrl-C, SIGTERM
            record.error = f"interrupted ({type(error).__name__})"
            raise
        finally:
            watched.end()
    spent = processes.cpu_s() + _own_cpu_s() - ours
    record.others_cpu_s = max(0.0, processes.machine_cpu_s() - busy - spent)
    return record


def _go_before(order: Order, question: Question, scratch: str, deadline: float) -> str:
    """Run the first query of ``order`` in a program of its own, which leaves behind what the place keeps; why it failed, or
    nothing."""
    first = Record(question.name, order.place, 0, 0, 0, order.ranges)
    watched = _Watched(replace(order, later=0), question, first, Answers(), scratch, sampled=False)
    try:
        watched.until(deadline)
    finally:
        watched.end(leave=True)
    return f"the program before: {first.error}" if first.error else ""


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class _Watched:
    """A program that runs: what it says goes into its record. ``sampled``: look at its memory also during queries."""

    def __init__(
        self, order: Order, question: Question, record: Record, answers: Answers, scratch: str, *, sampled: bool
    ) -> None:
        self.order, self.question, self.record, self.answers = order, question, record, answers
        self.log = Path(scratch) / "program.log"
        self.plug, theirs = socket.socketpair()
        self.plug.settimeout(60.0)  # for the rest of a line whose beginning is there
        self.talk = Talk(self.plug)
        self.sampled = sampled
        self.cpu_before_s = processes.cpu_s()
        self._evict()
        command = [sys.executable, "-m", "benchmarks.program", str(theirs.fileno()), order.dumps()]
        with theirs, self.log.open("wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                env=_environment(scratch),
                cwd=scratch,
            )

    def until(self, deadline: float) -> None:
        """Serve the program until it is done; one that is not by ``deadline`` gets an error in its record."""
        while time.monotonic() < deadline:
            readable, _, _ = select.select([self.plug], [], [], SAMPLE_S)
            if readable:
                if not self._serve():
                    return
            elif self.sampled:
                self._look_at_memory()
        self.record.error = f"stopped after {deadline - self.started:.0f} s"

    def _serve(self) -> bool:
        """Deal with one message; False when there will be no more."""
        try:
            message = self.talk.receive()
        except OSError:
            message = None
        if message is None:
            return False
        getattr(self, f"_on_{message['event']}")(message)
        with contextlib.suppress(OSError):
            self.talk.send({})
        return True

    def _on_ready(self, message: dict[str, Any]) -> None:
        self._evict()
        self.cpu_before_s = processes.cpu_s()

    def _on_done(self, message: dict[str, Any]) -> None:
        began = self.started if message["kind"] == "first" else message["began"]
        spent_s = processes.cpu_s() - self.cpu_before_s
        self.record.queries.append(Query(message["kind"], message["ended"] - began, spent_s))
        self._look_at_memory()

    def _on_answer(self, message: dict[str, Any]) -> None:
        self.answers.check(self.question, message["number"], self.order.place, message["fingerprint"])
        self.record.queries[-1].facts.update(message["facts"])

    def _evict(self) -> None:
        if self.question.cold:
            data.evict(self.order.arguments[1])

    def _look_at_memory(self) -> None:
        self.record.peak_memory_mib = max(self.record.peak_memory_mib, processes.memory_mib())
        processes.reap(kept=self.process.pid)

    def end(self, leave: bool = False) -> None:
        """See the program and all that it started out; with ``leave`` the program alone."""
        self.plug.close()
        try:
            code = self.process.wait(timeout=0.0 if self.record.error else END_GRACE_S)
        except subprocess.TimeoutExpired:
            self.record.error = self.record.error or f"its queries are done, but it has not ended after {END_GRACE_S} s"
            self.process.kill()
            code = self.process.wait()
        if not leave:
            kept = PLACES[self.order.place].kept  # it leaves something behind, and is meant to
            left = processes.end_all(grace_s=0.0 if self.record.error or kept else 3.0)
            self.record.left_behind = 0 if kept else left
        if code != 0 or self.record.error:
            self.record.error = "\n".join([self.record.error or f"exit code {code}", *self._last_lines()])
        self.record.wall_s = time.monotonic() - self.started

    def _last_lines(self) -> list[str]:
        """What the program printed last; of a progress bar that draws over itself, the last state."""
        lines = [line.rsplit("\r", 1)[-1] for line in self.log.read_text(errors="replace").split("\n")]
        return [f"  | {line}" for line in lines if line.strip()][-LOG_LINES:]
