"""The analyses, as functions of a data frame. They book actions and run nothing, and do not know where they will run.

Each takes the frame and the number of the query (0 is the first of a program) and returns its results by name, not yet
computed. ``gather`` waits for all of them, ``fingerprint`` makes a few comparable numbers of what came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

__all__ = ["Booked", "arrays", "count", "differences", "dimuon", "fingerprint", "gather", "scan", "systematics", "wide"]

Booked = dict[str, Any]
Fingerprint = dict[str, list[float]]

TOLERANCE = 1e-9  # relative: sums of fractions depend on the order of merging in their last digits, event counts do not
POTS = range(6)
ANGLE = 1.2e-4  # radian
PLANE_MM = 30.0


# -- simple ones ------------------------------------------------------------------------------------------------------


def dimuon(frame: Any, query: int) -> Booked:
    """The mass spectrum of muon pairs of opposite charge, in 30,000 bins."""
    pairs = frame.Filter("nMuon == 2", "two muons").Filter("Muon_charge[0] != Muon_charge[1]", "opposite charge")
    pairs = pairs.Define("m", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return {"mass": pairs.Histo1D(("mass", "", 30000, 0.25, 300.0), "m")}


def count(frame: Any, query: int) -> Booked:
    """How many entries there are: next to no work, so what is measured is everything else."""
    return {"entries": frame.Count()}


def arrays(frame: Any, query: int) -> Booked:
    """Five columns of the muon pairs as NumPy arrays, of four types."""
    pairs = frame.Filter("nMuon == 2").Define("m", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    pairs = pairs.Define("pt", "Muon_pt[0]").Define("charge", "Muon_charge[0]").Define("weight", "1.0 / (1.0 + pt)")
    pairs = pairs.Filter("m > 0")  # parallel muons have none, by rounding
    return {"arrays": pairs.AsNumpy(["m", "pt", "charge", "weight", "nMuon"], lazy=True)}


def scan(frame: Any, query: int) -> Booked:
    """One number from each of 40 columns: every byte is read, hardly any is computed with."""
    first = " + ".join(f"c{column}[0]" for column in range(40))
    return {"total": frame.Define("first", f"double({first})").Sum("first")}


# -- a wide graph -----------------------------------------------------------------------------------------------------

_SIDES = {"l": (0, 1, 2), "r": (3, 4, 5)}
_LENGTH_MM = (-230e3, -225e3, -220e3, 220e3, 225e3, 230e3)
_BINNINGS = {"fine": 0.002, "medium": 0.005, "coarse": 0.02}  # first bin's width, GeV^2; each bin is 10 % wider


def wide(frame: Any, query: int) -> Booked:
    """Elastic scattering in two arms: 33 histograms in one and 37 in two dimensions from one event loop."""
    booked: Booked = {}
    seen = frame.Filter(_enough_planes("l"), "left arm").Filter(_enough_planes("r"), "right arm")
    _book_raw(seen, booked)
    elastic = _kinematics(seen).Filter("abs(dthx) < 2e-6 && abs(dthy) < 2e-6", "elastic")
    _book_angles(elastic, booked)
    _book_planes(elastic, booked)
    _book_momentum_transfer(elastic, booked)
    return booked


def _enough_planes(side: str) -> str:
    return " + ".join(f"valid_{pot}" for pot in _SIDES[side]) + " >= 2"


def _line(name: str, low: float, high: float, bins: int = 200) -> tuple[str, str, int, float, float]:
    return (name, "", bins, low, high)


def _map(name: str, x: float, y: float, bins: tuple[int, int] = (100, 100)) -> tuple[Any, ...]:
    return (name, "", bins[0], -x, x, bins[1], -y, y)


def _book_raw(seen: Any, booked: Booked) -> None:
    """Times, bunches and the hits of each pot: 14 histograms and 12 maps."""
    booked["timestamp"] = seen.Histo1D(_line("timestamp", 0, 5000), "timestamp")
    booked["bunch"] = seen.Histo1D(_line("bunch", 0, 100, 100), "bunch")
    for pot in POTS:
        for axis in "xy":
            name = f"{axis}_{pot}"
            booked[name] = seen.Histo1D(_line(name, -PLANE_MM, PLANE_MM), name)
        name = f"hits_{pot}"
        booked[name] = seen.Histo2D(_map(name, PLANE_MM, PLANE_MM, (150, 300)), f"x_{pot}", f"y_{pot}")
        model = (f"drift_{pot}", "", 100, 0, 5000, 100, -PLANE_MM, PLANE_MM)
        booked[f"drift_{pot}"] = seen.Histo2D(model, "timestamp", f"x_{pot}")


def _kinematics(seen: Any) -> Any:
    """Aligned hits, angles of both arms, vertex, momentum transfer and weights."""
    for pot in POTS:
        seen = seen.Define(f"ax_{pot}", f"x_{pot} + 0.001 * {pot} - 1e-6 * timestamp")
        seen = seen.Define(f"ay_{pot}", f"y_{pot} - 0.002 * {pot}")
    for side, pots in _SIDES.items():
        for axis in "xy":
            slopes = " + ".join(f"a{axis}_{pot} / {_LENGTH_MM[pot]}" for pot in pots)
            seen = seen.Define(f"th{axis}_{side}", f"({slopes}) / 3.0")
    for axis in "xy":
        seen = seen.Define(f"th{axis}", f"0.5 * (th{axis}_l + th{axis}_r)")
        seen = seen.Define(f"dth{axis}", f"th{axis}_r - th{axis}_l")
    seen = seen.Define("vtx", " + ".join(f"ax_{pot} / 6.0" for pot in POTS))
    seen = seen.Define("dvtx", "(ax_3 + ax_4 + ax_5 - ax_0 - ax_1 - ax_2) / 3.0")
    seen = seen.Define("th", "sqrt(thx * thx + thy * thy)").Define("phi", "atan2(thy, thx)")
    return seen.Define("t", "th * th * 6500.0 * 6500.0").Define("weight", "1.0 / (1.0 + 0.5 * t)")


_ANGLES = ("thx_l", "thx_r", "thx", "thy_l", "thy_r", "thy")
_CORRELATIONS = [
    ("thx_l", "thx_r"),
    ("thy_l", "thy_r"),
    ("thx_l", "thy_l"),
    ("thx_r", "thy_r"),
    ("thx", "dthx"),
    ("thy", "dthy"),
    ("thx", "dthy"),
    ("thy", "dthx"),
    ("dthx", "dthy"),
]


def _book_angles(elastic: Any, booked: Booked) -> None:
    """Angles, their differences and the vertex, 13 histograms; their correlations, 9 maps."""
    ranges = dict.fromkeys(_ANGLES, ANGLE) | {"dthx": 3e-6, "dthy": 3e-6, "vtx": 1.0, "dvtx": 60.0}
    for name, end in ranges.items():
        booked[name] = elastic.Histo1D(_line(name, -end, end), name)
    booked["th"] = elastic.Histo1D(_line("th", 0.0, ANGLE), "th")
    booked["phi"] = elastic.Histo1D(_line("phi", -3.2, 3.2), "phi")
    booked["t"] = elastic.Histo1D(_line("t", 0.0, 1.0, 1000), "t")
    for x, y in _CORRELATIONS:
        name = f"{x}_{y}"
        booked[name] = elastic.Histo2D(_map(name, ranges[x], ranges[y]), x, y)


def _book_planes(elastic: Any, booked: Booked) -> None:
    """The hits of selected events, aligned: 12 maps."""
    for pot in POTS:
        x, y = f"ax_{pot}", f"ay_{pot}"
        booked[f"aligned_{pot}"] = elastic.Histo2D(_map(f"aligned_{pot}", PLANE_MM, PLANE_MM, (150, 300)), x, y)
        booked[f"vertex_{pot}"] = elastic.Histo2D(_map(f"vertex_{pot}", 1.0, PLANE_MM), "vtx", y)


def _book_momentum_transfer(elastic: Any, booked: Booked) -> None:
    """The spectrum of t in bins of three variable widths, plain and weighted, 6 histograms; 4 maps of it."""
    for binning, width in _BINNINGS.items():
        edges = array("d", _growing(width))
        for weight in ((), ("weight",)):
            name = "_".join(("t", binning, *weight))
            booked[name] = elastic.Histo1D((name, "", len(edges) - 1, edges), "t", *weight)
    for weight in ((), ("weight",)):
        angles, time = "_".join(("angles", *weight)), "_".join(("t_phi", *weight))
        booked[angles] = elastic.Histo2D(_map(angles, ANGLE, ANGLE), "thx", "thy", *weight)
        booked[time] = elastic.Histo2D((time, "", 100, 0.0, 1.0, 100, -3.2, 3.2), "t", "phi", *weight)


def _growing(width: float) -> Iterator[float]:
    edge = 0.0
    while edge < 1.5:
        yield edge
        edge, width = edge + width, width * 1.1


# -- a graph that is mostly compilation -------------------------------------------------------------------------------

_REGIONS = {"all": "true", "central": "abs(Muon_eta[0]) < 1.2", "heavy": "m > 20.0"}
_OBSERVABLES = {
    "m": ("ROOT::VecOps::InvariantMass(pt, Muon_eta, Muon_phi, Muon_mass)", 0.0, 150.0),
    "lead": ("ROOT::VecOps::Max(pt)", 0.0, 200.0),
    "ht": ("ROOT::VecOps::Sum(pt)", 0.0, 400.0),
    "dr": ("ROOT::VecOps::DeltaR(Muon_eta[0], Muon_eta[1], Muon_phi[0], Muon_phi[1])", 0.0, 6.0),
}


def systematics(frame: Any, query: int) -> Booked:
    """A tree of cuts with four variations of momenta and weights; every query has another cut, so another graph."""
    import ROOT

    pairs = frame.Filter("nMuon == 2", "two muons").Define("pt", "Muon_pt").Define("w", "1.0 + 0.1 * Muon_eta[0]")
    pairs = pairs.Vary("pt", "ROOT::RVec<ROOT::RVecF>{pt * 0.98f, pt * 1.02f}", ["down", "up"], "scale")
    pairs = pairs.Vary("w", "ROOT::RVecD{w * 0.9, w * 1.1}", ["down", "up"], "weight")
    cut = pairs.Filter(f"pt[0] > {5.0 + 0.5 * query} && pt[1] > 2.0", "momenta")
    for name, (expression, _, _) in _OBSERVABLES.items():
        cut = cut.Define(name, expression)
    booked: Booked = {}
    for region, selection in _REGIONS.items():
        selected = cut.Filter(selection, region)
        for name, (_, low, high) in _OBSERVABLES.items():
            histogram = selected.Histo1D((f"{region}_{name}", "", 100, low, high), name, "w")
            booked[f"{region}_{name}"] = ROOT.RDF.Experimental.VariationsFor(histogram)
    return booked


# -- results ----------------------------------------------------------------------------------------------------------


def gather(booked: Booked) -> Booked:
    """Every result, in hand; those with variations as one entry for each. They live as long as what was booked."""
    results: Booked = {}
    for name, handle in booked.items():
        if "Map" in type(handle).__name__:  # ROOT's RResultMap, DistRDF's ResultMapProxy: of VariationsFor
            results[f"{name}:nominal"] = handle["nominal"]  # runs the graph; DistRDF knows no keys before
            results.update({f"{name}:{key}": handle[key] for key in map(str, handle.GetKeys())})
        else:
            results[name] = handle.GetValue()
    return results


def fingerprint(results: Booked) -> Fingerprint:
    """A few numbers for each result that differ when an event is lost, doubled or in another bin."""
    return {name: _summary(result) for name, result in results.items()}


def _summary(result: Any) -> list[float]:
    """Of a number, itself; of a histogram, its entries, sum, and sum weighted by a pseudo-random number for each bin; of
    arrays, whose order threads leave open, the length of each, its sum and that of its squares."""
    if isinstance(result, dict):
        columns = [column.astype(float) for column in result.values()]
        return [float(number) for column in columns for number in (len(column), column.sum(), (column**2).sum())]
    if not hasattr(result, "GetNcells"):
        return [float(result)]
    import numpy

    cells = numpy.frombuffer(result.GetArray(), dtype=numpy.float64, count=result.GetNcells())
    weights = (numpy.arange(len(cells), dtype=numpy.uint64) * 2654435761 % 2**32) / 2**32
    return [float(result.GetEntries()), float(cells.sum()), float((cells * weights).sum())]


def differences(one: Fingerprint, other: Fingerprint) -> list[str]:
    """The names of results that two places disagree on."""
    names = sorted(set(one) | set(other))
    return [name for name in names if not _close(one.get(name, []), other.get(name, []))]


def _close(one: list[float], other: list[float]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) for a, b in pairs)
