// Remote files for ROOT, read through the reader process of this machine (reader.py) over a Unix socket.
//
// One connection per open file. A request is two 32-bit numbers (what, bytes that follow) and a body; an answer is two
// 64-bit numbers: 0 and the bytes that follow, or 1 and the length of an error text, or 2 and the length of a path. All in
// the order of this machine.
//
//    1 open      body: grant, newline, URL                  answer: 8 bytes, the size of the file
//    2 read      body: pairs of 64-bit numbers (start, size) answer: those bytes, in that order; or (2) a file that has
//                                                           them where the remote one has them, until it is cut short
//    3 ahead     body: as read                              no answer: the reader may fetch them now
//    5 send      body: as read                              answer: those bytes, never a file
//    6 settle    no body                                    answer: nothing; what was asked for before is counted
//
// Nothing here takes Python's lock: ROOT reads from threads of its own while the main thread waits for them. What files/opening.py
// calls by way of ctypes, and what ROOT's plug-in manager makes files with, is plain C, at the end.
#ifndef RDF_LITHOPS_RANGED_FILE
#define RDF_LITHOPS_RANGED_FILE

#include <ROOT/RRawFile.hxx>
#include <TBranch.h>
#include <TEnv.h>
#include <TError.h>
#include <TFile.h>
#include <TMap.h>
#include <TPluginManager.h>
#include <TROOT.h>
#include <TTree.h>
#include <TTreeCache.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace rdf_lithops {

using Extent = std::pair<std::int64_t, std::int64_t>; // start and size, bytes

class Remote;

// What the files of this process share. It is never destroyed: what is open when the process ends ROOT closes later than a
// library's own variables go.
struct State {
   std::mutex mutex;
   std::string reader_folder; // where the reader listens
   std::string grant;         // names the variables that this process was granted, at the reader
   std::string failure;       // the last error of the reader, for the one who explains why a range failed
   std::mutex open_files_mutex;
   std::vector<Remote *> open_files;
};
static State &state()
{
   static auto &made = *new State;
   return made;
}

// A descriptor that is closed with its owner, also with one whose constructor throws.
class Descriptor {
   int fNumber = -1;

public:
   Descriptor() = default;
   Descriptor(const Descriptor &) = delete;
   Descriptor &operator=(const Descriptor &) = delete;
   ~Descriptor() { Set(-1); }
   void Set(int number)
   {
      if (fNumber >= 0)
         ::close(fNumber);
      fNumber = number;
   }
   operator int() const { return fNumber; }
};

// One file at the reader. Every method throws std::runtime_error, and keeps its text as `failure`.
class Remote {
   Descriptor fSocket;
   Descriptor fKept;      // the reader's own copy of what it has of this file: read without it
   std::string fKeptPath;
   std::int64_t fSize = 0;
   bool fSettled = true;  // nothing was asked for without waiting for the answer
   std::mutex fMutex; // RNTuple's thread reads beside the main one

   [[noreturn]] void Fail(const std::string &why)
   {
      std::lock_guard<std::mutex> lock(state().mutex);
      state().failure = why;
      throw std::runtime_error(why);
   }

   void Connect(const std::string &folder)
   {
      // through a descriptor of the folder: sun_path holds 108 bytes, and the folder may lie deep
      const int place = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/reader.sock", place);
      fSocket.Set(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const int failed = ::connect(fSocket, reinterpret_cast<sockaddr *>(&address), sizeof(address));
      const std::string why = std::strerror(errno);
      ::close(place);
      if (failed)
         Fail("the reader of remote files does not answer in " + folder + ": " + why);
   }

   void Send(const void *data, size_t size)
   {
      for (auto at = static_cast<const char *>(data); size > 0;) {
         const auto sent = ::send(fSocket, at, size, MSG_NOSIGNAL);
         if (sent <= 0 && errno != EINTR)
            Fail("the reader of remote files is gone");
         at += std::max<ssize_t>(sent, 0);
         size -= std::max<ssize_t>(sent, 0);
      }
   }

   void Receive(void *data, size_t size)
   {
      for (auto at = static_cast<char *>(data); size > 0;) {
         const auto received = ::recv(fSocket, at, size, MSG_WAITALL);
         if (received == 0 || (received < 0 && errno != EINTR))
            Fail("the reader of remote files is gone");
         at += std::max<ssize_t>(received, 0);
         size -= std::max<ssize_t>(received, 0);
      }
   }

   void Request(std::uint32_t what, const void *body, size_t size)
   {
      const std::uint32_t head[2] = {what, static_cast<std::uint32_t>(size)};
      Send(head, sizeof(head));
      Send(body, size);
   }

   // True: `expected` bytes follow. False: they are in the file that is open as `fKept`.
   bool Answer(size_t expected)
   {
      std::uint64_t head[2];
      Receive(head, sizeof(head));
      if (head[0] == 0 && head[1] == expected)
         return true;
      std::string text(head[1], ' ');
      Receive(text.data(), text.size());
      if (head[0] != 2)
         Fail(text);
      if (text != fKeptPath || fKept < 0) {
         fKept.Set(::open(text.c_str(), O_RDONLY | O_CLOEXEC));
         fKeptPath = text;
      }
      return false;
   }

   bool ReadKept(const std::vector<Extent> &extents, const std::vector<char *> &into)
   {
      for (size_t i = 0; i < extents.size(); ++i) {
         for (std::int64_t at = 0; at < extents[i].second;) {
            const auto got = ::pread(fKept, into[i] + at, extents[i].second - at, extents[i].first + at);
            if (got == 0 || (got < 0 && errno != EINTR))
               return false;
            at += std::max<ssize_t>(got, 0);
         }
      }
      return true;
   }

public:
   explicit Remote(const std::string &url)
   {
      std::string folder, given;
      {
         std::lock_guard<std::mutex> lock(state().mutex);
         folder = state().reader_folder;
         given = state().grant;
      }
      Connect(folder);
      const std::string body = given + "\n" + url;
      Request(1, body.data(), body.size());
      Answer(sizeof(fSize));
      Receive(&fSize, sizeof(fSize));
      std::lock_guard<std::mutex> lock(state().open_files_mutex);
      state().open_files.push_back(this);
   }
   Remote(const Remote &) = delete;
   Remote &operator=(const Remote &) = delete;
   ~Remote()
   {
      std::lock_guard<std::mutex> lock(state().open_files_mutex);
      auto &files = state().open_files;
      files.erase(std::find(files.begin(), files.end(), this));
   }

   std::int64_t Size() const { return fSize; }

   // Fills one buffer after the other; `into` has as many as `extents`.
   void Read(const std::vector<Extent> &extents, const std::vector<char *> &into)
   {
      size_t total = 0;
      for (const auto &extent : extents)
         total += extent.second;
      std::lock_guard<std::mutex> lock(fMutex);
      Request(2, extents.data(), extents.size() * sizeof(Extent));
      fSettled = true;
      if (!Answer(total)) {
         if (ReadKept(extents, into))
            return;
         Request(5, extents.data(), extents.size() * sizeof(Extent)); // it was cut short to make room
         Answer(total);
      }
      for (size_t i = 0; i < extents.size(); ++i)
         Receive(into[i], extents[i].second);
   }

   void Ahead(const std::vector<Extent> &extents)
   {
      if (extents.empty())
         return;
      std::lock_guard<std::mutex> lock(fMutex);
      Request(3, extents.data(), extents.size() * sizeof(Extent));
      fSettled = false;
   }

   // When it returns, the reader has begun to fetch all that it was asked for.
   void Settle()
   {
      std::lock_guard<std::mutex> lock(fMutex);
      if (fSettled)
         return;
      Request(6, nullptr, 0);
      Answer(0);
      fSettled = true;
   }
};

// What TFile::Open makes of a remote URL. Read only.
class RangedFile : public TFile {
   std::unique_ptr<Remote> fRemote;
   static constexpr Int_t kFillBytes = 4 << 20;    // what a tree's cache reads at a time, or one cluster if that is more
   static constexpr Long64_t kAheadBytes = 16 << 20; // what is on its way behind that

   // These reach members that only derived classes see.
   struct Smaller : TFileCacheRead {
      static void Set(TFileCacheRead &cache)
      {
         auto &wanted = cache.*(&Smaller::fBufferSizeMin);
         wanted = std::min(wanted, kFillBytes);
      }
   };
   struct Ending : TTreeCache {
      static Long64_t Of(TTreeCache &cache) { return cache.*(&Ending::fEntryMax); } // what is public returns an Int_t
   };

   void Count(Long64_t bytes)
   {
      fBytesRead += bytes;
      fgBytesRead += bytes;
      ++fReadCalls;
      ++fgReadCalls;
   }

   // The entry of this file's tree at which its cache will stop: by itself that counts within the tree, else in its chain.
   static Long64_t EndOf(TTreeCache &cache, TTree &tree)
   {
      const auto end = Ending::Of(cache);
      return end <= 0 || end == tree.GetEntries() ? tree.GetEntries() : end - tree.GetChainOffset();
   }

   // The baskets that TTreeCache will ask for next: those of its branches that lie behind the byte `from`, up to `budget`.
   std::vector<Extent> NextBaskets(TTreeCache &cache, Long64_t from, Long64_t budget)
   {
      std::vector<Extent> next;
      const auto branches = cache.GetCachedBranches();
      for (Int_t i = 0; branches && i <= branches->GetLast(); ++i) {
         auto branch = static_cast<TBranch *>(branches->UncheckedAt(i));
         if (branch->GetFile(0) != this)
            continue;
         const auto end = EndOf(cache, *branch->GetTree());
         for (Int_t basket = 0; basket < branch->GetWriteBasket(); ++basket) {
            const auto start = branch->GetBasketSeek(basket);
            if (start >= from && branch->GetBasketEntry()[basket] < end)
               next.emplace_back(start, branch->GetBasketBytes()[basket]);
         }
      }
      std::sort(next.begin(), next.end());
      size_t kept = 0;
      while (kept < next.size() && (budget -= next[kept].second) >= 0)
         ++kept;
      next.resize(kept);
      return next;
   }

   void ReadAhead(Long64_t from, Long64_t budget)
   {
      if (!fCacheReadMap)
         return;
      TIter next(fCacheReadMap->GetTable());
      while (auto pair = static_cast<TPair *>(next()))
         if (pair->Value() && pair->Value()->InheritsFrom(TTreeCache::Class()))
            if (auto cache = static_cast<TTreeCache *>(pair->Value()); !cache->IsLearning())
               fRemote->Ahead(NextBaskets(*cache, from, budget));
   }

public:
   RangedFile(const char *url, Option_t *option) : TFile(url, "NET")
   {
      fOption = "READ";
      TString wanted(option);
      wanted.ToUpper();
      try {
         if (!wanted.IsNull() && !wanted.BeginsWith("READ"))
            throw std::runtime_error(std::string("expected to read ") + url + ", was asked to " + option + " it");
         fRemote = std::make_unique<Remote>(url);
         fD = -2; // open, without a descriptor
         Init(kFALSE);
      } catch (const std::exception &error) {
         Error("TFile", "%s", error.what());
         MakeZombie();
         gDirectory = gROOT;
      }
   }
   ~RangedFile() override { Close(); }

   Long64_t GetSize() const override { return fRemote ? fRemote->Size() : -1; }
   void Seek(Long64_t offset, ERelativeTo from) override { SetOffset(offset, from); }

   // A tree's cache waits for all that it reads at a time. In small fills it waits less, and computes while the next arrive.
   void SetCacheRead(TFileCacheRead *cache, TObject *tree, ECacheAction action) override
   {
      if (cache && tree)
         Smaller::Set(*cache);
      TFile::SetCacheRead(cache, tree, action);
   }

   Bool_t ReadBuffer(char *buffer, Int_t size) override
   {
      if (const auto cached = ReadBufferViaCache(buffer, size))
         return cached == 2;
      if (fOffset + size > fRemote->Size())
         return kTRUE;
      fRemote->Read({{fOffset, size}}, {buffer});
      fOffset += size;
      Count(size);
      return kFALSE;
   }
   Bool_t ReadBuffer(char *buffer, Long64_t start, Int_t size) override
   {
      SetOffset(start);
      return ReadBuffer(buffer, size);
   }

   Bool_t ReadBuffers(char *buffer, Long64_t *starts, Int_t *sizes, Int_t count) override
   {
      std::vector<Extent> extents;
      std::vector<char *> into;
      Long64_t total = 0, last = 0;
      for (Int_t i = 0; i < count; ++i) {
         extents.emplace_back(starts[i] + fArchiveOffset, sizes[i]);
         into.push_back(buffer + total);
         total += sizes[i];
         last = std::max<Long64_t>(last, extents.back().first + sizes[i]);
         if (last > fRemote->Size())
            return kTRUE;
      }
      if (!buffer) { // ROOT's own way to announce what it will read
         fRemote->Ahead(extents);
         return kFALSE;
      }
      fRemote->Read(extents, into);
      Count(total);
      ReadAhead(last, std::max(total, kAheadBytes));
      return kFALSE;
   }

   Int_t SysClose(Int_t) override { return 0; }
};

// The same for RNTuple, which reads clusters ahead by itself, in a thread that catches nothing: what cannot be read there is
// zeros, whose checksums do not fit, and `failure` says why; whoever asked for the range refuses it then, checksums or not.
class RangedRaw : public ROOT::Internal::RRawFile {
   std::unique_ptr<Remote> fRemote;
   std::thread::id fOpener; // it reads what tells where the pages are, and catches

   void ReadOrBlank(const std::vector<Extent> &extents, const std::vector<char *> &into)
   {
      try {
         fRemote->Read(extents, into);
      } catch (const std::exception &) {
         if (std::this_thread::get_id() == fOpener)
            throw;
         for (size_t i = 0; i < extents.size(); ++i)
            std::memset(into[i], 0, extents[i].second);
      }
   }

   std::int64_t Within(std::uint64_t start, std::size_t size) const
   {
      const auto end = static_cast<std::uint64_t>(fRemote->Size());
      return start >= end ? 0 : static_cast<std::int64_t>(std::min<std::uint64_t>(size, end - start));
   }

protected:
   void OpenImpl() override
   {
      if (fOptions.fBlockSize == ROptions::kUseDefaultBlockSize)
         fOptions.fBlockSize = 4096;
      fRemote = std::make_unique<Remote>(fUrl);
      fOpener = std::this_thread::get_id();
   }
   std::uint64_t GetSizeImpl() override { return fRemote->Size(); }
   size_t ReadAtImpl(void *buffer, size_t size, std::uint64_t start) override
   {
      const auto inside = Within(start, size);
      if (inside > 0)
         ReadOrBlank({{static_cast<std::int64_t>(start), inside}}, {static_cast<char *>(buffer)});
      return inside;
   }
   void ReadVImpl(RIOVec *requests, unsigned int count) override
   {
      std::vector<Extent> extents;
      std::vector<char *> into;
      for (unsigned int i = 0; i < count; ++i) {
         requests[i].fOutBytes = Within(requests[i].fOffset, requests[i].fSize);
         extents.emplace_back(requests[i].fOffset, requests[i].fOutBytes);
         into.push_back(static_cast<char *>(requests[i].fBuffer));
      }
      ReadOrBlank(extents, into);
   }

public:
   RangedRaw(std::string_view url, ROptions options) : RRawFile(url, options) {}
   std::unique_ptr<RRawFile> Clone() const override { return std::make_unique<RangedRaw>(fUrl, fOptions); }
};

} // namespace rdf_lithops

extern "C" void rdf_lithops_set_reader(const char *folder, const char *grant)
{
   std::lock_guard<std::mutex> lock(rdf_lithops::state().mutex);
   rdf_lithops::state().reader_folder = folder;
   rdf_lithops::state().grant = grant;
}

// The reader's last error, which is forgotten; empty if there was none. Valid until this thread asks again.
extern "C" const char *rdf_lithops_take_failure()
{
   thread_local std::string taken;
   std::lock_guard<std::mutex> lock(rdf_lithops::state().mutex);
   taken = std::exchange(rdf_lithops::state().failure, "");
   return taken.c_str();
}

// Why ROOT itself cannot open `url`: what it would print; empty if it can. Valid until this thread asks again.
extern "C" const char *rdf_lithops_why_not(const char *url)
{
   static std::mutex mutex;
   static std::string said; // by whichever thread opens it
   thread_local std::string why;
   std::lock_guard<std::mutex> lock(mutex);
   said.clear();
   const auto before = SetErrorHandler([](int level, Bool_t, const char *, const char *message) {
      if (level >= kError)
         said += std::string(message) + "\n";
   });
   std::unique_ptr<TFile> file{TFile::Open(url, "READ_WITHOUT_GLOBALREGISTRATION")};
   SetErrorHandler(before);
   why = file && !file->IsZombie() ? "" : said + "it cannot be opened";
   return why.c_str();
}

// When it returns, the reader has begun to fetch all that files of this process have asked for; one that is gone fetches nothing.
extern "C" void rdf_lithops_settle()
{
   std::lock_guard<std::mutex> lock(rdf_lithops::state().open_files_mutex);
   for (auto *file : rdf_lithops::state().open_files) {
      try {
         file->Settle();
      } catch (const std::runtime_error &) {
      }
   }
}

extern "C" void *rdf_lithops_open_file(const char *url, const char *option)
{
   return static_cast<TFile *>(new rdf_lithops::RangedFile(url, option));
}

// `url` points to a std::string_view, `options` to an RRawFile::ROptions.
extern "C" void *rdf_lithops_open_raw(const void *url, const void *options)
{
   using ROOT::Internal::RRawFile;
   return static_cast<RRawFile *>(new rdf_lithops::RangedRaw(*static_cast<const std::string_view *>(url),
                                                             *static_cast<const RRawFile::ROptions *>(options)));
}

// Have this process's ROOT open URLs with the two functions above, which its interpreter knows. What its own plug-ins say of
// the same schemes goes if it is there already, and comes behind ours if ROOT reads it later: it does when it looks for the
// first file that is none of this machine, and that takes it a tenth of a second.
extern "C" void rdf_lithops_open_urls()
{
   gEnv->SetValue("Path.ForceRemote", 1); // else root://localhost//path is a local file, if there is one of that path
   auto &plugins = *gROOT->GetPluginManager();
   const char *const raw = "ROOT::Internal::RRawFile";
   for (const char *theirs : {"^http[s]?:", "^[a]?s3:", "^s3[s]?:"})
      plugins.RemoveHandler("TFile", theirs);
   plugins.RemoveHandler(raw, "^http[s]?:");
   for (const char *ours : {"^s3:", "^http:", "^https:"}) // spelt otherwise than theirs: the later of two that are alike stays
      plugins.AddHandler("TFile", ours, "TFile", "RIO", "::rdf_lithops_open_file(const char*,const char*)");
   for (const char *ours : {"^http:", "^https:"})
      plugins.AddHandler(raw, ours, "TFile", "RIO", "::rdf_lithops_open_raw(const void*,const void*)");
   const auto features = std::string(" ") + gROOT->GetConfigFeatures() + " ";
   if (features.find(" xrootd ") != std::string::npos) // the wheel sends roots to a class that is not there
      plugins.AddHandler("TFile", "^roots://", "TNetXNGFile", "NetxNG",
                         "TNetXNGFile(const char*,Option_t*,const char*,Int_t,Int_t,Bool_t)");
}
#endif
