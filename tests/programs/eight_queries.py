"""Eight queries in one loop, each with a data frame of its own, the helpers of the later ones declared on the way."""

import ROOT
from where import EXECUTOR, show

ROOT.gRandom.SetSeed(1)
events = ROOT.RDataFrame(2000).Define("nJet", "int(rdfentry_ % 5)").Define("MET_pt", "float(rdfentry_ % 211)")
events = events.Define(
    "Jet_pt", "ROOT::RVecF v(nJet); for (int i = 0; i < nJet; ++i) v[i] = 10 + (rdfentry_ * (i + 3)) % 97; return v;"
)
events = events.Define("Jet_eta", "return Map(Jet_pt, [](float pt) { return (int(pt) % 40 - 20) / 8.f; });")
events.Snapshot("Events", "events.root", ["nJet", "MET_pt", "Jet_pt", "Jet_eta"])

PAIRS = """
template <typename T> using Vec = const ROOT::RVec<T> &;
ROOT::RVecF pair_sums(Vec<float> pt) {
   ROOT::RVecF sums;
   const auto pairs = ROOT::VecOps::Combinations(pt, 2);
   for (auto i = 0u; i < pairs[0].size(); ++i)
      sums.push_back(pt[pairs[0][i]] + pt[pairs[1][i]]);
   return sums;
}
"""
TRIPLES = "float hardest_triple(Vec<float> pt) { return pt.size() < 3 ? -1 : Sum(Take(Reverse(Sort(pt)), 3)); }"
QUERIES = {
    "met": lambda df: df.Histo1D(("met", "", 100, 0, 200), "MET_pt"),
    "all jets": lambda df: df.Histo1D(("jets", "", 100, 15, 60), "Jet_pt"),
    "central jets": lambda df: df.Define("good", "Jet_pt[abs(Jet_eta) < 1.0]").Histo1D(("central", "", 100, 15, 60), "good"),
    "two hard jets": lambda df: df.Filter("Sum(Jet_pt > 40) > 1", "two").Histo1D(("met2", "", 100, 0, 200), "MET_pt"),
    "pairs": lambda df: (
        df.Filter("nJet > 1").Define("sums", "pair_sums(Jet_pt)").Histo1D(("pairs", "", 50, 20, 220), "sums")
    ),
    "triples": lambda df: df.Filter("nJet >= 3").Define("t", "hardest_triple(Jet_pt)").Histo1D(("t", "", 50, 0, 300), "t"),
    "lone jets": lambda df: (
        df.Filter("Sum(Jet_pt > 30) == 1").Define("n", "Max(Jet_pt)").Histo1D(("n", "", 50, 30, 130), "n")
    ),
    "weighted": lambda df: df.Define("w", "nJet + 0.5").Histo1D(("w", "", 40, 0, 220), "MET_pt", "w"),
}
for number, (name, query) in enumerate(QUERIES.items()):
    if number == 4:
        ROOT.gInterpreter.Declare(PAIRS)
    if number == 5:
        ROOT.gInterpreter.Declare(TRIPLES)
    show(name, query(ROOT.RDataFrame("Events", "events.root", **EXECUTOR)))
