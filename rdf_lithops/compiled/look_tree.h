// What one file holds of a tree, for frame/schema.py.
#ifndef RDF_LITHOPS_LOOK_TREE
#define RDF_LITHOPS_LOOK_TREE
#include <TBranch.h>
#include <TFile.h>
#include <TLeaf.h>
#include <TTree.h>
#include <algorithm>
#include <memory>
#include <sstream>
#include <stdexcept>
namespace rdf_lithops {
inline std::string type_of(TBranch &branch)
{
   std::string type = branch.GetClassName();
   for (auto *each : *branch.GetListOfLeaves()) {
      auto *leaf = static_cast<TLeaf *>(each);
      type += std::string(" ") + leaf->GetTypeName();
      if (auto *length = leaf->GetLeafCount())
         type += std::string("[") + length->GetName() + "]";
      if (leaf->GetLenStatic() != 1)
         type += "[" + std::to_string(leaf->GetLenStatic()) + "]";
   }
   return type;
}

// Entries, then the entry after each cluster; in ``types`` a line of name, tab and type for each column that is there.
inline std::vector<Long64_t> look_tree(const char *file_name, const char *name, std::istream *columns, std::string &types)
{
   std::unique_ptr<TFile> file{TFile::Open(file_name, "READ_WITHOUT_GLOBALREGISTRATION")};
   if (!file || file->IsZombie())
      throw std::runtime_error(std::string("cannot open ") + file_name);
   auto *tree = file->Get<TTree>(name);
   if (!tree)
      throw std::runtime_error(std::string("no tree ") + name + " in " + file_name);
   types = std::string("\t") + tree->GetName() + "\n";
   auto tell = [&types](const std::string &column, TBranch &branch) { types += column + "\t" + type_of(branch) + "\n"; };
   if (!columns)
      for (auto *branch : *tree->GetListOfBranches())
         tell(branch->GetName(), *static_cast<TBranch *>(branch));
   for (std::string column; columns && std::getline(*columns, column);) {
      auto *branch = tree->FindBranch(column.c_str());
      for (auto outer = column; !branch && outer.find('.') != std::string::npos;) { // a member, or a function that is called
         outer.erase(outer.rfind('.'));
         branch = tree->FindBranch(outer.c_str());
      }
      if (branch)
         tell(column, *branch);
   }
   std::vector<Long64_t> found{tree->GetEntries()};
   auto clusters = tree->GetClusterIterator(0);
   while (clusters() < found[0])
      found.push_back(std::min(found[0], clusters.GetNextEntry()));
   return found;
}

} // namespace rdf_lithops

// Plain C, called by way of ctypes: PyROOT would compile a wrapper for each step.
extern "C" void rdf_lithops_look_tree(
   const char *file, const char *name, const char *columns,
   void (*give)(const Long64_t *, std::size_t, const char *, const char *))
{
   try {
      std::istringstream lines{columns ? columns : ""};
      std::string types;
      const auto found = rdf_lithops::look_tree(file, name, columns ? &lines : nullptr, types);
      give(found.data(), found.size(), types.c_str(), nullptr);
   } catch (const std::exception &error) {
      give(nullptr, 0, nullptr, error.what());
   } catch (...) { // which must not pass through C
      give(nullptr, 0, nullptr, "an exception that says nothing");
   }
}
#endif
