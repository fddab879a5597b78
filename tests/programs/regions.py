"""A ttbar-like analysis: processes, variations of jets and weights, six regions, one RunGraphs, a file of results."""

import ROOT
from where import EXECUTOR, show

ROOT.TH1.AddDirectory(False)
HELPERS = """
#ifndef HELPERS
#define HELPERS
inline float scale_up() { return 1.25f; }
inline ROOT::RVecF resolution(const ROOT::RVecF &pt) { return 1 + pt / 512; }
inline ROOT::RVecD btag_weights(const ROOT::RVecF &pt) { return {1 + pt.size() / 64., 1 - pt.size() / 64.}; }
#endif
"""
with open("helpers.h", "w") as header:
    header.write(HELPERS)
ROOT.gInterpreter.Declare('#include "helpers.h"')

PROCESSES = {"ttbar": 900, "single_top": 400, "wjets": 700}
for number, (process, entries) in enumerate(PROCESSES.items()):
    frame = ROOT.RDataFrame(entries).Define("n", f"2 + (rdfentry_ + {number}) % 5")
    frame = frame.Define(
        "Jet_pt",
        f"ROOT::RVecF v(n); for (auto i = 0ull; i < n; ++i) v[i] = 15 + (rdfentry_ * (i + {number + 2})) % 120; return v;",
    )
    frame = frame.Define("Jet_btag", "return Map(Jet_pt, [](float pt) { return int(pt) % 3 == 0 ? 0.75f : 0.25f; });")
    frame.Define("lepton_pt", "float(20 + rdfentry_ % 60)").Snapshot(
        "Events", f"{process}.root", ["Jet_pt", "Jet_btag", "lepton_pt"]
    )

booked = {}
for process in PROCESSES:
    frame = ROOT.RDataFrame("Events", f"{process}.root", **EXECUTOR).Define("weight", f"{2048 / 1024}")
    frame = frame.Vary(
        "Jet_pt", "ROOT::RVec<ROOT::RVecF>{Jet_pt * scale_up(), Jet_pt * resolution(Jet_pt)}", ["scale_up", "res_up"]
    )
    if process == "wjets":
        frame = frame.Vary("weight", "weight * ROOT::RVecD{1.25, 0.75}", ["flat_up", "flat_down"])
    frame = frame.Filter("lepton_pt > 30").Define("good", "Jet_pt > 30").Filter("Sum(good) >= 2")
    frame = frame.Define("pt", "Jet_pt[good]").Define("tags", "Sum(Jet_btag[good] > 0.5)")
    frame = frame.Vary("weight", "weight * btag_weights(pt)", ["btag_up", "btag_down"])
    for jets in (2, 3, 4):
        for tags in (0, 1):
            region = frame.Filter(f"pt.size() {'>=' if jets == 4 else '=='} {jets} && (tags > 0) == {tags}").Define(
                "HT", "Sum(pt)"
            )
            name = f"{process}_{jets}j{tags}b"
            booked[name] = region.Histo1D(ROOT.RDF.TH1DModel(name, process, 25, 50, 550), "HT", "weight")
varied = {name: ROOT.RDF.Experimental.VariationsFor(histogram) for name, histogram in booked.items()}
show("graphs", ROOT.RDF.RunGraphs(list(booked.values())))
with ROOT.TFile.Open("regions.root", "RECREATE") as written:
    for name, variations in varied.items():
        for key in variations.GetKeys():
            written.WriteObject(variations[key], f"{name}_{str(key).replace(':', '_')}")
with ROOT.TFile.Open("regions.root") as read:
    for name in sorted(str(key.GetName()) for key in read.GetListOfKeys()):
        show(name, read.Get(name))
