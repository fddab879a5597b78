"""The sums over all fills that a histogram or profile keeps (of weights, of weight x value, ...), added as they are.

ROOT 6.40 adds what ``GetStats`` says, and where the weights of a range add up to nothing, that is not what was filled but
what the bins' centres say: the mean of all ranges would be another than that of local ROOT. The same for each variation.
"""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Callable
from typing import Any

from ..compiled import ours, signals

__all__ = ["kept"]

_KIND = re.compile(r"RMergeable(Value|Variations)<T(H[123][A-Z]|Profile(2D|3D)?)>")
_GIVE = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_double)


def kept(into: Any, other: Any) -> Callable[[], None] | None:  # decision 333
    """To be asked before two mergeable values are merged into the first one: what puts its sums right afterwards; None where
    ROOT's merge does. Needs ROOT."""
    import ROOT

    if _KIND.fullmatch(type(into).__name__) is None or type(into) is not type(other):
        return None
    lost: list[tuple[int, float]] = []
    take = _GIVE(lambda address, value: lost.append((address, value)))
    with signals.held():
        _lost_sums()(ROOT.addressof(into), ROOT.addressof(other), take)
    return functools.partial(_put, lost) if lost else None


@functools.lru_cache(maxsize=1)
def _lost_sums() -> Any:
    return ours.function("histograms", "lost_sums", None, ctypes.c_void_p, ctypes.c_void_p, _GIVE)


def _put(sums: list[tuple[int, float]]) -> None:
    """The merge is in place: a histogram keeps its sums where they were."""
    for address, value in sums:
        ctypes.c_double.from_address(address).value = value
