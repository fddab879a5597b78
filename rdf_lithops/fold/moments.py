"""The merge of two means, or of two standard deviations, right also where nothing was selected: needs ROOT.

ROOT 6.40 divides by the number of entries that two partial results have together, which is nothing where neither range
selected an entry, and gives a range without entries the mean 0/0: what it merges with is lost. The same for each variation.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from ..compiled import ours

__all__ = ["merged"]

_KINDS = ("RMergeableValue<double>", "RMergeableVariations<double>", "RMergeableMean", "RMergeableStdDev")


def merged(into: Any, other: Any) -> bool:  # decision 97
    """Merge the mergeable value ``other`` into ``into`` if they are means or standard deviations, of variations too.

    False, with nothing done, for any other result.
    """
    if type(into).__name__ not in _KINDS:
        return False
    import ROOT

    done = _merge()(ROOT.addressof(into), ROOT.addressof(other))
    if done < 0:
        raise TypeError(f"expected two results of one kind, got {type(into).__name__} and {type(other).__name__}")
    return bool(done)


@functools.lru_cache(maxsize=1)
def _merge() -> Any:
    return ours.function("moments", "merge_moments", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
