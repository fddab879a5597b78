"""What a run's results lack of those of local RDataFrame, put there when they have arrived."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from ..compiled import ours

# isort: split
import ROOT

__all__ = ["announce_removal", "name_variations"]


def announce_removal(value: Any) -> None:
    """Have a histogram say when it is deleted, to pictures and legends that it is in, as ROOT has those say that it makes
    for a data frame; copies do not."""
    if isinstance(value, ROOT.TH1):
        value.SetBit(ROOT.TObject.kMustCleanup)


def name_variations(mergeable: Any) -> None:
    """Give the histograms of a map of variations the names that they have locally, ``h_weights_up`` for "weights:up".

    ROOT names them when it makes the action, and not when it clones it: names would depend on where the first range ran.
    """
    if not type(mergeable).__name__.startswith("RMergeableVariations<"):
        return
    if _names_histograms()(ROOT.addressof(mergeable)):
        return
    keys = [str(key) for key in mergeable.GetKeys()]
    nominal = mergeable.GetVariation(keys[0])
    if not hasattr(nominal, "SetName"):
        return
    for key in keys[1:]:
        mergeable.GetVariation(key).SetName(f"{nominal.GetName()}_{key.replace(':', '_')}")


@functools.lru_cache(maxsize=1)
def _names_histograms() -> Any:
    return ours.function("histograms", "name_variations", ctypes.c_int, ctypes.c_void_p)
