"""Runs on a real Slurm while its jobs are killed at random moments: each must give the right answer, or a clear error.

    python -m batch.chaos --runs 20 --seed 1

Prints a line per run and a tally; fails if an answer was wrong, a run hung, or anything was left in the queue or on a disk.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lithops
import psutil
import ROOT

import rdf_lithops
from batch import cluster

ENTRIES = 400
RUN_LIMIT_S = 240.0
LEFT_LIMIT_S = 60.0


def main() -> int:
    """Do the runs; 0 if all were as they should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder, cluster.running(_made(Path(folder) / "slurm")) as slurm:
        os.environ.update(slurm.variables)
        tally = collections.Counter(_run(Path(folder), slurm, dice, number) for number in range(given.runs))
    print(", ".join(f"{count} {what}" for what, count in sorted(tally.items())))
    return 0 if set(tally) <= {"right", "told"} else 1


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(folder: Path, slurm: cluster.Slurm, dice: random.Random, number: int) -> str:
    shared, scratch = folder / "shared", folder / "scratch"
    for path in (shared, scratch):
        path.mkdir(exist_ok=True)
    name, harm = dice.choice(HARMS)
    moment_s = dice.uniform(0.0, 14.0)
    began_s = time.monotonic()
    with _executor(shared, scratch) as fexec:
        timer = threading.Timer(moment_s, _quietly, [harm, slurm, dice])
        timer.start()
        frame = ROOT.RDataFrame(ENTRIES, executor=fexec, npartitions=3, options=OPTIONS)
        total = frame.Define("x", "gSystem->Sleep(20); return double(rdfentry_);").Sum("x")
        try:
            right = total.GetValue() == ENTRIES * (ENTRIES - 1) / 2
            outcome, more = ("right", f"{rdf_lithops.report(total).repeated} calls repeated") if right else ("WRONG", "")
        except rdf_lithops.RdfLithopsError as error:
            outcome, more = "told", str(error).splitlines()[0]
        timer.cancel()
        timer.join()
    left = _left(slurm, shared, scratch)
    outcome = "LEFT SOMETHING" if left else "HUNG" if time.monotonic() - began_s > RUN_LIMIT_S else outcome
    took_s = time.monotonic() - began_s
    print(f"{number:3} {name} after {moment_s:.1f} s: {outcome} in {took_s:.1f} s; {more}{left}", flush=True)
    return outcome


OPTIONS = {"backoff_s": 0.0, "deadline_s": RUN_LIMIT_S, "beat_s": 0.5, "silence_s": 15.0, "ranges_per_call": 1}


def _executor(shared: Path, scratch: Path) -> lithops.FunctionExecutor:
    section = {"partition": "main", "time": "5:00", "memory": 1200, "poll_s": 0.5, "scratch": str(scratch)}
    chosen = {"backend": "slurm", "storage": "shared_folder", "data_cleaner": False, "data_limit": False}
    config = {"lithops": {**chosen, "log_level": "ERROR"}, "slurm": section, "shared_folder": {"path": str(shared)}}
    return lithops.FunctionExecutor(config=config)


def _left(slurm: cluster.Slurm, shared: Path, scratch: Path) -> str:
    """What is left a while after a run: jobs, folders of jobs, files and processes on nodes."""
    deadline = time.monotonic() + LEFT_LIMIT_S
    while True:
        jobs, folders = slurm.queue(), [*(shared / "submissions").iterdir()]
        processes = [process.pid for process in psutil.process_iter() if _is_element(process, str(scratch))]
        # what a SIGKILL of the element itself leaves goes with the next one: see element.sweep
        if not jobs and not folders and not processes:
            return ""
        if time.monotonic() > deadline:
            return f" left: {jobs} {folders} {processes}"
        time.sleep(0.2)


def _is_element(process: psutil.Process, scratch: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.environ().get("TMPDIR", "").startswith(scratch)
    return False


# -- harms ------------------------------------------------------------------------------------------------------------


def _quietly(harm: Callable[..., None], slurm: cluster.Slurm, dice: random.Random) -> None:
    with contextlib.suppress(Exception):  # there may be nothing to harm at this moment
        harm(slurm, dice)


def _elements() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "rdf_lithops.batch.element" in " ".join(process.cmdline()):
                found.append(process)
    return found


def _cancel_one(slurm: cluster.Slurm, dice: random.Random) -> None:
    job = dice.choice(slurm.ask("squeue", "--noheader", "--array", "--format=%i").split())
    slurm.ask("scancel", job)


def _cancel_all(slurm: cluster.Slurm, dice: random.Random) -> None:
    slurm.ask("scancel", "--quiet", "--user=root")


def _kill_an_element(slurm: cluster.Slurm, dice: random.Random) -> None:
    os.kill(dice.choice(_elements()).pid, signal.SIGKILL)


def _kill_a_descendant(slurm: cluster.Slurm, dice: random.Random) -> None:
    os.kill(dice.choice(dice.choice(_elements()).children(recursive=True)).pid, signal.SIGKILL)


def _lose_a_node(slurm: cluster.Slurm, dice: random.Random) -> None:
    node = dice.choice(cluster.NODES)
    slurm.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=chaos")
    time.sleep(3)
    slurm.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")


HARMS: list[tuple[str, Any]] = [
    ("one element cancelled", _cancel_one),
    ("all cancelled", _cancel_all),
    ("an element killed", _kill_an_element),
    ("a process below an element killed", _kill_a_descendant),
    ("a node down", _lose_a_node),
]


if __name__ == "__main__":
    sys.exit(main())
