"""What the driver does with a result, done once before there is one: PyROOT makes its ways into a class at the first use."""

from __future__ import annotations

import contextlib
import pickle
from typing import Any

from ..compiled.compiling import compiling_quickly

# isort: split
import ROOT

__all__ = ["prepare"]

_HISTOGRAMS = {"Histo1D": "TH1D", "Histo2D": "TH2D", "Histo3D": "TH3D", "Profile1D": "TProfile", "Profile2D": "TProfile2D"}
_NUMBERS = {"Count": "Count", "Mean": "Mean", "StdDev": "StdDev", "Sum": "Sum<double>"}
_foreseen: set[str] = set()  # the classes of mergeable values


def prepare(operations: set[str]) -> None:  # decision 382
    """Get ready for the results of ``operations`` (their names). To be called when calls have been submitted, and there is
    nothing to do but wait."""
    for kind in _kinds(operations):
        if kind not in _foreseen:
            _foreseen.add(kind)
            _use(f"RMergeable{kind}")


def _kinds(operations: set[str]) -> list[str]:
    histograms = [kind for name, kind in _HISTOGRAMS.items() if name in operations]
    if "VariationsFor" in operations:
        return [f"Variations<{kind}>" for kind in histograms]
    return [*(f"Fill<{kind}>" for kind in histograms), *(kind for name, kind in _NUMBERS.items() if name in operations)]


def _use(kind: str) -> None:
    """Unpickle an empty value of this class, and take out what it holds."""
    with contextlib.suppress(Exception), compiling_quickly():  # then the result itself says what is wrong
        value: Any = pickle.loads(pickle.dumps(getattr(ROOT.Detail.RDF, kind)()))
        value.GetKeys() if "Variations" in kind else value.GetValue()
