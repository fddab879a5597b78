// What the two-pass selection calls in its columns: it travels to wherever the ranges run.
#ifndef RDF_LITHOPS_EXAMPLES_TWO_PASS
#define RDF_LITHOPS_EXAMPLES_TWO_PASS

#include "ROOT/RVec.hxx"
#include <cmath>

namespace two_pass {

constexpr double kEnergy = 13000.0; // GeV, of the two beams together

// Momentum fraction that the protons of one side have lost to a central pair; side is +1 or -1.
inline double pair_xi(const ROOT::RVecF &pt, const ROOT::RVecF &eta, int side)
{
   return ROOT::VecOps::Sum(pt * ROOT::VecOps::exp(side * eta)) / kEnergy;
}

// Of the protons in one arm the one whose momentum loss is closest to `reference`; -1 where the arm has none.
inline double nearest_xi(const ROOT::RVecF &xi, const ROOT::RVecI &arm, int which, double reference)
{
   double best = -1;
   for (std::size_t i = 0; i < xi.size(); ++i)
      if (arm[i] == which && (best < 0 || std::abs(xi[i] - reference) < std::abs(best - reference)))
         best = xi[i];
   return best;
}

// 0 for a pair back to back in the transverse plane, up to 1.
inline double acoplanarity(const ROOT::RVecF &phi)
{
   return 1 - std::abs(ROOT::VecOps::DeltaPhi(phi[0], phi[1])) / M_PI;
}

} // namespace two_pass
#endif
