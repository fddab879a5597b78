"""ROOT's global settings that change results: those of the driver, wherever its ranges run.

A worker's processes serve several programs one after the other, so each run brings its own. Sumw2 is settled when a
histogram is booked, and travels with the action; overflows in statistics count when it is filled, and travel with the run.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["applied", "booking", "here", "note", "prepare", "seed"]

_HEADER = """
#ifndef RDF_LITHOPS_SETTINGS
#define RDF_LITHOPS_SETTINGS
#include <map>
#include <stdexcept>
#include <string>
#include "TClass.h"
#include "TH1.h"
#include "TRandom.h"
namespace rdf_lithops {
struct Statistics : TH1 { static bool overflows() { return fgStatOverflows; } }; // ROOT has only the way in
inline std::string random_kind() { return gRandom->IsA()->GetName(); }
inline void use_random(const std::string &kind)
{
   if (random_kind() == kind)
      return;
   static std::map<std::string, TRandom *> known;
   known.emplace(random_kind(), gRandom);
   if (!known[kind]) {
      auto *type = TClass::GetClass(kind.c_str());
      if (!type || !type->InheritsFrom("TRandom"))
         throw std::runtime_error("gRandom is a " + kind + " on the driver, which is no class here");
      known[kind] = static_cast<TRandom *>(type->DynamicCast(TRandom::Class(), type->New()));
   }
   gRandom = known[kind];
}
inline void seed_random(ULong_t seed) { gRandom->SetSeed(seed); }
}
#endif
"""
_lock = threading.Lock()  # what compiles in two threads at once crashes
_DEFAULTS: dict[str, Any] = {"stat_overflows": False, "random": "TRandom3"}


@functools.lru_cache(maxsize=1)
def _root() -> Any:
    import ROOT

    if not ROOT.gInterpreter.Declare(_HEADER):
        raise RuntimeError("ROOT does not compile what reads its global settings: another version than it was written for")
    return ROOT


def here() -> dict[str, Any]:
    """The settings of this process that a run takes along, JSON-dumpable. Of several threads one at a time asks ROOT."""
    with _lock:
        ours = _root().rdf_lithops
        return {"stat_overflows": bool(ours.Statistics.overflows()), "random": str(ours.random_kind())}


def prepare() -> None:
    """Compile what this module calls, in the main thread: the first call of anything of ROOT's elsewhere may crash."""
    here()
    _root().TH1.GetDefaultSumw2()


@contextmanager
def applied(settings: dict[str, Any] | None) -> Iterator[None]:  # decision 99
    """Have ``settings`` (what ``here`` gave; None: ROOT's own) in this block, and what was there before after it."""
    before = here()
    _set({**_DEFAULTS, **(settings or {})})
    try:
        yield
    finally:
        _set(before)


def _set(settings: dict[str, Any]) -> None:
    root = _root()
    root.TH1.StatOverflows(settings["stat_overflows"])
    root.rdf_lithops.use_random(settings["random"])


def seed(number: int) -> None:
    """Seed the generator in use, whichever it is: PyROOT may still know another."""
    _root().rdf_lithops.seed_random(number)


def note(operation: Any) -> None:
    """Remember with ``operation``, which is being booked, how histograms are made now."""
    if _root().TH1.GetDefaultSumw2():
        operation.sumw2 = True


@contextmanager
def booking(operation: Any) -> Iterator[None]:
    """In this block histograms are made as they were when ``operation`` was noted."""
    import ROOT

    before, wanted = bool(ROOT.TH1.GetDefaultSumw2()), bool(getattr(operation, "sumw2", False))
    if before == wanted:
        yield
        return
    ROOT.TH1.SetDefaultSumw2(wanted)
    try:
        yield
    finally:
        ROOT.TH1.SetDefaultSumw2(before)
