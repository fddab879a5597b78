"""What the program gave to the interpreter, in its order, as workers are to be given it; and what stays on the driver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Left",
    "Step",
    "append",
    "drop_defining",
    "is_paused",
    "leave",
    "left",
    "note",
    "note_in_place",
    "paused",
    "steps",
]


@dataclass(frozen=True)
class Step:
    """One thing that a worker does before it runs graphs; ``kind`` says what, with ``text``.

    "declare" and "line": C++ for the interpreter's function of that name; "macro": a file for ``.L``; "include_path": a
    folder; "library": a path or a name; "call": ``call`` is called there; "header", "code", "shared library", "initialize":
    the entry ``text`` of DistRDF's registries; "environment": variables to "set" and "unset", as JSON. ``where`` is the
    program's line, ``files`` the bytes of what comes along by path, ``folders`` go into the include path before.
    """

    kind: str
    text: str
    where: str = ""
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    folders: tuple[str, ...] = ()
    call: Callable[[], Any] | None = None
    written: str = ""  # the C++ as the program has it

    @property
    def sources(self) -> list[str]:
        """All C++ that comes with the step: the program's, and that of the user's files which it includes."""
        texts = (data.decode(errors="replace") for data in self.files.values() if len(data) <= LARGEST_SOURCE)
        return list(dict.fromkeys([self.written, *texts]))


@dataclass(frozen=True)
class Left:
    """C++ that stays on the driver: the ``text``, the program's line, and why."""

    text: str
    where: str
    why: str


LARGEST_SOURCE = 2**18  # bytes of a file in which somebody looks for names: beyond are other people's libraries
_IN_PLACE = ("declare", "include_path", "library")
_DISTRIBUTED = ("header", "code", "shared library", "initialize")
_steps: list[Step] = []
_left: list[Left] = []
_thread = threading.local()


def steps(everything: bool = True) -> list[Step]:
    """What is kept, in the program's order; without ``everything``, what was given to ROOT's Distribute functions alone."""
    return [step for step in _steps if everything or step.kind in _DISTRIBUTED]


def left() -> list[Left]:
    """What was seen and is not kept."""
    return list(_left)


def note(step: Step) -> None:
    """Keep ``step``, at the end, and only there: one of the same kind and text that was kept before goes.

    What this process already had when it was given again keeps its place: later steps need it there.
    """
    if step.kind in _IN_PLACE and any((kept.kind, kept.text) == (step.kind, step.text) for kept in _steps):
        _steps[:] = [
            step if step.kind == "library" and (kept.kind, kept.text) == (step.kind, step.text) else kept for kept in _steps
        ]
        return
    _steps[:] = [kept for kept in _steps if (kept.kind, kept.text) != (step.kind, step.text)]
    _steps.append(step)


def note_in_place(step: Step, old: list[str]) -> None:
    """Keep ``step`` where the first of its kind is that has one of the texts ``old``, which go; without any, at the end."""
    goes = [kept.kind == step.kind and kept.text in old for kept in _steps]
    there = goes.index(True) if any(goes) else len(_steps)
    staying = [kept for kept, going in zip(_steps, goes, strict=True) if not going]
    _steps[:] = [*staying[:there], step, *staying[there:]]


def drop_defining(line: str) -> bool:
    """Forget the recorded code that has ``line``, as other code takes its place; whether there was any."""
    before = len(_steps)
    _steps[:] = [
        kept for kept in _steps if kept.kind not in ("declare", "line") or not line.strip() or line not in kept.written
    ]
    return len(_steps) < before


def append(step: Step) -> None:
    """Keep ``step`` at the end, also where the same was kept before."""
    _steps.append(step)


def leave(left_behind: Left) -> None:
    """Remember what stays on the driver."""
    _left.append(left_behind)


def is_paused() -> bool:
    """Whether what this thread gives to the interpreter is not to be seen."""
    return _depth() > 0


def _depth() -> int:
    return int(getattr(_thread, "depth", 0))


@contextmanager
def paused() -> Iterator[None]:
    """What this thread gives to the interpreter meanwhile is not seen: workers come by it in another way."""
    depth = _depth()
    _thread.depth = depth + 1
    try:
        yield
    finally:
        _thread.depth = depth
