// What histograms and profiles, and their variations, need beside ROOT's merge, for fold/: plain C, called by way of ctypes.
#ifndef RDF_LITHOPS_HISTOGRAMS
#define RDF_LITHOPS_HISTOGRAMS
#include "mergeables.h"
#include <TH1.h>
#include <TH2.h>
#include <TH3.h>
#include <TProfile.h>
#include <TProfile2D.h>
#include <TProfile3D.h>
#include <algorithm>
#include <string>
#include <utility>
#include <vector>
namespace rdf_lithops {
template <typename Kind> TH1 *histogram_of(Mergeable &mergeable)
{
   auto *value = dynamic_cast<ROOT::Detail::RDF::RMergeableValue<Kind> *>(&mergeable);
   return value ? &const_cast<Kind &>(value->GetValue()) : nullptr;
}

template <typename... Kinds> TH1 *first_of(Mergeable &mergeable)
{
   TH1 *found = nullptr;
   (void)((found = histogram_of<Kinds>(mergeable)) || ...);
   return found;
}

// The histogram or profile in a mergeable value; nullptr in that of anything else.
inline TH1 *histogram_in(Mergeable &mergeable)
{
   return first_of<TH1D, TH2D, TProfile, TProfile2D, TH3D, TH1F, TH2F, TH3F, TProfile3D, TH1I, TH2I, TH3I, TH1L, TH2L, TH3L,
                   TH1S, TH2S, TH3S, TH1C, TH2C, TH3C>(mergeable);
}

// Those of a mergeable value or of all its variations, the nominal one first; none if they are of another kind.
inline std::vector<TH1 *> histograms_in(Mergeable &mergeable)
{
   std::vector<TH1 *> found;
   if (auto *varied = dynamic_cast<Variations *>(&mergeable))
      for (const auto &value : varied->*Varied::values())
         found.push_back(histogram_in(*value));
   else
      found.push_back(histogram_in(mergeable));
   return std::find(found.begin(), found.end(), nullptr) == found.end() ? found : std::vector<TH1 *>{};
}

// The sums over all fills, which are protected members: a class that is derived may name them.
using Sums = std::vector<double *>;
struct Of1 : TH1 {
   static Sums in(TH1 &of) { return {&(of.*&Of1::fTsumw), &(of.*&Of1::fTsumw2), &(of.*&Of1::fTsumwx), &(of.*&Of1::fTsumwx2)}; }
};
struct Of2 : TH2 {
   static Sums in(TH2 &of) { return {&(of.*&Of2::fTsumwy), &(of.*&Of2::fTsumwy2), &(of.*&Of2::fTsumwxy)}; }
};
struct Of3 : TH3 {
   static Sums in(TH3 &of)
   {
      return {&(of.*&Of3::fTsumwy), &(of.*&Of3::fTsumwy2), &(of.*&Of3::fTsumwxy), &(of.*&Of3::fTsumwz),
              &(of.*&Of3::fTsumwz2), &(of.*&Of3::fTsumwxz), &(of.*&Of3::fTsumwyz)};
   }
};
struct OfProfile : TProfile {
   static Sums in(TProfile &of) { return {&(of.*&OfProfile::fTsumwy), &(of.*&OfProfile::fTsumwy2)}; }
};
struct OfProfile2 : TProfile2D {
   static Sums in(TProfile2D &of) { return {&(of.*&OfProfile2::fTsumwz), &(of.*&OfProfile2::fTsumwz2)}; }
};
struct OfProfile3 : TProfile3D {
   static Sums in(TProfile3D &of) { return {&(of.*&OfProfile3::fTsumwt), &(of.*&OfProfile3::fTsumwt2)}; }
};

template <typename Access, typename Kind> void add_sums(Sums &found, TH1 &histogram)
{
   if (auto *of = dynamic_cast<Kind *>(&histogram)) {
      const auto more = Access::in(*of);
      found.insert(found.end(), more.begin(), more.end());
   }
}

// That of all weights is the first.
inline Sums sums_in(TH1 &histogram)
{
   auto found = Of1::in(histogram);
   add_sums<Of2, TH2>(found, histogram);
   add_sums<Of3, TH3>(found, histogram);
   add_sums<OfProfile, TProfile>(found, histogram);
   add_sums<OfProfile2, TProfile2D>(found, histogram);
   add_sums<OfProfile3, TProfile3D>(found, histogram);
   return found;
}
} // namespace rdf_lithops

// Says which sums ROOT's merge of ``other`` into ``into`` would lose: their addresses, and what they are to be afterwards.
extern "C" void rdf_lithops_lost_sums(void *into, void *other, void (*give)(double *, double))
{
   using namespace rdf_lithops;
   const auto ones = histograms_in(*static_cast<Mergeable *>(into)), others = histograms_in(*static_cast<Mergeable *>(other));
   for (std::size_t i = 0; i < std::min(ones.size(), others.size()); ++i) {
      auto &one = *ones[i], &two = *others[i];
      if (!(one.GetSumw2N() || two.GetSumw2N()) || one.GetBuffer() || two.GetBuffer())
         continue; // without weights they add up to nothing where nothing was filled; a buffer has its sums to come
      const auto before = sums_in(one), added = sums_in(two);
      if (before.size() == added.size() && (*before[0] == 0 || *added[0] == 0))
         for (std::size_t sum = 0; sum < before.size(); ++sum)
            give(before[sum], *before[sum] + *added[sum]);
   }
}

// Names the histograms of variations as ROOT does that makes them, ``h_weights_up`` for "weights:up". 0 where they are
// something else.
extern "C" int rdf_lithops_name_variations(void *variations)
{
   using namespace rdf_lithops;
   auto *varied = dynamic_cast<Variations *>(static_cast<Mergeable *>(variations));
   const auto histograms = varied ? histograms_in(*varied) : std::vector<TH1 *>{};
   for (std::size_t i = 1; i < histograms.size(); ++i) {
      auto name = (varied->*Varied::keys())[i];
      std::replace(name.begin(), name.end(), ':', '_');
      histograms[i]->SetName((std::string(histograms[0]->GetName()) + "_" + name).c_str());
   }
   return !histograms.empty();
}
#endif
