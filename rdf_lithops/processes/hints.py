"""What a driver foresees while it books its first graph, for the ROOT process beside it, which has time until then.

A hint is an empty file in the folder of that process: late or lost, it costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import os

__all__ = ["VARIATIONS", "give", "is_given"]

VARIATIONS = "varies"  # the graph to come has variations


def give(folder: str, hint: str) -> None:
    """Leave ``hint`` in ``folder``, where that can be."""
    with contextlib.suppress(OSError), open(os.path.join(folder, hint), "wb"):
        pass


def is_given(folder: str, hint: str) -> bool:
    """Whether ``hint`` has been left in ``folder``."""
    return os.path.exists(os.path.join(folder, hint))
