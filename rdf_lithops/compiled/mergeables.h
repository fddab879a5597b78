// What the values are that ROOT merges, seen through their common base, for fold/: shared by what merges them.
#ifndef RDF_LITHOPS_MERGEABLES
#define RDF_LITHOPS_MERGEABLES
#include <ROOT/RDF/RMergeableValue.hxx>
namespace rdf_lithops {
using Mergeable = ROOT::Detail::RDF::RMergeableValueBase;
using Variations = ROOT::Detail::RDF::RMergeableVariationsBase;

// Protected members have no other way out: a class that is derived may name them.
struct Varied : Variations {
   static auto keys() { return &Varied::fKeys; }
   static auto values() { return &Varied::fValues; }
};
} // namespace rdf_lithops
#endif
