"""Predicted against billed: ten runs of different shapes, planned before and measured after.

    python -m benchmarks.predictions                 # on the stand-in of Lambda (tests/lambda_standin), which counts all
    python -m benchmarks.predictions --scale 0.01    # does it work? figures without meaning

The first plan of a graph guesses its speed: that is the first of each shape's three runs, on a tenth of the data. The
second plan knows the graph from it, and is what is asked about; the third knows the second. Billed is what the stand-in
counted, from each event's arrival to its answer, initialisation included; reported is what the run's report says.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import ROOT

import rdf_lithops
from rdf_lithops import demo

QUOTA = 2
ALLOWED = 0.25


def empty(entries: int) -> Callable[[dict[str, Any]], Any]:
    """A data frame without a file."""
    return lambda given: ROOT.RDataFrame(entries, **given)


def heavy(frame: Any) -> Any:
    """A loop that computes more than it reads."""
    code = "double s = 0; for (int i = 1; i < 200; ++i) s += std::sin(double(rdfentry_) / i); return s;"
    return frame.Define("s", code).Sum("s")


def light(frame: Any) -> Any:
    """A sum of what is counted."""
    return frame.Define("n", "double(rdfentry_ % 7)").Filter("n > 2").Sum("n")


def histograms(frame: Any) -> Any:
    """Forty histograms of ten thousand bins: a large result."""
    cut = frame.Define("n", "double(rdfentry_ % 1000)")
    booked = [cut.Histo1D((f"h{i}", "", 10_000, 0.0, 1000.0), "n") for i in range(40)]
    return booked[0], booked


def variations(frame: Any) -> Any:
    """A histogram with ten variations."""
    tags = [str(i) for i in range(10)]
    varied = frame.Define("n", "double(rdfentry_ % 100)").Vary("n", "ROOT::RVecD(10, n + 1)", tags)
    nominal = varied.Histo1D(("v", "", 100, 0.0, 100.0), "n")
    return nominal, ROOT.RDF.Experimental.VariationsFor(nominal)


def mass(frame: Any) -> Any:
    """The spectrum of two opposite muons."""
    pairs = frame.Filter("nMuon == 2").Filter("Muon_charge[0] != Muon_charge[1]")
    masses = pairs.Define("mass", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return masses.Histo1D(("mass", "", 300, 0.25, 300.0), "mass")


def momenta(frame: Any) -> Any:
    """One column of many."""
    return frame.Histo1D(("pt", "", 100, 0.0, 100.0), "Muon_pt")


def all_columns(frame: Any) -> Any:
    """Every column, and next to nothing done with it."""
    names = ("pt", "eta", "phi", "mass", "charge")
    booked = [frame.Define(f"s_{name}", f"Sum(Muon_{name})").Sum(f"s_{name}") for name in names]
    return booked[0], booked


def shapes(scale: float, folder: str) -> Iterator[tuple[str, Callable[[int], Any], Callable[[Any], Any], dict[str, Any]]]:
    """Name, data frame of a share of the data, what is booked, and keywords of the data frame."""
    many = demo.make_sample(str(Path(folder) / "many"), events=max(4000, int(4e6 * scale)))
    few = demo.make_sample(str(Path(folder) / "few"), events=max(4000, int(4e5 * scale)))

    def entries(number: float) -> Callable[[int], Any]:
        return lambda share: empty(max(100, int(number * scale) // share))

    def files(share: int, names: list[str] = many) -> Callable[[dict[str, Any]], Any]:
        read = names if share == 1 else few
        return lambda given: ROOT.RDataFrame(demo.TREE, read, **given)

    def uneven(share: int) -> Callable[[dict[str, Any]], Any]:
        return files(share, [few[0], many[0], few[1], many[1]])

    yield "light, 2 calls", entries(4e7), light, {"npartitions": 2}
    yield "light, 16 ranges in 2 calls", entries(4e7), light, {"npartitions": 16}
    yield "heavy, 2 calls", entries(4e6), heavy, {"npartitions": 2}
    yield "heavy, 8 calls", entries(4e6), heavy, {"npartitions": 8, "options": {"ranges_per_call": 1}}
    yield "large results, 4 calls", entries(4e6), histograms, {"npartitions": 4, "options": {"ranges_per_call": 1}}
    yield "variations, 2 calls", entries(4e6), variations, {"npartitions": 2}
    yield "dimuon, as planned", files, mass, {}
    yield "dimuon, files of 1 and 10 sizes, 6 calls", uneven, mass, {"npartitions": 6, "options": {"ranges_per_call": 1}}
    yield "one column, 3 calls", files, momenta, {"npartitions": 3, "options": {"ranges_per_call": 1}}
    yield "all columns, 4 calls", files, all_columns, {"npartitions": 4, "options": {"ranges_per_call": 1}}


@dataclass(frozen=True)
class Run:
    """GB-s that the plan expected, that the stand-in counted, and that the report says."""

    predicted: float
    billed: float
    reported: float

    @property
    def off(self) -> float:
        """How far the prediction was from the bill."""
        return self.predicted / self.billed - 1


def run(service: Any, frame: Any, book: Callable[[Any], Any]) -> Run:
    """Plan, run and count."""
    booked = book(frame)
    first = booked[0] if isinstance(booked, tuple) else booked
    plan = rdf_lithops.plan(first)
    assert plan.outlook is not None
    assert plan.outlook.expected is not None
    before = len(service.invocations)
    first.GetValue()
    time.sleep(1.0)  # the last invocation ends after its result is out
    events = [one for one in service.invocations[before:] if one.kind == "Event"]  # others deploy the runtime
    billed_s = sum(one.ended - one.started for one in events)
    reported = rdf_lithops.report(first).bill.billed_gb_s
    return Run(plan.outlook.expected.billed_gb_s, billed_s * plan.outlook.offer.memory_gb, reported)


def main() -> int:
    """A row of a table for each shape, and how many of the second runs are within a quarter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the inputs")
    given = parser.parse_args()
    from lambda_standin import Places, Service, account

    within = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        service = stack.enter_context(Service(Places(), quota=QUOTA))
        stack.enter_context(account.environment(account.driver_variables(service)))
        service.places.variables.update(account.worker_variables(service))
        settings = account.config(account.open_account(), max_workers=QUOTA, runtime_timeout=600)
        executor = stack.enter_context(account.executor(service, settings))
        print("| GB-s of | guessed | billed | predicted | billed | off | reported | predicted again | billed | off |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for name, data, book, keywords in shapes(given.scale, folder):
            first, second, third = (
                run(service, data(share)({**keywords, "executor": executor}), book) for share in (10, 1, 1)
            )
            within += abs(second.off) <= ALLOWED
            figures = (
                *(f"{first.predicted:.1f}", f"{first.billed:.1f}"),
                *(f"{second.predicted:.1f}", f"{second.billed:.1f}", f"{second.off:+.0%}", f"{second.reported:.1f}"),
                *(f"{third.predicted:.1f}", f"{third.billed:.1f}", f"{third.off:+.0%}"),
            )
            print("| " + " | ".join((name, *figures)) + " |", flush=True)
    print(f"{within} of 10 within {ALLOWED:.0%}")
    return 0 if within == 10 else 1


if __name__ == "__main__":
    sys.exit(main())
