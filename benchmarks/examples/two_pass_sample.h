// The sample of two_pass.py: muon pairs, and protons in two arms that lost what the pair of a signal event took.
#ifndef RDF_LITHOPS_EXAMPLES_TWO_PASS_SAMPLE
#define RDF_LITHOPS_EXAMPLES_TWO_PASS_SAMPLE

#include "TFile.h"
#include "TTree.h"
#include "random.h"
#include "two_pass.h"

namespace two_pass {

struct Arm {
   double low, high; // the momentum losses that its detector sees
};

inline void write_sample(const char *path, unsigned long long first, unsigned long long last, Arm left, Arm right,
                         double resolution, double signal_share)
{
   TFile file(path, "RECREATE");
   TTree tree("Events", "muon pairs and forward protons");
   bool trigger = false;
   int tracks = 0;
   ROOT::RVecF pt, eta, phi, mass, isolation, xi;
   ROOT::RVecI charge, tight, arm;
   tree.Branch("trigger", &trigger);
   tree.Branch("tracks", &tracks);
   tree.Branch("Muon_pt", &pt);
   tree.Branch("Muon_eta", &eta);
   tree.Branch("Muon_phi", &phi);
   tree.Branch("Muon_mass", &mass);
   tree.Branch("Muon_charge", &charge);
   tree.Branch("Muon_tight", &tight);
   tree.Branch("Muon_isolation", &isolation);
   tree.Branch("Proton_xi", &xi);
   tree.Branch("Proton_arm", &arm);
   for (auto entry = first; entry < last; ++entry) {
      examples::Stream random(entry);
      const bool signal = random.uniform() < signal_share;
      trigger = signal || random.uniform() < 0.8;
      tracks = signal || random.uniform() < 0.3 ? 0 : 1 + int(random.exponential(4));
      for (auto *floats : {&pt, &eta, &phi, &mass, &isolation, &xi})
         floats->clear();
      for (auto *ints : {&charge, &tight, &arm})
         ints->clear();
      const double balanced_pt = 35 + random.exponential(120), angle = random.uniform(-M_PI, M_PI);
      const int muons = signal ? 2 : 2 + (random.uniform() < 0.1);
      for (int i = 0; i < muons; ++i) {
         const double direction = signal ? angle + i * M_PI + random.gauss(0, 0.004) : random.uniform(-M_PI, M_PI);
         pt.push_back(signal ? balanced_pt : 20 + random.exponential(30));
         eta.push_back(random.uniform(-2.0, 2.0));
         phi.push_back(std::remainder(direction, 2 * M_PI));
         mass.push_back(0.1056584);
         charge.push_back(signal ? 2 * i - 1 : (random.uniform() < 0.5 ? -1 : 1));
         tight.push_back(signal || random.uniform() < 0.95);
         isolation.push_back(signal ? random.uniform(0, 0.1) : random.exponential(0.1));
      }
      for (int which : {0, 1}) {
         const Arm &seen = which == 0 ? left : right;
         if (signal) {
            const double lost = pair_xi(pt, eta, which == 0 ? 1 : -1) + random.gauss(0, resolution);
            if (lost > seen.low && lost < seen.high) {
               xi.push_back(lost);
               arm.push_back(which);
            }
         }
         if (random.uniform() < 0.4) { // of another collision in the same bunch crossing
            xi.push_back(random.uniform(seen.low, seen.high));
            arm.push_back(which);
         }
      }
      tree.Fill();
   }
   tree.Write();
}

} // namespace two_pass
#endif
