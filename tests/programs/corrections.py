"""Corrections of correctionlib, through its headers, and a table of one's own in a class that ACLiC has compiled."""

import json

import correctionlib
import ROOT
from where import EXECUTOR, show

correctionlib.register_pyroot_binding()
BINNING = {
    "nodetype": "binning",
    "input": "pt",
    "edges": [0.0, 20.0, 50.0, 1000.0],
    "content": [0.5, 0.75, 1.25],
    "flow": "clamp",
}
INPUTS, OUTPUT = [{"name": "pt", "type": "real"}], {"name": "weight", "type": "real"}
with open("corrections.json", "w") as stream:
    one = {"name": "sf", "version": 1, "inputs": INPUTS, "output": OUTPUT, "data": BINNING}
    json.dump({"schema_version": 2, "corrections": [one]}, stream)
with open("Table.C", "w") as stream:
    stream.write("class Table { public: double At(double pt) const { return pt < 30 ? 1.5 : 0.25; } };\n")

ROOT.gInterpreter.Declare('auto corrections = correction::CorrectionSet::from_file("corrections.json");')
ROOT.gInterpreter.Declare('auto sf = corrections->at("sf");')
ROOT.gROOT.ProcessLine(".L Table.C+")
ROOT.gInterpreter.ProcessLine("Table table;")

frame = (
    ROOT.RDataFrame(400, **EXECUTOR).Define("pt", "double(rdfentry_ % 80)").Define("w", "sf->evaluate({pt}) * table.At(pt)")
)
show("pt", frame.Histo1D(("pt", "", 40, 0, 80), "pt", "w"))
show("sum", frame.Sum("w").GetValue())
