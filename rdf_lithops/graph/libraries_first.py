"""The library of what a graph has Cling instantiate elsewhere, made before its calls where its plan says that this pays."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ..executor import library_store
from ..planning.plans import Plan
from ..processes import library_making
from ..run import interrupts
from ..run.events import CallEnded, Event, LibraryMade
from ..worker.task import MapTask
from .preparing import Ready

__all__ = ["learned", "made_first"]


def made_first(ready: Ready, plan: Plan) -> tuple[Plan, list[Event]]:
    """The ``plan``; if that says so, a library is made now, which the calls bring, and an event tells of it."""
    making = None if plan.outlook is None else plan.outlook.making
    task, backend = plan.map_task, ready.taken[0].backend
    if making is None or not making.first or not isinstance(task, MapTask):
        return plan, []
    asked = backend.session.asked[ready.taken[0].coded.shape]
    before, began = len(library_store.lacking(asked)), time.perf_counter()
    for _ in library_making.made_now():
        interrupts.check()
    made = before - len(library_store.lacking(asked))
    offered = library_store.offered(backend.session, backend.options)

    def bringing(each: Any) -> Any:
        return dataclasses.replace(each, surroundings=dataclasses.replace(each.surroundings, libraries=offered))

    plan = dataclasses.replace(plan, map_task=bringing(task), reduce_task=bringing(plan.reduce_task))
    return plan, [LibraryMade(made, time.perf_counter() - began)]


def learned(ready: Ready) -> Any:
    """A consumer of events that remembers what the graph of this run had Cling instantiate on workers."""
    session, shape = ready.taken[0].backend.session, ready.taken[0].coded.shape

    def note(event: Event) -> None:
        if isinstance(event, CallEnded) and len(ready.taken) == 1:
            lines = session.asked.setdefault(shape, set())
            lines.update(str(line) for line in event.facts.get("instantiated", ()))

    return note
