"""Variations were asked for of results that nothing varies: the second range of a process crashed."""

from __future__ import annotations

import sys

import ROOT
from fuzz.running import Query, main


def book_0(RDataFrame, out):
    df = RDataFrame(5).Define("x", "double(rdfentry_)").Define("z", "ROOT::RVecD{x, 1}")
    n1 = df.Vary("x", "ROOT::RVecD{x / 2, 1}", ["down", "up"], "v1")
    r0 = n1.Count()
    r1 = n1.Histo1D(("h", "", 5, 0.0, 10.0), "z")
    r2 = n1.Sum("x")
    yield [r0, *(("VariationsFor", ROOT.RDF.Experimental.VariationsFor(r)) for r in (r0, r1, r2))]


STEPS = [
    Query((book_0,), 5, {"ranges_per_call": 3}),
    Query((book_0,), 3, {"ranges_per_call": 1}),
]


if __name__ == "__main__":  # PYTHONPATH=tests
    sys.exit(main(STEPS))
