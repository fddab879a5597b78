"""Sixty samples, a data frame and the same analysis for each, run together by RunGraphs; one of them is empty."""

import ROOT
from where import EXECUTOR, show

for sample in range(60):
    entries = ROOT.RDataFrame(0 if sample == 17 else 50 + sample).Define("pt", f"double((rdfentry_ * {sample + 3}) % 100)")
    entries.Define("weight", f"{1 + sample % 4} / 4.").Snapshot("tree", f"sample_{sample}.root")

histograms, counts = {}, {}
for sample in range(60):
    frame = ROOT.RDataFrame("tree", f"sample_{sample}.root", **EXECUTOR)
    selected = frame.Filter("pt > 20", "hard").Define("scaled", f"pt * {1 + sample / 64}")
    histograms[sample] = selected.Histo1D((f"pt_{sample}", "", 25, 0, 200), "scaled", "weight")
    counts[sample] = selected.Count()
show("graphs", ROOT.RDF.RunGraphs(list(histograms.values())))
for sample, histogram in histograms.items():
    show(f"sample {sample}", histogram)
show("counts", [count.GetValue() for count in counts.values()])
