"""A specification whose global range holds no entry, at the end of the dataset."""

from __future__ import annotations

import sys

import ROOT
from fuzz.files import Column, File, Tree
from fuzz.running import Query, Write, main


def book_0(RDataFrame, out):
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    spec.AddSample(ROOT.RDF.Experimental.RSample("s", "t", ["aa.root"]))
    spec.WithGlobalRange((1, 1))
    df = RDataFrame(spec)
    n1 = df.FilterMissing("x")
    n2 = df.Alias("a2", "x")
    n3 = n1.Define("d3", "y * 2")
    n4 = n2.Filter("rdfentry_ % 5 != 2", "other cut")
    r0 = df.Max("x")
    r1 = n3.Histo2D(("h9", "a title;x;y", 1, -1e13, 1e13, 8, -10.0, 30.0), "x", "x")
    r2 = n4.Mean("a2")
    yield [r0, r1, r2]
    n2.Vary("x", "ROOT::RVec<double>{double(x / 2), double(1)}", ["down", "up"], "v5")
    r3 = n4.Mean("a2")
    r4 = n1.Min("y")
    yield [r3, r4]


STEPS = [
    Write(
        (
            File(
                path="aa.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(
                            Column(name="x", kind="double"),
                            Column(name="y", kind="ROOT::RVec<float>"),
                            Column(name="z", kind="std::string"),
                        ),
                        entries=1,
                        first=0,
                        cluster=7,
                        ntuple=False,
                    ),
                    Tree(
                        name="other",
                        columns=(Column(name="x", kind="double"),),
                        entries=78,
                        first=0,
                        cluster=10,
                        ntuple=False,
                    ),
                ),
            ),
        )
    ),
    Query((book_0,), 8),
]


if __name__ == "__main__":  # PYTHONPATH=tests
    sys.exit(main(STEPS))
