// While PyROOT starts, a name in namespace std is sought alone, and not in a list of all that ROOT knows to be there.
//
// cppyy sets two attributes of that namespace and replaces two of its functions. Of data members ROOT's list, when it is not
// loaded, seeks the one name; the two functions are templates, which PyROOT finds elsewhere. TClass's own functions stand
// behind these, which have their names and come first where this library is loaded for all before ROOT is.
#ifndef RDF_LITHOPS_STD_LISTS
#define RDF_LITHOPS_STD_LISTS
#include <cstring>
#include <dlfcn.h>

namespace rdf_lithops {
bool seeks_names = false;

// The function of that symbol in the library, ROOT's, to which an object of its class belongs.
inline void *beside(void *object, const char *symbol)
{
   Dl_info found;
   void **table = *static_cast<void ***>(object);
   if (!dladdr(table, &found))
      return nullptr;
   void *library = dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
   return library ? dlsym(library, symbol) : nullptr;
}

inline bool is_std(void *kind)
{
   const auto name = reinterpret_cast<const char *(*)(void *)>(beside(kind, "_ZNK6TNamed7GetNameEv"));
   return name && !std::strcmp(name(kind), "std");
}
} // namespace rdf_lithops

extern "C" void rdf_lithops_seek_names(int on) { rdf_lithops::seeks_names = on; }

// TClass::GetListOfDataMembers(bool)
extern "C" void *_ZN6TClass20GetListOfDataMembersEb(void *kind, bool load)
{
   static const auto own = reinterpret_cast<void *(*)(void *, bool)>(rdf_lithops::beside(kind, "_ZN6TClass20GetListOfDataMembersEb"));
   return own(kind, load && !(rdf_lithops::seeks_names && rdf_lithops::is_std(kind)));
}

// TClass::GetListOfMethods(bool)
extern "C" void *_ZN6TClass16GetListOfMethodsEb(void *kind, bool load)
{
   static const auto own = reinterpret_cast<void *(*)(void *, bool)>(rdf_lithops::beside(kind, "_ZN6TClass16GetListOfMethodsEb"));
   return own(kind, load && !(rdf_lithops::seeks_names && rdf_lithops::is_std(kind)));
}
#endif
