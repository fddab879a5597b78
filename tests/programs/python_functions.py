"""Python functions: declared through Numba, and as they are in Filter and Define."""

import numpy
import ROOT
from where import EXECUTOR, show


@ROOT.Numba.Declare(["float", "int"], "float")
def to_the_power(x, exponent):
    return x**exponent


@ROOT.Numba.Declare(["RVec<float>", "float"], "RVec<float>")
def above(values, limit):
    return values[values > limit]


scale = 3


def hard(x):
    return x > 20


def scaled(x):
    return scale * x


frame = ROOT.RDataFrame(500, **EXECUTOR).Define("x", "float(rdfentry_ % 50)").Define("v", "ROOT::RVecF{x, 2 * x, 50 - x}")
frame = frame.Define("square", "Numba::to_the_power(x, 2)").Define("large", "Numba::above(v, 30)")
show("square", frame.Histo1D(("square", "", 50, 0, 2500), "square"))
show("large", frame.Histo1D(("large", "", 50, 0, 100), "large"))
selected = frame.Filter(hard, ["x"]).Define("s", scaled, ["x"])
show("scaled", selected.Sum("s").GetValue())
show("arrays", numpy.sort(selected.AsNumpy(["s"])["s"]).tolist())
