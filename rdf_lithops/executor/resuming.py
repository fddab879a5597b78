"""What runs have left whose driver was killed, taken up by the run of the same program that comes after them. No ROOT.

They are found by the record that each run keeps in the storage anyway, which says what the run computes, and are looked for
once, before an executor's first run. Partials are read as those of calls of one's own, and copied where they lie with their
run: two programs that start again at the same time need nothing of each other. Calls that are under way still, on machines
that did not go with the driver, are waited for (``under_way``).

A run is taken up by itself where all is seen that its answer depends on; else if the user says so, by ``options.resume`` or
by its name (``asked_for``). What is asked for by name and cannot be had is an error that says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError
from ..fold.shelf import Shelf
from ..processes.beats import STATUS_NAME
from . import asked_for, first_look, leftovers
from .asked_for import Asked
from .leftovers import Leftover, LithopsFolders
from .likeness import Likeness
from .session import Session
from .under_way import UnderWay

__all__ = ["Taken", "Wanting", "resumable", "take_up"]

logger = logging.getLogger(__name__)

MOST_SAID = 5
_told: set[str] = set()  # runs that this program has been told of


class Taken:
    """What was taken up: ``partials`` by call, calls that are ``under_way``, and the ``runs`` that they are of."""

    def __init__(self) -> None:
        self.partials: dict[int, tuple[bytes, ...]] = {}
        self.runs: list[Leftover] = []
        self.under_way: tuple[list[int], UnderWay] | None = None

    def remove(self, session: Session, folders: LithopsFolders) -> None:
        """Delete all that those runs have left; to be called when the answer is there."""
        if not self.runs:
            return
        storage, names = session.executor.storage, {run.name for run in self.runs}
        now = [each for each in leftovers.find(storage, folders, 0.0) if each.name in names]  # with what came meanwhile
        leftovers.remove(storage, now, lambda folder, stem, run: None)  # runs with Snapshots are never taken up
        first_look.forget(session, names)


@dataclass(frozen=True)
class Wanting:
    """A run that may take something up: its ``likeness``, or ``why_not`` it has none; where its partials go that are large
    (``shelf``), its calls, whether the user vouches for what nobody sees, and what says what that is (``unseen``)."""

    likeness: Likeness | None
    why_not: Callable[[], str]
    shelf: Shelf | None
    iterdata: Sequence[dict[str, Any]]
    is_vouched: bool
    unseen: Callable[[], list[str]]

    @property
    def calls(self) -> dict[tuple[int, ...], int]:
        """Its calls, by the ids of their ranges."""
        return {
            tuple(sorted(fields["id"] for fields in item["call"]["ranges"])): item["call"]["id"] for item in self.iterdata
        }


def take_up(session: Session, wanting: Wanting) -> Taken | None:
    """Take up what killed drivers have left of the run that is ``wanting``; None where there is nothing. What another run of
    the same program has left, and what makes it useless, is said in the log. PlanError for what was asked for by name and
    is not the same, is not there, or lives."""
    asked = asked_for.of_next_run()
    runs = _found(session, wanting) if asked is None else _named(session, wanting, asked)
    if not runs:
        return None
    taken = Taken()
    taken.runs = runs
    under_way = UnderWay(session, runs, wanting.shelf, wanting.calls)
    taken.partials = under_way.partials
    waited_for = under_way.alive()
    if waited_for:
        taken.under_way = waited_for, under_way
    else:
        under_way.forget()
    _tell_taken(taken, len(wanting.iterdata))
    return taken


def _found(session: Session, wanting: Wanting) -> list[Leftover]:
    """Runs of the same likeness that have been left on this machine."""
    likeness = wanting.likeness
    known = [(run, Likeness.read(run.resumes)) for run in first_look.left(session) if not run.host] if likeness else []
    same = [run for run, before in known if before is not None and likeness is not None and before.key == likeness.key]
    for run, before in known:
        if before is not None and likeness is not None and run not in same and before.program == likeness.program:
            _tell_useless(run, likeness, before)
    if not same or wanting.is_vouched:
        return same
    unseen = wanting.unseen()
    if not unseen:
        return same
    for run in same:
        _tell_unseen(run, unseen)
    return []


def _named(session: Session, wanting: Wanting, asked: Asked) -> list[Leftover]:
    """The run that was asked for. Empty if this one is another query of a program that was started to take it up."""
    storage = session.executor.storage
    run = next((each for each in leftovers.runs(storage) if each.name == asked.name), None)
    if run is None and asked.may_wait:
        return []  # the query before this one has taken it up
    if run is None:
        lives = leftovers.lives(storage, asked.name)
        why = "its driver lives and works at it" if lives else "the storage has no such run"
        raise PlanError(f"{asked.name} cannot be taken up: {why}; rdf-lithops resume lists those that can")
    before, likeness = Likeness.read(run.resumes), wanting.likeness
    if asked.may_wait and before is not None and (likeness is None or not likeness.computes_as(before)):
        asked_for.wait(asked)
        return []
    if run.host and not asked.is_dead:
        given = run.name.removeprefix("run ")
        raise PlanError(
            f"{run.name} cannot be taken up: its driver ran on {run.host}, and nobody here knows whether it lives; if it "
            f"does not, say so: rdf_lithops.resume({given!r}, dead=True), or rdf-lithops resume --dead {given}"
        )
    if before is None:
        why = (
            "its record does not say what it computes: options.resume was False, it writes a Snapshot, or it has an AsNumpy"
        )
        raise PlanError(f"{run.name} cannot be taken up: {why}")
    if likeness is None:
        raise PlanError(f"{run.name} cannot be taken up by this run: {wanting.why_not()}")
    if before.key != likeness.key:
        differences = "\n".join(f"    {each}" for each in likeness.differences(before)) or "    something"
        raise PlanError(f"{run.name} cannot be taken up by this run, as this is not the same:\n{differences}")
    return [run]


def resumable(storage: Any, folders: LithopsFolders, leftover: Leftover) -> dict[str, Any] | None:
    """What is told of a run that the same program takes up: ``name``, ``age_s``, ``calls``, how many of them have ended
    (``partials``) and the ``bytes`` that lie there, the ``script`` and the ``folder`` in which it was started, and the
    ``host``, if that is another. None for anything else."""
    likeness = Likeness.read(leftover.resumes)
    if likeness is None:
        return None
    ended, size = set[int](), 0
    for job_key, given in leftover.calls.items():
        for each in storage.list_objects(storage.bucket, f"{folders.jobs_prefix}/{job_key}/"):
            call, _, name = each["Key"].partition(f"/{job_key}/")[2].partition("/")
            size += int(each.get("Size") or 0)
            if name == STATUS_NAME:
                ended.add(int(call) if isinstance(given, int) else given[int(call)])
    size += sum(int(each.get("Size") or 0) for each in storage.list_objects(storage.bucket, f"{leftover.prefix}/partials/"))
    calls = next((given if isinstance(given, int) else len(given) for given in leftover.calls.values()), 0)
    script, folder = likeness.program
    said = {"partials": sum(call < calls for call in ended), "calls": calls, "bytes": size}
    known = {"script": script, "folder": folder, "host": leftover.host}
    return {"name": leftover.name, "age_s": leftover.age_s, **said, **known}


def _tell_taken(taken: Taken, calls: int) -> None:
    waits = f", and {len(taken.under_way[0])} that are under way still are waited for" if taken.under_way else ""
    said = len(taken.partials), calls, ", ".join(run.name for run in taken.runs), waits
    logger.warning("%d of %d calls are taken up from %s, whose driver was killed%s", *said)


def _tell_useless(run: Leftover, likeness: Likeness, before: Likeness) -> None:
    """Once, and no louder than it deserves: another query of the same program computes something else, too."""
    if run.name in _told:
        return
    say = logger.info
    if likeness.computes_as(before):
        _told.add(run.name)
        say = logger.warning
    given = run.name, ", ".join(likeness.differences(before)) or "something"
    say("what %s has left, whose driver was killed, is not taken up, as this is not the same: %s", *given)


def _tell_unseen(run: Leftover, unseen: Sequence[str]) -> None:
    if run.name not in _told:
        _told.add(run.name)
        more = f" and {len(unseen) - MOST_SAID} more" if len(unseen) > MOST_SAID else ""
        logger.warning(
            "what %s has left, whose driver was killed, is not taken up by itself, as nobody sees whether this would answer "
            "as it did then: %s%s. If it would, start again with rdf-lithops resume %s -- PROGRAM, or set options.resume to "
            "True",
            run.name,
            ", ".join(unseen[:MOST_SAID]),
            more,
            run.name.removeprefix("run "),
        )
