"""A ROOT process that is a copy of a snapshot gets randomness of its own: Python's, NumPy's, and what ROOT's seed 0 is.

``SetSeed(0)`` takes its seed from a TUUID: the microsecond, the machine's address, and 14 bits (the clock sequence) that a
process draws once. All three may be the same in two of a thousand copies. The clock sequence is changed as ROOT changes it:
whenever the clock seems to have gone backwards, as it does while UUIDs are made faster than ten a microsecond.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from ...processes.restored import renew_python

__all__ = ["prepare", "renew"]

MOST_US = 100_000
_SOURCE = """
#ifndef RDF_LITHOPS_RENEWAL
#define RDF_LITHOPS_RENEWAL
#include <chrono>
#include <TUUID.h>
namespace rdf_lithops {
inline int clock_sequence(const TUUID &made)
{
   UChar_t bytes[16];
   made.GetUUID(bytes);
   return (bytes[8] & 0x3f) << 8 | bytes[9];
}
/// Make UUIDs until they have this clock sequence, or time is up; return the one that they have.
inline int take_clock_sequence(int wanted, long most_us)
{
   const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(most_us);
   int found = clock_sequence(TUUID());
   while (found != wanted && std::chrono::steady_clock::now() < until)
      for (int i = 0; i < 64 && found != wanted; ++i)
         found = clock_sequence(TUUID());
   return found;
}
} // namespace rdf_lithops
#endif
"""


@functools.lru_cache(maxsize=1)
def prepare() -> Any:
    """Compile what ``renew`` calls, once: before the snapshot, where nobody waits. Needs ROOT."""
    import ROOT

    ROOT.gInterpreter.Declare(_SOURCE)
    function = ROOT.rdf_lithops.take_clock_sequence
    function(0, 1)
    return function


def renew() -> None:
    """Make this process one of its own, in some hundredths of a second."""
    renew_python()
    prepare()(1 + int.from_bytes(os.urandom(2), "little") % 0x3FFF, MOST_US)
