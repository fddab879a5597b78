// How an angle and a vertex at the collision become a position in a pot: straight lines, one set of lengths per pot.
#ifndef ELASTIC_OPTICS
#define ELASTIC_OPTICS

namespace elastic {

// Pots: 0 left far, 1 left near, 2 left first, 3 right first, 4 right near, 5 right far.
constexpr int kPots = 6;

struct Optics {
   double effective_length_x_mm[kPots] = {}; // per radian; negative on the left
   double effective_length_y_mm[kPots] = {};
   double magnification_x[kPots] = {};
};
inline Optics optics;

inline double predicted_x(int pot, double angle_x, double vertex_x)
{
   return optics.effective_length_x_mm[pot] * angle_x + optics.magnification_x[pot] * vertex_x;
}
inline double predicted_y(int pot, double angle_y)
{
   return optics.effective_length_y_mm[pot] * angle_y;
}

} // namespace elastic
#endif
