"""What workers elsewhere had Cling instantiate is left here, where ``rdf-lithops cache build`` makes a library of it."""

from __future__ import annotations

import contextlib

from ..compiled import library, noting, signatures
from ..run.events import CallEnded, Event

__all__ = ["keep"]


def keep(event: Event) -> None:
    """Leave what a call's facts say that no library has, unless this machine's libraries are another's or are not used."""
    asked = event.facts.get("instantiated") if isinstance(event, CallEnded) else None
    if asked and library.grows():
        with contextlib.suppress(library.LibraryRefused, OSError):
            noting.leave([str(line) for line in asked if signatures.is_line(str(line))])
