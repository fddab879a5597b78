"""Parts of files as the calls of a run: what is killed, lost or silent runs again, within the user's deadline."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

from ..dataset import credentials, signed_sources
from ..dataset import names as dataset
from ..errors import DataAccessError, LostRangesError
from ..planning.plans import Plan
from ..run import interrupts, outcomes, running
from ..run.events import CallEnded, Event
from ..travels.envelope import unpack
from ..worker.copying import GatherTask
from ..worker.surroundings import Surroundings
from . import registry, run_folders, submission
from .payload import Payload

__all__ = ["Shown", "run_parts"]

Shown = Callable[[int, int], None]  # parts done, parts in all


def run_parts(
    executor: Any, kind: Any, parts: list[dict[str, Any]], shown: Shown, arrived: Callable[[dict[str, Any]], None]
) -> None:
    """Run a task of ``kind`` for each part; ``arrived`` is told each answer, and ``shown`` how many there are.

    Raises what a run raises: DataAccessError, OutputError, LostRangesError.
    """
    if not parts:
        return
    options = dataclasses.replace(registry.options_of(executor, None), warm=False)
    session, count = registry.session_for(executor, options), 0
    options = dataclasses.replace(options, backups=not session.local if options.backups is None else options.backups)

    def hear(event: Event) -> None:
        nonlocal count
        if isinstance(event, CallEnded):
            for answer in json.loads(bytes(unpack(event.partial).body)):
                arrived(answer)
                count += 1
            shown(count, len(parts))

    with contextlib.ExitStack() as stack, _told():
        stack.enter_context(interrupts.heard())
        run_folder = stack.enter_context(run_folders.opened(session, Payload({}, b"", None)))
        sealed, extra_env = stack.enter_context(run_folders.delivered(session, run_folder, _credentials(parts, options)))
        plan = _planned(kind, parts, run_folders.beats(session, options), sealed, options.faults)
        submit = functools.partial(submission.submit, session, options=options, run_folder=run_folder)
        outcome = running.run(submit, dataclasses.replace(plan, extra_env=extra_env), options, (hear,), run_folder.run_id)
        outcomes.read_result(outcome.envelope)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A run's errors, in the words of a copy."""
    try:
        yield
    except DataAccessError as refusal:
        raise credentials.told_beside(refusal) from refusal.__cause__
    except LostRangesError as lost:
        lost.what = f"{len(lost.range_ids)} parts did not arrive, however often they were tried"
        lost.next_command = "the same command goes on from there"
        raise


def _credentials(parts: list[dict[str, Any]], options: Any) -> list[credentials.Credential]:
    names = {part[name] for part in parts for name in ("source", "target")}
    kinds, asked = options.credentials, options.credentials is not None
    found = credentials.for_run(kinds if asked else credentials.kinds_for(names), options.deadline_s, asked)
    return found + credentials.of_signed_urls(signed_sources.of(names))


def _planned(kind: Any, parts: list[dict[str, Any]], beats: dict[str, Any], sealed: Any, faults: Any) -> Plan:
    """A run with a call for each part."""
    here = Surroundings(os.getcwd(), {}, b"", warm=False, beats=beats, sealed=sealed, faults=faults)
    iterdata = [{"call": {"id": number, "ranges": [{"id": number, **part}]}} for number, part in enumerate(parts)]
    gather = GatherTask(tuple(range(len(parts))), here)
    return Plan(iterdata, kind(here, dataset.variables()), cast(Any, gather), _no_delivery)


def _no_delivery(data: bytes) -> None:
    raise AssertionError("what arrives is taken part by part")
