"""Exclusive muon pairs with forward protons: the extremes that one event loop finds are the cuts of the second.

    python benchmarks/examples/two_pass.py --lithops configs/localhost.yaml

The sample is made here, so the answers are known: the first loop must find the ranges of momentum loss that the two arms
see, and in the second the proton's loss minus the pair's must peak at 0 with the width of the detector's resolution.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ROOT

import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
SEEN_XI = ((0.034, 0.110), (0.042, 0.125))  # of the left and the right arm
RESOLUTION_XI = 0.002
SIGNAL_SHARE = 0.3


@dataclass(frozen=True)
class Answer:
    """What the two loops found: per arm the extremes of the protons' momentum loss, then histograms, and the cut flow.

    ``differences`` per arm: the proton's loss minus the pair's; ``correlation`` of the two in the left arm.
    """

    extremes: tuple[tuple[float, float], ...]
    differences: tuple[Any, ...]
    correlation: Any
    acoplanarity: Any
    mass: Any
    cut_flow: dict[str, int]


def make_sample(folder: str, events: int, files: int) -> list[str]:
    """Write ``events`` into ``files`` files of unequal length; returns their names."""
    ROOT.gInterpreter.AddIncludePath(f"-I{HERE}")
    ROOT.gInterpreter.Declare('#include "two_pass_sample.h"')
    arms = [ROOT.two_pass.Arm(*seen) for seen in SEEN_XI]
    edges = [int(events * (i / files) ** 1.5) for i in range(files + 1)]
    names = [os.path.join(folder, f"two_pass_{i}.root") for i in range(files)]
    for name, (first, last) in zip(names, itertools.pairwise(edges), strict=True):
        ROOT.two_pass.write_sample(name, first, last, *arms, RESOLUTION_XI, SIGNAL_SHARE)
    return names


def preselection(df: Any) -> Any:
    """Triggered events with exactly two good muons, and those muons' columns."""
    good = "Muon_pt > 30 && abs(Muon_eta) < 2.1 && Muon_tight == 1 && Muon_isolation < 0.15"
    df = df.Filter("trigger", "triggered").Define("good", good).Filter("Sum(good) == 2", "two good muons")
    for name in ("pt", "eta", "phi", "mass", "charge"):
        df = df.Define(name, f"Muon_{name}[good]")
    return df.Define("aco", "two_pass::acoplanarity(phi)").Define("m", "InvariantMass(pt, eta, phi, mass)")


def selection(df: Any) -> Any:
    """Pairs that look as if the protons had made them and nothing else."""
    df = df.Filter("charge[0] * charge[1] < 0", "opposite charge").Filter("aco < 0.009", "back to back")
    return df.Filter("m > 110", "heavy").Filter("tracks == 0", "nothing else")


def in_arm(df: Any, arm: int) -> Any:
    """Of a selection the events with a proton in ``arm``: the pair's momentum loss on its side, and the nearest proton's."""
    pair = df.Define("pair_xi", f"two_pass::pair_xi(pt, eta, {1 if arm == 0 else -1})")
    nearest = f"two_pass::nearest_xi(Proton_xi, Proton_arm, {arm}, pair_xi)"
    return pair.Define("proton_xi", nearest).Filter("proton_xi > 0")


def analyse(make_frame: Callable[[], Any]) -> Answer:
    """Two event loops over the data frame that ``make_frame`` makes; it does not matter where that runs."""
    ROOT.RDF.Distributed.DistributeHeaders([os.path.join(HERE, "two_pass.h")])
    # fmt: off
    selected = preselection(make_frame())
    chosen = selection(selected)
    arms = [in_arm(chosen, arm) for arm in (0, 1)]
    booked = [(df.Min("proton_xi"), df.Max("proton_xi")) for df in arms]
    extremes = tuple((low.GetValue(), high.GetValue()) for low, high in booked)                     # the first loop

    differences = []
    for df, (low, high) in zip(arms, extremes, strict=True):
        seen = df.Filter(f"pair_xi > {low} && pair_xi < {high}").Define("difference", "proton_xi - pair_xi")
        differences.append(seen.Histo1D(("difference", ";#xi(p) - #xi(#mu#mu)", 100, -0.02, 0.02), "difference"))
    correlation = arms[0].Histo2D(("correlation", "", 64, 0, 0.16, 32, 0, 0.16), "pair_xi", "proton_xi")
    acoplanarity = selected.Histo1D(("acoplanarity", "", 50, 0, 0.05), "aco")
    mass = selected.Histo1D(("mass", ";m(#mu#mu) [GeV]", 75, 0, 1500), "m")
    cuts = {cut.GetName(): cut.GetPass() for cut in chosen.Report().GetValue()}                     # the second loop
    # fmt: on
    return Answer(extremes, tuple(differences), correlation, acoplanarity, mass, cuts)


def peak(histogram: Any) -> tuple[float, float, float]:
    """Position, its uncertainty, and width of a Gaussian peak on a flat background."""
    shape = ROOT.TF1("shape", "gaus(0) + pol0(3)", -0.02, 0.02)
    shape.SetParameters(histogram.GetMaximum(), 0.0, 0.003, 1.0)
    histogram.Fit(shape, "QNRL")
    return shape.GetParameter(1), shape.GetParError(1), abs(shape.GetParameter(2))


def verdicts(answer: Answer) -> dict[str, bool]:
    """What is known of the sample, and whether the answer has it."""
    found = {}
    for arm, (low, high) in enumerate(SEEN_XI):
        least, greatest = answer.extremes[arm]
        position, uncertainty, width = peak(answer.differences[arm].GetValue())
        found[f"arm {arm} sees from {low} to {high}: {least:.4f} to {greatest:.4f}"] = (
            low <= least < low + 0.01 and high - 0.01 < greatest <= high
        )
        found[f"arm {arm} peaks at 0: {position:.5f} +- {uncertainty:.5f}"] = abs(position) < max(5 * uncertainty, 2e-4)
        found[f"arm {arm} is {RESOLUTION_XI} wide: {width:.5f}"] = math.isclose(width, RESOLUTION_XI, rel_tol=0.25)
    return found


def main() -> None:
    """Make a sample, analyse it where the command line says, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--lithops", help="a Lithops configuration file; without it ROOT runs here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_sample(folder, given.events, given.files)
        where = {}
        if given.lithops:
            import lithops

            where = {"executor": lithops.FunctionExecutor(config_file=given.lithops)}
        answer = analyse(lambda: ROOT.RDataFrame("Events", files, **where))
    print("\n".join(f"{name:<20} {events:>9}" for name, events in answer.cut_flow.items()))
    for text, true in verdicts(answer).items():
        print("found " if true else "NOT FOUND ", text)


if __name__ == "__main__":
    main()
