"""A program that skims, reads the skim back by the name that it gave it, skims again, and is run twice in its folder."""

import os

import ROOT
from where import EXECUTOR, show

if not os.path.exists("events.root"):
    ROOT.RDataFrame(1200).Define("x", "int(rdfentry_)").Define("y", "rdfentry_ / 4.").Snapshot("tree", "events.root")

frame = ROOT.RDataFrame("tree", "events.root", **EXECUTOR).Filter("x % 3 == 0", "thirds").Define("z", "x + y")
report = frame.Report()
skimmed = frame.Snapshot("skim", "skim.root", ["x", "z"])
report.Print()
show("columns", sorted(str(name) for name in skimmed.GetColumnNames()))
show("sum of what Snapshot returns", skimmed.Sum("z").GetValue())

again = ROOT.RDataFrame("skim", "skim.root", **EXECUTOR)
show("sum of what is read back", again.Sum("z").GetValue())
options = ROOT.RDF.RSnapshotOptions()
options.fLazy = True
second = again.Filter("x > 600").Snapshot("skim", "harder.root", "z", options)
none = again.Filter("x < 0").Snapshot("skim", "nothing.root")
show("lazily", second.GetValue().Count().GetValue())
show("nothing", none.Count().GetValue())
show("by local ROOT", ROOT.RDataFrame("skim", "harder.root").Max("z").GetValue())
