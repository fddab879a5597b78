// The clusters of an RNTuple, and the bytes of its columns in each, for the driver's survey.
#ifndef RDF_LITHOPS_SURVEY_NTUPLE
#define RDF_LITHOPS_SURVEY_NTUPLE
#include <ROOT/RNTupleDescriptor.hxx>
#include <ROOT/RNTupleReader.hxx>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
namespace rdf_lithops {
inline void
add_field(const ROOT::RNTupleDescriptor &ntuple, ROOT::DescriptorId_t field, std::set<ROOT::DescriptorId_t> &found)
{
   for (const auto &column : ntuple.GetColumnIterable(field))
      found.insert(column.GetPhysicalId());
   for (const auto &inner : ntuple.GetFieldIterable(field))
      add_field(ntuple, inner.GetId(), found);
}

// As survey_tree. Members count as all of their field.
inline std::vector<Long64_t>
survey_ntuple(const std::string &file_name, const std::string &name, const std::vector<std::string> &columns, bool all)
{
   const auto reader = ROOT::RNTupleReader::Open(name, file_name);
   const auto &ntuple = reader->GetDescriptor();
   std::set<ROOT::DescriptorId_t> found;
   if (all)
      for (const auto &field : ntuple.GetTopLevelFields())
         add_field(ntuple, field.GetId(), found);
   for (const auto &column : columns) {
      const auto field = ntuple.FindFieldId(column.substr(0, column.find('.')));
      if (field != ROOT::kInvalidDescriptorId)
         add_field(ntuple, field, found);
   }
   std::map<Long64_t, Long64_t> bytes;
   for (const auto &cluster : ntuple.GetClusterIterable()) {
      auto &sum = bytes[cluster.GetFirstEntryIndex() + cluster.GetNEntries()];
      for (auto column : found)
         if (cluster.ContainsColumn(column))
            for (const auto &page : cluster.GetPageRange(column).GetPageInfos())
               sum += page.GetLocator().GetNBytesOnStorage();
   }
   std::vector<Long64_t> result;
   for (const auto &each : bytes)
      result.push_back(each.first);
   for (const auto &each : bytes)
      result.push_back(each.second);
   result.push_back(0); // all files of an RNTuple have the same columns
   return result;
}
} // namespace rdf_lithops

// Plain C, called by way of ctypes: PyROOT would compile a wrapper for each step (0.1 s more), and keeps the std::string that
// it makes of an argument with the function, where another thread's call changes it. ``columns``: one a line; null for all.
extern "C" void rdf_lithops_survey_ntuple(
   const char *file, const char *name, const char *columns, void (*give)(const Long64_t *, std::size_t, const char *))
{
   try {
      std::vector<std::string> wanted;
      std::istringstream lines{columns ? columns : ""};
      for (std::string column; std::getline(lines, column);)
         wanted.push_back(column);
      const auto numbers = rdf_lithops::survey_ntuple(file, name, wanted, !columns);
      give(numbers.data(), numbers.size(), nullptr);
   } catch (const std::exception &error) {
      give(nullptr, 0, error.what());
   } catch (...) { // which must not pass through C
      give(nullptr, 0, "an exception that says nothing");
   }
}
#endif
