// The beams. Filled by initialize on every worker; 0 means that it was not.
#ifndef ELASTIC_ENVIRONMENT
#define ELASTIC_ENVIRONMENT

namespace elastic {

struct Environment {
   double momentum_gev = 0;
   double run_length_s = 0;
};
inline Environment environment;

} // namespace elastic
#endif
