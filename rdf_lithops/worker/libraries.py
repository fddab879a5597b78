"""Instantiation libraries of a run on a worker: fetched once per machine, loaded once per process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ..compiled import library
from ..travels.libraries import Libraries
from . import payload
from .root.initialisation import instantiated

__all__ = ["at_hand", "left_out", "load"]

MAX_UNUSED = 16  # stay on a machine for who comes again
left_out: list[str] = []  # the names of those that do not load in this process
_met: set[str] = set()  # their folders


@contextlib.contextmanager
def at_hand(libraries: Libraries, storage: Any, folder: str) -> Iterator[list[str]]:
    """The folders, below ``folder``, of those that this machine does not have itself, while this lasts. One that cannot be
    had is left out, as the task's log says: then Cling compiles what is in it."""
    with contextlib.ExitStack() as stack:
        found = []
        for bundle in libraries["bundles"] if library.is_wanted() else ():
            if library.lies_here(bundle["name"], libraries["root"]):
                continue
            place = os.path.join(folder, "libraries")
            try:
                found.append(stack.enter_context(payload.unpacked(bundle, storage, place, MAX_UNUSED)))
            except Exception as problem:
                print(f"rdf_lithops: an instantiation library is left out: {problem}")  # noqa: T201  # the task's own log
        yield found


def load(root: str, folders: Sequence[str]) -> None:
    """Load what lies in ``folders`` and is not loaded yet. What is for another ROOT than this one (by the key ``root``), or
    does not load, is left out."""
    new = [folder for folder in folders if folder not in _met]
    if not new:
        return
    _met.update(new)
    found = [known for folder in new for known in library.libraries(folder)]
    if root == library.key():
        instantiated.update(library.load_more(found, instantiated))
    left_out.extend(os.path.basename(known.path) for known in found if not instantiated.issuperset(known.lines))
