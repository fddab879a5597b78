"""``python -m fuzz --seconds 3600 --jobs 2 --seed 1``: processes that run random programs, watched by this one.

A process that dies, or asks one query for too long, is replaced, with the next seed: in our part that is a difference like
any other. Differences are stored as programs that run by themselves; at the end stands a tally, and the status is 0 if there
were none.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT_S = 600.0  # for one side of one query: without warm processes, on a busy machine, one took 250
TALLY = ("graphs", "programs", "differences", "local died", "faults")


@dataclass
class Watched:
    """A process that hunts, and what it does now."""

    number: int
    seed: int
    process: subprocess.Popen[str]
    lines: queue.Queue[str | None]
    text: str = ""
    phase: str = ""
    since: float = field(default_factory=time.monotonic)


@dataclass
class Watch:
    """All processes of a run, its tally, and the folder for programs that differ."""

    seconds: float
    jobs: int
    folder: Path
    began: float = field(default_factory=time.monotonic)
    tally: collections.Counter[str] = field(default_factory=collections.Counter)
    kinds: dict[str, collections.Counter[str]] = field(default_factory=lambda: collections.defaultdict(collections.Counter))

    def left_s(self) -> float:
        return self.began + self.seconds - time.monotonic()

    def start(self, number: int, seed: int) -> Watched:
        """A process that begins with this seed."""
        words = ["--seed", str(seed), "--stride", str(self.jobs), "--seconds", f"{self.left_s():.0f}"]
        log = open(self.folder / f"log_{number}.txt", "a")  # noqa: SIM115  # the child's
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "fuzz.hunt", *words],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        log.close()
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
        return Watched(number, seed, process, lines)

    def look(self, one: Watched) -> Watched | None:
        """Hear what it says; it, its replacement, or None when it has ended."""
        while not one.lines.empty():
            line = one.lines.get()
            if line is None:
                return self._ended(one)
            if line.startswith("{"):
                self._hear(one, json.loads(line))
        if time.monotonic() - one.since < LIMIT_S:
            return one
        os.killpg(one.process.pid, signal.SIGKILL)
        return self._replace(one, f"it took longer than {LIMIT_S:.0f} s")

    def _ended(self, one: Watched) -> Watched | None:
        status = one.process.wait()
        return None if status == 0 else self._replace(one, f"the process died with status {status}")

    def _replace(self, one: Watched, why: str) -> Watched | None:
        one.process.wait()
        if one.phase == "local":
            self.tally["local died"] += 1  # nothing to compare with; kept, so that the strategies can leave it out
            (self.folder / f"local_died_{one.seed}.py").write_text(one.text)
        else:
            self._differs(one.seed, one.text, [f"{why} ({one.phase or 'before any query'})"])
        return self.start(one.number, one.seed + self.jobs) if self.left_s() > 10 else None

    def _hear(self, one: Watched, said: dict[str, Any]) -> None:
        one.since = time.monotonic()
        event = said["event"]
        if event == "seed":
            one.seed = said["seed"]
            print(f"seed {one.seed}, after {self.tally['programs']} programs", flush=True)
        elif event == "begin":
            one.text, one.phase = said["text"], "begin"
        elif event == "phase":
            one.phase = said["phase"]
        elif event == "end":
            self.tally.update(programs=1, graphs=said["graphs"], faults=said["faults"])
            self.kinds["operations"].update(said["operations"])
            self.kinds["sources"].update(said["sources"])
        elif event == "trouble":
            print(f"seed {one.seed}: {said['text']}", flush=True)
        elif event == "again":
            self.tally["differences"] += 1
        elif event == "difference":
            self._differs(said["seed"], said["text"], said["found"])

    def _differs(self, seed: int, text: str, found: list[str]) -> None:
        self.tally["differences"] += 1
        path = self.folder / f"seed_{seed}_{self.tally['differences']}.py"
        path.write_text(text.replace('"""', f'r"""Seed {seed}: ' + "\n".join(found).replace('"""', "'''") + "\n\n", 1))
        print(f"seed {seed}: {path}\n  " + "\n  ".join(found)[:1500], flush=True)

    def told(self) -> str:
        """The tally in a few lines."""
        counts = ", ".join(f"{self.tally[name]} {name}" for name in TALLY)
        kinds = [f"{what}: " + ", ".join(f"{n} {k}" for k, n in c.most_common()) for what, c in sorted(self.kinds.items())]
        return "\n".join([f"in {time.monotonic() - self.began:.0f} s: {counts}", *kinds])


def _listen(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def main() -> int:
    """Start, watch, tell; 0 if nothing differed."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("fuzz-out"), help="for programs that differ, and logs")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(given.seconds, given.jobs, given.folder.resolve())
    print(
        f"seeds from {given.seed} on, {given.jobs} processes, {given.seconds:.0f} s; programs that differ: {watch.folder}",
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and SIGINT, which a shell's background jobs ignore
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    watched: list[Watched] = [watch.start(number, given.seed + number) for number in range(given.jobs)]
    try:
        while watched:
            time.sleep(0.2)
            watched = [still for one in watched if (still := watch.look(one)) is not None]
    finally:
        for one in watched:
            os.killpg(one.process.pid, signal.SIGKILL)
        print(watch.told(), flush=True)
    return int(bool(watch.tally["differences"]))


if __name__ == "__main__":
    sys.exit(main())
