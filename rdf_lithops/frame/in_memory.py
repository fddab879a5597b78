"""Columns that travel with a graph, and that its C++ reads by their keys: data frames of arrays, texts and CSV files.

A ``Columns`` that is unpickled, or made by ``known``, can be read in this process for as long as it lives.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping
from typing import Any

from ..compiled.compiling import compiling_quickly

__all__ = ["TEXT", "Columns", "expression"]

TEXT = "std::string"
_CODE = """
#ifndef RDF_LITHOPS_IN_MEMORY
#define RDF_LITHOPS_IN_MEMORY
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>
namespace rdf_lithops {
inline std::map<std::string, std::uintptr_t> &columns_in_memory()
{
   static std::map<std::string, std::uintptr_t> places;
   return places;
}
template <typename T>
T in_memory(const char *key, ULong64_t entry)
{
   const auto place = columns_in_memory().find(key);
   if (place == columns_in_memory().end())
      throw std::runtime_error(std::string("no column in memory has the key ") + key);
   if constexpr (std::is_same_v<T, std::string>)
      return (*reinterpret_cast<const std::vector<T> *>(place->second))[entry];
   else
      return reinterpret_cast<const T *>(place->second)[entry];
}
}
#endif
"""
_held: dict[str, int] = {}  # how many Columns that live have a key


class Columns:
    """Columns by name: the C++ type of each, and a one-dimensional array, or for texts a list of them."""

    def __init__(self, types: Mapping[str, str], values: Mapping[str, Any]) -> None:
        self.types, self.values = dict(types), dict(values)
        self.keys = {name: self._key(name) for name in types}

    def _key(self, name: str) -> str:
        """Return a name for these values that no others have."""
        values, digest = self.values[name], hashlib.sha256(self.types[name].encode())
        for part in (repr(values).encode(),) if isinstance(values, list) else (values.tobytes(),):
            digest.update(part)
        return digest.hexdigest()[:24]

    @property
    def nbytes(self) -> int:
        """How many bytes the values have."""
        return sum(
            sum(map(len, values)) if isinstance(values, list) else int(values.nbytes) for values in self.values.values()
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"types": self.types, "values": self.values, "keys": self.keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.settle()

    def settle(self) -> None:
        """Let this process's C++ read the columns. To be called in the main thread of a process that has ROOT."""
        import ROOT

        with compiling_quickly():
            ROOT.gInterpreter.Declare(_CODE)
        places, held = ROOT.rdf_lithops.columns_in_memory(), []
        for name, key in self.keys.items():
            values = self.values[name]
            kept = ROOT.std.vector[TEXT](values) if isinstance(values, list) else values
            held.append(kept)
            places[key] = ROOT.addressof(kept) if isinstance(values, list) else values.ctypes.data
            _held[key] = _held.get(key, 0) + 1
        weakref.finalize(self, _forget, tuple(self.keys.values()), held).atexit = False


def _forget(keys: tuple[str, ...], held: list[Any]) -> None:
    import ROOT

    for key in keys:
        _held[key] -= 1
        if not _held[key]:
            ROOT.rdf_lithops.columns_in_memory().erase(key)
    held.clear()


def expression(kind: str, key: str) -> str:
    """Return the C++ that reads an entry of the column with that key."""
    return f'::rdf_lithops::in_memory<{kind}>("{key}", rdfentry_)'
