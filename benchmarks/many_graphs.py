"""Programs of many small graphs, side by side: ``python -m benchmarks.many_graphs [--repetitions N] [--only NAME,...]``.

    frames    65 data frames of one file each, the same analysis of all, by RunGraphs: a first time and later ones
    agc       nine samples with systematic variations and twelve histograms each, by RunGraphs
    tiny      20 graphs of a thousand entries, warm
    alone     20 such graphs, one GetValue after the other, warm: seconds for each
    count     one Count over two calls, warm

Each place (one thread, Dask where it is installed, rdf_lithops) is a program of its own, in turn; all must agree. The load
of the machine is told: on one that is shared, ratios of one run are all that counts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .places import PLACES, Opened, Source

FRAMES, SAMPLES, TINY, LATER = 65, 9, 20, 3
EVENTS = 20_000
ORDER = ("one_thread", "dask", "rdf_lithops")
QUESTIONS = ("frames", "agc", "tiny", "alone", "count")


def make(folder: Path) -> None:
    """Write the files: each of one cluster, with numbers of its own."""
    import ROOT

    for number in range(FRAMES):
        path = folder / f"sample_{number}.root"
        if not path.exists():
            frame = ROOT.RDataFrame(EVENTS)
            for name, text in {
                "pt": f"20 + 60 * std::fmod(rdfentry_ * 0.6180339887 + {number}, 1.0)",
                "eta": "5 * std::fmod(rdfentry_ * 0.7548776662, 1.0) - 2.5",
                "mass": "60 + 60 * std::fmod(rdfentry_ * 0.5698402910, 1.0)",
                "weight": "0.5 + std::fmod(rdfentry_ * 0.3247179572, 1.0)",
            }.items():
                frame = frame.Define(name, text)
            frame.Snapshot("events", f"{path}.part", ["pt", "eta", "mass", "weight"])
            os.rename(f"{path}.part", path)


def _together(results: list[Any]) -> None:
    import ROOT

    ROOT.RDF.RunGraphs(results)


def frames(place: Opened, folder: Path) -> tuple[float, list[float]]:
    """The same analysis of many samples."""
    began, booked = time.perf_counter(), []
    for number in range(FRAMES):
        frame = place.frame(Source(["events", str(folder / f"sample_{number}.root")], 2))
        good = frame.Filter("pt > 30").Filter("std::abs(eta) < 2").Define("shifted", "mass * 1.01")
        models = [("pt", 20.0, 80.0), ("shifted", 60.0, 122.0), ("eta", -2.5, 2.5)]
        booked += [good.Histo1D((name, "", 50, low, high), name, "weight") for name, low, high in models]
    _together(booked)
    values = [histogram.GetSumOfWeights() for histogram in booked]
    return time.perf_counter() - began, values


def agc(place: Opened, folder: Path) -> tuple[float, list[float]]:
    """Samples with variations, regions and several files each."""
    import ROOT

    distributed = hasattr(place.frame(Source([1], 1)), "_headnode")
    vary = ROOT.RDF.Distributed.VariationsFor if distributed else ROOT.RDF.Experimental.VariationsFor
    began, booked = time.perf_counter(), []
    for sample in range(SAMPLES):
        names = [str(folder / f"sample_{number}.root") for number in range(sample * 7, sample * 7 + 7)]
        frame = place.frame(Source(["events", names], 2))
        varied = frame.Vary("pt", "ROOT::RVecD{pt * 0.97, pt * 1.03}", ["down", "up"])
        for region, cut in enumerate(("pt > 25", "pt > 35 && std::abs(eta) < 1", "pt > 45 && mass > 80")):
            chosen = varied.Filter(cut)
            models = [("pt", 20.0, 80.0), ("mass", 60.0, 120.0), ("eta", -2.5, 2.5), ("weight", 0.0, 2.0)]
            for name, low, high in models:
                booked.append(vary(chosen.Histo1D((f"{name}{region}", "", 40, low, high), name, "weight")))
    _together(booked)
    values = [maps[key].GetSumOfWeights() for maps in booked for key in ("nominal", "pt:down", "pt:up") if _has(maps, key)]
    return time.perf_counter() - began, values


def _has(maps: Any, key: str) -> bool:
    return key in [str(name) for name in maps.GetKeys()]


def _tiny(place: Opened) -> list[Any]:
    return [place.frame(Source([1000 + number], 2)).Define("x", "rdfentry_ * 1.5").Sum("x") for number in range(TINY)]


def tiny(place: Opened, folder: Path) -> tuple[float, list[float]]:
    """Graphs in which there is nothing to do."""
    booked = _tiny(place)
    began = time.perf_counter()
    _together(booked)
    return time.perf_counter() - began, [result.GetValue() for result in booked]


def alone(place: Opened, folder: Path) -> tuple[float, list[float]]:
    """The same, asked for one by one: seconds of each."""
    booked = _tiny(place)
    began = time.perf_counter()
    values = [result.GetValue() for result in booked]
    return (time.perf_counter() - began) / TINY, values


def count(place: Opened, folder: Path) -> tuple[float, list[float]]:
    """One number."""
    booked = place.frame(Source([1000], 2)).Count()
    began = time.perf_counter()
    value = float(booked.GetValue())
    return time.perf_counter() - began, [value]


def program(name: str, question: str, folder: Path) -> None:
    """Ask ``question`` in place ``name``: a first time and later ones; printed as JSON."""
    import ROOT

    ROOT.gROOT.SetBatch(True)
    ROOT.TH1.AddDirectory(False)
    ask: Callable[[Opened, Path], tuple[float, list[float]]] = globals()[question]
    began = time.perf_counter()
    with PLACES[name].open(os.cpu_count() or 1) as place:
        opened_s = time.perf_counter() - began
        first_s, values = ask(place, folder)
        later = [ask(place, folder)[0] for _ in range(LATER if question in ("frames", "agc") else 4 * LATER)]
    print("RESULT", json.dumps({"opened": opened_s, "first": first_s, "later": statistics.median(later), "values": values}))


def asked(name: str, question: str, folder: Path) -> dict[str, Any] | None:
    """The same in a program of its own; None where the place is not installed."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.many_graphs", "--program", name, question, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not told:
        if "No module named" in done.stderr:
            return None
        raise SystemExit(f"{name}, {question}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(told[0].partition(" ")[2])
    return found


def main() -> None:
    """Ask all questions in all places, in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--only", default=",".join(QUESTIONS))
    parser.add_argument("--data", default=os.path.join(tempfile.gettempdir(), "rdf_lithops-many-graphs"))
    given = parser.parse_args()
    folder = Path(given.data)
    if given.program:
        program(given.program[0], given.program[1], Path(given.program[2]))
        return
    folder.mkdir(parents=True, exist_ok=True)
    make(folder)
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':<18}" + "".join(f"{name:>14}" for name in ORDER) + f"{'/ Dask':>9}{'/ one':>9}")
    for question in given.only.split(","):
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in ORDER}
        for repetition in range(given.repetitions):
            for name in ORDER[repetition % 3 :] + ORDER[: repetition % 3]:
                told = asked(name, question, folder)
                found[name] += [told] if told else []
        _compare(question, found)
        for when in ("first", "later"):
            print(_line(f"{question}, {when}", when, found), flush=True)
    print(f"load of the machine after: {os.getloadavg()[0]:.1f}")


def _compare(question: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """End with an error where two places disagree."""
    expected = found[ORDER[0]][0]["values"]
    for name, told in found.items():
        for each in told:
            same = len(expected) == len(each["values"]) and all(map(_close, expected, each["values"]))
            if not same:
                raise SystemExit(f"{question}: {name} disagrees with {ORDER[0]}")


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)


def _line(label: str, when: str, found: dict[str, list[dict[str, Any]]]) -> str:
    seconds = {name: statistics.median(each[when] for each in told) if told else None for name, told in found.items()}
    ours = seconds["rdf_lithops"] or 0.0
    shown = "".join(f"{'-':>14}" if value is None else f"{value:>14.3f}" for value in seconds.values())
    ratios = "".join(
        f"{'-':>9}" if not other else f"{ours / other:>9.2f}" for other in (seconds["dask"], seconds["one_thread"])
    )
    return f"{label:<18}{shown}{ratios}"


if __name__ == "__main__":
    main()
