"""The bars: one panel for each question, one pair of bars for each place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .questions import QUESTIONS
from .table import Figures, Line, figures

__all__ = ["draw"]

FIRST, LATER, OURS = "#b9c4cf", "#5b7186", "#c4572e"
COLUMNS = 2


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw all questions of ``lines`` and save the picture as ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in QUESTIONS if any(line["question"] == name for line in lines)]
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(7.2 * columns, 3.3 * rows + 0.6), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        _panel(axis, name, [line for line in lines if line["question"] == name])
    _legend(figure)
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - 0.5 / (3.3 * rows + 0.6)))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axis: Any, name: str, lines: Sequence[Line]) -> None:
    found = list(figures(lines).values())
    for position, item in enumerate(found):
        _bar(axis, position - 0.19, item.first_s, FIRST)
        _bar(axis, position + 0.19, item.median_later_s, OURS if item.place == "rdf_lithops" else LATER)
    axis.set_yticks(range(len(found)), [item.place for item in found])
    axis.invert_yaxis()
    axis.set_xlim(0.0, 1.12 * _longest(found))
    axis.set_title(f"{name}: {QUESTIONS[name].text.split('? ')[-1].rstrip('.')}", fontsize=10, loc="left")
    axis.set_xlabel("wall seconds, median")
    axis.spines[["top", "right"]].set_visible(False)


def _bar(axis: Any, position: float, seconds: float, colour: str) -> None:
    if not math.isnan(seconds):
        bar = axis.barh(position, seconds, height=0.36, color=colour)
        axis.bar_label(bar, fmt="%.2f", padding=3, fontsize=8)


def _longest(found: Sequence[Figures]) -> float:
    seconds = [value for item in found for value in (item.first_s, item.median_later_s) if not math.isnan(value)]
    return max(seconds, default=1.0)


def _legend(figure: Any) -> None:
    from matplotlib.patches import Patch

    named = {
        "first query, from the start of Python": FIRST,
        "later queries, same program": LATER,
        "later queries of rdf_lithops": OURS,
    }
    handles = [Patch(color=colour, label=label) for label, colour in named.items()]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), frameon=False, fontsize=9)
