"""``python -m chaos --seed 1 --runs 200``: kill any process below the driver at any moment, and count what comes of it.

``--backups`` runs late calls a second time, in runs that have one; ``--place`` is where, else one of localhost's two.

Each run sums floating-point numbers, whose last digits depend on how they are grouped. It ends in the bits of an undisturbed
run, or in an error of the package that says why; anything else is wrong, and so is a run that hangs or leaves something.
The random numbers of a run are those of the seed and its number, so ``--first 40 --runs 20`` is the third executor of the
same 200 runs; which process is where at which moment is not determined. Where a run was not right, its kills are printed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import lithops
import psutil
import ROOT

import rdf_lithops
from chaos import family
from chaos.copies import Copies, hasten
from chaos.places import PLACES, Place, opened
from rdf_lithops.options import Options

HANG_S = 240.0
SLOW_S = 15.0
RUNS_PER_EXECUTOR = 20
SETTLE_S = 10.0
SHAPES = [(4, 1), (4, 2), (6, 3)]  # ranges, ranges per call
SHAPES_OF_BACKUPS = [(4, 1), (8, 2), (6, 1)]  # a backup begins when three quarters of the calls are there
LATE_MS = 2500  # in such a run, the last entry
ENDS = ("right", "clear error", "unclear error", "wrong", "hang")
LEFT = ("runs that left objects", "executors that left something")
COPIES = ("runs with a backup", "healthy copies cancelled", "silent copies cancelled")


def query(
    fexec: lithops.FunctionExecutor,
    ranges: int,
    per_call: int,
    entry_ms: int,
    late_ms: int = 0,
    copies: Copies | None = None,
) -> Any:
    """A booked sum that takes ``entry_ms`` for each of 40 entries, and ``late_ms`` more for the last."""
    options = Options(ranges_per_call=per_call, backoff_s=0.05, beat_s=0.25, stall_s=20.0, backups=copies is not None)
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=ranges, options=options)
    if copies is not None:
        copies.listen_to(frame)
    sleep = f"gSystem->Sleep({entry_ms} + {late_ms} * (rdfentry_ == 39));"
    return frame.Define("x", f"{sleep} return 1.0 / (3.0 + rdfentry_);").Sum("x")


@dataclass
class Run:
    """One run under fire: how it ended, after how many seconds, and what was killed when."""

    number: int
    end: str = "hang"
    why: str = ""
    wall_s: float = 0.0
    kills: list[str] = field(default_factory=list)
    copies: Copies | None = None


def kill_some(place: Place, dice: random.Random, over: threading.Event, run: Run) -> None:
    """One to three kills, at moments of the first two seconds; of more where there are backups."""
    began = time.monotonic()
    for _ in range(dice.randint(1, 3)):
        if over.wait(dice.uniform(0.0, 0.8 if run.copies is None else 2.0)):
            return
        victims = place.victims()
        if victims:
            with contextlib.suppress(psutil.Error):
                victim = dice.choice(victims)
                known = family.name(victim)
                victim.send_signal(signal.SIGKILL)
                run.kills.append(f"{time.monotonic() - began:.2f} s: {known}")


def one_run(place: Place, dice: random.Random, expected: dict[tuple[int, int], float], run: Run) -> None:
    """Run once under fire, and take down how it ended."""
    shape = dice.choice(list(expected))
    entry_ms = dice.choice([0, 10, 40])
    late_ms = 0 if run.copies is None else dice.choice([0, LATE_MS, LATE_MS])
    outcome: list[Any] = []

    def ask() -> None:
        try:
            outcome.append(query(place.executor, *shape, entry_ms, late_ms, run.copies).GetValue())
        except Exception as error:
            outcome.append(error)

    over, began = threading.Event(), time.monotonic()
    runner = threading.Thread(target=ask, daemon=True)
    killer = threading.Thread(target=kill_some, args=(place, dice, over, run))
    runner.start()
    killer.start()
    runner.join(HANG_S)
    over.set()
    killer.join()
    run.wall_s = time.monotonic() - began
    if runner.is_alive():
        return
    (found,) = outcome
    if isinstance(found, rdf_lithops.RdfLithopsError):
        run.end, run.why = "clear error", " / ".join(str(found).splitlines()[:3])
    elif isinstance(found, Exception):
        run.end, run.why = "unclear error", repr(found)
    else:
        run.end = "right" if found == expected[shape] else "wrong"


def leftovers(look: Any) -> list[str]:
    """What is still there after a moment in which killed processes may vanish."""
    until = time.monotonic() + SETTLE_S
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return list(found)


def one_executor(where: str, backups: bool, seed: int, numbers: range, tally: collections.Counter[str]) -> None:
    """Runs of these numbers, one after the other, on an executor of their own."""
    with opened(where) as place:
        shapes = SHAPES_OF_BACKUPS if backups else SHAPES
        expected = {shape: float(query(place.executor, *shape, entry_ms=0).GetValue()) for shape in shapes}
        for number in numbers:
            run = Run(number, copies=Copies() if backups else None)
            one_run(place, random.Random(f"{seed}-{number}"), expected, run)
            left = leftovers(place.left)
            tally[run.end] += 1
            tally[LEFT[0]] += bool(left)
            healthy_cancelled = [] if run.copies is None else run.copies.healthy_cancelled
            tally[COPIES[0]] += run.copies is not None and run.copies.backups > 0
            tally[COPIES[1]] += len(healthy_cancelled)
            tally[COPIES[2]] += 0 if run.copies is None else run.copies.silent_cancelled
            if run.end != "right" or left or run.wall_s > SLOW_S or healthy_cancelled:
                print(f"  run {number}: {run.end} after {run.wall_s:.1f} s {run.why}", flush=True)
                print(f"    killed: {run.kills}" + (f"\n    left: {left}" if left else ""), flush=True)
                print("".join(f"    healthy and cancelled: {each}\n" for each in healthy_cancelled), end="", flush=True)
    left = leftovers(lambda: [family.name(process) for process in family.descendants()] + family.left_on_disk())
    tally[LEFT[1]] += bool(left)
    if left:
        print(f"  left: {left[:10]}", flush=True)


def main() -> int:
    """Print what was not plainly right, a line per executor, and the tally; status 1 unless all runs were right or ended in
    a clear error, nothing was left, and no healthy copy was cancelled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--backups", action="store_true", help="with stragglers, and second copies of them")
    parser.add_argument("--place", choices=PLACES)
    given = parser.parse_args()
    tally: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    if given.backups:
        hasten()
    numbers = range(given.first, given.first + given.runs)
    while numbers:
        block = numbers[0] // RUNS_PER_EXECUTOR
        now = numbers[: (block + 1) * RUNS_PER_EXECUTOR - numbers[0]]
        numbers = numbers[len(now) :]
        where = given.place or random.Random(f"{given.seed}-executor-{block}").choice(PLACES[:2])
        one_executor(where, given.backups, given.seed, now, tally)
        print(f"{where}, {time.monotonic() - began:.0f} s: {dict(+tally)}", flush=True)
    counted = ", ".join(f"{tally[what]} {what}" for what in (*ENDS, *LEFT, *(COPIES if given.backups else ())))
    print(f"seed {given.seed}, runs {given.first} to {given.first + given.runs - 1}: {counted}")
    good = tally["right"] + tally["clear error"]
    return int(good != given.runs or any(tally[what] for what in (*LEFT, COPIES[1])))


if __name__ == "__main__":
    sys.exit(main())
