"""C++ of our own, in the headers of this folder: compiled once into a library, or by Cling where there is none.

All of it is plain C, called by way of ctypes: PyROOT would have Cling compile a wrapper of each function in each process.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from typing import Any

from . import library
from .compiling import compiling_quickly

__all__ = ["LIBRARIES", "function", "source"]

logger = logging.getLogger(__name__)

_TREES = (
    "messages",
    "look_tree",
    "survey_tree",
    "settings",
    "loop",
    "node_log",
    "read_clock",
    "ranged_file",
    "moments",
    "histograms",
)
LIBRARIES = {"ours": _TREES, "ours-ntuple": ("look_ntuple", "survey_ntuple")}  # by name: the headers in it
_MESSAGES = "messages"


def source(name: str) -> str:
    """The C++ of which a compiler makes the library ``name``."""
    return "".join(f'#include "{os.path.join(library.HEADERS, header)}.h"\n' for header in LIBRARIES[name])


def function(header: str, name: str, result: Any, *arguments: Any) -> Any:
    """The C function ``rdf_lithops_<name>`` of ``header``, of these ctypes types. Needs ROOT.

    Other Python threads run while it does. Raises RuntimeError where this ROOT does not compile it.
    """
    if header != _MESSAGES:
        _take_messages()
    home = next(library for library, headers in LIBRARIES.items() if header in headers)
    compiled = _loaded(home)
    symbol = f"rdf_lithops_{name}"
    prototype = ctypes.CFUNCTYPE(result, *arguments)
    return prototype((symbol, compiled)) if compiled is not None else prototype(_address(header, symbol))


@functools.cache
def _take_messages() -> None:
    """Have ROOT's messages wait for the interpreter's lock, which what is called from here runs without."""
    function(_MESSAGES, "take_messages", None)()


@functools.cache
def _loaded(name: str) -> ctypes.CDLL | None:
    """The library of that name, if it is there and may be used."""
    if not library.is_wanted():
        return None
    try:
        path = os.path.join(library.folder(), f"{name}.so")
        return library.opened(library.read(path)) if os.path.exists(path) else None
    except library.LibraryRefused as refusal:
        logger.warning("a library of rdf_lithops' own is left out: %s", refusal)
        return None


@functools.cache
def _address(header: str, symbol: str) -> int:
    import ROOT

    with compiling_quickly():  # it waits for a disk, or runs once per range
        if not _declared(header):
            raise RuntimeError(f"ROOT does not compile {header}.h of rdf_lithops: another version than it was written for")
        return int(ROOT.gInterpreter.Calc(f"(Long_t)&{symbol}"))


@functools.cache
def _declared(header: str) -> bool:
    import ROOT

    return bool(ROOT.gInterpreter.Declare(f'#include "{os.path.join(library.HEADERS, header)}.h"'))
