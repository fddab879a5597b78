"""The demonstration: a dimuon sample that this package makes, its mass spectrum, and the picture of it.

sample     makes the files
inputs     checks files of the user's own
analysis   the spectrum and the cut flow, as a user would write them
picture    draws the spectrum
"""

from __future__ import annotations

from .analysis import MODEL, Cut, Measured, cut_flow_table, differences, measure, spectrum
from .inputs import check_input, expand
from .picture import save_plot
from .sample import BRANCHES, PEAKS, TREE, Peak, make_sample

__all__ = [
    "BRANCHES",
    "MODEL",
    "PEAKS",
    "TREE",
    "Cut",
    "Measured",
    "Peak",
    "check_input",
    "cut_flow_table",
    "differences",
    "expand",
    "make_sample",
    "measure",
    "save_plot",
    "spectrum",
]
