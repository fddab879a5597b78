// The seconds of this thread's reads and decompression, for worker/seconds.py: plain C, called by way of ctypes.
#ifndef RDF_LITHOPS_READ_CLOCK
#define RDF_LITHOPS_READ_CLOCK
#include <TFile.h>
#include <TTimeStamp.h>
#include <TVirtualPerfStats.h>
namespace rdf_lithops {
class ReadClock final : public TVirtualPerfStats {
   static double Since(double start) { return static_cast<double>(TTimeStamp()) - start; }
   void SetFile(TFile *) override {}
   Long64_t fBytes = 0, fEvents = 0;

public:
   double told[3] = {0, 0, 0}; // of opening files, reads, decompression
   void FileOpenEvent(TFile *, const char *, Double_t start) override { told[0] += Since(start); }
   void FileReadEvent(TFile *, Int_t, Double_t start) override { told[1] += Since(start); }
   void UnzipEvent(TObject *, Long64_t, Double_t start, Int_t, Int_t) override { told[2] += Since(start); }
   void SetBytesRead(Long64_t bytes) override { fBytes = bytes; }
   Long64_t GetBytesRead() const override { return fBytes; }
   void SetNumEvents(Long64_t events) override { fEvents = events; }
   Long64_t GetNumEvents() const override { return fEvents; }
   void SimpleEvent(EEventType) override {}
   void PacketEvent(const char *, const char *, const char *, Long64_t, Double_t, Double_t, Double_t, Long64_t) override {}
   void FileEvent(const char *, const char *, const char *, const char *, Bool_t) override {}
   void RateEvent(Double_t, Double_t, Long64_t, Long64_t) override {}
   void PrintBasketInfo(Option_t *) const override {}
   void SetLoaded(TBranch *, size_t) override {}
   void SetLoaded(size_t, size_t) override {}
   void SetLoadedMiss(TBranch *, size_t) override {}
   void SetLoadedMiss(size_t, size_t) override {}
   void SetMissed(TBranch *, size_t) override {}
   void SetMissed(size_t, size_t) override {}
   void SetUsed(TBranch *, size_t) override {}
   void SetUsed(size_t, size_t) override {}
   void UpdateBranchIndices(TObjArray *) override {}
};
} // namespace rdf_lithops

extern "C" const double *rdf_lithops_read_clock() // in force from the first time that it is asked for
{
   static rdf_lithops::ReadClock clock;
   if (!TVirtualPerfStats::CurrentPerfStats())
      TVirtualPerfStats::CurrentPerfStats() = &clock;
   return clock.told;
}

extern "C" long long rdf_lithops_file_bytes() { return TFile::GetFileBytesRead(); }
#endif
