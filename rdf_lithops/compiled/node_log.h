// Whether RDataFrame says what it compiles, for noting.py: plain C, called by way of ctypes.
#ifndef RDF_LITHOPS_NODE_LOG
#define RDF_LITHOPS_NODE_LOG
#include <ROOT/RDF/Utils.hxx>
#include <ROOT/RLogger.hxx>
#include <memory>

extern "C" void rdf_lithops_log_nodes(int on) // all that it has to say, or what it says by itself
{
   static std::unique_ptr<ROOT::RLogScopedVerbosity> verbosity;
   const auto all = static_cast<ROOT::ELogLevel>(static_cast<int>(ROOT::ELogLevel::kDebug) + 10);
   verbosity.reset(on ? new ROOT::RLogScopedVerbosity(ROOT::Detail::RDF::RDFLogChannel(), all) : nullptr);
}
#endif
