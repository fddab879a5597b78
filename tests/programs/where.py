"""What the programs of this folder share: where they run, and how they say what came out. The rest is as users write it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["EXECUTOR", "show"]


def _executor() -> dict[str, Any]:
    if sys.argv[1] == "local":
        return {}
    import lithops

    import rdf_lithops  # noqa: F401  # makes Lithops executors known to ROOT

    return {"executor": lithops.FunctionExecutor(config_file=sys.argv[2], log_level="WARNING")}


EXECUTOR = _executor()
"""What follows a data frame's arguments: nothing, or ``executor=``."""


def show(name: str, value: Any) -> None:
    """Print a result: a number, a text, a collection, or all cells of a histogram, to ten digits."""
    print("RESULT", name, *_parts(value))


def _parts(value: Any) -> Iterable[str]:
    if hasattr(value, "GetNcells"):
        cells = range(value.GetNcells())
        numbers = [value.GetEntries(), *((value.GetBinContent(cell), value.GetBinError(cell)) for cell in cells)]
        return [value.GetName(), *(part for number in numbers for part in _parts(number))]
    if isinstance(value, (bool, int, str)):
        return [str(value)]
    if isinstance(value, float):
        return [f"{value:.10g}"]
    if hasattr(value, "__iter__"):
        return [part for each in value for part in _parts(each)]
    return [str(value)]
