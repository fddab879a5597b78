// ROOT's global settings that change results, for worker/settings.py: plain C, called by way of ctypes, as PyROOT would
// compile a wrapper of each in every process.
#ifndef RDF_LITHOPS_SETTINGS
#define RDF_LITHOPS_SETTINGS
#include <TClass.h>
#include <TH1.h>
#include <TRandom.h>
#include <map>
#include <string>
namespace rdf_lithops {
struct Statistics : TH1 { // ROOT has only the way in
   static bool overflows() { return fgStatOverflows; }
};
} // namespace rdf_lithops

extern "C" int rdf_lithops_stat_overflows() { return rdf_lithops::Statistics::overflows(); }
extern "C" void rdf_lithops_set_stat_overflows(int on) { TH1::StatOverflows(on); }
extern "C" int rdf_lithops_sumw2() { return TH1::GetDefaultSumw2(); }
extern "C" void rdf_lithops_set_sumw2(int on) { TH1::SetDefaultSumw2(on); }
extern "C" void rdf_lithops_seed_random(unsigned long seed) { gRandom->SetSeed(seed); }
extern "C" const char *rdf_lithops_random_kind() { return gRandom->IsA()->GetName(); }

// 0 where this process has no such class.
extern "C" int rdf_lithops_use_random(const char *name)
{
   const std::string kind = name;
   if (rdf_lithops_random_kind() == kind)
      return 1;
   static std::map<std::string, TRandom *> known;
   known.emplace(rdf_lithops_random_kind(), gRandom);
   if (!known[kind]) {
      auto *type = TClass::GetClass(name);
      if (!type || !type->InheritsFrom("TRandom"))
         return 0;
      known[kind] = static_cast<TRandom *>(type->DynamicCast(TRandom::Class(), type->New()));
   }
   gRandom = known[kind];
   return 1;
}
#endif
