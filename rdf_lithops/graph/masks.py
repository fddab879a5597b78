"""Trees with variations in them, as a Snapshot with ``fIncludeVariations`` writes them: which values are valid is a mask.

ROOT finds the masks of a tree under the tree's name, and a specification has no name: columns that an event has not
selected would be read as if it had. So such trees are read by a chain of their own name (``opening``).
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["are_in"]

_MASK = "R_rdf_mask_"


def are_in(columns: Iterable[str]) -> bool:
    """Whether a tree of these columns has masks."""
    return any(str(name).startswith(_MASK) for name in columns)
