"""A report as a picture, by matplotlib: the timeline of the calls above, where the time went below.

Matplotlib and not a ROOT canvas: a saved report can be drawn where there is no ROOT, text is set well in every format, and a
canvas would become the user's current pad. It is an extra, as most who read reports look at text or HTML.
"""

from __future__ import annotations

from typing import Any

from ..errors import PlanError
from .text import headlines
from .timeline import COLOURS, FAILED_COLOUR, Segment, parts_shown, path_segments, rows
from .values import CALL_PARTS, RunRecord

__all__ = ["draw"]


def draw(report: RunRecord, path: str) -> None:
    """Write the picture to ``path``, whose ending says the format. PlanError without matplotlib, or for a strange ending."""
    try:
        from matplotlib.figure import Figure  # no pyplot: the user's own figures and back end are left alone
    except ModuleNotFoundError as error:
        raise PlanError("report.plot draws with matplotlib, which is not here: pip install 'rdf_lithops[plot]'") from error
    height = 3.0 + min(5.0, 0.22 * len(report.calls))
    figure = Figure(figsize=(10, height), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[height - 2.4, 1.2])
    _timeline(top, report)
    _shares(bottom, report)
    figure.suptitle("\n".join(line.strip() for line in list(headlines(report))[:2]), fontsize=9)
    shown = parts_shown(report)
    handles = [bottom.barh([0], [0], color=COLOURS[name], label=name) for name in shown]
    figure.legend(handles, shown, loc="outside lower center", ncols=min(8, max(1, len(shown))), fontsize=8, frameon=False)
    try:
        figure.savefig(path, dpi=160)
    except ValueError as error:
        raise PlanError(f"matplotlib does not write {path}: {error}") from error


def _timeline(axes: Any, report: RunRecord) -> None:
    """One row per call, first on top, as people know it from papers on serverless computing."""
    from matplotlib.collections import PolyCollection

    drawn = rows(report)
    half = 0.45 if len(drawn) < 100 else 0.5  # of a row: gaps that are thinner than a line of the picture make stripes
    for part in COLOURS:  # one collection each: a patch per bar takes minutes where there are thousands
        bars = [_corners(number, one, half) for number, row in enumerate(drawn) for one in row.segments if one.part == part]
        axes.add_collection(PolyCollection(bars, facecolors=COLOURS[part], linewidths=0))
    failed = [(row.call.seen_at - report.began_at, number) for number, row in enumerate(drawn) if row.call.outcome != "ok"]
    if failed:
        axes.scatter(*zip(*failed, strict=True), marker="x", color=FAILED_COLOUR, zorder=3)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.set_xlim(0, max(report.wall_s, 1e-9))
    axes.set_xlabel("seconds since the result was asked for")
    if len(drawn) <= 24:
        axes.set_yticks(range(len(drawn)), [row.label for row in drawn], fontsize=8)
    else:
        axes.set_ylabel("call")


def _corners(number: int, one: Segment, half: float) -> list[tuple[float, float]]:
    start, end = one.start_s, one.start_s + one.length_s
    return [(start, number - half), (end, number - half), (end, number + half), (start, number + half)]


def _shares(axes: Any, report: RunRecord) -> None:
    """Two bars of 100 %: the wall time along the critical path, and the time of all calls together."""
    totals = report.totals
    together = max(sum(totals.values()), 1e-12)
    for one in path_segments(report):
        axes.barh([0], [one.length_s / report.wall_s], left=[one.start_s / report.wall_s], color=COLOURS[one.part])
    left = 0.0
    for name in CALL_PARTS:
        axes.barh([1], [totals[name] / together], left=[left], color=COLOURS[name])
        left += totals[name] / together
    axes.set_yticks([0, 1], [f"wall, {report.wall_s:.2f} s", f"all calls, {sum(totals.values()):.2f} s"], fontsize=8)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.invert_yaxis()
