"""The analysis: an analyst's function, which takes a data frame and does not know where that runs, and what it gave."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MODEL", "Cut", "Measured", "cut_flow_table", "differences", "measure", "spectrum"]

MODEL = ("dimuon_mass", ";m(#mu^{+}#mu^{#minus}) [GeV];pairs per 10 MeV", 30000, 0.25, 300.0)


def spectrum(frame: Any) -> tuple[Any, Any]:
    """Book the spectrum of opposite-sign dimuon masses and its cut flow on ``frame``, wherever that runs.

    Returns the histogram's and the report's result handles; nothing is run.
    """
    pairs = frame.Filter("nMuon == 2", "two muons")
    pairs = pairs.Filter("Muon_charge[0] != Muon_charge[1]", "opposite charge")
    pairs = pairs.Define("m", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return pairs.Histo1D(MODEL, "m"), pairs.Report()


@dataclass(frozen=True)
class Cut:
    """One line of a cut flow: events that came to the cut, and that passed it."""

    name: str
    events: int
    passed: int


@dataclass(frozen=True)
class Measured:
    """One run of the spectrum: its histogram, cut flow, and the wall time from making the frame to the last result."""

    histogram: Any
    cuts: tuple[Cut, ...]
    wall_s: float

    @property
    def entries(self) -> int:
        """Pairs that were histogrammed, those outside the axis included."""
        return int(self.histogram.GetEntries())


def measure(make_frame: Callable[[], Any]) -> Measured:
    """Run the spectrum on the frame that ``make_frame`` gives."""
    import ROOT

    began = time.perf_counter()
    booked, report = spectrum(make_frame())
    histogram = booked.GetValue().Clone()
    cuts = tuple(Cut(str(cut.GetName()), int(cut.GetAll()), int(cut.GetPass())) for cut in report.GetValue())
    wall_s = time.perf_counter() - began
    histogram.SetDirectory(ROOT.nullptr)
    return Measured(histogram, cuts, wall_s)


def differences(one: Measured, other: Measured) -> list[str]:
    """What differs between two runs, in words; an empty list if entries, cut flow and every bin are equal."""
    found = []
    if one.entries != other.entries:
        found.append(f"entries: {one.entries} and {other.entries}")
    if one.cuts != other.cuts:
        found.append(f"cut flow: {one.cuts} and {other.cuts}")
    bins = range(one.histogram.GetNcells())
    unequal = sum(one.histogram.GetBinContent(i) != other.histogram.GetBinContent(i) for i in bins)
    if unequal:
        found.append(f"contents of {unequal} of {len(bins)} bins")
    return found


def cut_flow_table(cuts: Sequence[Cut]) -> str:
    """The cut flow as an aligned table, one line per cut, with the fraction of the first line's events that is left."""
    total = cuts[0].events if cuts else 0
    lines = [f"{'cut':<18}{'events':>12}{'passed':>12}{'of these':>10}{'of all':>10}"]
    for cut in cuts:
        shares = (_percent(cut.passed, cut.events), _percent(cut.passed, total))
        lines.append(f"{cut.name:<18}{cut.events:>12,}{cut.passed:>12,}{shares[0]:>10}{shares[1]:>10}")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
