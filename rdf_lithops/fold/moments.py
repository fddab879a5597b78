"""The merge of two means, or of two standard deviations, right also where nothing was selected: needs ROOT.

ROOT 6.40 divides by the number of entries that two partial results have together, which is nothing where neither range
selected an entry, and gives a range without entries the mean 0/0: what it merges with is lost. The same for each variation.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["merged"]

_HEADER = """
#ifndef RDF_LITHOPS_MOMENTS
#define RDF_LITHOPS_MOMENTS
#include <cmath>
#include "ROOT/RDF/RMergeableValue.hxx"
namespace rdf_lithops {
using Base = ROOT::Detail::RDF::RMergeableValueBase;
using Mean = ROOT::Detail::RDF::RMergeableMean;
using StdDev = ROOT::Detail::RDF::RMergeableStdDev;
using Variations = ROOT::Detail::RDF::RMergeableVariationsBase;
using Doubles = ROOT::Detail::RDF::RMergeableValue<double>;

// private members have no other way out: an explicit instantiation may name them
template <typename Tag, typename Tag::type member> struct Opened { friend typename Tag::type of(Tag) { return member; } };
struct MeanCounts { using type = ULong64_t Mean::*; friend type of(MeanCounts); };
struct StdDevCounts { using type = ULong64_t StdDev::*; friend type of(StdDevCounts); };
struct StdDevMean { using type = double StdDev::*; friend type of(StdDevMean); };
template struct Opened<MeanCounts, &Mean::fCounts>;
template struct Opened<StdDevCounts, &StdDev::fCounts>;
template struct Opened<StdDevMean, &StdDev::fMean>;
struct Value : Doubles { static double Doubles::*member() { return &Value::fValue; } };
struct Varied : Variations { static auto values() { return &Varied::fValues; } };

inline bool merge_moments(Mean &into, const Mean &other)
{
   const auto counts = of(MeanCounts());
   auto &value = static_cast<Doubles &>(into).*Value::member();
   const long double n = into.*counts, m = other.*counts;
   if (n + m > 0)
      value = (value * n + static_cast<long double>(other.GetValue()) * m) / (n + m);
   into.*counts += other.*counts;
   return true;
}

inline bool merge_moments(StdDev &into, const StdDev &other) // Chan, Golub and LeVeque (1979)
{
   const auto counts = of(StdDevCounts());
   const auto mean = of(StdDevMean());
   auto &value = static_cast<Doubles &>(into).*Value::member();
   const long double n = into.*counts, m = other.*counts, deviation = other.GetValue();
   if (m == 0)
      return true;
   if (n == 0) {
      value = other.GetValue();
      into.*mean = other.*mean;
   } else {
      const long double apart = static_cast<long double>(other.*mean) - into.*mean;
      const long double squares = value * static_cast<long double>(value) * (n - 1) + deviation * deviation * (m - 1);
      value = std::sqrt((squares + apart * apart * n * m / (n + m)) / (n + m - 1));
      into.*mean += apart * m / (n + m);
   }
   into.*counts += other.*counts;
   return true;
}

// False, and nothing done, for results of another kind.
inline bool merge_moments(Base &into, const Base &other)
{
   if (auto *mean = dynamic_cast<Mean *>(&into))
      return merge_moments(*mean, dynamic_cast<const Mean &>(other));
   if (auto *deviation = dynamic_cast<StdDev *>(&into))
      return merge_moments(*deviation, dynamic_cast<const StdDev &>(other));
   auto *varied = dynamic_cast<Variations *>(&into);
   if (!varied)
      return false;
   auto &values = varied->*Varied::values();
   const auto &others = dynamic_cast<const Variations &>(other).*Varied::values();
   for (std::size_t i = 0; i < values.size(); ++i)
      if (!merge_moments(*values[i], *others.at(i)))
         return false; // the first says of which kind all are
   return true;
}
} // namespace rdf_lithops
#endif
"""
_KINDS = ("RMergeableValue<double>", "RMergeableVariations<double>", "RMergeableMean", "RMergeableStdDev")


def merged(into: Any, other: Any) -> bool:  # decision 97
    """Merge the mergeable value ``other`` into ``into`` if they are means or standard deviations, of variations too.

    False, with nothing done, for any other result.
    """
    if type(into).__name__ not in _KINDS:
        return False
    return bool(_merge()(into, other))


@functools.lru_cache(maxsize=1)
def _merge() -> Any:
    import ROOT

    if not ROOT.gInterpreter.Declare(_HEADER):
        raise RuntimeError("ROOT does not compile the merge of means: another version than it was written for")
    return ROOT.rdf_lithops.merge_moments
