"""Predicted against billed: ten runs of different shapes, planned before and measured after, twice each.

    python -m benchmarks.predictions                 # on the stand-in of Lambda (tests/lambda_standin), which counts all
    python -m benchmarks.predictions --scale 0.01    # does it work? figures without meaning

The first plan of a graph guesses at its speed; the second knows it from the first run, which was on a tenth of the data, so
that start and compilation, work and fold are predicted apart. Billed is what the stand-in counted, initialisation included.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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


def shapes(scale: float, folder: str) -> Iterator[tuple[str, Callable[[int], Any], Callable[[Any], Any], dict[str, Any]]]:
    """Name, data frame of a share of the data, what is booked, and keywords of the data frame."""
    many = demo.make_sample(str(Path(folder) / "many"), events=max(4000, int(4e6 * scale)))
    few = demo.make_sample(str(Path(folder) / "few"), events=max(4000, int(4e5 * scale)))

    def entries(number: float) -> Callable[[int], Any]:
        return lambda share: empty(max(100, int(number * scale) // share))

    def files(share: int) -> Callable[[dict[str, Any]], Any]:
        names = many if share == 1 else few
        return lambda given: ROOT.RDataFrame(demo.TREE, names, **given)

    yield "light, 2 calls", entries(4e7), light, {"npartitions": 2}
    yield "light, 16 ranges in 2 calls", entries(4e7), light, {"npartitions": 16}
    yield "heavy, 2 calls", entries(4e6), heavy, {"npartitions": 2}
    yield "heavy, 8 calls", entries(4e6), heavy, {"npartitions": 8, "options": {"ranges_per_call": 1}}
    yield "large results, 4 calls", entries(4e6), histograms, {"npartitions": 4, "options": {"ranges_per_call": 1}}
    yield "variations, 2 calls", entries(4e6), variations, {"npartitions": 2}
    yield "dimuon, as planned", files, mass, {}
    yield "dimuon, 2 calls", files, mass, {"npartitions": 2}
    yield "dimuon, 6 calls", files, mass, {"npartitions": 6, "options": {"ranges_per_call": 1}}
    yield "one column, 3 calls", files, momenta, {"npartitions": 3, "options": {"ranges_per_call": 1}}


def predicted_and_billed(service: Any, frame: Any, book: Callable[[Any], Any]) -> tuple[float, float]:
    """GB-s that the plan expects, and that the stand-in counted."""
    booked = book(frame)
    first = booked[0] if isinstance(booked, tuple) else booked
    plan = rdf_lithops.plan(first)
    assert plan.outlook is not None
    assert plan.outlook.expected is not None
    before = len(service.invocations)
    first.GetValue()
    time.sleep(1.0)  # the last invocation ends after its result is out
    billed_s = sum(one.ended - one.started + (one.init_s if one.cold else 0.0) for one in service.invocations[before:])
    return plan.outlook.expected.billed_gb_s, billed_s * plan.outlook.offer.memory_gb


def main() -> int:
    """Print a line per run, and how many of the second runs are within a quarter."""
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
        for name, data, book, keywords in shapes(given.scale, folder):
            found = [
                predicted_and_billed(service, data(share)({**keywords, "executor": executor}), book) for share in (10, 1)
            ]
            (guess, first), (predicted, billed) = found
            off = predicted / billed - 1
            within += abs(off) <= ALLOWED
            row = {
                "shape": name,
                "guess_gb_s": guess,
                "first_gb_s": first,
                "predicted_gb_s": predicted,
                "billed_gb_s": billed,
            }
            print(json.dumps({**row, "off": off}), flush=True)
    print(f"{within} of 10 within {ALLOWED:.0%}")
    return 0 if within == 10 else 1


if __name__ == "__main__":
    sys.exit(main())
