"""How what Cling compiles is optimised. Needs ROOT."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

__all__ = ["compiling_quickly", "hear_level", "miss_level"]

_UNKNOWN = "?"
_SPELT = {"fast": 3, "s": 2, "z": 2}  # other than by a number, and other than level 1
_set = [""]  # the level that the program has set since it started, if it has


@contextlib.contextmanager
def compiling_quickly() -> Iterator[None]:
    """In this block what is compiled is not optimised: it takes a third of the time and is slower code, which later graphs
    share. Behind it the level is the program's; where that is not known, nothing is changed."""
    if _set[0] == _UNKNOWN:
        yield
        return
    import ROOT

    ROOT.gInterpreter.ProcessLine(".O 0")
    try:
        yield
    finally:
        ROOT.gInterpreter.ProcessLine(f".O {_set[0] or _of_the_environment()}")


def _of_the_environment() -> int:
    """The level at which ROOT starts here, the highest of which is 3."""
    given = re.findall(r"(?:^|\s)-O(\w*)", os.environ.get("EXTRA_CLING_ARGS", ""))
    last = given[-1] if given else ""
    return min(int(last), 3) if last.isdigit() else _SPELT.get(last, 1)


def hear_level(line: str) -> None:
    """The program gives ``line`` to the interpreter, which may set the level."""
    if told := re.fullmatch(r"\.O\s*([0-3])", line):
        _set[0] = told[1]


def miss_level() -> None:
    """The program may have set the level before anybody listened."""
    _set[0] = _UNKNOWN
