"""ROOT's own end of the reader, ``compiled/ranged_file.h``: files that come through it, and what went wrong. Needs ROOT."""

from __future__ import annotations

import ctypes
import functools
import os

from ..compiled import ours

__all__ = ["install", "read_plugins", "set_reader", "settle", "take_failure", "why_not"]

_MAKERS = """
extern "C" void *rdf_lithops_open_file(const char *, const char *);
extern "C" void *rdf_lithops_open_raw(const void *, const void *);
"""


class _Functions:
    """The C functions of the header."""

    def __init__(self) -> None:
        text = ctypes.c_char_p
        self.set_reader = ours.function("ranged_file", "set_reader", None, text, text)
        self.take_failure = ours.function("ranged_file", "take_failure", text)
        self.why_not = ours.function("ranged_file", "why_not", text, text)
        self.settle = ours.function("ranged_file", "settle", None)
        self.open_urls = ours.function("ranged_file", "open_urls", None)


@functools.lru_cache(maxsize=1)
def _functions() -> _Functions:
    return _Functions()


@functools.lru_cache(maxsize=1)
def install() -> None:  # decisions 28 and 355
    """Teach this process's ROOT the schemes that its build does not open, or not with verified certificates.

    Raises RuntimeError where this ROOT does not compile what is needed, and there is no library of it.
    """
    import ROOT

    known = _functions()
    ROOT.gInterpreter.Declare(_MAKERS)  # what ROOT's plug-in manager calls by name
    known.open_urls()


def read_plugins() -> None:
    """Have ROOT read what plug-ins it has for files, as it does for the first one that is none of this machine."""
    import ROOT

    for kind in ("TFile", "ROOT::Internal::RRawFile"):
        ROOT.gROOT.GetPluginManager().LoadHandlersFromPluginDirs(kind)


def set_reader(folder: str, grant: str) -> None:
    """From now on files are opened at the reader of ``folder``, under ``grant``."""
    _functions().set_reader(os.fsencode(folder), os.fsencode(grant))


def take_failure() -> str:
    """The reader's last error in this process, which is forgotten; empty if there was none."""
    return bytes(_functions().take_failure()).decode(errors="replace") if install.cache_info().currsize else ""


def why_not(url: str) -> str:
    """Why ROOT cannot open ``url``: what it would print; empty if it can."""
    install()
    return bytes(_functions().why_not(os.fsencode(url))).decode(errors="replace")


def settle() -> None:
    """Return when the reader has begun to fetch all that this process's open files have asked for."""
    _functions().settle()
