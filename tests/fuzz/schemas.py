"""Strategies for columns: which kinds there are, what may be done with each."""

from __future__ import annotations

from hypothesis import strategies as st

from .files import Column

__all__ = ["NESTED", "NUMBERS", "SCALARS", "TEXT", "columns", "element_of"]

SCALARS = (
    "double",
    "float",
    "int",
    "bool",
    "unsigned int",
    "Long64_t",
    "ULong64_t",
    "short",
    "unsigned short",
    "unsigned char",
    "char",
)
# of one element type, as RDataFrame sees them: RVec
NUMBERS = {
    "ROOT::RVec<float>": "float",
    "ROOT::RVec<double>": "double",
    "ROOT::RVec<int>": "int",
    "std::vector<float>": "float",
    "std::vector<double>": "double",
    "std::vector<int>": "int",
}
ARRAYS = {"int[3]": "int", "float[3]": "float", "int[n]": "int", "double[n]": "double"}  # no RNTuple has them
TEXT = ("std::string",)
NESTED = ("std::vector<std::string>", "std::vector<std::vector<float>>")


def element_of(kind: str) -> str | None:
    """The element type of a column of many numbers; None for other kinds."""
    return {**NUMBERS, **ARRAYS}.get(kind)


@st.composite
def columns(draw: st.DrawFn, ntuple: bool, prefix: str = "") -> tuple[Column, ...]:
    """One to five columns, the first a number; names say nothing of the kind, so that files may disagree about it."""
    many = [*NUMBERS] if ntuple else [*NUMBERS, *ARRAYS]
    kind = st.one_of(
        st.sampled_from(SCALARS[:3]), st.sampled_from(SCALARS), st.sampled_from(many), st.sampled_from([*TEXT, *NESTED])
    )
    kinds = [draw(st.sampled_from(SCALARS[:3])), *draw(st.lists(kind, max_size=4))]
    return tuple(Column(prefix + name, kind) for name, kind in zip("xyzuv", kinds, strict=False))
