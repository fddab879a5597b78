"""What one file holds of a dataset: entries, clusters, and the types of some columns. Opens it once, with ROOT."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .compiling import compiling_quickly

__all__ = ["Look", "TypeChange", "look", "prepare", "type_change"]

_TREE_CODE = """
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
   types = std::string("\\t") + tree->GetName() + "\\n";
   auto tell = [&types](const std::string &column, TBranch &branch) { types += column + "\\t" + type_of(branch) + "\\n"; };
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
"""
_NTUPLE_CODE = """
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
      types += column + "\\t" + ntuple.GetFieldDescriptor(field).GetTypeName() + "\\n";
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
"""
_GIVE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_longlong), ctypes.c_size_t, ctypes.c_char_p, ctypes.c_char_p)
_LOOK = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, _GIVE)
# what ROOT reads with one and the same type
_SAME = (("Double32_t", "Double_t"), ("Float16_t", "Float_t"))


class TypeChange(RuntimeError):
    """A column that the graph names has another type in another file of the dataset."""


@dataclass(frozen=True)
class Look:
    """A tree in a file: its entries, the entry after each cluster, the type of each column that was asked for and is there,
    and its own name, which need not be that of its key."""

    entries: int
    ends: tuple[int, ...]
    types: dict[str, str]
    name: str

    @property
    def boundaries(self) -> list[int]:
        """As DistRDF has them: with the first entry."""
        return [0, *self.ends]


@functools.cache
def _looker(is_ntuple: bool) -> Any:
    """The compiled function. Other Python threads run while it reads."""
    import ROOT

    with compiling_quickly():  # it waits for a disk
        ROOT.gInterpreter.Declare(_NTUPLE_CODE if is_ntuple else _TREE_CODE)
        return _LOOK(int(ROOT.gInterpreter.Calc(f"(Long_t)&rdf_lithops_look_{'ntuple' if is_ntuple else 'tree'}")))


def prepare() -> None:
    """Compile what looks into trees, before somebody waits for it."""
    _looker(False)


def look(file: str, tree: str, columns: Sequence[str] | None, is_ntuple: bool) -> Look:
    """Look into ``file`` (for the types of all columns with None). Raises RuntimeError where there is no such tree."""
    numbers: list[int] = []
    told: dict[str, str] = {}
    problems: list[str] = []

    def take(first: Any, count: int, types: bytes | None, problem: bytes | None) -> None:
        numbers.extend(first[:count] if count else ())
        told.update((line.split("\t", 1)[0], line.split("\t", 1)[1]) for line in _lines(types))
        problems.extend([] if problem is None else [problem.decode(errors="replace")])

    wanted = None if columns is None else "\n".join(columns).encode()
    _looker(is_ntuple)(os.fsencode(file), tree.encode(), wanted, _GIVE(take))
    if problems:
        raise RuntimeError(problems[0])
    own_name = told.pop("", tree.rpartition("/")[2])
    return Look(numbers[0], tuple(numbers[1:]), {name: _plain(text) for name, text in told.items()}, own_name)


def _lines(text: bytes | None) -> list[str]:
    return (text or b"").decode(errors="replace").splitlines()


def _plain(text: str) -> str:
    for given, meant in _SAME:
        text = text.replace(given, meant)
    return " ".join(text.split())


def type_change(one: Mapping[str, str], one_file: str, other: Mapping[str, str], other_file: str) -> str:
    """What is wrong where a column has one type in one file and another one in another; empty where nothing is."""
    for name, seen in other.items():
        if name in one and one[name] != seen:
            return (
                f"column {name!r} is {one[name]} in {one_file} and {seen} in {other_file}: ROOT reads all files of a "
                "dataset with one type, so the numbers would be wrong; make a data frame for each kind of file"
            )
    return ""
