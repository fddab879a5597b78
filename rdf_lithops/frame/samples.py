"""``rdfsampleinfo_`` as local RDataFrame has it: DistRDF's tells the range, not the sample."""

from __future__ import annotations

import functools
from collections.abc import Iterable

__all__ = ["AS_LOCAL", "declare", "tell", "tell_entries"]

AS_LOCAL = "::rdf_lithops::sample"  # of an RSampleInfo
_CODE = """
#ifndef RDF_LITHOPS_SAMPLE
#define RDF_LITHOPS_SAMPLE
#include <ROOT/RDF/RSample.hxx>
#include <ROOT/RDF/RSampleInfo.hxx>
#include <map>
#include <string>
namespace rdf_lithops {
// what has no other name outside of its class: an explicit instantiation may name it
template <typename Tag, typename Tag::type Member>
struct Named {
   friend typename Tag::type member(Tag) { return Member; }
};
struct SampleOf {
   using type = const ROOT::RDF::Experimental::RSample *ROOT::RDF::RSampleInfo::*;
   friend type member(SampleOf);
};
template struct Named<SampleOf, &ROOT::RDF::RSampleInfo::fSample>;

struct LocalSample {
   ULong64_t begin, end, total;
   int number; // of the sample in its specification; -1 where there is none
};
// not inline: decision 356
std::map<std::string, LocalSample> local_samples; // by file and tree, as ROOT names them
ULong64_t entries_without_files = 0;

inline void tell_sample(const char *id, ULong64_t begin, ULong64_t end, ULong64_t total, int number)
{
   local_samples[id] = {begin, end, total, number};
}

inline ROOT::RDF::RSampleInfo sample(const ROOT::RDF::RSampleInfo &info)
{
   if (entries_without_files) {
      const auto end = std::to_string(entries_without_files);
      return {"Empty source, range: {0, " + end + "}", {0, entries_without_files}, nullptr, entries_without_files};
   }
   const auto found = local_samples.find(info.AsString());
   if (found == local_samples.end())
      throw std::runtime_error("RSampleInfo: nobody knows how many entries the sample " + info.AsString() + " has");
   const auto &local = found->second;
   const auto *sample = local.number < 0 ? nullptr : info.*member(SampleOf{});
   if (sample) // numbered anew in each range
      const_cast<ROOT::RDF::Experimental::RSample *>(sample)->SetSampleId(local.number);
   return {info.AsString(), {local.begin, local.end}, sample, local.total};
}
} // namespace rdf_lithops
#endif
"""


@functools.cache
def declare() -> None:
    """Compile the class of samples, once per process."""
    import ROOT

    ROOT.gInterpreter.Declare(_CODE)


def tell_entries(entries: int) -> None:
    """Say that the dataset has so many entries and no files; 0: it has files."""
    import ROOT

    declare()
    ROOT.rdf_lithops.entries_without_files = entries


def tell(found: Iterable[tuple[str, tuple[int, int], int, int]]) -> None:  # decision 95
    """Say of each file and tree its name, the entries [first, end) that local RDataFrame tells, their number in all, the
    sample's number."""
    import ROOT

    tell_entries(0)
    for name, (begin, end), total, number in found:
        ROOT.rdf_lithops.tell_sample(name, begin, end, total, number)
