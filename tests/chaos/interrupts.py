"""``python -m chaos.interrupts``: Ctrl-C at random moments of a run. How soon it ends, and what it leaves.

First in one program, as in a notebook: each press must end the query with KeyboardInterrupt, leave nothing in the storage,
and the next query must be right. Then whole programs, from the signal to their end, and what is left when they have ended.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import lithops
import ROOT

from chaos import family

PROGRAM_S = 3.0
LATEST_S = 1.5
ENTRIES = 40
PROGRAM = f"""
import sys, lithops, ROOT, rdf_lithops
from chaos import family
with family.executor(int(sys.argv[1])) as fexec:
    ROOT.RDataFrame(10, executor=fexec).Count().GetValue()
    print("warm", flush=True)
    frame = ROOT.RDataFrame({ENTRIES}, executor=fexec, npartitions=4, options={{"ranges_per_call": 1}})
    frame.Define("x", "gSystem->Sleep(500); return 1;").Sum("x").GetValue()
"""


def query(fexec: lithops.FunctionExecutor, entry_ms: int) -> Any:
    """A booked sum of 40 ones."""
    options = {"ranges_per_call": 1, "beat_s": 0.25}
    frame = ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=4, options=options)
    return frame.Define("x", f"gSystem->Sleep({entry_ms}); return 1;").Sum("x")


def press_in_one_program(version: int, runs: int, dice: random.Random) -> int:
    """Presses in the middle of queries on one executor; prints the tally and returns what went wrong."""
    lost, wrong, left_behind, seconds = 0, 0, 0, []
    with family.executor(version) as fexec:
        query(fexec, 0).GetValue()
        for _ in range(runs):
            booked, pressed = query(fexec, 100), []

            def press() -> None:
                pressed.append(time.monotonic())  # noqa: B023  # used at once
                os.kill(os.getpid(), signal.SIGINT)

            timer = threading.Timer(dice.uniform(0.0, LATEST_S), press)
            try:
                timer.start()
                booked.GetValue()
                timer.join()
                time.sleep(0.2)  # the run may have been faster
                lost += 1
            except KeyboardInterrupt:
                seconds.append(time.monotonic() - pressed[0])
            until = time.monotonic() + 5
            while (left := family.left_in_storage(fexec)) and time.monotonic() < until:
                time.sleep(0.05)
            if left:
                print(f"  left: {left[:4]}", flush=True)
            left_behind += bool(left)
            wrong += query(fexec, 0).GetValue() != ENTRIES
    print(
        f"localhost v{version}, {runs} presses in one program: {len(seconds)} ended their query, after {max(seconds):.2f} s "
        f"at most; {lost} dropped, {left_behind} left objects, {wrong} next queries wrong",
        flush=True,
    )
    return lost + wrong + left_behind + sum(each > PROGRAM_S for each in seconds)


def press_programs(version: int, programs: int, dice: random.Random) -> int:
    """Presses in programs of their own; prints the tally and returns what went wrong."""
    seconds, left_behind, unclear = [], 0, 0
    for _ in range(programs):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(version)]
            environment = {**os.environ, "TMPDIR": folder}
            with subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            ) as program:
                assert program.stdout is not None
                program.stdout.readline()
                time.sleep(dice.uniform(0.0, LATEST_S))
                began = time.monotonic()
                program.send_signal(signal.SIGINT)
                program.wait(60)
                seconds.append(time.monotonic() - began)
                _, said = program.communicate()
            left = [family.name(process) for process in family.of(folder)] + family.left_on_disk(folder)
            if left or "KeyboardInterrupt" not in said:
                print(f"  left: {left[:4]}; said: {said[-300:]}", flush=True)
            left_behind += bool(left)
            unclear += "KeyboardInterrupt" not in said
    print(
        f"localhost v{version}, {programs} programs: ended {max(seconds):.2f} s after Ctrl-C at most; "
        f"{left_behind} left processes, files or objects, {unclear} without KeyboardInterrupt",
        flush=True,
    )
    return left_behind + unclear + sum(each > PROGRAM_S for each in seconds)


def main() -> int:
    """Print the tallies; status 1 if a press was dropped, took too long or left something, or a query was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--programs", type=int, default=10)
    parser.add_argument("--versions", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    dice = random.Random(given.seed)
    bad = 0
    for version in given.versions:
        bad += press_in_one_program(version, given.runs, dice)
        bad += press_programs(version, given.programs, dice)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
