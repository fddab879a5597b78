// The clusters of a tree, and the bytes of its columns in each, for the driver's survey.
#ifndef RDF_LITHOPS_SURVEY_TREE
#define RDF_LITHOPS_SURVEY_TREE
#include <TBranch.h>
#include <TFile.h>
#include <TLeaf.h>
#include <TTree.h>
#include <algorithm>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
namespace rdf_lithops {
inline void add_branch(TBranch *branch, std::set<TBranch *> &found)
{
   found.insert(branch);
   for (auto *leaf : *branch->GetListOfLeaves())
      if (auto *length = static_cast<TLeaf *>(leaf)->GetLeafCount())
         found.insert(length->GetBranch());
   for (auto *inner : *branch->GetListOfBranches())
      add_branch(static_cast<TBranch *>(inner), found);
}

inline TBranch *find_branch(TTree &tree, std::string name)
{
   auto *branch = tree.FindBranch(name.c_str());
   while (!branch && name.find('.') != std::string::npos) { // a member, or a function that is called
      name.erase(name.rfind('.'));
      branch = tree.FindBranch(name.c_str());
   }
   return branch;
}

// Baskets may end inside a cluster, or hold several: their bytes are spread evenly over their entries.
inline void add_bytes(TBranch &branch, const std::vector<Long64_t> &ends, std::vector<double> &bytes)
{
   const auto *first = branch.GetBasketEntry();
   const auto *size = branch.GetBasketBytes();
   std::size_t cluster = 0;
   for (Int_t basket = 0; basket < branch.GetWriteBasket(); ++basket) {
      auto begin = first[basket];
      const auto end = std::min(ends.back(), first[basket + 1]);
      const auto density = end > begin ? double(size[basket]) / (end - begin) : 0.;
      while (cluster < ends.size() && ends[cluster] <= begin)
         ++cluster;
      for (auto inside = cluster; inside < ends.size() && begin < end; ++inside) {
         const auto until = std::min(end, ends[inside]);
         bytes[inside] += density * (until - begin);
         begin = until;
      }
   }
}

// The entry after each cluster, the compressed bytes of the columns in each, and a number for which columns there are.
inline std::vector<Long64_t>
survey_tree(const std::string &file_name, const std::string &name, const std::vector<std::string> &columns, bool all)
{
   std::unique_ptr<TFile> file{TFile::Open(file_name.c_str(), "READ_WITHOUT_GLOBALREGISTRATION")};
   if (!file || file->IsZombie())
      throw std::runtime_error("cannot open " + file_name);
   auto *tree = file->Get<TTree>(name.c_str());
   if (!tree)
      throw std::runtime_error("no tree " + name + " in " + file_name);
   std::set<TBranch *> found;
   std::set<std::string> names;
   if (all)
      for (auto *branch : *tree->GetListOfBranches()) {
         add_branch(static_cast<TBranch *>(branch), found);
         names.insert(branch->GetName());
      }
   for (const auto &column : columns)
      if (auto *branch = find_branch(*tree, column)) {
         add_branch(branch, found);
         names.insert(column);
      }
   std::string there;
   for (const auto &each : names)
      there += each + ';';
   const auto entries = tree->GetEntries();
   auto clusters = tree->GetClusterIterator(0);
   std::vector<Long64_t> result;
   while (clusters() < entries)
      result.push_back(std::min(entries, clusters.GetNextEntry()));
   std::vector<double> bytes(result.size());
   for (auto *branch : found)
      if (!result.empty())
         add_bytes(*branch, result, bytes);
   for (auto each : bytes)
      result.push_back(each + 0.5);
   result.push_back(std::hash<std::string>{}(there));
   return result;
}
} // namespace rdf_lithops

// Plain C, called by way of ctypes: PyROOT would compile a wrapper for each step (0.1 s more), and keeps the std::string that
// it makes of an argument with the function, where another thread's call changes it. ``columns``: one a line; null for all.
extern "C" void rdf_lithops_survey_tree(
   const char *file, const char *name, const char *columns, void (*give)(const Long64_t *, std::size_t, const char *))
{
   try {
      std::vector<std::string> wanted;
      std::istringstream lines{columns ? columns : ""};
      for (std::string column; std::getline(lines, column);)
         wanted.push_back(column);
      const auto numbers = rdf_lithops::survey_tree(file, name, wanted, !columns);
      give(numbers.data(), numbers.size(), nullptr);
   } catch (const std::exception &error) {
      give(nullptr, 0, error.what());
   } catch (...) { // which must not pass through C
      give(nullptr, 0, "an exception that says nothing");
   }
}
#endif
