"""RNTuple: written by Snapshot, read with collections and by several files, and written again."""

import ROOT
from where import EXECUTOR, show

options = ROOT.RDF.RSnapshotOptions()
options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
for part in range(3):
    frame = (
        ROOT.RDataFrame(400).Define("n", f"int((rdfentry_ + {part}) % 4)").Define("met", f"float(rdfentry_ + 400 * {part})")
    )
    frame = frame.Define("pt", "ROOT::RVecF v(n); for (int i = 0; i < n; ++i) v[i] = (rdfentry_ * (i + 2)) % 90; return v;")
    frame.Snapshot("events", f"part_{part}.root", ["n", "met", "pt"], options)

frame = ROOT.RDataFrame("events", [f"part_{part}.root" for part in range(3)], **EXECUTOR)
selected = frame.Filter("n > 1", "two").Define("sum", "Sum(pt)").Define("number", "double(rdfentry_)")
histogram = selected.Histo1D(("pt", "", 45, 0, 90), "pt")
profile = selected.Profile1D(("profile", "", 10, 0, 1200), "met", "sum")
numbers = selected.Sum("number")
show("pt", histogram)
show("profile", [profile.GetBinContent(cell) for cell in range(12)])
show("entry numbers", numbers.GetValue())
written = selected.Snapshot("skim", "skim.root", ["met", "sum"], options)
show("skim", [written.Count().GetValue(), written.Sum("sum").GetValue()])
show("read back", ROOT.RDataFrame("skim", "skim.root", **EXECUTOR).Mean("met").GetValue())
