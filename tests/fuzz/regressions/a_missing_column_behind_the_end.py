"""A range that ends where a file does, before one without a column that nobody computes."""

from __future__ import annotations

import sys

import ROOT
from fuzz.files import Column, File, Tree
from fuzz.running import Query, Write, main


def book_0(RDataFrame, out):
    chain = ROOT.TChain("t")
    chain.Add("aa.root")
    chain.Add("ab.root")
    chain.Add("ac.root")
    chain.Add("ad.root")
    df = RDataFrame(chain)
    n1 = df.Define("d1", "y * 2")
    n2 = n1.Alias("a2", "d1")
    n2.Filter("x <= 0")
    r0 = n1.Report()
    yield [r0]


STEPS = [
    Write(
        (
            File(
                path="aa.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(Column(name="x", kind="float"), Column(name="y", kind="double[n]")),
                        entries=1,
                        first=0,
                        cluster=1000,
                        ntuple=False,
                    ),
                ),
            ),
            File(
                path="ab.root",
                trees=(
                    Tree(
                        name="t", columns=(Column(name="x", kind="float"),), entries=2, first=1, cluster=1000, ntuple=False
                    ),
                ),
            ),
            File(
                path="ac.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(Column(name="x", kind="float"), Column(name="y", kind="double[n]")),
                        entries=2,
                        first=3,
                        cluster=1000,
                        ntuple=False,
                    ),
                ),
            ),
            File(
                path="ad.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(Column(name="x", kind="float"), Column(name="y", kind="double[n]")),
                        entries=83,
                        first=5,
                        cluster=1000,
                        ntuple=False,
                    ),
                ),
            ),
        )
    ),
    Query((book_0,), 9, {"survey": False}),
]


if __name__ == "__main__":  # PYTHONPATH=tests
    sys.exit(main(STEPS))
