// A random stream of its own for each entry, from the entry's number: the samples do not depend on how they are cut.
#ifndef RDF_LITHOPS_EXAMPLES_RANDOM
#define RDF_LITHOPS_EXAMPLES_RANDOM

#include <cmath>

namespace examples {

struct Stream { // splitmix64
   unsigned long long state;
   explicit Stream(unsigned long long entry) : state(entry) { state = next() ^ (entry * 0xD1342543DE82EF95ull); }
   unsigned long long next()
   {
      unsigned long long z = (state += 0x9E3779B97F4A7C15ull);
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
      return z ^ (z >> 31);
   }
   double uniform(double low = 0, double high = 1) { return low + (high - low) * ((next() >> 11) + 0.5) * 0x1p-53; }
   double exponential(double mean) { return -mean * std::log(uniform()); }
   double gauss(double mean, double sigma)
   {
      const double radius = std::sqrt(-2 * std::log(uniform()));
      return mean + sigma * radius * std::cos(2 * M_PI * uniform());
   }
};

} // namespace examples
#endif
