"""Leave out, on purpose, files that cannot be read: ``on_bad_file="skip"``. Opens every file once, on the driver.

Which files are bad is decided before the dataset is cut, so the ranges, and with them the bits of the answer, depend on the
good files alone. A file that goes bad later is an error, as it is without this option.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import struct
from collections.abc import Iterator
from typing import Any

import ROOT

from .errors import PlanError
from .events import FileSkipped

__all__ = ["without_bad_files"]

logger = logging.getLogger(__name__)

_DATASETS = ("TTree", "TNtuple", "TNtupleD", "TChain", "ROOT::RNTuple")
_BIG_VERSION = 1_000_000  # from which on the header of a ROOT file has 8-byte offsets


def without_bad_files(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[FileSkipped]]:
    """The constructor's arguments with the good files alone, and what was left out; raises PlanError where none is good.

    Knows a name with a file, a pattern or a list of files, and a TChain; PlanError for another kind of source.
    """
    name, files = _name_and_files(args)
    if not files:
        raise PlanError(f"expected at least one file for {name}, got none (on_bad_file='skip')")
    skipped = []
    for path in files:
        why = _what_is_wrong(path, name)
        if why:
            logger.warning("%s is skipped: %s", path, why)
            skipped.append(FileSkipped(path, why, 0 if why.startswith("it has no") else None))
    bad = {event.path for event in skipped}
    good = [path for path in files if path not in bad]
    if not good:
        listed = "; ".join(f"{event.path}: {event.why}" for event in skipped[:3])
        raise PlanError(f"expected at least one good file for {name}, got {len(files)} bad ones: {listed}")
    return (name, good, *args[2:]), skipped


def _name_and_files(args: tuple[Any, ...]) -> tuple[str, list[str]]:
    if len(args) == 1 and isinstance(args[0], ROOT.TChain):
        elements = list(args[0].GetListOfFiles())
        return str(args[0].GetName()), [str(element.GetTitle()) for element in elements]
    if len(args) >= 2 and isinstance(args[0], str):
        given = [args[1]] if isinstance(args[1], str) else [str(path) for path in args[1]]
        expanded = [sorted(glob.glob(path)) if "*" in path and "://" not in path else [path] for path in given]
        return args[0], [path for paths in expanded for path in paths]
    raise PlanError("on_bad_file='skip' needs a tree's name and files, or a TChain; give it to another source as 'raise'")


def _what_is_wrong(path: str, name: str) -> str:
    """Why nothing can be read from ``name`` in a file; empty where it can."""
    if "://" not in path and (why := _damage(path)):
        return why
    with _quiet():
        try:
            file = ROOT.TFile.Open(path)
        except OSError:
            return "it cannot be opened"
        with file:
            if file.TestBit(ROOT.TFile.kRecovered):
                return "it was not closed: what was in it can be had in part only"
            key = file.GetKey(name) or file.Get(name)
            found = str(key.GetClassName() if hasattr(key, "GetClassName") else key.ClassName()) if key else ""
    return "" if found in _DATASETS else f"it has no tree or RNTuple {name!r}"


def _damage(path: str) -> str:
    """What the first bytes and the size of a local file tell."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(20)
    except OSError as error:
        return "it does not exist" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error.strerror}"
    if size == 0:
        return "it is empty (0 bytes)"
    if head[:4] != b"root" or len(head) < 20:
        return "it is no ROOT file"
    version = struct.unpack(">i", head[4:8])[0]
    end = struct.unpack(">q", head[12:20])[0] if version >= _BIG_VERSION else struct.unpack(">i", head[12:16])[0]
    return f"it is truncated: {size} of {end} bytes" if end > size else ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ROOT does not print what is going to be reported."""
    before = ROOT.gErrorIgnoreLevel
    ROOT.gErrorIgnoreLevel = ROOT.kFatal
    try:
        yield
    finally:
        ROOT.gErrorIgnoreLevel = before
