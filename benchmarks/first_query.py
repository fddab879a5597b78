"""``python -m benchmarks.first_query``: where the time of a new program's first query goes, a trace of all its processes.

The program is the place ``rdf_lithops`` of the benchmarks, from the start of its Python until the value is there. py-spy
looks on from outside and notes every Python stack of every process a hundred times a second, but for processes
that are forked: ``tracing/sitecustomize.py`` times the lines of those. Printed is each piece above a limit: when it begins,
how long it lasts, its source line.
"""

from __future__ import annotations

import argparse
import json
import linecache
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .questions import QUESTIONS

RATE_HZ = 100
LIMIT_S = 300.0
_IMPORTING = "<frozen importlib"


@dataclass
class Piece:
    """What one frame of a stack did without a break: seconds from the start of the program, and what it called."""

    name: str
    file: str
    line: int
    begin_s: float
    end_s: float = 0.0
    inner: list[Piece] = field(default_factory=list)

    @property
    def took_s(self) -> float:
        """How long it lasted."""
        return self.end_s - self.begin_s

    @property
    def own_s(self) -> float:
        """How long none of what it called was on the stack."""
        return self.took_s - sum(piece.took_s for piece in self.inner)

    def described(self) -> str:
        """Module, function, line and the text of the line."""
        text = linecache.getline(self.file, self.line).strip()
        path = Path(self.file)
        module = f"{path.parent.name}/{path.stem}" if path.suffix else self.file
        return f"{module}:{self.line} {self.name}" + (f"   {text[:70]}" if text else "")


def main() -> int:
    """Print the trace of one program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_query", description=__doc__)
    parser.add_argument("question", nargs="?", default="dimuon_4m", choices=sorted(QUESTIONS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the input [%(default)s]")
    parser.add_argument("--least", type=float, default=0.05, help="seconds of the shortest piece [%(default)s]")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        _first_query(given.question, given.scale)
        return 0
    sampler = shutil.which("py-spy", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
    if sampler is None:
        parser.error("expected py-spy, found none: pip install '.[root,bench]'")
    data = QUESTIONS[given.question].data(given.scale)
    if data is not None:
        data.write()
    with tempfile.TemporaryDirectory(prefix="rdf-first-") as folder:
        path = os.path.join(folder, "trace.json")
        program = [sys.executable, "-W", "ignore", "-m", "benchmarks.first_query", given.question, "--inside"]
        record = [sampler, "record", "-r", str(RATE_HZ), "--subprocesses", "--idle", "-f", "chrometrace", "-o", path, "--"]
        search = [str(Path(__file__).with_name("tracing")), *filter(None, [os.environ.get("PYTHONPATH")])]
        noted_in = {"RDF_LITHOPS_TRACE": os.path.join(folder, "lines"), "PYTHONPATH": os.pathsep.join(search)}
        environment = {**os.environ, **noted_in, "TMPDIR": folder, "PYTHONSAFEPATH": "1"}
        command = [*record, *program, "--scale", repr(given.scale)]
        subprocess.run(command, check=True, timeout=LIMIT_S, env=environment, stdout=sys.stderr)
        with open(path) as stream:
            events = json.load(stream)
        with open(environment["RDF_LITHOPS_TRACE"]) as stream:
            noted = [json.loads(line) for line in stream]
    for title, pieces in sorted([*_threads(events), *_forks(noted)], key=lambda thread: thread[1][0].begin_s):
        _show(title, pieces, given.least)
    return 0


def _first_query(name: str, scale: float) -> None:
    """The traced program: ends where the value is there, so that all that is seen is on the way to it."""
    from .places import PLACES, Source
    from .workloads import fingerprint, gather

    question = QUESTIONS[name]
    cores = os.cpu_count() or 1
    with PLACES["rdf_lithops"].open(cores) as opened:
        source = Source(question.arguments(scale), question.ranges or cores, question.ranges_per_call)
        results = gather(question.book(opened.frame(source), 0))
        print(f"{name}: {len(results)} results, {sorted(fingerprint(results).items())[0]}", flush=True)


def _threads(events: list[dict[str, Any]]) -> Iterator[tuple[str, list[Piece]]]:
    """The threads of each process that began with a Python of its own. The stacks of a process that another one started
    begin with the names of both."""
    stacks: dict[int, list[Piece]] = {}
    done: dict[tuple[str, int], list[Piece]] = {}
    titles: dict[int, list[str]] = {}
    for event in events:
        thread, at_s, title = event["tid"], event["ts"] / 1e6, titles.setdefault(event["tid"], [])
        stack = stacks.setdefault(thread, [])
        if event["name"].startswith("process "):
            title.append(event["name"].split(":", 1)[1]) if event["ph"] == "B" else title.pop()
        elif event["ph"] == "B":
            piece = Piece(event["name"], event["args"]["filename"], event["args"]["line"], at_s)
            (stack[-1].inner if stack else done.setdefault((title[-1] if title else "?", thread), [])).append(piece)
            stack.append(piece)
        elif stack:
            stack.pop().end_s = at_s
    yield from ((f"{title[:110]}, thread {thread % 10**6}", pieces) for (title, thread), pieces in done.items())


def _forks(noted: list[list[Any]]) -> Iterator[tuple[str, list[Piece]]]:
    """The lines of processes that were forked, one that was on the way when another one took its time around it."""
    start_s = noted[0][1]
    told: dict[int, list[Piece]] = {}
    titles: dict[int, str] = {}
    for pid, begin_s, end_s, file, line, name in noted:
        if end_s is None:
            titles[pid] = f"forked at {begin_s - start_s:.2f}: {os.path.basename(file)}" if file else ""
        elif titles.get(pid):
            told.setdefault(pid, []).append(Piece(name, file, line, begin_s - start_s, end_s - start_s))
    for pid, pieces in told.items():
        outer: list[Piece] = []
        open_pieces: list[Piece] = []
        for piece in sorted(pieces, key=lambda piece: (piece.begin_s, -piece.end_s)):
            while open_pieces and open_pieces[-1].end_s <= piece.begin_s:
                open_pieces.pop()
            (open_pieces[-1].inner if open_pieces else outer).append(piece)
            open_pieces.append(piece)
        yield f"process {pid}, {titles[pid]}", outer


def _merged(pieces: list[Piece]) -> list[Piece]:
    """One piece for each row of pieces of one line that follow one another, as where a process looks again and again."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and (last.file, last.line) == (piece.file, piece.line) and piece.begin_s - last.end_s < 2 / RATE_HZ:
            last.end_s = piece.end_s
            last.inner.extend(piece.inner)
        else:
            found.append(piece)
    return found


def _show(title: str, pieces: list[Piece], least_s: float) -> None:
    lines = [line for piece in _merged(pieces) for line in _lines(piece, least_s, 0)]
    if lines:
        print(f"\n{title}\n   begin  took_s", *lines, sep="\n")


def _lines(piece: Piece, least_s: float, depth: int) -> Iterator[str]:
    """A line for ``piece`` where it says more than its only long inner piece, and those of its inner pieces."""
    if piece.took_s < least_s:
        return
    long = [inner for inner in _merged(piece.inner) if inner.took_s >= least_s]
    says_nothing = piece.file.startswith(_IMPORTING) or (len(long) == 1 and piece.took_s - long[0].took_s < least_s)
    if not (long and says_nothing):
        yield f"{piece.begin_s:8.2f} {piece.took_s:7.2f}  {'  ' * depth}{piece.described()}"
        depth += 1
    for inner in long:
        yield from _lines(inner, least_s, depth)


if __name__ == "__main__":
    sys.exit(main())
