"""An RNTuple without entries that lacks a field, among others."""

from __future__ import annotations

import sys

from fuzz.files import Column, File, Tree
from fuzz.running import Query, Write, main


def book_0(RDataFrame, out):
    df = RDataFrame("t", ["aa.root", "ab.root", "ac.root", "ad.root"])
    df.Filter("x <= 20", "other cut")
    r0 = df.AsNumpy(["x", "z", "y"], lazy=True)
    r1 = df.Count()
    r2 = df.Histo1D(("h4", "a title;x;y", 5, 0.0, 100.0), "y", "x")
    r3 = df.Histo3D(("h5", "a title;x;y", 5, 0.0, 100.0, 8, -10.0, 30.0, 1, -1e13, 1e13), "x", "y", "x")
    yield [r0, r1, r2, r3]


def book_1(RDataFrame, out):
    df = RDataFrame("t", ["aa.root", "ab.root", "ac.root", "ad.root"])
    df.Filter("x <= 20", "other cut")
    r0 = df.AsNumpy(["x", "z", "y"], lazy=True)
    r1 = df.Count()
    r2 = df.Histo1D(("h4", "a title;x;y", 5, 0.0, 100.0), "y", "x")
    r3 = df.Histo3D(("h5", "a title;x;y", 5, 0.0, 100.0, 8, -10.0, 30.0, 1, -1e13, 1e13), "x", "y", "x")
    yield [r0, r1, r2, r3]


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
                            Column(name="y", kind="double"),
                            Column(name="z", kind="int"),
                        ),
                        entries=0,
                        first=0,
                        cluster=7,
                        ntuple=True,
                    ),
                ),
            ),
            File(
                path="ab.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(Column(name="x", kind="double"), Column(name="y", kind="double")),
                        entries=0,
                        first=0,
                        cluster=7,
                        ntuple=True,
                    ),
                ),
            ),
            File(
                path="ac.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(
                            Column(name="x", kind="double"),
                            Column(name="y", kind="double"),
                            Column(name="z", kind="int"),
                        ),
                        entries=64,
                        first=0,
                        cluster=7,
                        ntuple=True,
                    ),
                ),
            ),
            File(
                path="ad.root",
                trees=(
                    Tree(
                        name="t",
                        columns=(
                            Column(name="x", kind="double"),
                            Column(name="y", kind="double"),
                            Column(name="z", kind="int"),
                        ),
                        entries=64,
                        first=64,
                        cluster=7,
                        ntuple=True,
                    ),
                ),
            ),
        )
    ),
    Query((book_0,), 2, {"survey": False}),
    Query((book_1,), 5, {"fold_partials": 2}),
]


if __name__ == "__main__":  # PYTHONPATH=tests
    sys.exit(main(STEPS))
