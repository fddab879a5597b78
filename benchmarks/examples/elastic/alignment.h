// Where the pots really are: an offset that moves with time.
#ifndef ELASTIC_ALIGNMENT
#define ELASTIC_ALIGNMENT

#include "optics.h"

namespace elastic {

struct Alignment {
   double offset_x_mm[kPots] = {}, drift_x_mm_per_s[kPots] = {};
   double offset_y_mm[kPots] = {}, drift_y_mm_per_s[kPots] = {};
};
inline Alignment alignment;

struct Hits {
   double x[kPots], y[kPots];
};

template <typename Positions>
Hits aligned(const Positions &x, const Positions &y, double time_s)
{
   Hits hits{};
   for (int pot = 0; pot < kPots; ++pot) {
      hits.x[pot] = x[pot] - alignment.offset_x_mm[pot] - alignment.drift_x_mm_per_s[pot] * time_s;
      hits.y[pot] = y[pot] - alignment.offset_y_mm[pot] - alignment.drift_y_mm_per_s[pot] * time_s;
   }
   return hits;
}

} // namespace elastic
#endif
