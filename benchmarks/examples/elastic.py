"""Elastic scattering in two arms of roman pots: 70 histograms of one event loop, six headers and ``initialize``.

    python benchmarks/examples/elastic.py --lithops configs/localhost.yaml

Spelt as a PyRDF program. The sample is made here with a known slope of the distribution of the squared momentum transfer
``t``; the analysis aligns the pots, reconstructs both arms, selects, corrects for what the pots do not see, and fits it.
"""

from __future__ import annotations

import argparse
import array
import itertools
import os
import tempfile
from typing import Any

import ROOT

import rdf_lithops.pyrdf as PyRDF

HERE = os.path.dirname(os.path.abspath(__file__))
HEADERS = [
    os.path.join(HERE, "elastic", f"{name}.h")
    for name in ("environment", "optics", "alignment", "kinematics", "cuts", "acceptance")
]
POTS = range(6)
SLOPE = 20.0  # of exp(-SLOPE |t|), in 1/GeV^2
DIVERGENCE = 1e-6  # radian
RESOLUTION_MM = 0.011
BACKGROUND_SHARE = 0.05
SETTINGS: dict[str, dict[str, Any]] = {
    "environment": {"momentum_gev": 6500.0, "run_length_s": 1000.0},
    "optics": {
        "effective_length_x_mm": [-9e3, -14e3, -20e3, 20e3, 14e3, 9e3],
        "effective_length_y_mm": [-260e3, -245e3, -230e3, 230e3, 245e3, 260e3],
        "magnification_x": [-2.2, -2.0, -1.8, -1.8, -2.0, -2.2],
    },
    "alignment": {
        "offset_x_mm": [0.02, -0.03, 0.05, -0.02, 0.04, 0.01],
        "drift_x_mm_per_s": [1e-5, -2e-5, 1e-5, 2e-5, -1e-5, 1e-5],
        "offset_y_mm": [0.10, -0.08, 0.12, -0.15, 0.05, 0.09],
        "drift_y_mm_per_s": [2e-5, 1e-5, -2e-5, 1e-5, 2e-5, -1e-5],
    },
    "cuts": {
        "sigma_angle_x": 2e-6,
        "sigma_angle_y": 2e-7,
        "sigma_vertex_x_mm": 0.02,
        "widths": 4.0,
        "first_s": 10.0,
        "last_s": 990.0,
    },
    "acceptance": {"lowest_angle_y": 6e-6},
}


def fill_globals(settings: dict[str, dict[str, Any]]) -> None:
    """Set the C++ globals that the headers declare: what the program gives to ``initialize``."""
    for name, values in settings.items():
        target = getattr(ROOT.elastic, name)
        for field, value in values.items():
            if isinstance(value, list):
                destination = getattr(target, field)
                for index, number in enumerate(value):
                    destination[index] = number
            else:
                setattr(target, field, value)


def make_sample(folder: str, events: int, files: int) -> list[str]:
    """Write ``events`` into ``files`` files of unequal length; call after the headers and ``initialize``."""
    ROOT.gInterpreter.Declare(f'#include "{HERE}/elastic_sample.h"')
    edges = [int(events * (i / files) ** 1.5) for i in range(files + 1)]
    names = [os.path.join(folder, f"elastic_{i}.root") for i in range(files)]
    for name, (first, last) in zip(names, itertools.pairwise(edges), strict=True):
        ROOT.elastic.write_sample(name, first, last, SLOPE, DIVERGENCE, RESOLUTION_MM, BACKGROUND_SHARE)
    return names


# -- the graph --------------------------------------------------------------------------------------------------------


def reconstructed(df: Any) -> Any:
    """Events with two of three pots in both arms within the time window, and the structs that the rest is taken from."""
    left, right = ("+".join(f"track_rp_{pot}_valid" for pot in pots) for pots in ((0, 1, 2), (3, 4, 5)))
    df = df.Filter(f"{left} >= 2 && {right} >= 2", "two of three")
    df = df.Filter("timestamp > elastic::cuts.first_s && timestamp < elastic::cuts.last_s", "in time")
    for axis in "xy":
        df = df.Define(f"raw_{axis}", f"ROOT::RVecD{{{', '.join(f'track_rp_{pot}_{axis}' for pot in POTS)}}}")
    df = df.Define("hits", "elastic::aligned(raw_x, raw_y, timestamp)")
    for axis in "xy":
        for pot in POTS:
            df = df.Define(f"{axis}_{pot}", f"hits.{axis}[{pot}]")
    df = df.Define("k", "elastic::reconstruct(hits)").Define("q", "elastic::quality(k)")
    for name in ("angle_x", "angle_y", "vertex_x", "angle", "azimuth", "t"):
        df = df.Define(name, f"k.{name}")
    for name in ("angle_x", "angle_y", "vertex_x"):
        df = df.Define(f"left_{name}", f"k.left.{name}").Define(f"right_{name}", f"k.right.{name}")
        df = df.Define(f"difference_{name}", f"right_{name} - left_{name}").Define(f"pull_{name}", f"q.{name}")
    return df


def corrected(elastic: Any) -> Any:
    """The elastic events that the pots see enough of, with their weights."""
    df = elastic.Define("c", "elastic::correction(k)").Filter("!c.skip", "seen")
    return df.Define("one", "1.0").Define("weight", "c.weight").Define("divided", "c.divided")


def spread(name: str) -> float:
    """Half the range of a histogram of the quantity ``name``."""
    scale = {"angle_x": 1.5e-4, "angle_y": 1.5e-4, "vertex_x": 0.5}
    kind, _, quantity = name.partition("_")
    if kind == "pull":
        return 10.0
    return scale[quantity] / (10 if kind == "difference" else 1) if quantity in scale else scale[name]


def t_binnings() -> dict[str, array.array[float]]:
    """Three binnings in |t|: of equal width, fine at low values, and in equal steps of the angle."""
    return {
        "equal": array.array("d", [0.004 * i for i in range(51)]),
        "fine": array.array("d", [0.001 * i for i in range(40)] + [0.04 + 0.01 * i for i in range(17)]),
        "angle": array.array("d", [0.2 * (i / 40) ** 2 for i in range(41)]),
    }


def book(df: Any) -> dict[str, Any]:
    """The 70 actions, by name; nothing runs yet."""
    booked: dict[str, Any] = {}

    def one(node: Any, name: str, column: str, low: float, high: float, bins: int = 100) -> None:
        booked[name] = node.Histo1D((name, "", bins, low, high), column)

    def two(node: Any, name: str, x: str, y: str, across: float, up: float) -> None:
        booked[name] = node.Histo2D((name, "", 75, -across, across, 60, -up, up), x, y)

    events = reconstructed(df)
    elastic = events.Filter("q.elastic", "elastic")
    seen = corrected(elastic)
    one(events, "time", "timestamp", 0, 1000)
    one(events.Filter("zero_bias", "zero bias"), "time zero bias", "timestamp", 0, 1000)
    one(elastic, "time elastic", "timestamp", 0, 1000)
    for pot in POTS:  # 18 maps
        two(events, f"map {pot}", f"track_rp_{pot}_x", f"track_rp_{pot}_y", 3, 40)
        two(elastic, f"map elastic {pot}", f"track_rp_{pot}_x", f"track_rp_{pot}_y", 3, 40)
        two(elastic, f"map aligned {pot}", f"x_{pot}", f"y_{pot}", 3, 40)
    for quantity in ("angle_x", "angle_y", "vertex_x"):  # 12 spectra and 9 correlations
        for kind in ("left", "right", "difference", "pull"):
            name = f"{kind}_{quantity}"
            one(elastic, name, name, -spread(name), spread(name))
        wide = spread(f"left_{quantity}")
        two(elastic, f"arms {quantity}", f"left_{quantity}", f"right_{quantity}", wide, wide)
        two(elastic, f"difference {quantity}", quantity, f"difference_{quantity}", wide, wide / 10)
        two(events, f"pull {quantity}", quantity, f"pull_{quantity}", wide, 10)
    for quantity in ("angle_x", "angle_y", "vertex_x"):
        one(elastic, quantity, quantity, -spread(f"left_{quantity}"), spread(f"left_{quantity}"))
        one(events, f"{quantity} before", quantity, -spread(f"left_{quantity}"), spread(f"left_{quantity}"))
    for name, edges in t_binnings().items():  # 12 distributions in t
        model = (name, ";|t| [GeV^{2}]", len(edges) - 1, edges)
        booked[f"t {name} before"] = elastic.Histo1D(model, "t")
        for weight in ("one", "weight", "divided"):
            booked[f"t {name} {weight}"] = seen.Histo1D(model, "t", weight)
    two(elastic, "angles before", "angle_x", "angle_y", 1e-4, 1e-4)
    booked["angles"] = seen.Histo2D(("angles", "", 75, -1e-4, 1e-4, 60, -1e-4, 1e-4), "angle_x", "angle_y", "weight")
    booked["angle azimuth"] = seen.Histo2D(("aa", "", 50, 0, 1e-4, 50, -3.2, 3.2), "angle", "azimuth", "weight")
    one(seen, "azimuth", "azimuth", -3.2, 3.2)
    one(seen, "angle", "angle", 0, 1e-4)
    one(elastic, "azimuth before", "azimuth", -3.2, 3.2)
    one(elastic, "angle before", "angle", 0, 1e-4)
    one(seen, "run", "run", 0, 5, 5)
    one(seen, "bunch", "bunch", 0, 100)
    booked["elastic"] = elastic.Count()
    return booked


def fitted_slope(histogram: Any) -> tuple[float, float]:
    """The slope of exp(-slope |t|) and its uncertainty, where the correction is small."""
    shape = ROOT.TF1("slope", "[0] * exp(-[1] * x)", 0.012, 0.16)
    shape.SetParameters(histogram.GetMaximum(), 10.0)
    histogram.Fit(shape, "QNRIWL")
    return shape.GetParameter(1), shape.GetParError(1)


def main() -> None:
    """Make a sample, analyse it where the command line says, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--lithops", help="a Lithops configuration file; without it ROOT runs here")
    given = parser.parse_args()
    PyRDF.use("lithops", {"lithops": given.lithops}) if given.lithops else PyRDF.use("local")
    PyRDF.include_headers(HEADERS)
    PyRDF.initialize(fill_globals, SETTINGS)
    with tempfile.TemporaryDirectory() as folder:
        files = make_sample(folder, given.events, given.files)
        booked = book(PyRDF.RDataFrame("TotemNtuple", files))
        slope, uncertainty = fitted_slope(booked["t equal weight"].GetValue())
    found = abs(slope - SLOPE) < max(5 * uncertainty, 0.3)
    print(f"{len(booked)} actions, {booked['elastic'].GetValue()} elastic events of {given.events}")
    print("found " if found else "NOT FOUND ", f"a slope of {SLOPE}: {slope:.2f} +- {uncertainty:.2f}")


if __name__ == "__main__":
    main()
