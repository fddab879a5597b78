"""A range that failed, kept in a folder so that it can run here, in the foreground, where a debugger or a print reaches it.

<folder>/<run id>/task.pickle      the MapTask: graph, payload, all that a worker gets
<folder>/<run id>/range-3.json     one failed range, as a call of its own: plain Lithops iterdata
<folder>/<run id>/bundle.tar       the payload's files, if there are any
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError
from ..planning.plans import Plan
from ..travels.envelope import Envelope, unpack

__all__ = ["keep", "replay"]


def keep(folder: str, run_id: str, plan: Plan, range_ids: Sequence[int], bundle: bytes | None) -> str:
    """Write the ranges of ``plan`` with these ids below ``folder``; returns the command that replays the first of them."""
    place = os.path.join(folder, run_id)
    os.makedirs(place, mode=0o700, exist_ok=True)  # the payload may hold what others should not read
    with open(os.path.join(place, "task.pickle"), "wb") as file:
        pickle.dump(_for_here(plan.map_task, place), file)
    if bundle is not None:
        with open(os.path.join(place, "bundle.tar"), "wb") as file:
            file.write(bundle)
    paths = []
    for item in plan.iterdata:
        for fields in item["call"]["ranges"]:
            if fields["id"] in range_ids:
                paths.append(os.path.join(place, f"range-{fields['id']}.json"))
                with open(paths[-1], "w") as text:
                    json.dump({"call": {"id": item["call"]["id"], "ranges": [fields]}}, text)
    return f"rdf-lithops replay {shlex.quote(paths[0])}" if paths else ""


def _for_here(task: Any, place: str) -> Any:
    """The task without what is its run's alone: credentials (whoever replays has their own), the place of Snapshots."""
    outputs = tuple(
        {**output, "folder": os.path.join(os.path.abspath(place), ""), "run": None} for output in task.results.outputs
    )
    return dataclasses.replace(
        task,
        surroundings=dataclasses.replace(task.surroundings, sealed=None, libraries=None),
        results=dataclasses.replace(task.results, outputs=outputs),
    )


@dataclass(frozen=True)
class _Folder:
    """Stands in for Lithops' storage, of which a replay needs one object."""

    path: str
    bucket: str = ""

    def get_object(self, bucket: str, key: str) -> bytes:
        with open(os.path.join(self.path, "bundle.tar"), "rb") as file:
            return file.read()

    def put_object(self, bucket: str, key: str, data: bytes) -> None:
        """What a task puts beside its partial is of no use here."""


def replay(path: str) -> Envelope:
    """Run the range of ``path`` in this process, without Lithops and without a warm ROOT; what came out, error included.

    Credentials are those of whoever replays. The folder is as trustworthy as whoever wrote it: the graph in it is code.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with open(path) as text:
            call: dict[str, Any] = json.load(text)["call"]
        with open(os.path.join(folder, "task.pickle"), "rb") as file:
            task = pickle.load(file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"expected a range that options.keep_failed has written, got {path}: {error!r}") from error
    surroundings = dataclasses.replace(task.surroundings, warm=False, beats=None, sealed=None, faults=None)
    return unpack(dataclasses.replace(task, surroundings=surroundings)(call, _Folder(folder)))
