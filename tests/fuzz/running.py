"""Run a program on both sides: plain RDataFrame in this process, and the executor. What they say is compared."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ROOT
from ROOT._pythonization._rdataframe import AsNumpyResult

from . import compare
from .files import File, write

__all__ = ["KNOWN", "Query", "Write", "check", "executor", "main", "say_nothing"]

Book = Callable[..., Iterator[list[Any]]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Write:
    """A step that writes files, or replaces them."""

    files: tuple[File, ...]


@dataclass(frozen=True)
class Query:
    """A step that runs one graph, or several by one RunGraphs. Each of ``books`` is a generator: it gets a function to be
    called as ROOT.RDataFrame and a folder for output, and yields lists of results, which are read before it goes on."""

    books: tuple[Book, ...]
    npartitions: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


# What local RDataFrame answers and we refuse, each for a reason that is documented: part of our message, why.
KNOWN: dict[str, str] = {
    r"DefaultValueFor: expected a value of column": "a default of another type: local RDataFrame gives it to all entries",
    r"on_bad_file='skip' needs a tree's name and files": "what is skipped of a specification would change its samples",
    r"on_bad_file='skip' cannot leave out files of a chain with": "what is skipped of a chain would shift its friends",
    r"ROOT reads all files of a dataset with one type, so the numbers would be wrong": "a column whose type changes between "
    "files: local RDataFrame may answer, with numbers that are wrong, or right where it never reads the column",
}


# Where local RDataFrame fails by a fault of its own, and we answer: a part of its message, and of which files.
FAULTS_OF_ROOT = {
    # it takes a column's type now from the one file, now from the other, as its chain has the one or the other open
    r"TTreeReader status code is: 6": lambda files: _has_an_empty_file_of_other_types(files),
    # PyROOT gives DefaultValueFor the type that an earlier one of this process had, where the value can be made one of it
    r'type mismatch: column "\w+" is being used as \w+ but the Define or Vary node advertises it': lambda files: bool(files),
}


# What local RDataFrame says when it answers and may be wrong: where a file lacks a column that no result needs, a
# node that asks for it leaves the readers of other columns with what they held before.
WRONG_OF_ROOT = {r"TBranchProxy::Setup.*Branch '.*' is not available from tree": lambda files: _has_a_column_in_some(files)}


def _has_a_column_in_some(files: Sequence[File]) -> bool:
    """Whether a tree has a column in one file that it lacks in another."""
    columns: dict[str, set[frozenset[str]]] = {}
    for tree in (tree for file in files for tree in file.trees):
        columns.setdefault(tree.name, set()).add(frozenset(column.name for column in tree.columns))
    return any(len(sets) > 1 for sets in columns.values())


def _has_an_empty_file_of_other_types(files: Sequence[File]) -> bool:
    """Whether a tree has no entries in one file, and a column there is of another type than in a file that has some."""
    kinds: dict[tuple[str, str], set[str]] = {}
    trees = [tree for file in files for tree in file.trees]
    for tree in trees:
        for column in tree.columns if tree.entries else ():
            kinds.setdefault((tree.name, column.name), set()).add(column.kind)
    return any(
        kinds.get((tree.name, column.name), {column.kind}) != {column.kind}
        for tree in trees
        for column in (() if tree.entries else tree.columns)
    )


@dataclass(frozen=True)
class _Raised:
    """How a side failed."""

    text: str


def say_nothing(phase: str) -> None:
    """Nobody wants to know where a program is."""


@functools.cache
def executor() -> Any:
    """One executor of this machine for all programs of this process."""
    import lithops

    import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT

    config = Path(__file__).resolve().parents[2] / "configs" / "localhost.yaml"
    return lithops.FunctionExecutor(config_file=str(config), log_level="ERROR")


def check(steps: list[Write | Query], fexec: Any, say: Say = say_nothing) -> list[str]:
    """Run ``steps`` in a folder of their own; where the sides differ, [] if they agree. ``say`` is told what comes next."""
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder, _working_in(folder):
        found, files = list[str](), dict[str, File]()
        for number, step in enumerate(steps):
            if isinstance(step, Write):
                write(*step.files)
                files.update({file.path: file for file in step.files})
                continue
            say("local")
            with _heard() as said:
                expected = _attempt(step, ROOT.RDataFrame, f"local_{number}")
            say("ours")
            given = {"executor": fexec, "npartitions": step.npartitions, "options": step.options}
            actual = _attempt(step, functools.partial(ROOT.RDataFrame, **given), f"ours_{number}")
            if _is_wrong(said, list(files.values())) and not isinstance(expected, _Raised):
                continue
            found += [f"step {number}{text}" for text in _compared(expected, actual, list(files.values()))]
        return found


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """What is written to standard error meanwhile, which still arrives there."""
    said = list[str]()
    with tempfile.TemporaryFile() as log:
        before = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)
            log.seek(0)
            said.append(log.read().decode(errors="replace"))
            sys.stderr.write(said[0])


def _is_wrong(said: Sequence[str], files: Sequence[File]) -> bool:
    """Whether what local RDataFrame answered is known to be wrong."""
    return any(re.search(pattern, said[0]) and holds(files) for pattern, holds in WRONG_OF_ROOT.items())


@contextlib.contextmanager
def _working_in(folder: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _attempt(step: Query, frame: Any, out: str) -> list[Any] | _Raised:
    """The plain results of a query in this frame, or how it failed."""
    folders = [os.path.join(out, str(number)) for number in range(len(step.books))]
    for folder in folders:
        os.makedirs(folder)
    try:
        running = [book(frame, folder) for book, folder in zip(step.books, folders, strict=True)]
        first = [next(one) for one in running]
        if len(first) > 1:
            ROOT.RDF.RunGraphs([result for results in first for result in results if _is_handle(result)])
        return [_read(results, one) for results, one in zip(first, running, strict=True)]
    except Exception as error:
        lines = traceback.format_exception_only(error)
        return _Raised("".join(lines).strip())


def _is_handle(result: Any) -> bool:
    """Whether local RunGraphs takes it: neither arrays nor variations."""
    return not isinstance(result, (tuple, AsNumpyResult))


def _read(results: list[Any], running: Iterator[list[Any]]) -> list[Any]:
    """All results that a book yields, the first of which it has yielded already."""
    found = [compare.plain(result) for result in results]
    for more in running:
        found += [compare.plain(result) for result in more]
    return found


def _compared(expected: list[Any] | _Raised, actual: list[Any] | _Raised, files: Sequence[File]) -> list[str]:
    if isinstance(expected, _Raised):
        excused = any(re.search(text, expected.text) and holds(files) for text, holds in FAULTS_OF_ROOT.items())
        return (
            []
            if isinstance(actual, _Raised) or excused
            else [f": local raises, ours answers {str(actual)[:300]}; local: {expected.text[:500]}"]
        )
    if isinstance(actual, _Raised):
        known = any(re.search(pattern, actual.text) for pattern in KNOWN)
        return [] if known else [f": ours raises {actual.text[:1500]}\n  local answers {str(expected)[:300]}"]
    return compare.differences(expected, actual)


def main(steps: list[Write | Query]) -> int:
    """Run a stored program and say what differs; the status of the process."""
    ROOT.gROOT.SetBatch(True)
    ROOT.TH1.AddDirectory(False)
    with executor() as fexec:
        found = check(steps, fexec)
    print("\n".join(found) or "no difference")
    return int(bool(found))
