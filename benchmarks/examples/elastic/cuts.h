// What makes an event elastic: both arms saw the same scattering.
#ifndef ELASTIC_CUTS
#define ELASTIC_CUTS

#include "kinematics.h"

namespace elastic {

struct Cuts {
   double sigma_angle_x = 0, sigma_angle_y = 0, sigma_vertex_x_mm = 0;
   double widths = 0; // accepted, in units of sigma
   double first_s = 0, last_s = 0;
};
inline Cuts cuts;

struct Quality {
   double angle_x, angle_y, vertex_x; // right minus left, in units of sigma
   bool elastic;
};

inline Quality quality(const Kinematics &k)
{
   Quality q{(k.right.angle_x - k.left.angle_x) / cuts.sigma_angle_x, (k.right.angle_y - k.left.angle_y) / cuts.sigma_angle_y,
             (k.right.vertex_x - k.left.vertex_x) / cuts.sigma_vertex_x_mm, false};
   q.elastic = std::abs(q.angle_x) < cuts.widths && std::abs(q.angle_y) < cuts.widths && std::abs(q.vertex_x) < cuts.widths;
   return q;
}

} // namespace elastic
#endif
