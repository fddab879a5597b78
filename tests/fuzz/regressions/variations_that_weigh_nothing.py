"""Weights that are 1 in one variation alone: two ranges in one process."""

from __future__ import annotations

import sys

import ROOT
from fuzz.files import Column, File, Tree
from fuzz.running import Query, Write, main


def book_0(RDataFrame, out):
    df = RDataFrame("t", "a*.root")
    df.Filter("x > 20")
    n2 = df.Redefine("x", "double(x) / 2")
    n3 = n2.Vary("x", "ROOT::RVec<double>{double(x / 2), double(1)}", ["down", "up"], "v3")
    r0 = n3.Sum("x")
    r1 = n3.Histo1D(("h5", "a title;x;y", 1, -1e13, 1e13), "x", "x")
    r2 = df.Max("x")
    r3 = n3.Max("x")
    yield [
        r0,
        ("VariationsFor", ROOT.RDF.Experimental.VariationsFor(r0)),
        r1,
        ("VariationsFor", ROOT.RDF.Experimental.VariationsFor(r1)),
        r2,
        r3,
    ]
    n3.Alias("a4", "x")
    df.Vary("x", "ROOT::RVec<int>{int(x / 2), int(1)}", ["down", "up"], "v5")
    r4 = df.Mean("x")
    yield [r4]


STEPS = [
    Write(
        (
            File(
                path="aa.root",
                trees=(
                    Tree(name="t", columns=(Column(name="x", kind="int"),), entries=54, first=0, cluster=10, ntuple=False),
                ),
            ),
            File(
                path="ab.root",
                trees=(
                    Tree(name="t", columns=(Column(name="x", kind="int"),), entries=10, first=54, cluster=10, ntuple=False),
                ),
            ),
            File(
                path="ac.root",
                trees=(
                    Tree(name="t", columns=(Column(name="x", kind="int"),), entries=76, first=64, cluster=10, ntuple=False),
                ),
            ),
            File(
                path="ad.root",
                trees=(
                    Tree(
                        name="t", columns=(Column(name="x", kind="int"),), entries=106, first=140, cluster=10, ntuple=False
                    ),
                ),
            ),
        )
    ),
    Query((book_0,), 2, {"ranges_per_call": 2}),
]


if __name__ == "__main__":  # PYTHONPATH=tests
    sys.exit(main(STEPS))
