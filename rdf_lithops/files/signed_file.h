// Files behind XRootD whose URL holds a secret: opened by it, and known to ROOT, its messages and the user by another name.
#ifndef RDF_LITHOPS_SIGNED_FILE
#define RDF_LITHOPS_SIGNED_FILE

#include <ROOT/RRawFileNetXNG.hxx>
#include <TNetXNGFile.h>

#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace rdf_lithops {

inline std::mutex signed_mutex; // RNTuple opens in threads of its own
inline std::map<std::string, std::string> signed_urls;

inline void set_signed(const std::string &name, const std::string &url)
{
   std::lock_guard<std::mutex> lock(signed_mutex);
   signed_urls[name] = url;
}

inline void forget_signed()
{
   std::lock_guard<std::mutex> lock(signed_mutex);
   signed_urls.clear();
}

inline std::string signed_url(const std::string &name)
{
   std::lock_guard<std::mutex> lock(signed_mutex);
   const auto found = signed_urls.find(name);
   return found == signed_urls.end() ? name : found->second;
}

class SignedFile : public TNetXNGFile {
public:
   SignedFile(const char *name, Option_t *option, const char *title, Int_t compress, Int_t netopt)
      : TNetXNGFile(signed_url(name).c_str(), name, option, title, compress, netopt, kFALSE)
   {
   }
};

class SignedRaw : public ROOT::Internal::RRawFileNetXNG {
public:
   SignedRaw(std::string_view name, ROOT::Internal::RRawFile::ROptions options)
      : RRawFileNetXNG(signed_url(std::string(name)), options)
   {
   }
};

} // namespace rdf_lithops

#endif
