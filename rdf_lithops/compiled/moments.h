// The merge of two means, or of two standard deviations, for fold/moments.py: plain C, called by way of ctypes.
#ifndef RDF_LITHOPS_MOMENTS
#define RDF_LITHOPS_MOMENTS
#include "mergeables.h"
#include <cmath>
namespace rdf_lithops {
using Mean = ROOT::Detail::RDF::RMergeableMean;
using StdDev = ROOT::Detail::RDF::RMergeableStdDev;
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
inline bool merge_moments(Mergeable &into, const Mergeable &other)
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

// 1: merged; 0: results of another kind, and nothing is done; -1: ``other`` is not of the kind of ``into``.
extern "C" int rdf_lithops_merge_moments(void *into, const void *other)
{
   using namespace rdf_lithops;
   try {
      return merge_moments(*static_cast<Mergeable *>(into), *static_cast<const Mergeable *>(other));
   } catch (const std::exception &) { // which must not pass through C
      return -1;
   }
}
#endif
