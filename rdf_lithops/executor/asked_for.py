"""Which run the program, or who has started it, wants to have taken up by the next one. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import PlanError

__all__ = ["DEAD_VARIABLE", "VARIABLE", "Asked", "is_any", "of_next_run", "resume", "wait"]

VARIABLE = "RDF_LITHOPS_RESUME"  # which rdf-lithops resume sets: the name of a run
DEAD_VARIABLE = "RDF_LITHOPS_RESUME_DEAD"  # its driver ran on another machine, and is dead


@dataclass(frozen=True)
class Asked:
    """A run that is to be taken up. ``is_dead``: the user says so of its driver; ``may_wait``: not by the next run, but by
    the one that computes the same."""

    name: str
    is_dead: bool
    may_wait: bool


_asked: list[Asked] = []
_read: set[str] = set()  # what the environment had, which is asked for once


def resume(run: str, dead: bool = False) -> None:
    """Have the next run of this program take up what ``run`` has left, as ``rdf-lithops resume`` lists it. That one raises
    PlanError, before anything is invoked, unless it is the same run: graph, data, options, code and environment.

    Naming it says that nothing has changed of what cannot be seen, and ``dead``, of a run whose driver ran on another
    machine, that this driver does not live any more.
    """
    if not isinstance(run, str) or not run.removeprefix("run ").strip():
        raise PlanError(f"expected the name of a run, as rdf-lithops resume lists it, got {run!r}")
    _asked[:] = [Asked(_named(run), dead, may_wait=False)]


def is_any() -> bool:
    """Whether a run is to be taken up."""
    return bool(_asked or os.environ.get(VARIABLE, "") not in ("", *_read))


def of_next_run() -> Asked | None:
    """The run that the next one is to take up, which is asked for no more after this."""
    if _asked:
        return _asked.pop()
    given = os.environ.get(VARIABLE, "")
    if given in ("", *_read):
        return None
    _read.add(given)
    return Asked(_named(given), bool(os.environ.get(DEAD_VARIABLE)), may_wait=True)


def wait(asked: Asked) -> None:
    """It was another query: a later one is to take it up."""
    _asked.append(asked)


def _named(run: str) -> str:
    return f"run {run.removeprefix('run ').strip()}"
