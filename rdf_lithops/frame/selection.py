"""Which entries of a dataset are meant where not all are: a TEntryList, or the range of a specification.

What travels is plain: intervals of entry numbers in the dataset, and whether ``rdfentry_`` counts the selected entries (as
it does with a TEntryList) or all.
"""

from __future__ import annotations

import base64
import functools
import zlib
from typing import Any

__all__ = ["IS_SELECTED", "RANK", "install", "packed", "unpacked"]

IS_SELECTED = "::rdf_lithops::is_selected"  # of an entry number in the dataset
RANK = "::rdf_lithops::rank"  # how many selected entries come before it
_CODE = """
#ifndef RDF_LITHOPS_SELECTION
#define RDF_LITHOPS_SELECTION
#include <algorithm>
#include <cstdint>
#include <vector>
namespace rdf_lithops {
inline std::vector<ULong64_t> selected_begins, selected_ends, selected_before;
inline std::size_t interval_of(ULong64_t entry) // the last that begins at or before it, from 1 on
{
   return std::upper_bound(selected_begins.begin(), selected_begins.end(), entry) - selected_begins.begin();
}
inline bool is_selected(ULong64_t entry)
{
   const auto number = interval_of(entry);
   return number && entry < selected_ends[number - 1];
}
inline ULong64_t rank(ULong64_t entry)
{
   const auto number = interval_of(entry);
   if (!number)
      return 0;
   return selected_before[number - 1] + std::min(entry, selected_ends[number - 1]) - selected_begins[number - 1];
}
inline void select(std::size_t count, std::uintptr_t first_begin, std::uintptr_t first_end)
{
   const auto *begins = reinterpret_cast<const ULong64_t *>(first_begin);
   const auto *ends = reinterpret_cast<const ULong64_t *>(first_end);
   selected_begins.assign(begins, begins + count);
   selected_ends.assign(ends, ends + count);
   selected_before.assign(1, 0);
   for (std::size_t number = 0; number < count; ++number)
      selected_before.push_back(selected_before.back() + ends[number] - begins[number]);
}
} // namespace rdf_lithops
#endif
"""
_installed = ""


def packed(begins: Any, ends: Any) -> str:
    """Return sorted, disjoint intervals, given by their begins and ends, as text."""
    import numpy

    pairs = numpy.array([begins, ends], dtype="<u8")
    steps = numpy.diff(pairs.T.reshape(-1), prepend=numpy.uint64(0))
    return base64.b64encode(zlib.compress(steps.tobytes())).decode()


def unpacked(text: str) -> tuple[Any, Any]:
    """Return the begins and ends of what was ``packed``."""
    import numpy

    steps = numpy.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u8")
    pairs = numpy.cumsum(steps, dtype="u8").reshape(-1, 2)
    return numpy.ascontiguousarray(pairs[:, 0]), numpy.ascontiguousarray(pairs[:, 1])


@functools.cache
def _declared() -> None:
    import ROOT

    ROOT.gInterpreter.Declare(_CODE)


def install(text: str | None) -> None:  # decision 94
    """From now on this process's ROOT reads these entries of the dataset alone; None: all."""
    global _installed
    if text is None or text == _installed:
        return
    import ROOT

    _declared()
    begins, ends = unpacked(text)
    ROOT.rdf_lithops.select(len(begins), begins.ctypes.data, ends.ctypes.data)
    _installed = text
