"""The files of a program as values: which trees with which columns; ``write`` puts them on disk."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import ROOT

__all__ = ["Column", "File", "Tree", "write"]


@dataclass(frozen=True)
class Column:
    """A branch or field; ``kind`` is one of those in ``writing.h``. Its values depend on its name and the entry alone."""

    name: str
    kind: str


@dataclass(frozen=True)
class Tree:
    """A TTree or an RNTuple by its path in the file; entries count from ``first``, ``cluster`` of them are a cluster."""

    name: str
    columns: tuple[Column, ...]
    entries: int
    first: int = 0
    cluster: int = 10
    ntuple: bool = False


@dataclass(frozen=True)
class File:
    """A file, relative to the working folder, and what lies in it."""

    path: str
    trees: tuple[Tree, ...]


@functools.cache
def _declare() -> None:
    assert ROOT.gInterpreter.Declare(f'#include "{Path(__file__).with_name("writing.h")}"')


def write(*files: File) -> None:
    """Write them into the working folder; a file of that name is replaced."""
    _declare()
    for file in files:
        Path(file.path).unlink(missing_ok=True)
        for tree in file.trees:
            names, kinds = ([getattr(column, part) for column in tree.columns] for part in ("name", "kind"))
            ROOT.fuzz.write(file.path, tree.name, names, kinds, tree.entries, tree.first, tree.cluster, tree.ntuple)
