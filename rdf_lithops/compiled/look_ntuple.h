// What one file holds of an RNTuple, for frame/schema.py.
#ifndef RDF_LITHOPS_LOOK_NTUPLE
#define RDF_LITHOPS_LOOK_NTUPLE
#include <ROOT/RNTupleDescriptor.hxx>
#include <ROOT/RNTupleReader.hxx>
#include <set>
#include <sstream>
#include <stdexcept>
namespace rdf_lithops {
inline std::vector<Long64_t> look_ntuple(const char *file_name, const char *name, std::istream *columns, std::string &types)
{
   const auto reader = ROOT::RNTupleReader::Open(name, file_name);
   const auto &ntuple = reader->GetDescriptor();
   auto tell = [&](const std::string &column, ROOT::DescriptorId_t field) {
      types += column + "\t" + ntuple.GetFieldDescriptor(field).GetTypeName() + "\n";
   };
   if (!columns)
      for (const auto &field : ntuple.GetTopLevelFields())
         tell(field.GetFieldName(), field.GetId());
   for (std::string column; columns && std::getline(*columns, column);) {
      const auto field = ntuple.FindFieldId(column.substr(0, column.find('.')));
      if (field != ROOT::kInvalidDescriptorId)
         tell(column, field);
   }
   std::set<Long64_t> ends;
   for (const auto &cluster : ntuple.GetClusterIterable())
      ends.insert(cluster.GetFirstEntryIndex() + cluster.GetNEntries());
   std::vector<Long64_t> found{static_cast<Long64_t>(ntuple.GetNEntries())};
   found.insert(found.end(), ends.begin(), ends.end());
   return found;
}
} // namespace rdf_lithops

// Plain C, called by way of ctypes: PyROOT would compile a wrapper for each step.
extern "C" void rdf_lithops_look_ntuple(
   const char *file, const char *name, const char *columns,
   void (*give)(const Long64_t *, std::size_t, const char *, const char *))
{
   try {
      std::istringstream lines{columns ? columns : ""};
      std::string types;
      const auto found = rdf_lithops::look_ntuple(file, name, columns ? &lines : nullptr, types);
      give(found.data(), found.size(), types.c_str(), nullptr);
   } catch (const std::exception &error) {
      give(nullptr, 0, nullptr, error.what());
   } catch (...) { // which must not pass through C
      give(nullptr, 0, nullptr, "an exception that says nothing");
   }
}
#endif
