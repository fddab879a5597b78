"""AsNumpy's columns on their way to the driver: in parts that nobody on the way takes apart, large ones through the storage.

DistRDF would concatenate the columns again with every partial that is folded, in the one reducer, which holds them all.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ArrayParts", "Stored", "joined", "register", "taken_apart"]

_VECTOR = "ROOT::VecOps::RVec<"
_NUMBERS = frozenset(
    {
        *("bool", "char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int", "long"),
        *("unsigned long", "long long", "unsigned long long", "Long64_t", "ULong64_t", "float", "double"),
    }
)


@dataclass(frozen=True)
class Stored:
    """An array part that lies in the storage under ``key``."""

    key: str
    sha256: str


@dataclass
class ArrayParts:
    """The result of one AsNumpy, in the order of the ranges: each part is a pickle of arrays by column, or a Stored that
    says where."""

    parts: list[bytes | Stored] = field(repr=False)

    def Merge(self, other: ArrayParts) -> None:  # DistRDF's name
        """Append the parts of ``other``."""
        self.parts.extend(other.parts)


def register() -> None:
    """Teach DistRDF to fold ArrayParts, in a process that may use ROOT."""
    from ROOT._distrdf.Backends import Utils

    Utils.merge_values.register(ArrayParts)(lambda into, other: into.Merge(other))


def taken_apart(  # decision 39
    result: Any, prefix: str, limit_bytes: int, range_ids: tuple[int, ...], half: tuple[int, ...] = ()
) -> dict[str, bytes]:
    """Replace the arrays of ``result`` (DistRDF's TaskResult) by ArrayParts; return what is to be stored, by key.

    A part larger than ``limit_bytes`` is stored, below ``prefix``. Its key depends on the ranges, or the ``half`` of one:
    who runs them again writes the same object.
    """
    name = "-".join(map(str, (range_ids[0], range_ids[-1], *half)))
    blobs: dict[str, bytes] = {}
    mergeables: list[Any] = getattr(result, "mergeables", None) or []
    for index, mergeable in enumerate(mergeables):
        arrays = getattr(mergeable, "_py_arrays", None)
        if arrays is None:
            continue
        pickled = _dumped(arrays)
        if len(pickled) <= limit_bytes:
            mergeables[index] = ArrayParts([pickled])
            continue
        key = f"{prefix}/{name}/{index}"
        mergeables[index] = ArrayParts([Stored(key, hashlib.sha256(pickled).hexdigest())])
        blobs[key] = pickled
    return blobs


class _Pickler(pickle.Pickler):
    """A pickler that writes vectors whose elements are objects element by element.

    ROOT has no dictionary of them, and what it does instead takes an RVec for a std::vector: reading one crashes.
    """

    def reducer_override(self, item: Any) -> Any:
        kind = str(getattr(type(item), "__cpp_name__", ""))
        if not kind.startswith(_VECTOR) or kind.removeprefix(_VECTOR)[:-1] in _NUMBERS:
            return NotImplemented
        return _vector_of, (kind, [str(each) if "string" in kind else each for each in item])


def _dumped(arrays: dict[str, Any]) -> bytes:
    with io.BytesIO() as written:
        _Pickler(written, protocol=pickle.HIGHEST_PROTOCOL).dump(arrays)
        return written.getvalue()


def _vector_of(kind: str, elements: list[Any]) -> Any:
    """Return an RVec of the C++ type ``kind`` with these elements."""
    import ROOT

    made = ROOT.VecOps.RVec[kind.removeprefix(_VECTOR)[:-1].strip()]()
    for each in elements:
        made.push_back(each)
    return made


def joined(parts: ArrayParts, fetch: Callable[[str], bytes]) -> dict[str, Any]:
    """Return the whole columns, by name. ``fetch(key)`` reads the storage; ValueError for an object that is not what was
    written."""
    import numpy

    dictionaries = [
        pickle.loads(part if isinstance(part, bytes) else _checked(part, fetch(part.key))) for part in parts.parts
    ]
    if len(dictionaries) == 1:
        return dict(dictionaries[0])
    # column by column, so that what has been copied is not held twice
    return {name: numpy.concatenate([some.pop(name) for some in dictionaries]) for name in list(dictionaries[0])}


def _checked(stored: Stored, data: bytes) -> bytes:
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise ValueError(f"expected the arrays that a worker wrote to {stored.key}, got other bytes: damaged in the storage")
    return data
