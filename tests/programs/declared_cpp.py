"""An analysis that gives C++ to the interpreter in every way: functions, headers, macros, a library, a value.

The weights are exact, so that sums do not depend on their order.
"""

import os

import ROOT
from where import EXECUTOR, show

FILES = {
    "tools/tools.h": '#pragma once\n#include "deeper/units.h"\ninline double corrected(double x) { return 1.5 * x; }\n',
    "tools/deeper/units.h": "#pragma once\nconstexpr double gev = 1;\n",
    "weights.C": "double weight(double pt) { return pt > 50 ? 0.875 : 1.125; }\n",
    "turn_on.C": "double turn_on(double pt) { return pt > 30 ? 0.75 : 0.25; }\n",
    "scale.C": "namespace scales { struct Scale { double by; double operator()(double x) const { return by * x; } }; }\n",
}
for name, text in FILES.items():
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "w") as stream:
        stream.write(text)

ROOT.gInterpreter.AddIncludePath(os.path.join(os.getcwd(), "tools"))
ROOT.gInterpreter.Declare('#include "tools.h"\ndouble threshold = 20;\nbool passes(double pt) { return pt > threshold; }')
ROOT.gInterpreter.ProcessLine("using namespace ROOT::Math;")
ROOT.gROOT.ProcessLine(".L weights.C")
ROOT.gROOT.LoadMacro("turn_on.C")
ROOT.gSystem.CompileMacro("scale.C", "kO")
ROOT.gInterpreter.ProcessLine("auto scale = scales::Scale{0.5};")
ROOT.gSystem.Load("libPhysics")

frame = ROOT.RDataFrame(1000, **EXECUTOR).Define("pt", "corrected(rdfentry_ % 100)").Define("w", "weight(pt) * turn_on(pt)")
frame = frame.Define("px", "scale(TVector3(pt, 0, 0).X())").Define("mass", "PtEtaPhiMVector(pt, 0, 0, 2 * gev).M()")
for threshold in (20, 40):
    ROOT.threshold = threshold
    passing = frame.Filter("passes(pt)")
    show(f"pt above {threshold}", passing.Histo1D(("pt", "", 20, 0.0, 150.0), "pt", "w"))
    show(f"px above {threshold}", passing.Sum("px").GetValue())
    show(f"mass above {threshold}", passing.Mean("mass").GetValue())
