"""``python -m benchmarks.faults``: after how many seconds each fault of the script is noticed, wherever it strikes.

A fault strikes one call of three in its first attempt, or the reducer. The clock begins when it strikes (that process
writes the time down) and ends when the driver learns of it: the event of the failed call, or of the attempt that ends
without a result. Every answer is compared with that of an undisturbed run, to the bit. Then Ctrl-C: from the signal until
the program has ended, and what it leaves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lithops
import psutil
import ROOT

from rdf_lithops import Options, RdfLithopsError
from rdf_lithops.run.events import AttemptEnded, CallFailed, Event, RunEnded

ACTIONS = ("raise", "throw", "exit", "kill", "segv", "allocate", "stop", "sleep", "garbage", "twice", "lose")
PLACES = {"task": "map", "slot": "warm process", "reduce": "reducer", "fold": "its warm process"}
# a process that stands still is given up after stall_s, a call that is silent after silence_s
LIMITS: dict[str, Any] = {"beat_s": 0.5, "silence_s": 10.0, "stall_s": 5.0, "backoff_s": 0.01}
PROGRAM = """
import lithops, ROOT, rdf_lithops
config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": %d}}
with lithops.FunctionExecutor(config=config, log_level=None) as fexec:
    ROOT.RDataFrame(10, executor=fexec).Count().GetValue()
    print("warm", flush=True)
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=2)
    frame.Define("x", "gSystem->Sleep(1000); return 1;").Sum("x").GetValue()
"""


def ask(fexec: lithops.FunctionExecutor, heard: list[Event], faults: dict[str, Any] | None = None) -> float:
    """A sum whose last digits depend on how it is grouped."""
    options = Options(ranges_per_call=2, faults=faults, **LIMITS)
    frame: Any = ROOT.RDataFrame(60, executor=fexec, npartitions=6, options=options)
    frame._headnode.backend.consumers = (heard.append,)
    return float(frame.Define("x", "1.0 / (3.0 + rdfentry_)").Sum("x").GetValue())


def strike(fexec: lithops.FunctionExecutor, place: str, action: str, expected: float, folder: str) -> str:
    """A cell of the table: seconds until it was noticed, and how the run ended."""
    mark = Path(folder) / "struck"
    mark.unlink(missing_ok=True)
    heard: list[Event] = []
    script = {place: {2: [action]} if place in ("task", "slot") else [action], "mark": str(mark)}
    try:
        end = "" if ask(fexec, heard, script) == expected else ", WRONG"
    except RdfLithopsError as error:
        end = f", {type(error).__name__}"
    if not mark.exists():
        return "NEVER STRUCK"
    struck = float(mark.read_text().split()[0])
    known = [
        event.at for event in heard if isinstance(event, CallFailed) or (isinstance(event, AttemptEnded) and repeated(heard))
    ]
    return (f"{max(0.0, min(known) - struck):.1f} s" if known else "harmless") + end


def repeated(heard: list[Event]) -> bool:
    """Whether a second attempt was needed."""
    return any(isinstance(event, RunEnded) and event.attempts > 1 for event in heard)


def interrupt(version: int) -> tuple[float, int]:
    """Seconds from Ctrl-C until a program in mid-run has ended; processes and files of runs that are there then."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder, "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM % version]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as program:  # type: ignore[call-overload]
            program.stdout.readline()
            time.sleep(1.5)
            began = time.monotonic()
            program.send_signal(2)
            program.wait(60)
            seconds = time.monotonic() - began
        names = [os.path.join(top, name) for top, _, files in os.walk(folder) for name in files]
        left = [name for name in names if "rdf_lithops" in name or "lithops.jobs" in name]
        return seconds, len(left) + sum(temporary_folder(process) == folder for process in psutil.process_iter())


def temporary_folder(process: psutil.Process) -> str | None:
    """The temporary folder of a living process."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("TMPDIR")
    except psutil.Error:
        return None


def main() -> int:
    """Print the tables; status 1 if an answer was wrong, a fault did not strike, or Ctrl-C took 3 s or left something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", nargs="+", default=ACTIONS, choices=ACTIONS)
    parser.add_argument("--versions", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--interrupts", type=int, default=5)
    given = parser.parse_args()
    cells: list[str] = []
    for version in given.versions:
        config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": version}}
        print(f"\n| localhost version {version} | {' | '.join(PLACES.values())} |\n|---|" + "---|" * len(PLACES), flush=True)
        with lithops.FunctionExecutor(config=config, log_level=None) as fexec, tempfile.TemporaryDirectory() as folder:
            expected = ask(fexec, [])
            for action in given.actions:
                row = [strike(fexec, place, action, expected, folder) for place in PLACES]
                cells += row
                print(f"| {action} | {' | '.join(row)} |", flush=True)
        pressed = [interrupt(version) for _ in range(given.interrupts)]
        if pressed:
            longest_s, left = max(seconds for seconds, _ in pressed), sum(left for _, left in pressed)
            print(
                f"\nCtrl-C, {len(pressed)} programs: ended after {longest_s:.2f} s at most, {left} processes or files left"
            )
            cells += ["WRONG"] * (longest_s > 3.0 or left > 0)
    return int(any("WRONG" in cell or "NEVER" in cell for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
