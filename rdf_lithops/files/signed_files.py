"""Have this process's ROOT open files behind XRootD by URLs that nobody else gets to see. Needs ROOT."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

__all__ = ["forget", "teach"]

_HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "signed_file.h")
_CONSTRUCTOR = "SignedFile(const char*,Option_t*,const char*,Int_t,Int_t)"
_RAW_CONSTRUCTOR = "SignedRaw(std::string_view, ROOT::Internal::RRawFile::ROptions)"


@functools.lru_cache(maxsize=1)
def _install() -> None:
    """Teach ROOT the road of all files behind XRootD; those without another URL are opened as ever."""
    import ROOT

    if not ROOT.gInterpreter.Declare(f'#include "{_HEADER}"'):
        raise RuntimeError(f"{_HEADER} does not compile with this ROOT, which may lack XRootD; the log's tail says why")
    plugins = ROOT.gROOT.GetPluginManager()
    for kind in ("TFile", "ROOT::Internal::RRawFile"):
        plugins.LoadHandlersFromPluginDirs(kind)
    for kind, schemes in (("TFile", ("^[x]?root:", "^roots:", "^roots://")), ("ROOT::Internal::RRawFile", ("^root[s]?:",))):
        for scheme in schemes:
            plugins.RemoveHandler(kind, scheme)
    for scheme in ("^[x]?root:", "^[x]?roots:"):
        plugins.AddHandler("TFile", scheme, "rdf_lithops::SignedFile", "NetxNG", _CONSTRUCTOR)
        plugins.AddHandler("ROOT::Internal::RRawFile", scheme, "rdf_lithops::SignedRaw", "NetxNG", _RAW_CONSTRUCTOR)


def teach(signed: Mapping[str, str]) -> None:
    """From now on ROOT opens the names among ``signed`` by the URLs that they stand for."""
    if not signed:
        return
    import ROOT

    _install()
    for name, url in signed.items():
        ROOT.rdf_lithops.set_signed(name, url)


def forget() -> None:
    """Forget all that was taught."""
    if _install.cache_info().currsize:
        import ROOT

        ROOT.rdf_lithops.forget_signed()
