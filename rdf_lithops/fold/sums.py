"""The sums over all fills that a histogram or profile keeps (of weights, of weight x value, ...), added as they are.

ROOT 6.40 adds what ``GetStats`` says, and where the weights of a range add up to nothing, that is not what was filled but
what the bins' centres say: the mean of all ranges would be another than that of local ROOT. The same for each variation.
"""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["kept"]

_KIND = re.compile(r"RMergeable(Value|Variations)<T(H[123][A-Z]|Profile(2D|3D)?)>")
_NAMES = ("", "2", "x", "x2", "y", "y2", "xy", "z", "z2", "xz", "yz", "t", "t2")  # of all weights first


def kept(into: Any, other: Any) -> Callable[[], None] | None:  # decision 333
    """To be asked before two mergeable values are merged into the first one: what puts its sums right afterwards; None where
    ROOT's merge does. Needs ROOT."""
    if _KIND.fullmatch(type(into).__name__) is None or type(into) is not type(other):
        return None
    wrong: dict[str, list[float]] = {}
    for (name, one), (_, two) in zip(_histograms(into), _histograms(other), strict=True):
        if not (one.GetSumw2N() or two.GetSumw2N()) or one.GetBuffer() or two.GetBuffer():
            continue  # without weights they add up to nothing where nothing was filled; a buffer has its sums to come
        before, added = _values(one), _values(two)
        if before[0] == 0.0 or added[0] == 0.0:
            wrong[name] = [one_sum + other_sum for one_sum, other_sum in zip(before, added, strict=True)]
    return functools.partial(_put, into, wrong) if wrong else None


def _histograms(mergeable: Any) -> Iterator[tuple[str, Any]]:
    """The histogram of a mergeable value, or those of its variations, by name."""
    if "RMergeableVariations" in type(mergeable).__name__:
        names = [str(name) for name in mergeable.GetKeys()]
        yield from ((name, mergeable.GetVariation(name)) for name in names)
    else:
        yield "", mergeable.GetValue()


def _put(mergeable: Any, sums: dict[str, list[float]]) -> None:
    for name, histogram in _histograms(mergeable):
        for place, value in zip(_places(histogram), sums.get(name, ()), strict=False):
            place.value = value


def _values(histogram: Any) -> list[float]:
    return [place.value for place in _places(histogram)]


def _places(histogram: Any) -> list[ctypes.c_double]:
    import ROOT

    address = ROOT.addressof(histogram)
    return [ctypes.c_double.from_address(address + offset) for offset in _offsets(type(histogram).__name__)]


@functools.lru_cache(maxsize=64)
def _offsets(kind: str) -> list[int]:
    """Where an object of this class keeps its sums, in bytes from its begin; that of all weights first."""
    import ROOT

    described = ROOT.TClass.GetClass(kind)
    names = [f"fTsumw{name}" for name in _NAMES]
    return [int(described.GetDataMemberOffset(name)) for name in names if described.GetBaseDataMember(name)]
