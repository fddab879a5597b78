// From hits to the scattering angle, the vertex and the squared momentum transfer.
#ifndef ELASTIC_KINEMATICS
#define ELASTIC_KINEMATICS

#include "alignment.h"
#include "environment.h"
#include <cmath>

namespace elastic {

struct Arm {
   double angle_x, angle_y, vertex_x;
};

struct Kinematics {
   Arm left, right;
   double angle_x, angle_y, vertex_x; // of both arms together
   double angle, azimuth, t;          // t in GeV^2, positive
};

// Least squares over the three pots of an arm.
inline Arm reconstruct_arm(const Hits &hits, int first)
{
   double ll = 0, lv = 0, vv = 0, lx = 0, vx = 0, yy = 0, ly = 0;
   for (int pot = first; pot < first + 3; ++pot) {
      const double l = optics.effective_length_x_mm[pot], v = optics.magnification_x[pot];
      const double y = optics.effective_length_y_mm[pot];
      ll += l * l, lv += l * v, vv += v * v, lx += l * hits.x[pot], vx += v * hits.x[pot];
      yy += y * y, ly += y * hits.y[pot];
   }
   const double determinant = ll * vv - lv * lv;
   return {(lx * vv - vx * lv) / determinant, ly / yy, (vx * ll - lx * lv) / determinant};
}

inline Kinematics reconstruct(const Hits &hits)
{
   Kinematics k{};
   k.left = reconstruct_arm(hits, 0);
   k.right = reconstruct_arm(hits, 3);
   k.angle_x = (k.left.angle_x + k.right.angle_x) / 2;
   k.angle_y = (k.left.angle_y + k.right.angle_y) / 2;
   k.vertex_x = (k.left.vertex_x + k.right.vertex_x) / 2;
   k.angle = std::hypot(k.angle_x, k.angle_y);
   k.azimuth = std::atan2(k.angle_y, k.angle_x);
   k.t = std::pow(environment.momentum_gev * k.angle, 2);
   return k;
}

} // namespace elastic
#endif
