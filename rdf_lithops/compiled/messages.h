// ROOT's warnings become Python's, for which PyROOT's handler needs the interpreter's lock and does not take it: what is called
// by way of ctypes, and event loops, run without it.
#ifndef RDF_LITHOPS_MESSAGES
#define RDF_LITHOPS_MESSAGES
#include <TError.h>
extern "C" int PyGILState_Check();
extern "C" int PyGILState_Ensure();
extern "C" void PyGILState_Release(int);
extern "C" void *PyErr_Occurred();
extern "C" void PyErr_WriteUnraisable(void *);
namespace rdf_lithops {
inline ErrorHandlerFunc_t &handler_before()
{
   static ErrorHandlerFunc_t handler = nullptr;
   return handler;
}
inline void take_message(int level, bool is_abort, const char *location, const char *text)
{
   const auto is_held = PyGILState_Check();
   const auto state = PyGILState_Ensure();
   handler_before()(level, is_abort, location, text);
   if (!is_held && PyErr_Occurred()) // a warning that is an error, which nobody could catch here
      PyErr_WriteUnraisable(nullptr);
   PyGILState_Release(state);
}
} // namespace rdf_lithops

extern "C" void rdf_lithops_take_messages()
{
   if (GetErrorHandler() == rdf_lithops::take_message)
      return;
   rdf_lithops::handler_before() = GetErrorHandler();
   SetErrorHandler(rdf_lithops::take_message);
}
#endif
