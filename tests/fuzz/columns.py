"""Columns: kinds of values, deterministic in the entry's number, and how an expression in C++ reads numbers from them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import ROOT

SCALARS = {  # kind: (array's letter, leaf's letter)
    "bool": ("b", "O"),
    "char": ("b", "B"),
    "uchar": ("B", "b"),
    "short": ("h", "S"),
    "ushort": ("H", "s"),
    "int": ("i", "I"),
    "uint": ("I", "i"),
    "long": ("q", "L"),
    "ulong": ("Q", "l"),
    "float": ("f", "F"),
    "double": ("d", "D"),
}
VECTORS = {"vector<float>": "float", "vector<double>": "double", "vector<int>": "int"}
FIXED, VARIABLE, NESTED, STRING = "float[3]", "float[n]", "vector<vector<float>>", "string"
LONG = 4  # arrays of variable length have less than so many elements
KINDS = (*SCALARS, *VECTORS, FIXED, VARIABLE, NESTED, STRING)
NTUPLE_KINDS = {
    "bool": "bool",
    "int": "std::int32_t",
    "uint": "std::uint32_t",
    "long": "std::int64_t",
    "float": "float",
    "double": "double",
    "vector<float>": "std::vector<float>",
    "vector<int>": "std::vector<std::int32_t>",
    STRING: "std::string",
}


@dataclass(frozen=True)
class Column:
    """A column: its values are ``offset`` and small multiples of a quarter, so that their sums are exact in any order."""

    name: str
    kind: str
    factor: int = 1
    offset: float = 0.0

    def number(self, entry: int) -> float:
        """The value of a scalar; what others are made of."""
        small = (self.factor * entry + len(self.name)) % 13
        if self.kind == "bool":
            return float(small % 2)
        if self.kind in ("float", "double"):
            return small / 4 + self.offset
        if self.kind == STRING or self.kind in VECTORS or self.kind in (FIXED, VARIABLE, NESTED):
            return small / 4
        return float(small)

    def length(self, entry: int) -> int:
        """How many elements the value of an entry has."""
        return 3 if self.kind == FIXED else (self.factor + entry) % LONG

    def numeric(self) -> str:
        """C++ that makes a double of it."""
        if self.kind in SCALARS:
            return f"double({self.name})"
        if self.kind == STRING:
            return f"double({self.name}.size())"
        if self.kind == FIXED:
            return f"double({self.name}[1])"
        return f"double({self.name}.size())"

    @property
    def is_scalar(self) -> bool:
        """Whether it holds one number."""
        return self.kind in SCALARS

    @property
    def is_vector(self) -> bool:
        """Whether it is read as an RVec of numbers."""
        return self.kind in VECTORS or self.kind in (FIXED, VARIABLE)


class TreeColumn:
    """A column as a branch of a TTree that is being filled."""

    def __init__(self, tree: Any, column: Column) -> None:
        self.column = column
        kind, name = column.kind, column.name
        if kind in SCALARS:
            letter, leaf = SCALARS[kind]
            self.value: Any = array(letter, [0])
            tree.Branch(name, self.value, f"{name}/{leaf}")
        elif kind == FIXED:
            self.value = array("f", [0] * 3)
            tree.Branch(name, self.value, f"{name}[3]/F")
        elif kind == VARIABLE:
            self.size, self.value = array("i", [0]), array("f", [0] * LONG)
            tree.Branch(f"n_{name}", self.size, f"n_{name}/I")
            tree.Branch(name, self.value, f"{name}[n_{name}]/F")
        else:
            self.value = ROOT.std.string() if kind == STRING else _standard(kind)
            tree.Branch(name, self.value)

    def set(self, entry: int) -> None:
        """Make it hold what the entry has."""
        column, number, length = self.column, self.column.number(entry), self.column.length(entry)
        if column.kind in SCALARS:
            self.value[0] = number if column.kind in ("float", "double") else int(number)
        elif column.kind in (FIXED, VARIABLE):
            if column.kind == VARIABLE:
                self.size[0] = length
            for index in range(length):
                self.value[index] = number + index
        elif column.kind == STRING:
            self.value.assign("x" * int(4 * number))
        elif column.kind == NESTED:
            self.value.clear()
            for index in range(length):
                self.value.push_back(_standard("vector<float>", [number] * index))
        else:
            self.value.clear()
            for index in range(length):
                self.value.push_back(int(number) + index if column.kind == "vector<int>" else number + index)


def _standard(kind: str, values: list[float] | None = None) -> Any:
    if kind == NESTED:
        return ROOT.std.vector["vector<float>"]()
    return ROOT.std.vector[VECTORS[kind]](*([values] if values else []))
