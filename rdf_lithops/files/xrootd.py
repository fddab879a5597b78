"""For reading: files behind XRootD as bytes, through ROOT's own client: their version, and any extent. Needs ROOT."""

from __future__ import annotations

from . import access, ranged, remote

__all__ = ["SCHEMES", "read_extent", "version_of"]

_INTO = """
#ifndef RDF_LITHOPS_INTO
#define RDF_LITHOPS_INTO
#include <TFile.h>
#include <cstdint>
namespace rdf_lithops {
inline bool read_into(TFile &file, std::uintptr_t buffer, Long64_t start, Int_t size) // PyROOT has no char * for a buffer
{
   return file.ReadBuffer(reinterpret_cast<char *>(buffer), start, size);
}
} // namespace rdf_lithops
#endif
"""
SCHEMES = ("root", "roots", "xroot", "xroots")


def version_of(url: str) -> str:
    """Return the version of a file: time of change and size; the size alone for a URL with a token; "" if the server does
    not say."""
    import ROOT

    ranged.install()
    status = ROOT.FileStat_t()
    if ROOT.gSystem.GetPathInfo(url, status) == 0:
        return f"{status.fMtime}:{status.fSize}"
    if "?" not in url:
        return ""
    try:  # ROOT asks for the path without what follows it
        with ROOT.TFile.Open(f"{url}&filetype=raw") as file:
            return f"unknown:{file.GetSize()}"
    except OSError:
        return ""


def read_extent(url: str, start: int, end: int, version: str) -> bytes:
    """Return bytes [start, end) of that version of ``url``; AccessFailure when it is another one by now, or bytes are
    missing."""
    import numpy
    import ROOT

    if version_of(url) != version:
        raise remote.changed(url)
    buffer = numpy.empty(end - start, dtype=numpy.int8)
    try:
        with ROOT.TFile.Open(f"{url}{'&' if '?' in url else '?'}filetype=raw") as file:
            ROOT.gInterpreter.Declare(_INTO)
            failed = ROOT.rdf_lithops.read_into(file, buffer.ctypes.data, start, end - start)
    except OSError as error:
        failure = access.unreadable([url])
        if failure is not None:
            raise remote.AccessFailure(**failure) from error
        raise remote.truncated(url, "it could not be opened, and now it can") from error
    if failed:
        raise remote.truncated(url, f"bytes {start} to {end} could not be read")
    return buffer.tobytes()
