"""The demonstration: a dimuon sample that this module makes, its mass spectrum, and the picture of it.

The sample looks like NanoAOD and is a function of the entry number alone, so it is the same however it is cut or run.
``spectrum`` is an analyst's function: it takes a data frame and does not know where that runs.
"""

from __future__ import annotations

import array
import functools
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .errors import PlanError

__all__ = [
    "BRANCHES",
    "PEAKS",
    "TREE",
    "Cut",
    "Measured",
    "Peak",
    "check_input",
    "cut_flow_table",
    "differences",
    "expand",
    "make_sample",
    "measure",
    "save_plot",
    "spectrum",
]

TREE = "Events"
BRANCHES = ("nMuon", "Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon_charge")
MODEL = ("dimuon_mass", ";m(#mu^{+}#mu^{#minus}) [GeV];pairs per 10 MeV", 30000, 0.25, 300.0)


# -- the sample -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peak:
    """A particle that decays to a pair of muons.

    ``mass_gev`` and ``width_gev`` are the Particle Data Group's; ``share`` is its part of the opposite-sign pairs (the
    rest is continuum) and chosen for the look of the picture; ``label`` is TLatex, empty where a neighbour's says it.
    """

    name: str
    mass_gev: float
    width_gev: float
    share: float
    label: str


PEAKS = (
    Peak("eta", 0.547862, 1.31e-6, 0.008, "#eta"),
    Peak("rho(770)", 0.77526, 0.1491, 0.045, ""),
    Peak("omega(782)", 0.78266, 0.00868, 0.016, "#rho, #omega"),
    Peak("phi(1020)", 1.019461, 0.004249, 0.021, "#phi"),
    Peak("J/psi", 3.0969, 9.26e-5, 0.130, "J/#psi"),
    Peak("psi(2S)", 3.6861, 2.94e-4, 0.013, "#psi(2S)"),
    Peak("Upsilon(1S)", 9.4604, 5.40e-5, 0.036, "#Upsilon(1,2,3S)"),
    Peak("Upsilon(2S)", 10.0234, 3.20e-5, 0.013, ""),
    Peak("Upsilon(3S)", 10.3551, 2.03e-5, 0.009, ""),
    Peak("Z", 91.1880, 2.4955, 0.080, "Z"),
)

# One random stream per entry (splitmix64 from a hash of the entry number): no state is left from one event to the next.
_SOURCE = """
#include "ROOT/RVec.hxx"
#include <algorithm>
#include <cmath>
#include <vector>

namespace rdf_lithops_demo {

constexpr double kPi = 3.14159265358979323846;
constexpr double kMuon = 0.1056583755;                             // GeV
constexpr double kLowest = 0.22, kKnee = 12.0, kHighest = 300.0;   // GeV, of the pairs' mass

struct Peak { double mass, width, share; };
constexpr Peak kPeaks[] = {@PEAKS@};   // no dynamic initialisation: in a Jupyter kernel, ROOT 6.40 fails at it

inline ULong64_t Mix(ULong64_t z)
{
   z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
   z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
   return z ^ (z >> 31);
}

struct Stream {
   ULong64_t state;
   explicit Stream(ULong64_t entry) : state(Mix(entry + 0x9E3779B97F4A7C15ull)) {}
   double Uniform()   // in (0, 1), neither end
   {
      state += 0x9E3779B97F4A7C15ull;
      return ((Mix(state) >> 11) + 0.5) * 0x1p-53;
   }
   double Exponential(double mean) { return -mean * std::log(Uniform()); }
   double Gauss()
   {
      const double radius = std::sqrt(-2.0 * std::log(Uniform()));
      return radius * std::cos(2.0 * kPi * Uniform());
   }
   int Sign() { return Uniform() < 0.5 ? -1 : 1; }
};

inline double Resolution(double mass) { return mass * (0.008 + 5e-5 * mass); }   // 25 MeV at the J/psi, 1.1 GeV at the Z

inline double Integral(double low, double high, double slope)   // of (m / kKnee) to the power -slope
{
   const double n = 1.0 - slope;
   return kKnee * (std::pow(high / kKnee, n) - std::pow(low / kKnee, n)) / n;
}

inline double PowerLaw(double u, double low, double high, double slope)
{
   const double n = 1.0 - slope, bottom = std::pow(low, n);
   return std::pow(bottom + u * (std::pow(high, n) - bottom), 1.0 / n);
}

inline double Continuum(Stream &random)   // falls, and falls faster beyond the Upsilons
{
   constexpr double kSoft = 0.75, kHard = 2.7;
   static const double soft = Integral(kLowest, kKnee, kSoft), hard = Integral(kKnee, kHighest, kHard);
   const bool is_soft = random.Uniform() * (soft + hard) < soft;
   const double u = random.Uniform();
   return is_soft ? PowerLaw(u, kLowest, kKnee, kSoft) : PowerLaw(u, kKnee, kHighest, kHard);
}

inline double Resonance(Stream &random, const Peak &peak)   // a Breit-Wigner, smeared as a detector does
{
   const double sigma = Resolution(peak.mass);
   double mass;
   do
      mass = peak.mass + 0.5 * peak.width * std::tan(kPi * (random.Uniform() - 0.5)) + sigma * random.Gauss();
   while (mass < kLowest || mass > kHighest);
   return mass;
}

inline double PairMass(Stream &random)
{
   double u = random.Uniform();
   for (const Peak &peak : kPeaks) {
      if (u < peak.share)
         return Resonance(random, peak);
      u -= peak.share;
   }
   return Continuum(random);
}

struct Muon { double pt, eta, phi; int charge; };

inline Muon FromMomentum(double px, double py, double pz, int charge)
{
   const double pt = std::hypot(px, py);
   return {pt, std::asinh(pz / pt), std::atan2(py, px), charge};
}

// A pair of this mass decays at rest, evenly in all directions, and is boosted to its own momentum.
inline void AddPair(std::vector<Muon> &muons, Stream &random, double mass, int charge, int other_charge)
{
   const double pt = (mass < 20.0 ? 7.0 : 0.0) + random.Exponential(5.0 + 0.05 * mass), rapidity = random.Gauss();
   const double phi = 2.0 * kPi * random.Uniform(), transverse_mass = std::hypot(mass, pt);
   const double X = pt * std::cos(phi), Y = pt * std::sin(phi), Z = transverse_mass * std::sinh(rapidity);
   const double E = transverse_mass * std::cosh(rapidity);
   const double momentum = std::sqrt(0.25 * mass * mass - kMuon * kMuon);
   const double cosine = 2.0 * random.Uniform() - 1.0, angle = 2.0 * kPi * random.Uniform();
   const double across = momentum * std::sqrt(1.0 - cosine * cosine);
   const double x = across * std::cos(angle), y = across * std::sin(angle), z = momentum * cosine;
   const double along = (x * X + y * Y + z * Z) / (mass * (E + mass));
   const double first = along + 0.5, second = -along + 0.5;   // each muon has half of the mass as energy at rest
   muons.push_back(FromMomentum(x + first * X, y + first * Y, z + first * Z, charge));
   muons.push_back(FromMomentum(-x + second * X, -y + second * Y, -z + second * Z, other_charge));
}

inline void AddMuon(std::vector<Muon> &muons, Stream &random)
{
   const double pt = 3.0 + random.Exponential(5.0), eta = 1.2 * random.Gauss();
   const double phi = kPi * (2.0 * random.Uniform() - 1.0);
   muons.push_back({pt, eta, phi, random.Sign()});
}

inline std::vector<Muon> Generate(ULong64_t entry)
{
   Stream random(entry);
   std::vector<Muon> muons;
   const double u = random.Uniform();
   const int wanted = u < 0.02 ? 0 : u < 0.14 ? 1 : u < 0.86 ? 2 : u < 0.96 ? 3 : 4;
   if (wanted >= 2) {
      const int charge = random.Sign();
      if (wanted == 2 && random.Uniform() < 0.12)
         AddPair(muons, random, Continuum(random), charge, charge);
      else
         AddPair(muons, random, PairMass(random), charge, -charge);
   }
   while (static_cast<int>(muons.size()) < wanted)
      AddMuon(muons, random);
   std::sort(muons.begin(), muons.end(), [](const Muon &a, const Muon &b) { return a.pt > b.pt; });
   return muons;
}

struct Columns { ROOT::RVecF pt, eta, phi, mass; ROOT::RVecI charge; };

inline Columns Event(ULong64_t entry)
{
   Columns columns;
   for (const Muon &muon : Generate(entry)) {
      columns.pt.push_back(muon.pt);
      columns.eta.push_back(muon.eta);
      columns.phi.push_back(muon.phi);
      columns.mass.push_back(kMuon);
      columns.charge.push_back(muon.charge);
   }
   return columns;
}

}   // namespace rdf_lithops_demo
""".replace("@PEAKS@", ", ".join(f"{{{peak.mass_gev}, {peak.width_gev}, {peak.share}}}" for peak in PEAKS))


def make_sample(folder: str, files: int = 4, events: int = 1_000_000) -> list[str]:
    """Write entries 0 to ``events`` of the sample into ``files`` files of ``folder``, in order; returns their paths.

    A file that is there is complete, and kept: its name says which entries of which generator it holds, and it gets
    that name once it is written.
    """
    if files < 1 or events < files:
        raise PlanError(f"expected 1 or more files and at least one event for each, got {files} files, {events} events")
    edges = [events * i // files for i in range(files + 1)]
    paths = [os.path.join(folder, _file_name(edges[i], edges[i + 1])) for i in range(files)]
    for i, path in enumerate(paths):
        if not os.path.exists(path):
            _write(path, edges[i], edges[i + 1])
    return paths


def _file_name(first: int, last: int) -> str:
    return f"dimuon_{hashlib.sha256(_SOURCE.encode()).hexdigest()[:8]}_{first:08d}-{last:08d}.root"


def _write(path: str, first: int, last: int) -> None:
    """Write entries ``first`` to ``last`` (that one not) under a name of our own, then rename."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=folder)
    try:
        written = os.path.join(unfinished, "sample.root")
        _sample(first, last).Snapshot(TREE, written, list(BRANCHES))
        os.replace(written, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sample(first: int, last: int) -> Any:
    """A local data frame of entries ``first`` to ``last`` (that one not) of the sample."""
    import ROOT

    _declare()
    frame = ROOT.RDataFrame(last - first).Define("muons", f"rdf_lithops_demo::Event(rdfentry_ + {first}ull)")
    frame = frame.Define("nMuon", "static_cast<unsigned int>(muons.pt.size())")
    for branch in BRANCHES[1:]:
        frame = frame.Define(branch, f"muons.{branch.removeprefix('Muon_')}")
    return frame


@functools.lru_cache(maxsize=1)
def _declare() -> None:
    import ROOT

    if not ROOT.gInterpreter.Declare(_SOURCE):
        raise AssertionError("the sample's generator does not compile with this ROOT")


# -- the input --------------------------------------------------------------------------------------------------------


def expand(patterns: Iterable[str]) -> list[str]:
    """Local globs as sorted paths; URLs and plain paths as they are. Raises PlanError for a pattern that matches nothing."""
    paths: list[str] = []
    for pattern in patterns:
        matches = sorted(glob.glob(pattern)) if glob.has_magic(pattern) and "://" not in pattern else [pattern]
        if not matches:
            raise PlanError(f"no file matches {pattern}")
        paths += matches
    return paths


def check_input(tree: str, paths: Sequence[str]) -> None:
    """Raise PlanError unless each of ``paths`` opens as a ROOT file that has ``tree`` with the branches we read.

    Files on this machine are looked at one by one; of remote ones only the first, which costs a connection.
    """
    remote = [path for path in paths if "://" in path and not glob.has_magic(path)]
    for path in [*remote[:1], *(path for path in paths if "://" not in path)]:
        _check_file(tree, path)


def _check_file(tree: str, path: str) -> None:
    if "://" not in path and not os.path.isfile(path):
        raise PlanError(f"no such file: {path}")
    with _opened(path) as file:
        present = sorted({key.GetName() for key in file.GetListOfKeys()})
        if tree not in present:
            raise PlanError(f"no tree {tree!r} in {path}, which has: {', '.join(present) or 'nothing'}")
    missing = sorted(set(BRANCHES) - _columns(tree, path))
    if missing:
        raise PlanError(f"tree {tree!r} of {path} lacks {', '.join(missing)}, which the dimuon spectrum reads")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The open TFile; PlanError, and not a word from ROOT, for a file that does not open."""
    import ROOT

    before, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kFatal
    try:
        file = ROOT.TFile.Open(path)
    except OSError:
        file = None
    finally:
        ROOT.gErrorIgnoreLevel = before
    if not file or file.IsZombie():
        raise PlanError(f"not a ROOT file that can be read: {path}")
    try:
        yield file
    finally:
        file.Close()


def _columns(tree: str, path: str) -> set[str]:
    import ROOT

    try:
        return {str(name) for name in ROOT.RDataFrame(tree, path).GetColumnNames()}
    except Exception as error:  # whatever C++ says of an object that is no tree
        raise PlanError(f"{tree!r} in {path} is not a tree that RDataFrame reads") from error


# -- the analysis -----------------------------------------------------------------------------------------------------


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


# -- the picture ------------------------------------------------------------------------------------------------------

_BIN_RATIO = 1.012  # width of the picture's bins relative to their mass, where the histogram's own are narrower
_LABELS_TO_THE_RIGHT = ("psi(2S)", "Upsilon(1S)")  # centred, they would run into their left neighbour


def save_plot(histogram: Any, path: str) -> None:
    """Draw the spectrum, pairs per GeV on logarithmic axes with the resonances named, and save it as ``path``."""
    import ROOT

    batch = ROOT.gROOT.IsBatch()
    ROOT.gROOT.SetBatch(True)
    before, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kWarning  # not a line for each file saved
    try:
        canvas = _canvas()
        drawn = _density(histogram)
        _draw(drawn)
        labels = [*_peak_labels(drawn), *_captions(histogram)]  # ROOT draws at the end: keep them until then
        canvas.SaveAs(path)
        labels.clear()
        canvas.Close()
    finally:
        ROOT.gErrorIgnoreLevel = before
        ROOT.gROOT.SetBatch(batch)


def _canvas() -> Any:
    import ROOT

    canvas = ROOT.TCanvas("dimuon", "", 1400, 900)
    canvas.SetLogx()
    canvas.SetLogy()
    canvas.SetTicks(1, 1)
    canvas.SetMargin(0.09, 0.03, 0.12, 0.08)
    return canvas


def _density(histogram: Any) -> Any:
    """Pairs per GeV in bins whose width grows with the mass; their edges are edges of ``histogram``."""
    import ROOT

    axis = histogram.GetXaxis()
    edges = [axis.GetBinLowEdge(1)]
    for i in range(2, axis.GetNbins() + 2):
        edge = axis.GetBinLowEdge(i)
        if edge >= edges[-1] * _BIN_RATIO or i == axis.GetNbins() + 1:
            edges.append(edge)
    density = histogram.Rebin(len(edges) - 1, "density", array.array("d", edges))
    density.SetDirectory(ROOT.nullptr)
    density.Scale(1.0, "width")
    return density


def _draw(density: Any) -> None:
    density.SetStats(False)
    density.SetTitle("")
    density.SetLineWidth(2)
    density.SetLineColor(_colour("#20456e"))
    density.SetFillColor(_colour("#9fc3e8"))
    lowest = min((density.GetBinContent(i) for i in _filled(density)), default=1.0)
    density.SetMinimum(lowest * 0.5)
    density.SetMaximum(max(density.GetMaximum() * 6.0, 1.0))
    _axis(density.GetXaxis(), "m(#mu^{+}#mu^{#minus}) [GeV]", 1.15)
    _axis(density.GetYaxis(), "pairs per GeV", 1.0)
    density.GetXaxis().SetMoreLogLabels(False)
    density.Draw("hist")


def _filled(density: Any) -> list[int]:
    return [i for i in range(1, density.GetNbinsX() + 1) if density.GetBinContent(i) > 0]


def _axis(axis: Any, title: str, offset: float) -> None:
    axis.SetTitle(title)
    axis.SetTitleSize(0.045)
    axis.SetLabelSize(0.04)
    axis.SetTitleOffset(offset)


def _colour(code: str) -> int:
    import ROOT

    return int(ROOT.TColor.GetColor(code))


def _peak_labels(density: Any) -> list[Any]:
    """The names of the resonances, each above its own peak, where there are entries."""
    labels = []
    for peak in PEAKS:
        window = peak.mass_gev * 0.97, peak.mass_gev * 1.03
        height = max(density.GetBinContent(i) for i in range(*_bins(density, *window)))
        if peak.label and height > 0:
            align = 11 if peak.name in _LABELS_TO_THE_RIGHT else 21
            labels.append(_text(peak.mass_gev, height * 1.5, peak.label, 0.042, align))
    return labels


def _bins(density: Any, low: float, high: float) -> tuple[int, int]:
    return density.FindFixBin(low), density.FindFixBin(high) + 1


def _captions(histogram: Any) -> list[Any]:
    left, right = "Dimuon mass, RDataFrame on Lithops", f"{int(histogram.GetEntries()):,} opposite-sign pairs"
    return [_text(0.09, 0.94, left, 0.042, 11, ndc=True), _text(0.97, 0.94, right, 0.042, 31, ndc=True)]


def _text(x: float, y: float, text: str, size: float, align: int, ndc: bool = False) -> Any:
    import ROOT

    drawn = ROOT.TLatex(x, y, text)
    drawn.SetNDC(ndc)
    drawn.SetTextFont(42)
    drawn.SetTextSize(size)
    drawn.SetTextAlign(align)
    drawn.Draw()
    return drawn
