"""What one file holds of a dataset: entries, clusters, and the types of some columns. Opens it once, with ROOT."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compiled import ours, signals

__all__ = ["Look", "TypeChange", "look", "prepare", "type_change"]

_GIVE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_longlong), ctypes.c_size_t, ctypes.c_char_p, ctypes.c_char_p)
# what ROOT reads with one and the same type
_SAME = (("Double32_t", "Double_t"), ("Float16_t", "Float_t"))


class TypeChange(RuntimeError):
    """A column that the graph names has another type in another file of the dataset."""


@dataclass(frozen=True)
class Look:
    """A tree in a file: its entries, the entry after each cluster, the type of each column that was asked for and is there,
    and its own name, which need not be that of its key."""

    entries: int
    ends: tuple[int, ...]
    types: dict[str, str]
    name: str

    @property
    def boundaries(self) -> list[int]:
        """As DistRDF has them: with the first entry."""
        return [0, *self.ends]


@functools.cache
def _looker(is_ntuple: bool) -> Any:
    """The compiled function. Other Python threads run while it reads."""
    name = "look_ntuple" if is_ntuple else "look_tree"
    return ours.function(name, name, None, *(ctypes.c_char_p,) * 3, _GIVE)


def prepare() -> None:
    """Compile what looks into trees, before somebody waits for it."""
    _looker(False)


def look(file: str, tree: str, columns: Sequence[str] | None, is_ntuple: bool) -> Look:
    """Look into ``file`` (for the types of all columns with None). Raises RuntimeError where there is no such tree."""
    numbers: list[int] = []
    told: dict[str, str] = {}
    problems: list[str] = []

    def take(first: Any, count: int, types: bytes | None, problem: bytes | None) -> None:
        numbers.extend(first[:count] if count else ())
        told.update((line.split("\t", 1)[0], line.split("\t", 1)[1]) for line in _lines(types))
        problems.extend([] if problem is None else [problem.decode(errors="replace")])

    wanted = None if columns is None else "\n".join(columns).encode()
    with signals.held():
        _looker(is_ntuple)(os.fsencode(file), tree.encode(), wanted, _GIVE(take))
    if problems:
        is_gone = "://" not in file and not os.path.exists(file)
        raise RuntimeError(f"{problems[0]}: there is no such file" if is_gone else problems[0])
    own_name = told.pop("", tree.rpartition("/")[2])
    return Look(numbers[0], tuple(numbers[1:]), {name: _plain(text) for name, text in told.items()}, own_name)


def _lines(text: bytes | None) -> list[str]:
    return (text or b"").decode(errors="replace").splitlines()


def _plain(text: str) -> str:
    for given, meant in _SAME:
        text = text.replace(given, meant)
    return " ".join(text.split())


def type_change(one: Mapping[str, str], one_file: str, other: Mapping[str, str], other_file: str) -> str:
    """What is wrong where a column has one type in one file and another one in another; empty where nothing is."""
    for name, seen in other.items():
        if name in one and one[name] != seen:
            return (
                f"column {name!r} is {one[name]} in {one_file} and {seen} in {other_file}: ROOT reads all files of a "
                "dataset with one type, so the numbers would be wrong; make a data frame for each kind of file"
            )
    return ""
