"""Clones of the actions of a graph that has run, for its next range: DistRDF makes them, and ROOT not all of them well."""

from __future__ import annotations

from typing import Any

__all__ = ["is_bad", "of"]


def of(action: Any, range_id: int) -> Any:
    """A clone of what a booked action gave, booked on the same data frame; a Snapshot writes the file of ``range_id``."""
    from ROOT._distrdf.Backends import Utils

    return Utils.clone_action(action, range_id)


def is_bad(result: Any) -> bool:
    """Whether ROOT's clone of a result would not be as new: it crashes over variations of what nothing varies, and takes
    over from the nominal histogram, for all variations, that errors are summed."""
    if "RResultMap" not in type(result).__name__:  # that a class lacks a method PyROOT finds out anew each time, in 1 ms
        return False
    keys = [str(key) for key in result.GetKeys()]
    return len(keys) == 1 or len({_sums_errors(result[key]) for key in keys}) > 1


def _sums_errors(value: Any) -> bool:
    """Whether a histogram or profile has begun to sum squares of weights: ROOT begins with the first that is not 1."""
    for name in ("GetBinSumw2", "GetSumw2"):
        if hasattr(value, name):
            return bool(getattr(value, name)().GetSize())
    return bool(value.GetCalculateErrors()) if hasattr(value, "GetCalculateErrors") else False
