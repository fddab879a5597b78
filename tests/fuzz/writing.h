// Files with columns of any kind, whose values depend on the column's name, the entry and nothing else.
#pragma once
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriteOptions.hxx>
#include <ROOT/RNTupleWriter.hxx>
#include <ROOT/RVec.hxx>
#include <TFile.h>
#include <TTree.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace fuzz {

inline std::uint64_t hash(std::uint64_t seed, std::uint64_t entry)
{
   std::uint64_t h = seed * 0x9E3779B97F4A7C15ull + entry + 0x632BE59BD9B4E019ull;
   h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ull;
   h = (h ^ (h >> 27)) * 0x94D049BB133111EBull;
   return h ^ (h >> 31);
}

// Quarters and small integers, whose sums and products are exact in any order; integers now and then as large as they get.
template <typename T>
void set(T &value, std::uint64_t seed, std::uint64_t entry)
{
   const auto h = hash(seed, entry);
   if constexpr (std::is_same_v<T, bool>)
      value = h % 3 == 0;
   else if constexpr (std::is_floating_point_v<T>)
      value = T(h % 160) / 4 - 8 + (seed % 5 == 0 ? T(1 << 20) : 0); // some columns lie far from 0
   else if constexpr (std::is_integral_v<T>)
      value = h % 29 == 0 ? (sizeof(T) < 8 ? std::numeric_limits<T>::max() : T(1) << 40) : T(h % 90) - (std::is_signed_v<T> ? 20 : 0);
   else if constexpr (std::is_same_v<T, std::string>)
      value = std::string(h % 4, 'a' + char(h % 26));
   else {
      value.clear();
      for (std::uint64_t i = 0; i < h % 4; ++i) {
         typename T::value_type element{};
         set(element, seed + 1 + i, entry);
         value.push_back(element);
      }
   }
}

struct Column {
   std::uint64_t seed;
   virtual ~Column() = default;
   virtual void fill(std::uint64_t entry) = 0;
};

template <typename T>
struct Plain : Column {
   std::shared_ptr<T> value;
   Plain(TTree &tree, const std::string &name) : value(std::make_shared<T>()) { tree.Branch(name.c_str(), value.get()); }
   Plain(ROOT::RNTupleModel &model, const std::string &name) : value(model.MakeField<T>(name)) {}
   void fill(std::uint64_t entry) override { set(*value, seed, entry); }
};

// T[3] or, with a branch of the lengths, T[n_name]
template <typename T, bool fixed>
struct Array : Column {
   int size = 3;
   T values[3] = {};
   Array(TTree &tree, const std::string &name)
   {
      const std::string code = std::is_same_v<T, int> ? "/I" : std::is_same_v<T, float> ? "/F" : "/D", length = "n_" + name;
      if (!fixed)
         tree.Branch(length.c_str(), &size, (length + "/I").c_str());
      tree.Branch(name.c_str(), values, (name + "[" + (fixed ? "3" : length) + "]" + code).c_str());
   }
   void fill(std::uint64_t entry) override
   {
      size = fixed ? 3 : int(hash(seed, entry) % 4);
      for (int i = 0; i < 3; ++i)
         set(values[i], seed + 1 + i, entry);
   }
};

template <typename Where>
std::unique_ptr<Column> column(Where &where, const std::string &name, const std::string &kind)
{
#define FUZZ_KIND(...)        \
   if (kind == #__VA_ARGS__) \
      return std::make_unique<Plain<__VA_ARGS__>>(where, name);
   FUZZ_KIND(bool) FUZZ_KIND(char) FUZZ_KIND(unsigned char) FUZZ_KIND(short) FUZZ_KIND(unsigned short)
   FUZZ_KIND(int) FUZZ_KIND(unsigned int) FUZZ_KIND(Long64_t) FUZZ_KIND(ULong64_t) FUZZ_KIND(float) FUZZ_KIND(double)
   FUZZ_KIND(std::string) FUZZ_KIND(ROOT::RVec<int>) FUZZ_KIND(ROOT::RVec<float>) FUZZ_KIND(ROOT::RVec<double>)
   FUZZ_KIND(std::vector<int>) FUZZ_KIND(std::vector<float>) FUZZ_KIND(std::vector<double>)
   FUZZ_KIND(std::vector<std::string>) FUZZ_KIND(std::vector<std::vector<float>>)
#undef FUZZ_KIND
   if constexpr (std::is_same_v<Where, TTree>) {
      if (kind == "int[3]") return std::make_unique<Array<int, true>>(where, name);
      if (kind == "float[3]") return std::make_unique<Array<float, true>>(where, name);
      if (kind == "int[n]") return std::make_unique<Array<int, false>>(where, name);
      if (kind == "double[n]") return std::make_unique<Array<double, false>>(where, name);
   }
   throw std::invalid_argument("no such kind of column: " + kind);
}

struct Columns {
   std::vector<std::unique_ptr<Column>> all;
   template <typename Where>
   Columns(Where &where, const std::vector<std::string> &names, const std::vector<std::string> &kinds)
   {
      for (std::size_t i = 0; i < names.size(); ++i) {
         all.push_back(column(where, names[i], kinds[i]));
         std::uint64_t seed = 7;
         for (char c : names[i])
            seed = seed * 31 + std::uint64_t(c);
         all.back()->seed = seed;
      }
   }
   void fill(std::uint64_t entry)
   {
      for (auto &one : all)
         one->fill(entry);
   }
};

// A tree or RNTuple with `entries` entries that are numbered from `first`, a cluster each `cluster` of them; may lie in a folder.
inline void write(const std::string &path, const std::string &where, const std::vector<std::string> &names,
                  const std::vector<std::string> &kinds, std::uint64_t entries, std::uint64_t first, std::uint64_t cluster, bool ntuple)
{
   TFile file(path.c_str(), "UPDATE");
   const auto slash = where.rfind('/');
   const auto folder = slash == std::string::npos ? "" : where.substr(0, slash), name = where.substr(slash + 1);
   TDirectory *place = &file;
   if (!folder.empty()) {
      file.mkdir(folder.c_str(), "", true);
      place = file.GetDirectory(folder.c_str());
   }
   if (ntuple) {
      auto model = ROOT::RNTupleModel::Create();
      Columns columns(*model, names, kinds);
      auto writer = ROOT::RNTupleWriter::Append(std::move(model), name, *place);
      for (std::uint64_t i = 0; i < entries; ++i) {
         columns.fill(first + i);
         writer->Fill();
         if ((i + 1) % cluster == 0)
            writer->CommitCluster();
      }
   } else {
      place->cd();
      auto tree = new TTree(name.c_str(), name.c_str());
      tree->SetAutoFlush(Long64_t(cluster));
      Columns columns(*tree, names, kinds);
      for (std::uint64_t i = 0; i < entries; ++i) {
         columns.fill(first + i);
         tree->Fill();
      }
      tree->Write();
      tree->ResetBranchAddresses();
   }
   file.Close();
}

} // namespace fuzz
