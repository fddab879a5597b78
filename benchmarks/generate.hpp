// The inputs of the benchmarks. Every value depends on its entry number alone, so a file of entries 0 to 4 M holds what
// four files of 1 M hold. Each function writes entries first to last (that one not) into a new file.
#ifndef RDF_LITHOPS_BENCHMARKS_GENERATE
#define RDF_LITHOPS_BENCHMARKS_GENERATE

#include "TFile.h"
#include "TTree.h"
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace benchmarks {

constexpr double kPi = 3.14159265358979323846;

inline ULong64_t Mix(ULong64_t z) // splitmix64's output function
{
   z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
   z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
   return z ^ (z >> 31);
}

struct Stream { // of one entry: starts from a hash of its number
   ULong64_t state;
   explicit Stream(ULong64_t entry) : state(Mix(entry + 0x9E3779B97F4A7C15ull)) {}
   double Uniform() // in (0, 1), neither end
   {
      state += 0x9E3779B97F4A7C15ull;
      return ((Mix(state) >> 11) + 0.5) * 0x1p-53;
   }
   double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
   double Exponential(double mean) { return -mean * std::log(Uniform()); }
   double Gauss(double mean, double sigma)
   {
      const double radius = std::sqrt(-2.0 * std::log(Uniform()));
      return mean + sigma * radius * std::cos(2.0 * kPi * Uniform());
   }
};

inline double PairMass(Stream &random) // GeV: three resonances on a falling continuum
{
   const double u = random.Uniform();
   if (u < 0.15)
      return random.Gauss(3.097, 0.03);
   if (u < 0.20)
      return random.Gauss(9.46, 0.09);
   if (u < 0.30)
      return random.Gauss(91.19, 2.5);
   return 0.3 + random.Exponential(20.0);
}

// NanoAOD's muons: about half of the events have two, most pairs of opposite charge.
inline void Dimuon(const char *path, ULong64_t first, ULong64_t last)
{
   constexpr UInt_t kMost = 4;
   TFile file(path, "RECREATE");
   TTree tree("Events", "Events");
   UInt_t n;
   float pt[kMost], eta[kMost], phi[kMost], mass[kMost];
   int charge[kMost];
   tree.Branch("nMuon", &n, "nMuon/i");
   tree.Branch("Muon_pt", pt, "Muon_pt[nMuon]/F");
   tree.Branch("Muon_eta", eta, "Muon_eta[nMuon]/F");
   tree.Branch("Muon_phi", phi, "Muon_phi[nMuon]/F");
   tree.Branch("Muon_mass", mass, "Muon_mass[nMuon]/F");
   tree.Branch("Muon_charge", charge, "Muon_charge[nMuon]/I");
   std::fill(mass, mass + kMost, 0.10566f);
   for (ULong64_t entry = first; entry < last; ++entry) {
      Stream random(entry);
      const double u = random.Uniform();
      n = u < 0.10 ? 0 : u < 0.30 ? 1 : u < 0.80 ? 2 : u < 0.95 ? 3 : 4;
      for (UInt_t i = 0; i < n; ++i) {
         pt[i] = 3.0 + random.Exponential(15.0);
         eta[i] = random.Gauss(0.0, 1.2);
         phi[i] = random.Uniform(-kPi, kPi);
         charge[i] = random.Uniform() < 0.5 ? -1 : 1;
      }
      if (n >= 2) { // the second muon's momentum gives the pair its mass
         const double m = PairMass(random), opening = std::cosh(eta[0] - eta[1]) - std::cos(phi[0] - phi[1]);
         pt[1] = m * m / (2.0 * pt[0] * std::max(opening, 1e-3));
         charge[1] = random.Uniform() < 0.85 ? -charge[0] : charge[0];
      }
      tree.Fill();
   }
   tree.Write();
}

// Elastic scattering seen by three Roman pots in each of two arms: straight lines with smearing, exp(-20 t) in t/GeV^2.
inline void Tracks(const char *path, ULong64_t first, ULong64_t last)
{
   constexpr int kPots = 6;
   constexpr double kMomentum = 6500.0, kSlope = 20.0;                           // GeV, GeV^-2
   constexpr double kLength[kPots] = {-230e3, -225e3, -220e3, 220e3, 225e3, 230e3}; // effective, mm
   TFile file(path, "RECREATE");
   TTree tree("Tracks", "Tracks");
   UInt_t timestamp;
   int bunch;
   bool valid[kPots];
   double x[kPots], y[kPots];
   tree.Branch("timestamp", &timestamp);
   tree.Branch("bunch", &bunch);
   for (int pot = 0; pot < kPots; ++pot) {
      const std::string number = std::to_string(pot);
      tree.Branch(("valid_" + number).c_str(), &valid[pot]);
      tree.Branch(("x_" + number).c_str(), &x[pot]);
      tree.Branch(("y_" + number).c_str(), &y[pot]);
   }
   for (ULong64_t entry = first; entry < last; ++entry) {
      Stream random(entry);
      timestamp = 1000u + entry % 3600u;
      bunch = static_cast<int>(random.Uniform(0.0, 100.0));
      const double theta = std::sqrt(random.Exponential(1.0 / kSlope)) / kMomentum, phi = random.Uniform(-kPi, kPi);
      const double vertex = random.Gauss(0.0, 0.1); // mm
      for (int pot = 0; pot < kPots; ++pot) {
         valid[pot] = random.Uniform() < 0.97;
         x[pot] = kLength[pot] * theta * std::cos(phi) + vertex + random.Gauss(0.0, 0.012);
         y[pot] = kLength[pot] * theta * std::sin(phi) + random.Gauss(0.0, 0.012);
      }
      tree.Fill();
   }
   tree.Write();
}

// Forty columns of eight numbers that do not compress, stored as they are: 1280 bytes an event.
inline void Scan(const char *path, ULong64_t first, ULong64_t last)
{
   constexpr int kColumns = 40, kLength = 8;
   TFile file(path, "RECREATE", "", 0);
   TTree tree("Events", "Events");
   std::vector<float> values(kColumns * kLength);
   for (int column = 0; column < kColumns; ++column) {
      const std::string name = "c" + std::to_string(column);
      tree.Branch(name.c_str(), &values[column * kLength], (name + "[" + std::to_string(kLength) + "]/F").c_str());
   }
   for (ULong64_t entry = first; entry < last; ++entry) {
      Stream random(entry);
      for (float &value : values)
         value = random.Uniform();
      tree.Fill();
   }
   tree.Write();
}

} // namespace benchmarks

#endif
