// Entries are counted by the event loop itself, for worker/root/: plain C, called by way of ctypes.
#ifndef RDF_LITHOPS_LOOP
#define RDF_LITHOPS_LOOP
#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RDF/RLoopManager.hxx>
#include <atomic>
namespace rdf_lithops {
struct Loop : ROOT::RDF::RNode { // the loop's own callbacks, which no public name reaches without booking an action
   static ROOT::Detail::RDF::RLoopManager *of(const ROOT::RDF::RNode &node) { return (node.*&Loop::GetLoopManager)(); }
};
} // namespace rdf_lithops

// From now on, until the end of the node's next event loop, ``every`` entries at a time are added to ``counter``.
extern "C" void rdf_lithops_count_entries(const void *node, unsigned long long every, void *counter)
{
   auto *done = static_cast<std::atomic<ULong64_t> *>(counter);
   rdf_lithops::Loop::of(*static_cast<const ROOT::RDF::RNode *>(node))
      ->RegisterCallback(every, [=](unsigned int) { done->fetch_add(every, std::memory_order_relaxed); });
}
#endif
