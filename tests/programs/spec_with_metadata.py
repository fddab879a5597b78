"""A specification of samples with metadata: cross sections by DefinePerSample, variations of a column and the weight."""

import json

import ROOT
from where import EXECUTOR, show

SAMPLES = {"signal": (2.0, 300), "background": (16.0, 500), "data": (1.0, 200)}
for number, (name, (_, entries)) in enumerate(SAMPLES.items()):
    frame = ROOT.RDataFrame(entries).Define("pt", f"float((rdfentry_ * {number + 5}) % 128)")
    frame.Define("quality", "int(rdfentry_ % 4)").Snapshot("tree", f"{name}.root")
samples = {
    name: {"trees": ["tree"], "files": [f"{name}.root"], "metadata": {"xsec": xsec, "kind": name, "number": number}}
    for number, (name, (xsec, _)) in enumerate(SAMPLES.items())
}
with open("spec.json", "w") as stream:
    json.dump({"samples": samples}, stream)

frame = ROOT.RDF.Experimental.FromSpec("spec.json", **EXECUTOR)
frame = frame.DefinePerSample("xsec", 'rdfsampleinfo_.GetD("xsec")').DefinePerSample("kind", 'rdfsampleinfo_.GetS("kind")')
frame = frame.Define("weight", 'kind == "data" ? 1.0 : xsec / 64').Define(
    "sample", "kind"
)  # the latter as ROOT 6.40 aborts otherwise
frame = frame.Vary("pt", "ROOT::RVecF{pt * 0.5f, pt * 1.5f}", ["down", "up"], "scale")
frame = frame.Vary("weight", "weight * ROOT::RVecD{0.5, 2}", ["low", "high"], "norm")
selected = frame.Filter("pt > 16 && quality > 0")
for name in SAMPLES:
    nominal = selected.Filter(f'sample == "{name}"').Histo1D((name, "", 32, 0, 192), "pt", "weight")
    variations = ROOT.RDF.Experimental.VariationsFor(nominal)
    for key in sorted(str(key) for key in variations.GetKeys()):
        show(f"{name} {key}", variations[key])
show("sum", selected.Sum("weight").GetValue())
