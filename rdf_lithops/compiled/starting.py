"""ROOT's start, spared what it does there and nobody needs: a question to the compiler, and lists of all names in std."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

from . import header_paths, library

__all__ = ["NAME", "spared"]

NAME = "ours-starting"  # of the library, see ``ours``: it is loaded before ROOT, and needs none of it


@contextlib.contextmanager
def spared() -> Iterator[None]:  # decision 423
    """While this lasts, ROOT may start, and does so a tenth sooner; what it finds later is what it always finds."""
    lists = None if "cppyy" in sys.modules else _lists()
    if lists is not None:
        lists.rdf_lithops_seek_names(1)
    try:
        with header_paths.in_environment():
            yield
    finally:
        if lists is not None:
            lists.rdf_lithops_seek_names(0)


def _lists() -> ctypes.CDLL | None:
    """The library, loaded for all that comes after; None where it is not there, or where only ROOT knows its own headers."""
    if not library.is_wanted() or library.include_beside() is None or not library.lies_here(NAME, library.key()):
        return None
    try:
        known = library.read(os.path.join(library.folder(), f"{NAME}.so"))
        return ctypes.CDLL(known.path, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    except (OSError, library.LibraryRefused):  # who looks into the folder next says why
        return None
