"""Read the layout of files: their clusters, and what they hold of some columns. Opens files; reads their metadata alone.

Layouts are kept for the life of the program, each under the version of its file that was looked at; where nobody knows the
version, it is read anew each time. Entry numbers are counted from them, so one that is out of date would be a wrong number.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

# isort: split
import ROOT

from ..files.fingerprints import fingerprints
from .layout import FileLayout

__all__ = ["read_layouts", "size_on_disk"]

logger = logging.getLogger(__name__)

MAX_LAYOUTS = 20_000  # a few kB each
REMOTE_THREADS = 32  # files over the network are waited for, not worked for
Key = tuple[str, str, frozenset[str] | None, str]
_layouts: OrderedDict[Key, FileLayout] = OrderedDict()
_layouts_lock = Lock()
_surveys_lock = Lock()

_TREE_SURVEY = """
#ifndef RDF_LITHOPS_SURVEY_TREE
#define RDF_LITHOPS_SURVEY_TREE
#include <TBranch.h>
#include <TFile.h>
#include <TLeaf.h>
#include <TTree.h>
#include <algorithm>
#include <memory>
#include <set>
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
#endif
"""

# Plain C, called by way of ctypes: PyROOT would compile a wrapper for each step (0.1 s more), and keeps the std::string that
# it makes of an argument with the function, where another thread's call changes it. ``columns``: one a line; null for all.
_GIVEN = """
extern "C" void rdf_lithops_%(function)s(
   const char *file, const char *name, const char *columns, void (*give)(const Long64_t *, std::size_t, const char *))
{
   try {
      std::vector<std::string> wanted;
      std::istringstream lines{columns ? columns : ""};
      for (std::string column; std::getline(lines, column);)
         wanted.push_back(column);
      const auto numbers = rdf_lithops::%(function)s(file, name, wanted, !columns);
      give(numbers.data(), numbers.size(), nullptr);
   } catch (const std::exception &error) {
      give(nullptr, 0, error.what());
   } catch (...) { // which must not pass through C
      give(nullptr, 0, "an exception that says nothing");
   }
}
"""
_GIVE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_longlong), ctypes.c_size_t, ctypes.c_char_p)
_SURVEY = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, _GIVE)

_NTUPLE_SURVEY = """
#ifndef RDF_LITHOPS_SURVEY_NTUPLE
#define RDF_LITHOPS_SURVEY_NTUPLE
#include <ROOT/RNTupleDescriptor.hxx>
#include <ROOT/RNTupleReader.hxx>
#include <map>
#include <set>
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
#endif
"""


def size_on_disk(files: Sequence[str]) -> int | None:
    """Return the bytes of ``files`` together; None if one of them is not a file of this machine."""
    try:
        return sum(os.stat(name).st_size for name in set(files))
    except OSError:
        return None


def read_layouts(  # decision 58
    files: Sequence[str],
    trees: Sequence[str],
    columns: frozenset[str] | None,
    is_ntuple: bool,
    versions: Mapping[str, str] | None = None,
) -> list[FileLayout] | None:
    """Return the layout of each file's tree (or RNTuple), with the bytes of ``columns`` (None: of all); None if a file is
    unreadable.

    Files over the network are opened at the same time. ``versions``, by name, are those in which files are opened while this
    lasts; a file that has none there, and no fingerprint, is looked at each time. What is wrong with a file is for the
    worker to say, which will read it.
    """
    known_as = {**fingerprints(file for file in files if file not in (versions or {})), **(versions or {})}
    keys = [(file, tree, columns, known_as.get(file, "")) for file, tree in zip(files, trees, strict=True)]
    with _layouts_lock:
        known = {key: _layouts[key] for key in keys if key in _layouts}
    missing = list(dict.fromkeys(key for key in keys if key not in known))
    try:
        known.update(zip(missing, _read_all(missing, is_ntuple), strict=True))
    except Exception as problem:  # whatever C++ throws
        logger.info("ranges are cut by fractions of files, as their layout could not be read: %s", problem)
        return None
    with _layouts_lock:
        _layouts.update((key, known[key]) for key in missing if key[-1])
        while len(_layouts) > MAX_LAYOUTS:
            _layouts.popitem(last=False)
    return [known[key] for key in keys]


def _read_all(keys: Sequence[Key], is_ntuple: bool) -> list[FileLayout]:
    with _surveys_lock:
        read = functools.partial(_read, _surveyor(is_ntuple))  # compiled in this thread
        remote = sum("://" in file for file, *_ in keys)
        if remote < 2:
            return list(map(read, keys))
        ROOT.EnableThreadSafety()
        with ThreadPoolExecutor(min(REMOTE_THREADS, len(keys)), thread_name_prefix="rdf_lithops-survey") as pool:
            return list(pool.map(read, keys))


def _read(survey: Any, key: Key) -> FileLayout:
    file, tree, columns, *_ = key
    numbers: list[int] = []
    problems: list[str] = []

    def take(first: Any, count: int, problem: bytes | None) -> None:
        numbers.extend(first[:count] if count else ())
        problems.extend([] if problem is None else [problem.decode(errors="replace")])

    wanted = None if columns is None else "\n".join(sorted(columns)).encode()
    survey(os.fsencode(file), tree.encode(), wanted, _GIVE(take))
    if problems:
        raise RuntimeError(problems[0])
    *numbers, has = numbers
    half = len(numbers) // 2
    return FileLayout(file, tree, tuple(numbers[:half]), tuple(numbers[half:]), has)


@functools.cache
def _surveyor(is_ntuple: bool) -> Any:
    """Return the compiled survey. Other Python threads run while it reads."""
    function = "survey_ntuple" if is_ntuple else "survey_tree"
    code = _NTUPLE_SURVEY if is_ntuple else _TREE_SURVEY
    ROOT.gInterpreter.Declare(code + _GIVEN % {"function": function})
    return _SURVEY(int(ROOT.gInterpreter.Calc(f"(Long_t)&rdf_lithops_{function}")))
