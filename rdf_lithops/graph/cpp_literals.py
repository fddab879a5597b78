"""Values as C++ writes them: numbers, texts, containers in braces and arrays in brackets, also those that no literal has."""

from __future__ import annotations

import array
import ctypes
import functools
import math
import re
from typing import Any

__all__ = ["CONTAINER", "literal", "quoted"]

MOST_VALUES = 100_000  # of one array
CONTAINER = re.compile(r"(vector|RVec|map|multimap|unordered_map|set|multiset|unordered_set|array|deque|list|pair)<")
_UNUSUAL = {"nan": '__builtin_nanf("")', "inf": "__builtin_inff()", "-inf": "-__builtin_inff()"}  # narrower than any list
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,:;=+-*/<>()[]{}!#%&|^~'$@`")
_NUMBERS = {  # in Python's array, of what vectors hold that are read as they lie in memory
    "std::vector<double>": "d",
    "std::vector<float>": "f",
    "std::vector<int>": "i",
    "std::vector<unsigned int>": "I",
    "std::vector<long>": "l",
    "std::vector<unsigned long>": "L",
    "std::vector<long long>": "q",
    "std::vector<unsigned long long>": "Q",
    "std::vector<short>": "h",
    "std::vector<unsigned short>": "H",
}


def literal(value: Any) -> str:
    """The C++ that has this value, of a container in braces, of an array in brackets; empty for what has none."""
    import ROOT

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}{'ull' if value >= 2**63 else 'll' if abs(value) >= 2**31 else ''}"
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else _UNUSUAL[str(value)]
    if isinstance(value, str):  # a char, as PyROOT has it
        return str(ord(value)) if len(value) == 1 else ""
    if isinstance(value, ROOT.TString):
        return f"TString({quoted(bytes(str(value), 'utf-8', 'surrogateescape'))}, {value.Length()})"
    if isinstance(value, ROOT.std.string):
        return f"std::string({quoted(bytes(value))}, {len(bytes(value))})"
    if type(value).__name__ == "LowLevelView":
        return _literal_of_array(value)
    return _literal_of_container(value) if CONTAINER.match(type(value).__name__) else ""


def quoted(text: bytes) -> str:
    """The C++ literal of these characters: Cling takes a line for unfinished whose raw one has a single quotation mark."""
    return '"{}"'.format("".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in text))


def _literal_of_container(value: Any) -> str:
    """The values of a container; empty where one of them cannot be written down, or for a pointer to nothing."""
    import ROOT

    if not ROOT.addressof(value):
        return ""
    if code := _NUMBERS.get(type(value).__cpp_name__):
        return _literal_of_numbers(code, _in_memory(value))
    is_pair = type(value).__name__.startswith("pair<")
    items = [value.first, value.second] if is_pair else list(value) if len(value) <= MOST_VALUES else [None]
    literals = [literal(item) for item in items]
    return f"{{{', '.join(literals)}}}" if all(literals) else ""


def _in_memory(vector: Any) -> bytes:
    """The items of a vector of numbers, which begin where its first word says, and end where its second does."""
    import ROOT

    begin, end = (ctypes.c_size_t * 2).from_address(ROOT.addressof(vector))
    return ctypes.string_at(begin, end - begin) if begin else b""


@functools.lru_cache(maxsize=32)  # they are looked at again and again; a text has up to 3 MB
def _literal_of_numbers(code: str, items: bytes) -> str:
    """The values of a vector of numbers in braces; empty for too many of them."""
    numbers = array.array(code, items)
    return f"{{{', '.join(map(literal, numbers))}}}" if len(numbers) <= MOST_VALUES else ""


def _literal_of_array(view: Any) -> str:
    """The values of a C array of numbers, row by row; empty for a pointer, whose end nobody knows."""
    shape = [int(extent) for extent in view.shape]
    if not 0 < math.prod(shape) <= MOST_VALUES or min(shape) < 1:
        return ""
    has_rows = len(shape) > 1
    items = [_literal_of_array(view[row])[1:-1] if has_rows else literal(view[row]) for row in range(shape[0])]
    return f"[{', '.join(items)}]" if all(items) else ""
