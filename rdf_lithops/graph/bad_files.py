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

from ..errors import PlanError
from ..run.events import FileSkipped

__all__ = ["without_bad_files"]

logger = logging.getLogger(__name__)

_NTUPLE = "ROOT::RNTuple"
_DATASETS = ("TTree", "TNtuple", "TNtupleD", "TChain", _NTUPLE)
_BIG_VERSION = 1_000_000  # from which on the header of a ROOT file has 8-byte offsets


def without_bad_files(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[FileSkipped]]:
    """The constructor's arguments with the good files alone, and what was left out; raises PlanError where none is good.

    Knows a name with a file, a pattern or a list of files, and a TChain without friends and entry list; PlanError for
    another kind of source, and for a pattern of RNTuples, of which ROOT knows none. Patterns are expanded by ROOT, so they
    mean what they mean without this option.
    """
    chain = _chain_of(args)
    name, files = str(chain.GetName()), [(str(each.GetTitle()), str(each.GetName())) for each in chain.GetListOfFiles()]
    if not files:
        raise PlanError(f"expected at least one file for {name}, got none (on_bad_file='skip')")
    skipped = []
    for path, tree in files:
        why = _what_is_wrong(path, tree)
        if why:
            logger.warning("%s is skipped: %s", path, why)
            skipped.append(FileSkipped(path, why, 0 if why.startswith("it has no") else None))
    bad = {event.path for event in skipped}
    good = [(path, tree) for path, tree in files if path not in bad]
    if not good:
        listed = "; ".join(f"{event.path}: {event.why}" for event in skipped[:3])
        raise PlanError(f"expected at least one good file for {name}, got {len(files)} bad ones: {listed}")
    _refuse_pattern_of_rntuples(args, *good[0])
    if isinstance(args[0], ROOT.TChain):
        kept = ROOT.TChain(name)
        for path, tree in good:
            kept.AddFile(path, ROOT.TTree.kMaxEntries, tree)
        return (kept, *args[1:]), skipped
    return (name, [path if tree == name else f"{path}?#{tree}" for path, tree in good], *args[2:]), skipped


def _chain_of(args: tuple[Any, ...]) -> Any:
    """A chain over the files that the arguments mean: it opens none of them."""
    if isinstance(args[0], ROOT.TChain):
        for what, has in (("friends", args[0].GetListOfFriends()), ("an entry list", args[0].GetEntryList())):
            if has:
                raise PlanError(f"on_bad_file='skip' cannot leave out files of a chain with {what}; give it as 'raise'")
        return args[0]
    if len(args) >= 2 and isinstance(args[0], str) and not isinstance(args[1], ROOT.TDirectory):
        chain = ROOT.TChain(args[0])
        for path in [args[1]] if isinstance(args[1], (str, ROOT.std.string)) else args[1]:
            chain.Add(str(path))
        return chain
    raise PlanError("on_bad_file='skip' needs a tree's name and files, or a TChain; give it to another source as 'raise'")


def _refuse_pattern_of_rntuples(args: tuple[Any, ...], path: str, name: str) -> None:
    """Raise PlanError for what is an error without this option, too."""
    given = [] if isinstance(args[0], ROOT.TChain) else [args[1]] if isinstance(args[1], str) else args[1]
    patterns = [str(each) for each in given if glob.has_magic(str(each)) and not os.path.exists(str(each))]
    if patterns and _class_in(path, name) == _NTUPLE:
        raise PlanError(
            f"expected the files of an RNTuple, got a pattern, which ROOT does not expand for these; give "
            f"sorted(glob.glob({patterns[0]!r})) instead"
        )


def _what_is_wrong(path: str, name: str) -> str:
    """Why nothing can be read from ``name`` in a file; empty where it can."""
    if "://" not in path and (why := _damage(os.path.expanduser(os.path.expandvars(path)))):
        return why
    try:
        found = _class_in(path, name)
    except OSError:
        return "it cannot be opened"
    if found is None:
        return "it was not closed: what was in it can be had in part only"
    return "" if found in _DATASETS else f"it has no tree or RNTuple {name!r}"


def _class_in(path: str, name: str) -> str | None:
    """The class of what a file calls ``name``, empty if nothing; None for a file that was not closed."""
    with _quiet(), ROOT.TFile.Open(path) as file:
        if file.TestBit(ROOT.TFile.kRecovered):
            return None
        key = file.GetKey(name) or file.Get(name)
        return str(key.GetClassName() if hasattr(key, "GetClassName") else key.ClassName()) if key else ""


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
