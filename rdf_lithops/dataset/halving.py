"""Cut a range that was too much for a worker in two, at a boundary between clusters. Opens the range's files, with ROOT."""

from __future__ import annotations

import itertools
import logging
from typing import Any

from ..frame.schema import look

__all__ = ["halves"]

logger = logging.getLogger(__name__)

Fields = dict[str, Any]


def halves(fields: Fields) -> list[Fields]:  # decision 48
    """Return the two halves of a range, as dictionaries; nothing where it is one entry or one cluster, or of a kind that
    cannot be cut.

    A half has its range's id, and says in ``half`` which one it is: a path of 0 and 1, as a half may be cut again. Together
    they hold each entry of the range once. Files that cannot be read here leave the range as it is, with a warning.
    """
    middle = {"entries": _middle_entry, "files": _middle_cluster}.get(fields["kind"])
    ends = None if middle is None else middle(fields)
    if ends is None:
        return []
    half = fields.get("half", [])
    return [{**fields, **end, "half": [*half, side]} for side, end in enumerate(ends)]


def _middle_entry(fields: Fields) -> tuple[Fields, Fields] | None:
    middle = (fields["start"] + fields["end"]) // 2
    return ({"end": middle}, {"start": middle}) if middle > fields["start"] else None


def _middle_cluster(fields: Fields) -> tuple[Fields, Fields] | None:
    """Return what the two halves change of the range: the boundary between clusters with about as many entries before it as
    behind.

    DistRDF takes the first cluster that begins at or behind ``fraction * entries``, rounded down.
    """
    if fields["files"] is None:  # with friends each range has all files, and travels without them
        return None
    first, last = fields["first_file"], fields["last_file"]
    try:
        looks = [
            look(name, tree, (), bool(fields.get("rntuple")))
            for tree, name in zip(fields["trees"][first:last], fields["files"][first:last], strict=True)
        ]
    except Exception as error:
        logger.warning("range %s stays as it is: its files cannot be read here: %s", fields["id"], error)
        return None
    seen = [(found.boundaries, found.entries) for found in looks]
    entries = [count for _, count in seen]
    before = [0, *itertools.accumulate(entries)]
    start = before[0] + int(fields["start_fraction"] * entries[0])
    end = before[-2] + int(fields["end_fraction"] * entries[-1])
    inside = [
        (before[number] + int(boundary), number, int(boundary))
        for number, (clusters, count) in enumerate(seen)
        for boundary in clusters
        if start < before[number] + boundary < end and boundary < count
    ]
    if not inside:
        return None
    _, number, boundary = min(inside, key=lambda found: abs(found[0] - (start + end) / 2))
    if boundary == 0:  # between two files
        return {"last_file": first + number, "end_fraction": 1.0}, {"first_file": first + number, "start_fraction": 0.0}
    fraction = (boundary + 0.25) / entries[number]  # rounds down to the boundary itself
    return (
        {"last_file": first + number + 1, "end_fraction": fraction},
        {"first_file": first + number, "start_fraction": fraction},
    )
