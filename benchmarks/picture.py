"""The bars: one row for each question, the first query on the left and later ones on the right, one bar for each place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .places import KEPT
from .questions import QUESTIONS
from .table import OURS, Figures, Line, figures

__all__ = ["draw"]

OTHER_COLOUR, OUR_COLOUR = "#7c8fa1", "#c4572e"
TITLES = ("first query, from the start of Python", "later queries of the same program")


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw all questions of ``lines`` that have an answer and save the picture as ``path``; without any, draw nothing."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in QUESTIONS if any(line["question"] == name and not line["error"] for line in lines)]
    if not names:
        return
    figure, axes = pyplot.subplots(len(names), 2, figsize=(13.0, 2.4 * len(names) + 0.6), squeeze=False)
    for row, name in zip(axes, names, strict=True):
        _row(row, name, figures([line for line in lines if line["question"] == name]))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _row(axes: Sequence[Any], name: str, found: dict[str, Figures]) -> None:
    seconds = [item.first_s for item in found.values()], [item.median_later_s for item in found.values()]
    colours = [OUR_COLOUR if place in (OURS, KEPT) else OTHER_COLOUR for place in found]
    for axis, values, title in zip(axes, seconds, TITLES, strict=True):
        bars = axis.barh(range(len(found)), values, height=0.7, color=colours)
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axis.set_yticks(range(len(found)), [item.place for item in found.values()])
        axis.invert_yaxis()
        axis.set_xlim(0.0, 1.12 * max((value for value in values if not math.isnan(value)), default=1.0))
        axis.set_title(f"{name}: {title}", fontsize=10, loc="left")
        axis.set_xlabel("wall seconds, median", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
