"""``python -m benchmarks``: run the same analyses in every place, side by side, and print what they took."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from . import picture, table
from .places import PLACES
from .questions import QUESTIONS, QUICK
from .runner import Answers, Record, Schedule, run

OUT = Path(__file__).with_name("out")
RESULTS = OUT / "results.jsonl"
PICTURE = OUT / "bars.png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a program failed or two places disagree."""
    given = _parser().parse_args(arguments)
    if given.list:
        print("\n".join(f"{question.name:<17}{question.text}" for question in QUESTIONS.values()))
        return 0
    if given.show:
        _show(_last_session())
        return 0
    return _measure(_schedule(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help=f"five minutes: {', '.join(QUICK)}, fewer repetitions")
    add("--only", type=_names(QUESTIONS), metavar="A,B", help="these questions alone (see --list)")
    add("--places", type=_names(PLACES), metavar="A,B", help=f"these places alone: {', '.join(PLACES)}")
    add("--repetitions", type=int, help="programs for each question and place [3; quick: 1]")
    add("--later", type=int, help="later queries in each program [5; quick: 3]")
    add("--scale", type=float, default=1.0, help="make the inputs this much larger or smaller [1]")
    add("--limit-s", type=float, help="kill a program after this many seconds [300; quick: 60]")
    add("--list", action="store_true", help="print the questions")
    add("--show", action="store_true", help="run nothing; print and draw the last session again")
    return parser


def _names(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; known are {', '.join(known)}")
        return chosen

    return names


def _schedule(given: argparse.Namespace) -> Schedule:
    return Schedule(
        questions=given.only or (QUICK if given.quick else tuple(QUESTIONS)),
        places=given.places or tuple(PLACES),
        repetitions=given.repetitions or (1 if given.quick else 3),
        later=given.later or (3 if given.quick else 5),
        scale=given.scale,
        limit_s=given.limit_s or (60.0 if given.quick else 300.0),
    )


def _measure(schedule: Schedule) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was started is ended
    answers = Answers()
    failed = 0
    for record in run(schedule, RESULTS, answers):
        print(_progress(record), file=sys.stderr, flush=True)
        failed += bool(record.error)
    _show(_last_session())
    for disagreement in answers.disagreements:
        print(f"WRONG: {disagreement}")
    print(f"\n{'NOT ' if answers.disagreements else ''}all places gave the same answers; {failed} programs failed")
    return 1 if failed or answers.disagreements else 0


def _progress(record: Record) -> str:
    shown = record.error or ", ".join(f"{query.kind} {query.wall_s:.2f}" for query in record.queries)
    return f"{record.question:<16} {PLACES[record.place].label:<14} {record.repetition + 1}: {shown}"


def _last_session() -> list[table.Line]:
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return [line for line in lines if line["session"] == lines[-1]["session"]]


def _show(lines: Sequence[table.Line]) -> None:
    machine, versions = lines[0]["machine"], lines[0]["versions"]
    print(f"{lines[0]['session']}  {machine['cores']} cores, {machine['cpu']}, {machine['memory_mib']} MiB")
    print("  ".join(f"{name} {version}" for name, version in versions.items()))
    for name in dict.fromkeys(line["question"] for line in lines):
        print("\n" + table.render([line for line in lines if line["question"] == name]))
    picture.draw(lines, PICTURE)
    print(f"\nrecords in {_relative(RESULTS)}, bars in {_relative(PICTURE)}")


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
