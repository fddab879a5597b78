"""What a program does behind a booking that would have another meaning on workers then: it is refused.

Local ROOT compiles an expression when it is booked, and reads all files that a chain has when its loop begins. Workers
compile with all that was declared until then, and read the files that there were when the data frame was made.
"""

from __future__ import annotations

import functools
import operator
import re
import weakref
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError
from . import recording, statements

# isort: split
import ROOT

__all__ = ["check", "note_booking", "note_chain"]


@dataclass(frozen=True)
class _Declared:
    """What was declared when a node was booked."""

    steps: tuple[recording.Step, ...]

    def is_now(self, steps: list[recording.Step]) -> bool:
        return len(steps) == len(self.steps) and all(map(operator.is_, steps, self.steps))

    @functools.cached_property
    def texts(self) -> frozenset[str]:
        return frozenset(step.written for step in self.steps)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        return frozenset[str]().union(*map(_names, self.texts))


_last = [_Declared(())]  # nodes share it


def note_chain(head: Any, given: Any) -> None:
    """To be told what the data frame of DistRDF's ``head`` was made of: a chain may grow."""
    if isinstance(given, ROOT.TTree):
        head.rdf_lithops_chain = weakref.ref(given), _state(given)  # held, it would outlive its entry list


def note_booking(node: Any) -> None:
    """To be told of a DistRDF ``node`` that was booked: what its expressions mean is settled."""
    if not _last[0].is_now(now := recording.steps()):
        _last[0] = _Declared(tuple(now))
    node.rdf_lithops_declared = _last[0]


def check(head: Any) -> None:  # decision 413
    """Raise PlanError where the chain that the data frame of DistRDF's ``head`` was made of has changed since, or where a
    name in what is booked has been declared once more, as something else."""
    reference, before = getattr(head, "rdf_lithops_chain", (_nothing, ""))
    if (chain := reference()) is not None and (now := _state(chain)) != before:
        raise PlanError(
            f"{type(chain).__name__} {chain.GetName()!r} had {before} when the data frame was made of it, and has {now}: "
            "make the data frame when it is complete"
        )
    for node in head.graph_nodes:
        _check_names(node)


def _nothing() -> None:
    """Of a data frame that was made of something else."""


def _state(tree: Any) -> str:
    friends, entries, files = tree.GetListOfFriends(), tree.GetEntryList(), ""
    if isinstance(tree, ROOT.TChain) and (listed := tree.GetListOfFiles()).GetEntries():
        files = f"{listed.GetEntries()} files ({listed.First().GetTitle()} to {listed.Last().GetTitle()}), "
    return f"{files}{len(friends or ())} friends and {int(entries.GetN()) if entries else 'all'} entries selected"


def _check_names(node: Any) -> None:
    declared = getattr(node, "rdf_lithops_declared", None)
    now = recording.steps()
    if declared is None or node.value is not None or declared.is_now(now):
        return
    texts = [text for text in node.operation.args if isinstance(text, str)]
    used = [(text, names) for text in texts if (names := statements.words(text) & declared.names)]
    for step in now if used else ():
        for text, names in () if step.written in declared.texts else used:
            if again := names & _names(step.written):
                where = f" ({step.where})" if step.where else ""
                raise PlanError(
                    f"{min(again)}, which {node.operation.name} uses in {text!r}, was declared once more after that was "
                    f"booked{where}: workers would take what it is now, local ROOT what it was; declare it before, or under "
                    "another name"
                )


@functools.lru_cache(maxsize=1024)
def _names(text: str) -> frozenset[str]:
    """The functions and macros that ``text`` declares: of those there may be others of one name."""
    called = re.findall(r"(?:#\s*define\s+(\w+))|(\w+)\s*\(", statements.masked(text))
    return frozenset(statements.names(text) & {macro or function for macro, function in called})
