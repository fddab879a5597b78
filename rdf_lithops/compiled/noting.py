"""What a graph had Cling instantiate, noted while it is booked and compiled: RDataFrame's log says it, node by node.

The lines are left in the folder of the libraries, where ``build`` finds them when somebody has time. Where nobody builds, on
workers elsewhere, they go back to the driver with a call's facts, and are left there.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from typing import Any

from . import instantiation_lines, library, ours

__all__ = ["WANTED", "Notes", "is_left", "leave", "prepare"]

WANTED = "wanted-"  # what the names of files with wanted lines begin with
_TYPES_HEADER = """
#ifndef RDF_LITHOPS_TYPES
#define RDF_LITHOPS_TYPES
#include <cxxabi.h>
#include <memory>
#include <string>
#include <typeinfo>
namespace rdf_lithops {
template <typename Function> std::string type_of(Function &)
{
   int status = 0;
   std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(typeid(Function).name(), nullptr, nullptr, &status), &std::free);
   return status ? "" : name.get();
}
} // namespace rdf_lithops
#endif
"""
_OURS = r"^Info in <\[ROOT\.RDF\] "  # how each of its messages begins; those with code end with an empty line
_CODE = r"[^\n]*(?:following code to cling|deferred JIT helper):\n.*?\n}\n\n(?:}\n\n)?"
_MESSAGE = re.compile(f"{_OURS}{_CODE}|{_OURS}[^\\n]*\n", re.DOTALL | re.MULTILINE)


@functools.lru_cache(maxsize=1)
def _log_nodes() -> Any:
    return ours.function("node_log", "log_nodes", None, ctypes.c_int)


def prepare() -> None:
    """Have ready what this needs while somebody waits, once per process."""
    _log_nodes()(False)


class Notes:
    """The log of one or more graphs, as RDataFrame wrote it while they were booked and compiled."""

    def __init__(self) -> None:
        self.text = ""
        self._counted = 0  # characters of it

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """While this lasts, what RDataFrame logs comes here; what else was written to standard error goes where it went."""
        with tempfile.TemporaryFile() as log:
            before = os.dup(2)
            os.dup2(log.fileno(), 2)
            _log_nodes()(True)
            try:
                yield
            finally:
                _log_nodes()(False)
                os.dup2(before, 2)
                os.close(before)
                log.seek(0)
                text = log.read().decode(errors="replace")
                self.text += text
                rest = _MESSAGE.sub("", text)
                os.write(2, rest.encode())

    def actions(self, there: Collection[str]) -> tuple[int, int]:
        """Of the kinds of actions that graphs have asked for since the last time: how many are ``there``, and how many Cling
        had to instantiate. Takes a thousandth of a second: what Filters and Defines ask for is not looked at."""
        if len(self.text) == self._counted:  # nothing was compiled
            return 0, 0
        lines = instantiation_lines.noted(self.text[self._counted :], lambda name: None)
        self._counted = len(self.text)
        known = sum(line in there for line in lines)
        return known, len(lines) - known

    def missing(self, there: Collection[str]) -> list[str]:
        """The lines that were asked for and are not ``there``; the log is forgotten. Takes hundredths of a second."""
        text, self.text, self._counted = self.text, "", 0
        if not text:
            return []
        types = _types_of(instantiation_lines.function_names(text))
        return [line for line in instantiation_lines.noted(text, types.get) if line not in there]


def _types_of(names: list[str]) -> dict[str, str]:
    """The types of functions of namespace ``R_rdf``, as C++ spells them."""
    import ROOT

    if not names:
        return {}
    asked = " + '\\n' + ".join(f"rdf_lithops::type_of(R_rdf::{name})" for name in names)
    made = f"types_{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
    guard = f"#ifndef RDF_LITHOPS_{made}\n#define RDF_LITHOPS_{made}\n"
    code = f"{_TYPES_HEADER}{guard}namespace rdf_lithops {{ inline std::string {made}() {{ return {asked}; }} }}\n#endif\n"
    if not ROOT.gInterpreter.Declare(code):
        return {}
    said: Any = getattr(ROOT.rdf_lithops, made)()
    return {name: known for name, known in zip(names, str(said).split("\n"), strict=True) if known}


def leave(lines: list[str]) -> None:
    """Leave lines that no library has for whoever builds the next one."""
    if not lines:
        return
    text = "\n".join(sorted(lines)) + "\n"
    path = os.path.join(library.folder(), WANTED + hashlib.sha256(text.encode()).hexdigest()[:16])
    if os.path.exists(path):
        return
    library.write(path, text)


def is_left() -> bool:
    """Whether there is something to build: no base library yet, or lines that were left."""
    names = os.listdir(library.folder())
    return f"{library.BASE}.so" not in names or any(name.startswith(WANTED) for name in names)
