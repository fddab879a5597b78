"""``python -m chaos --seed 1 --runs 200``: kill any process below the driver at any moment, and count what comes of it.

Each run sums floating-point numbers, whose last digits depend on how they are grouped. It ends in the bits of an undisturbed
run, or in an error of the package that says why; anything else is wrong, and so is a run that hangs or leaves something.
The random numbers are those of the seed; which process is where at which moment is not.
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
from typing import Any

import lithops
import psutil
import ROOT

import rdf_lithops
from chaos import family
from rdf_lithops.options import Options

HANG_S = 120.0
RUNS_PER_EXECUTOR = 20
SETTLE_S = 10.0


def query(fexec: lithops.FunctionExecutor, ranges: int, per_call: int, entry_ms: int) -> Any:
    """A booked sum that takes ``entry_ms`` for each of 40 entries."""
    options = Options(ranges_per_call=per_call, backoff_s=0.05, beat_s=0.25, stall_s=20.0)
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=ranges, options=options)
    return frame.Define("x", f"gSystem->Sleep({entry_ms}); return 1.0 / (3.0 + rdfentry_);").Sum("x")


def kill_some(dice: random.Random, over: threading.Event) -> None:
    """One to three kills, at moments of the first two seconds."""
    for _ in range(dice.randint(1, 3)):
        if over.wait(dice.uniform(0.0, 0.8)):
            return
        victims = family.descendants()
        if victims:
            with contextlib.suppress(psutil.Error):
                dice.choice(victims).send_signal(signal.SIGKILL)


def one_run(fexec: lithops.FunctionExecutor, dice: random.Random, expected: dict[tuple[int, int], float]) -> str:
    """Run once under fire: how it ended."""
    shape = dice.choice(list(expected))
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(query(fexec, *shape, entry_ms=dice.choice([0, 10, 40])).GetValue())
        except Exception as error:
            outcome.append(error)

    over = threading.Event()
    runner = threading.Thread(target=run, daemon=True)
    killer = threading.Thread(target=kill_some, args=(dice, over))
    runner.start()
    killer.start()
    runner.join(HANG_S)
    over.set()
    killer.join()
    if runner.is_alive():
        return "hang"
    if isinstance(outcome[0], rdf_lithops.RdfLithopsError):
        print(f"  error: {str(outcome[0]).splitlines()[0]}", flush=True)
        return "clear error"
    if isinstance(outcome[0], Exception):
        print(f"  unclear: {outcome[0]!r}", flush=True)
        return "unclear error"
    return "right" if outcome[0] == expected[shape] else "wrong"


def leftovers(look: Any) -> list[str]:
    """What is still there after a moment in which killed processes may vanish."""
    until = time.monotonic() + SETTLE_S
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return list(found)


def main() -> int:
    """Print a line per executor and the tally; status 1 unless all runs were right or ended in a clear error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    tally: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    while sum(tally[how] for how in ("right", "clear error", "unclear error", "wrong", "hang")) < given.runs:
        version = dice.choice([1, 2])
        with family.executor(version) as fexec:
            shapes = [(4, 1), (4, 2), (6, 3)]
            expected = {shape: float(query(fexec, *shape, entry_ms=0).GetValue()) for shape in shapes}
            for _ in range(min(RUNS_PER_EXECUTOR, given.runs - sum(tally.values()))):
                tally[one_run(fexec, dice, expected)] += 1
                left = leftovers(lambda: family.left_in_storage(fexec))
                tally["runs that left objects"] += bool(left)
                if left:
                    print(f"  left: {left[:4]}", flush=True)
        left = leftovers(lambda: [str(process) for process in family.descendants()] + family.left_on_disk())
        tally["executors that left something"] += bool(left)
        if left:
            print(f"  left: {left[:4]}", flush=True)
        print(f"localhost v{version}, {time.monotonic() - began:.0f} s: {dict(+tally)}", flush=True)
    good = tally["right"] + tally["clear error"]
    print(f"seed {given.seed}, {given.runs} runs: " + ", ".join(f"{tally[how]} {how}" for how in (
        "right", "clear error", "unclear error", "wrong", "hang", "runs that left objects", "executors that left something"
    )))  # fmt: skip
    return int(good != given.runs or any(tally[how] for how in ("runs that left objects", "executors that left something")))


if __name__ == "__main__":
    sys.exit(main())
