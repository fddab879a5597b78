"""Results as plain values, and the first difference of two of them."""

from __future__ import annotations

import math
from typing import Any

import numpy

RELATIVE = 1e-9


def plain(kind: str, result: Any) -> Any:
    """The value of a result of an action of that kind; the first one of a graph runs it."""
    value = result.GetValue()
    if kind in ("Histo1D", "Histo2D", "Histo3D", "Profile1D", "Profile2D"):
        return histogram(value)
    if kind == "Graph":
        return sorted((value.GetPointX(i), value.GetPointY(i)) for i in range(value.GetN()))
    if kind == "Report":
        return [(str(cut.GetName()), int(cut.GetAll()), int(cut.GetPass())) for cut in value]
    if kind == "Stats":
        return [
            int(value.GetN()),
            float(value.GetMean()),
            float(value.GetVar()),
            float(value.GetMin()),
            float(value.GetMax()),
        ]
    if kind == "AsNumpy":
        return {name: [str(column.dtype), [element(item) for item in column]] for name, column in value.items()}
    return int(value) if isinstance(value, int) else float(value)


def element(item: Any) -> Any:
    """An element of an array: a number, a text, or a list of them."""
    if isinstance(item, (str, bytes, bool, int, float)):
        return item
    if isinstance(item, numpy.generic):
        return item.item()
    if type(item).__name__ in ("string", "std::string"):
        return str(item)
    return [element(inner) for inner in item]


def histogram(h: Any) -> dict[str, Any]:
    """All that a histogram or profile says of itself."""
    return {
        "class": h.ClassName(),
        "name": h.GetName(),
        "title": h.GetTitle(),
        "entries": float(h.GetEntries()),
        "contents": [float(h.GetBinContent(i)) for i in range(h.GetNcells())],
        "errors": [float(h.GetBinError(i)) for i in range(h.GetNcells())],
        "axes": [
            (axis.GetNbins(), axis.GetXmin(), axis.GetXmax(), axis.GetTitle()) for axis in (h.GetXaxis(), h.GetYaxis())
        ],
        "sumw2": int(h.GetSumw2N()),
        "mean": float(h.GetMean()),
        "deviation": float(h.GetStdDev()),
    }


def difference(expected: Any, actual: Any, where: str = "") -> str:
    """The first place where two values differ; empty if they do not."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if list(expected) != list(actual):
            return f"{where}: expected keys {list(expected)}, got {list(actual)}"
        pairs = [(expected[key], actual[key], f"{where}.{key}") for key in expected]
    elif isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(expected) != len(actual):
            return f"{where}: expected {len(expected)} elements, got {len(actual)}"
        pairs = [(*pair, f"{where}[{index}]") for index, pair in enumerate(zip(expected, actual, strict=True))]
    elif isinstance(expected, float) and isinstance(actual, float):
        close = math.isclose(expected, actual, rel_tol=RELATIVE, abs_tol=1e-12)
        return (
            ""
            if close or (math.isnan(expected) and math.isnan(actual))
            else f"{where}: expected {expected!r}, got {actual!r}"
        )
    else:
        alike = type(expected) is type(actual) and expected == actual
        return "" if alike else f"{where}: expected {expected!r}, got {actual!r}"
    return next((found for pair in pairs if (found := difference(*pair))), "")
