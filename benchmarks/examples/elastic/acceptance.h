// The pots see angles above a lowest one, upwards only: how much of the circle that leaves out.
#ifndef ELASTIC_ACCEPTANCE
#define ELASTIC_ACCEPTANCE

#include "kinematics.h"

namespace elastic {

struct Acceptance {
   double lowest_angle_y = 0; // radian
};
inline Acceptance acceptance;

struct Correction {
   bool skip;      // nearly nothing of the circle is seen: the weight would be all error
   double weight;  // 1 / fraction of the circle that is seen
   double divided; // weight over the bin's unit of |t|, for the normalised distribution
};

inline Correction correction(const Kinematics &k)
{
   const double sine = acceptance.lowest_angle_y / k.angle;
   if (k.angle_y < acceptance.lowest_angle_y || sine > 0.9)
      return {true, 0, 0};
   const double weight = 2 * M_PI / (M_PI - 2 * std::asin(sine));
   return {false, weight, weight * 1e-3};
}

} // namespace elastic
#endif
