"""A student's notebook: look at the data, histograms without axes, a report, a plot, arrays, frames of arrays."""

import numpy
import ROOT
from where import EXECUTOR, show

ROOT.gROOT.SetBatch(True)
filling = ROOT.RDataFrame(1500).Define("a", "rdfentry_ / 8.").Define("b", "float(rdfentry_ % 7)")
filling.Define("vec", "ROOT::RVecD{a, b, a * b}").Snapshot("dataset", "example.root", ["a", "b", "vec"])

# cell 1: what is there?
df = ROOT.RDataFrame("dataset", "example.root", **EXECUTOR)
show("columns", sorted(str(name) for name in df.GetColumnNames()))
show("type", str(df.GetColumnType("b")))
df.Display(["a", "b"], 3).Print()
df.Describe().Print()
show("first", df.Range(4).Count().GetValue())

# cell 2: histograms, with the axes that ROOT finds
for column in ("a", "b", "vec"):
    show(column, df.Histo1D(column))
show("weighted", df.Histo1D("a", "b"))

# cell 3: filters, all results in one loop over the data
passing = df.Define("c", "a + b").Filter("c > 20", "c above 20").Filter("b < 5", "b below 5")
count, mean, report = passing.Count(), passing.Mean("c"), df.Report()
show("count", count.GetValue())
show("mean", mean.GetValue())
show("cuts", [(str(cut.GetName()), cut.GetPass(), cut.GetAll()) for cut in report])

# cell 4: a plot
canvas = ROOT.TCanvas()
histogram = passing.Histo1D(("c", "c;c;entries", 40, 0, 200), "c")
histogram.SetLineColor(ROOT.kRed)
histogram.Draw()
canvas.SaveAs("c.png")
graph = passing.Graph("a", "c")
show("graph", sorted(graph.GetPointY(point) for point in range(graph.GetN()))[:20])
show("both", passing.Histo2D(("ab", "", 10, 0, 200, 7, 0, 7), "a", "b").GetMean(2))

# cell 5: to numpy and back
arrays = passing.AsNumpy(["a", "c"])
show("arrays", sorted(arrays["c"].tolist())[:20])
back = ROOT.RDF.FromNumpy({"x": numpy.arange(20.0)}, **EXECUTOR)
show("from numpy", back.Filter("x > 3").Sum("x").GetValue())
show("from nothing", ROOT.RDataFrame(5, **EXECUTOR).Define("x", "42").Redefine("x", "x * 10").Sum("x").GetValue())
