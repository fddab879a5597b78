"""What workers elsewhere had Cling instantiate is left here, where ``rdf-lithops cache build`` makes a library of it."""

from __future__ import annotations

import contextlib

from ..compiled import instantiation_lines, library, noting
from ..executor import library_store
from ..run.events import CallEnded, Event

__all__ = ["keep"]


def keep(event: Event) -> None:
    """Leave what a call's facts say that no library has, unless this machine's libraries are another's or are not used; what
    does not load there is not sent there again."""
    if not isinstance(event, CallEnded):
        return
    for name in event.facts.get("left_out", ()):
        library_store.leave_out(str(name))
    asked = event.facts.get("instantiated")
    if asked and library.grows():
        with contextlib.suppress(library.LibraryRefused, OSError):
            noting.leave([str(line) for line in asked if instantiation_lines.is_line(str(line))])
