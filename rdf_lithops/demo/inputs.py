"""Files that a user names: which they are, and whether the spectrum can be made of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import PlanError
from .sample import BRANCHES

__all__ = ["check_input", "expand"]


def expand(patterns: Iterable[str]) -> list[str]:
    """Local globs as sorted paths; URLs and plain paths as they are. Raises PlanError for a pattern that matches nothing."""
    paths: list[str] = []
    for pattern in patterns:
        matches = sorted(glob.glob(pattern)) if glob.has_magic(pattern) and "://" not in pattern else [pattern]
        if not matches:
            raise PlanError(f"no file matches {pattern}")
        paths += matches
    return paths


def check_input(tree: str, paths: Sequence[str]) -> None:
    """Raise PlanError unless each of ``paths`` opens as a ROOT file that has ``tree`` with the branches we read.

    Files on this machine are looked at one by one; of remote ones only the first, which costs a connection.
    """
    remote = [path for path in paths if "://" in path and not glob.has_magic(path)]
    for path in [*remote[:1], *(path for path in paths if "://" not in path)]:
        _check_file(tree, path)


def _check_file(tree: str, path: str) -> None:
    if "://" not in path and not os.path.isfile(path):
        raise PlanError(f"no such file: {path}")
    with _opened(path) as file:
        present = sorted({key.GetName() for key in file.GetListOfKeys()})
        if tree not in present:
            raise PlanError(f"no tree {tree!r} in {path}, which has: {', '.join(present) or 'nothing'}")
    missing = sorted(set(BRANCHES) - _columns(tree, path))
    if missing:
        raise PlanError(f"tree {tree!r} of {path} lacks {', '.join(missing)}, which the dimuon spectrum reads")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The open TFile; PlanError, and not a word from ROOT, for a file that does not open."""
    import ROOT

    before, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kFatal
    try:
        file = ROOT.TFile.Open(path)
    except OSError:
        file = None
    finally:
        ROOT.gErrorIgnoreLevel = before
    if not file or file.IsZombie():
        raise PlanError(f"not a ROOT file that can be read: {path}")
    try:
        yield file
    finally:
        file.Close()


def _columns(tree: str, path: str) -> set[str]:
    import ROOT

    try:
        return {str(name) for name in ROOT.RDataFrame(tree, path).GetColumnNames()}
    except Exception as error:  # whatever C++ says of an object that is no tree
        raise PlanError(f"{tree!r} in {path} is not a tree that RDataFrame reads") from error
