"""What is asked of the places: one question, one workload, one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import workloads
from .data import DATASETS, Dataset
from .places import KEPT, PLACES

__all__ = ["ENTRIES", "QUESTIONS", "QUICK", "Question"]

ENTRIES = 1000  # of an empty source


@dataclass(frozen=True)
class Question:
    """A workload on a dataset (None: an empty source), how it is cut, and where it is asked.

    ``ranges`` None means one per core. ``changes``: each later query comes twice, first as a graph that was not seen
    before, then again. ``cold``: before each query the files are dropped from the operating system's cache.
    """

    name: str
    text: str
    book: Callable[[Any, int], workloads.Booked]
    dataset: str | None = None
    ranges: int | None = None
    ranges_per_call: int | None = None
    changes: bool = False
    cold: bool = False
    places: tuple[str, ...] = tuple(place for place in PLACES if place != KEPT)

    def data(self, scale: float) -> Dataset | None:
        """The dataset at ``scale`` times its size."""
        return DATASETS[self.dataset].scaled(scale) if self.dataset else None

    def arguments(self, scale: float) -> list[Any]:
        """What to give to ``ROOT.RDataFrame``."""
        data = self.data(scale)
        return [data.tree, [str(path) for path in data.paths]] if data else [ENTRIES]


_ALL = (
    Question(
        "dimuon_4m",
        "How long does an analyst wait for the first histogram, and for each one after that? Dimuon, 4 M events.",
        workloads.dimuon,
        "dimuon_4m",
        places=tuple(PLACES),
    ),
    Question(
        "dimuon_16m",
        "Does it keep up where the event loop dominates? Dimuon, 16 M events.",
        workloads.dimuon,
        "dimuon_16m",
        places=tuple(PLACES),
    ),
    Question(
        "dimuon_8_ranges",
        "What does a warm ROOT save when there are more ranges than cores? Dimuon, 4 M events, 8 ranges.",
        workloads.dimuon,
        "dimuon_4m",
        ranges=8,
        places=("naive", "rdf_lithops"),
    ),
    Question(
        "count_2_calls",
        "What does a query cost that has nothing to compute? Count over 1000 entries, 2 calls.",
        workloads.count,
        ranges=2,
    ),
    Question(
        "count_8_calls",
        "And what does each further call cost? Count over 1000 entries, 8 calls.",
        workloads.count,
        ranges=8,
        ranges_per_call=1,
    ),
    Question(
        "wide",
        "What does a wide graph with large results cost? 70 histograms of two-arm tracks, 1 M events.",
        workloads.wide,
        "tracks",
    ),
    Question(
        "systematics",
        "How long does a change of a cut take? 12 histograms with four variations each, 1 M events.",
        workloads.systematics,
        "dimuon_1m",
        changes=True,
    ),
    Question(
        "arrays",
        "How long does one wait for columns as NumPy arrays? Five columns of muon pairs, 1 M events.",
        workloads.arrays,
        "dimuon_1m",
    ),
    Question(
        "scan",
        "Does reading keep up? One number from each of 40 columns, 512 MB, read from the disk each time.",
        workloads.scan,
        "scan",
        cold=True,
    ),
)

QUESTIONS = {question.name: question for question in _ALL}
QUICK = ("dimuon_4m", "count_2_calls", "dimuon_8_ranges")
