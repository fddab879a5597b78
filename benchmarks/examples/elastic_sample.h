// The sample of elastic.py: two protons scattered by the same angle, and coincidences that were not.
#ifndef RDF_LITHOPS_EXAMPLES_ELASTIC_SAMPLE
#define RDF_LITHOPS_EXAMPLES_ELASTIC_SAMPLE

#include "TFile.h"
#include "TTree.h"
#include "elastic/acceptance.h"
#include "elastic/cuts.h"
#include "random.h"
#include <string>

namespace elastic {

// Uses the optics, alignment and environment that initialize has set. `slope` of exp(-slope |t|) in 1/GeV^2.
inline void write_sample(const char *path, unsigned long long first, unsigned long long last, double slope,
                         double divergence, double resolution_mm, double background_share)
{
   TFile file(path, "RECREATE");
   TTree tree("TotemNtuple", "roman pots");
   double x[kPots], y[kPots], time_s;
   bool valid[kPots], zero_bias;
   unsigned int run, bunch;
   for (int pot = 0; pot < kPots; ++pot) {
      const auto name = "track_rp_" + std::to_string(pot);
      tree.Branch((name + "_valid").c_str(), &valid[pot]);
      tree.Branch((name + "_x").c_str(), &x[pot]);
      tree.Branch((name + "_y").c_str(), &y[pot]);
   }
   tree.Branch("timestamp", &time_s);
   tree.Branch("zero_bias", &zero_bias);
   tree.Branch("run", &run);
   tree.Branch("bunch", &bunch);
   for (auto entry = first; entry < last; ++entry) {
      examples::Stream random(entry);
      const bool background = random.uniform() < background_share;
      double angle_x[2], angle_y[2], vertex_x[2];
      for (int arm = 0; arm < 2; ++arm) {
         if (arm == 0 || background) {
            const double angle = std::sqrt(random.exponential(1 / slope)) / environment.momentum_gev;
            const double azimuth = random.uniform(-M_PI, M_PI);
            angle_x[arm] = angle * std::cos(azimuth), angle_y[arm] = angle * std::sin(azimuth);
            vertex_x[arm] = random.gauss(0, 0.1);
         } else {
            angle_x[arm] = angle_x[0], angle_y[arm] = angle_y[0], vertex_x[arm] = vertex_x[0];
         }
      }
      time_s = random.uniform(0, environment.run_length_s);
      zero_bias = random.uniform() < 0.02;
      run = 1 + (entry / 1000) % 4;
      bunch = random.next() % 100;
      for (int pot = 0; pot < kPots; ++pot) {
         const int arm = pot < 3 ? 0 : 1;
         const double up = angle_y[arm] + random.gauss(0, divergence / 30), side = angle_x[arm] + random.gauss(0, divergence / 30);
         x[pot] = predicted_x(pot, side, vertex_x[arm]) + alignment.offset_x_mm[pot] +
                  alignment.drift_x_mm_per_s[pot] * time_s + random.gauss(0, resolution_mm);
         y[pot] = predicted_y(pot, up) + alignment.offset_y_mm[pot] + alignment.drift_y_mm_per_s[pot] * time_s +
                  random.gauss(0, resolution_mm);
         valid[pot] = angle_y[arm] > 0.8 * acceptance.lowest_angle_y && random.uniform() < 0.97;
      }
      tree.Fill();
   }
   tree.Write();
}

} // namespace elastic
#endif
