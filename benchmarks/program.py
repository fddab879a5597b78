"""The measured program: a user's analysis in one place, in a process of its own. The runner starts it.

It asks the runner's leave before each query, reports when the result is in hand, and only then looks at the result, so
that neither counting processor time nor comparing answers is part of what is timed.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Order", "Talk", "main"]


@dataclass(frozen=True)
class Order:
    """What the program is to do: ``later`` queries after the first, of ``question`` in ``place`` on ``arguments``."""

    place: str
    question: str
    arguments: list[Any]
    ranges: int
    cores: int
    later: int

    def queries(self, changes: bool) -> Iterator[tuple[str, int]]:
        """The kind and the number of each query in turn; a number stands for a graph."""
        yield "first", 0
        for round_number in range(1, self.later + 1):
            if changes:
                yield "changed", round_number
            yield "later", round_number if changes else 0

    def dumps(self) -> str:
        """As one command-line argument."""
        return json.dumps(asdict(self))


class Talk:
    """Lines of JSON over a socket, one answer for one message."""

    def __init__(self, plug: socket.socket) -> None:
        self.stream = plug.makefile("rw")

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self.stream.write(json.dumps(message) + "\n")
        self.stream.flush()

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other side is gone."""
        line = self.stream.readline()
        return json.loads(line) if line else None

    def ask(self, message: dict[str, Any]) -> None:
        """Send one message and wait until it was dealt with."""
        self.send(message)
        if self.receive() is None:
            raise SystemExit("the runner is gone")


def main(order: Order, talk: Talk) -> None:
    """Run the queries of ``order``."""
    from .places import PLACES, Source
    from .questions import QUESTIONS
    from .workloads import gather

    question = QUESTIONS[order.question]
    source = Source(order.arguments, order.ranges, question.ranges_per_call)
    with PLACES[order.place].open(order.cores) as opened:
        for kind, number in order.queries(question.changes):
            if kind != "first":
                talk.ask({"event": "ready", "number": number})
            began = time.monotonic()
            booked = question.book(opened.frame(source), number)
            results = gather(booked)
            talk.ask({"event": "done", "kind": kind, "began": began, "ended": time.monotonic()})
            _report(talk, number, results, opened.facts)


def _report(talk: Talk, number: int, results: dict[str, Any], facts: dict[str, float]) -> None:
    from .workloads import fingerprint

    talk.ask({"event": "answer", "number": number, "fingerprint": fingerprint(results), "facts": dict(facts)})


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as plug:
        plug.set_inheritable(False)
        main(Order(**json.loads(sys.argv[2])), Talk(plug))
