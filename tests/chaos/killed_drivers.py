"""``python -m chaos.killed_drivers``: the driver is killed, or stopped for a minute, at random moments of a run.

After each kill the same program is started again: it must print the bits of an undisturbed run, compute again no range whose
partial was there, and leave neither objects nor processes nor folders. A kill counts only if it fell between the submission
of the calls and the delivery of the result; others are drawn again, and counted as well, and what they leave goes by ``gc``.
Half of the moments are drawn from the time of a run, most of which is compilation, the others from its progress: up to a
second after so many partials were there. A driver that was stopped goes on by itself.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ROOT

from chaos import family
from rdf_lithops.travels.envelope import EnvelopeError, unpack

__all__ = ["ALL", "Drivers", "Kill", "ended_well", "files_of", "kill_at_random", "stop_at_random"]

RANGES, ENTRIES = 8, 100  # and entries of each
ALL = frozenset(range(0, RANGES * ENTRIES, ENTRIES))  # the first entries of the ranges
STEPS = 200_000  # of each entry: some 0.2 s a range
LIMIT_S = 120.0
PROGRAM = f"""
import hashlib, os, pathlib, sys, lithops, numpy, ROOT, rdf_lithops
from rdf_lithops.run.events import AttemptBegan, RunEnded

def hear(event):
    if isinstance(event, AttemptBegan):
        with open("begun", "a") as begun:
            print(*({ENTRIES} * call_id for call_id in event.call_ids), file=begun)
    for kind, name in ((AttemptBegan, "submitted"), (RunEnded, "delivered")):
        if isinstance(event, kind):
            pathlib.Path(name).touch()

near = {{"backend": "localhost", "storage": "localhost"}}
config = {{"lithops": near, "localhost": {{"version": 1, "worker_processes": 2}}}}
options = {{"ranges_per_call": 1, "survey": False}}
with lithops.FunctionExecutor(config=config, log_level=None) as fexec:
    frame = ROOT.RDataFrame("t", "data.root", executor=fexec, npartitions={RANGES}, options=options)
    frame._headnode.backend.consumers = (hear,)
    slow = "double slow = 0; for (int step = 0; step < {STEPS}; ++step) slow += std::sqrt(step + x);"
    frame = frame.Define("y", slow + "return x * 0.1 + 1.0 / (3.0 + rdfentry_) + 1e-15 * slow;")
    total, drawn = frame.Sum("y"), frame.Histo1D(("h", "", 50, 0.0, 90.0), "y", "y")
    bins = numpy.array([drawn.GetBinContent(number) for number in range(52)])
    print("bits", total.GetValue().hex(), hashlib.sha256(bins.tobytes()).hexdigest()[:16], flush=True)
"""


@dataclass(frozen=True)
class Kill:
    """A driver that was killed: partials that it left and ranges that were computed again (their first entries), what the
    next one printed, and what was left of both."""

    there: frozenset[int]
    again: frozenset[int]
    bits: str
    left: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether what was missing, and nothing else, was computed, and nothing left."""
        return self.again == ALL - self.there and not self.left


class Drivers:
    """Programs of a folder, one after the other, with all their temporary files below it."""

    def __init__(self, folder: Path, program: str = PROGRAM) -> None:
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir()
        (folder / "program.py").write_text(program)
        options = ROOT.RDF.RSnapshotOptions()
        options.fAutoFlush = ENTRIES
        data = str(folder / "data.root")
        ROOT.RDataFrame(RANGES * ENTRIES).Define("x", "double(rdfentry_)").Snapshot("t", data, "", options)

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """The program, in a session of its own, without the marks of the one before."""
        for name in ("begun", "submitted", "delivered"):
            (self.folder / name).unlink(missing_ok=True)
        program = subprocess.Popen(
            [sys.executable, "-W", "ignore", "program.py"],
            env={**os.environ, "TMPDIR": str(self.temporary)},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield program
        finally:
            if program.poll() is None:
                program.kill()
            program.communicate(timeout=LIMIT_S)

    def bits(self) -> str:
        """What the program prints, undisturbed or taking up what is there."""
        with self.started() as program:
            out, err = program.communicate(timeout=LIMIT_S)
        found = [line for line in out.splitlines() if line.startswith("bits ")]
        assert found, err
        return found[0]

    def computed(self) -> frozenset[int]:
        """The first entries of the ranges that the last program had computed, each once."""
        path = self.folder / "begun"
        begun = [int(line) for line in path.read_text().split()] if path.exists() else []
        assert len(begun) == len(set(begun)), f"ranges were computed twice: {sorted(begun)}"
        return frozenset(begun)

    def run_s(self) -> float:
        """How long a run takes between the two marks."""
        self.bits()
        return (self.folder / "delivered").stat().st_mtime - (self.folder / "submitted").stat().st_mtime

    def _reached(self, program: subprocess.Popen[str], name: str) -> None:
        until = time.monotonic() + LIMIT_S
        while not (self.folder / name).exists():
            assert program.poll() is None, program.communicate()
            assert time.monotonic() < until
            time.sleep(0.005)

    def kill(self, after_s: float, partials: int = 0) -> Kill | None:
        """Kill the driver so long after it has submitted its calls and so many partials were there, and start it again; None
        if it had delivered by then."""
        with self.started() as program:
            self._reached(program, "submitted")
            while len(self.there()) < partials and not (self.folder / "delivered").exists():
                time.sleep(0.005)
            time.sleep(after_s)
            program.kill()
            program.wait(LIMIT_S)
            missed = (self.folder / "delivered").exists()
        self._wait_until_alone()
        if missed:
            return None
        there = self.there()
        bits, again = self.bits(), self.computed()
        return Kill(there, again, bits, self.left())

    def collect(self) -> tuple[str, ...]:
        """Have what the last driver has left removed as users would; what is there afterwards."""
        command = [sys.executable, "-W", "ignore", "-m", "rdf_lithops", "gc", "--older-than", "0", "--remove"]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=LIMIT_S)
        return self.left()

    def stop(self, after_s: float, stopped_s: float) -> tuple[str, bool]:
        """Stop the driver so long after it has submitted its calls, let it go on after ``stopped_s``; what it prints, and
        whether it had delivered before it was stopped."""
        with self.started() as program:
            self._reached(program, "submitted")
            time.sleep(after_s)
            program.send_signal(signal.SIGSTOP)
            missed = (self.folder / "delivered").exists()
            time.sleep(stopped_s)
            program.send_signal(signal.SIGCONT)
            out, err = program.communicate(timeout=LIMIT_S)
        assert "bits " in out, err
        return out.strip(), missed

    def there(self) -> frozenset[int]:
        """The first entries of ranges whose partials lie in the storage: those of calls that say that they ended well."""
        found = set()
        for record in files_of(self.temporary, "run.json"):
            jobs = {
                key: range(given) if isinstance(given, int) else given
                for key, given in _read(record).get("calls", {}).items()
            }
            calls = set(next(iter(jobs.values()), ()))  # of the run; later jobs may fold
            for job_key, ids in jobs.items():
                for status in record.parents[3].glob(f"lithops.jobs/{job_key}/*/status.json"):
                    found.update(calls & {ids[int(status.parent.name)]} if ended_well(status) else ())
        return frozenset(ENTRIES * call_id for call_id in found)

    def _wait_until_alone(self) -> None:
        until = time.monotonic() + LIMIT_S
        while family.of(str(self.temporary)):
            assert time.monotonic() < until, [family.name(process) for process in family.of(str(self.temporary))]
            time.sleep(0.02)

    def left(self) -> tuple[str, ...]:
        """Objects, folders and processes of runs that are there a while after the last program has ended."""
        self._wait_until_alone()
        return tuple(family.left_on_disk(str(self.temporary)))


def files_of(folder: Path, name: str) -> list[Path]:
    """Files of that name below a folder, in which others work meanwhile."""
    return [Path(top) / name for top, _, names in os.walk(folder) if name in names]


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; nothing of one that was being written when its writer was killed, or is gone."""
    with contextlib.suppress(ValueError, FileNotFoundError):
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    return {}


def ended_well(path: Path) -> bool:
    """Whether a call's status says so, and has what the call gave, or that lies beside it as a whole."""
    status = _read(path)
    if status.get("type") != "__end__" or status.get("exception"):
        return False
    with contextlib.suppress(pickle.UnpicklingError, EOFError, FileNotFoundError, EnvelopeError):
        data = ast.literal_eval(status["result"]) if "result" in status else (path.parent / "output.pickle").read_bytes()
        return bool(unpack(pickle.loads(data)).range_ids)
    return False


def kill_at_random(drivers: Drivers, kills: int, dice: random.Random, expected: str, run_s: float) -> int:
    """Print what became of each kill; what went wrong."""
    done = missed = wrong = 0
    while done < kills:
        partials = dice.randint(0, RANGES) if done % 2 else 0
        after_s = dice.uniform(0.0, 1.0 if done % 2 else run_s)
        kill = drivers.kill(after_s, partials)
        if kill is None:
            missed += 1
            assert missed < 5 * kills, "runs end before they can be killed"
            if left := drivers.collect():
                wrong += 1
                print(f"a kill that came too late: WRONG: gc leaves {left}", flush=True)
            continue
        done += 1
        is_right = kill.is_right and kill.bits == expected
        wrong += not is_right
        said = "right" if is_right else f"WRONG: {kill}"
        counts = f"{len(kill.there)} of {RANGES} partials were there, {len(kill.again)} ranges computed again"
        when = f"the submission (a run takes {run_s:.1f} s)" if done % 2 else f"{partials} partials"
        print(f"kill {done:2}, {after_s:.2f} s after {when}: {counts}: {said}", flush=True)
    print(f"{kills} kills in mid-run ({missed} more came too late): {wrong} wrong", flush=True)
    return wrong


def stop_at_random(drivers: Drivers, stops: int, stopped_s: float, dice: random.Random, expected: str, run_s: float) -> int:
    """Print what became of each stop; what went wrong."""
    wrong = 0
    for number in range(1, stops + 1):
        missed = True
        while missed:
            after_s = dice.uniform(0.0, run_s)
            bits, missed = drivers.stop(after_s, stopped_s)
        computed, left = drivers.computed(), drivers.left()
        is_right = bits == expected and computed == ALL and not left
        wrong += not is_right
        said = "right, each range once, nothing left" if is_right else f"WRONG: {bits}, {sorted(computed)}, {left}"
        print(f"stop {number:2}, {after_s:.2f} s after the submission, for {stopped_s:g} s: {said}", flush=True)
    return wrong


def main() -> int:
    """Print the tallies; status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stops", type=int, default=3)
    parser.add_argument("--stopped", type=float, default=60.0, help="seconds")
    given = parser.parse_args()
    dice = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        drivers = Drivers(Path(folder))
        expected, run_s = drivers.bits(), drivers.run_s()
        wrong = kill_at_random(drivers, given.kills, dice, expected, run_s)
        wrong += stop_at_random(drivers, given.stops, given.stopped, dice, expected, run_s)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
