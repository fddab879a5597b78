"""A sample of simulated dimuon events that looks like NanoAOD, and is a function of the entry number alone: it is the same
however it is cut or run."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError

__all__ = ["BRANCHES", "PEAKS", "TREE", "Peak", "make_sample"]

TREE = "Events"
BRANCHES = ("nMuon", "Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon_charge")


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
