"""Results of RDataFrame as plain values, and where two of them differ."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy
import ROOT

__all__ = ["differences", "plain"]

RELATIVE = 1e-9  # of floating-point numbers, where the order of summing matters
VARIED = "VariationsFor"  # a pair ("VariationsFor", map) among the results


def plain(result: Any) -> Any:
    """What a result holds, of whatever action, as lists, dictionaries and numbers; runs the graph if it has not run."""
    if isinstance(result, tuple) and result[0] == VARIED:
        return {str(key): _value(result[1][str(key)]) for key in result[1].GetKeys()}
    return _value(result.GetValue() if hasattr(type(result), "GetValue") or hasattr(result, "GetValue") else result)


def _value(value: Any) -> Any:
    if isinstance(value, (bool, numpy.generic)):
        return value.item() if isinstance(value, numpy.generic) else value
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, dict):
        return {
            str(name): [str(column.dtype), column.shape, [_element(e) for e in column]] for name, column in value.items()
        }
    for kind, read in _READERS.items():
        if isinstance(value, getattr(ROOT, kind)):
            return read(value)
    if "RCutFlowReport" in type(value).__name__:
        return [[str(cut.GetName()), int(cut.GetAll()), int(cut.GetPass()), cut.GetEff()] for cut in value]
    return _value(value.value)  # a number that PyROOT hands out in a box of its own


def _element(element: Any) -> Any:
    """An element of a column: a number, a text, or lists of them."""
    if isinstance(element, numpy.generic):
        return element.item()
    if isinstance(element, (bool, int, float, str)):
        return element
    if isinstance(element, (ROOT.std.string, bytes)):
        return str(element)
    return [_element(part) for part in element]


def _array(array: Any) -> list[float]:
    return [float(array.At(i)) for i in range(array.GetSize())]


def _axis(axis: Any) -> list[Any]:
    return [axis.GetNbins(), axis.GetXmin(), axis.GetXmax(), axis.GetTitle()]


def _histogram(h: Any) -> dict[str, Any]:
    statistics = numpy.zeros(13)
    h.GetStats(statistics)
    found = {
        "class": h.ClassName(),
        "name": h.GetName(),
        "title": h.GetTitle(),
        "axes": [_axis(axis) for axis in [h.GetXaxis(), h.GetYaxis(), h.GetZaxis()][: h.GetDimension()]],
        "entries": h.GetEntries(),
        "statistics": statistics.tolist(),
        "contents": [float(h.GetBinContent(i)) for i in range(h.GetNcells())],
        "sumw2": _array(h.GetSumw2()),
        "errors": [float(h.GetBinError(i)) for i in range(h.GetNcells())],
    }
    if h.InheritsFrom("TProfile") or h.InheritsFrom("TProfile2D"):
        found["bin entries"] = [float(h.GetBinEntries(i)) for i in range(h.GetNcells())]
        del found["errors"]  # derived from the others, by a difference of nearly equal numbers
    return found


def _graph(g: Any) -> dict[str, Any]:
    return {
        "class": g.ClassName(),
        "name": g.GetName(),
        "points": [[g.GetPointX(i), g.GetPointY(i)] for i in range(g.GetN())],
    }


def _statistic(s: Any) -> dict[str, Any]:
    found = {name: getattr(s, f"Get{name}")() for name in ("N", "W", "W2", "Mean", "Min", "Max")}
    return {**found, "variance": _Derived(s.GetVar())}


_READERS = {"TH1": _histogram, "TGraph": _graph, "TStatistic": _statistic}


class _Derived(float):
    """A number that is a difference of larger ones."""


def differences(expected: Any, actual: Any, limit: int = 5) -> list[str]:
    """The first few places where two plain values differ; [] if there are none."""
    return list(itertools.islice(_differences(expected, actual, ""), limit))


def _differences(expected: Any, actual: Any, where: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        if list(expected) != list(actual):
            yield f"{where}: local has the keys {list(expected)}, ours {list(actual)}"
        for key in [key for key in expected if key in actual]:
            yield from _differences(expected[key], actual[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(expected) != len(actual):
            yield f"{where}: local has {len(expected)} elements, ours {len(actual)}"
        for index, pair in enumerate(zip(expected, actual, strict=False)):
            yield from _differences(*pair, f"{where}[{index}]")
    elif type(expected) is not type(actual) or not _same(expected, actual):
        yield f"{where}: local {expected!r}, ours {actual!r}"


def _same(expected: Any, actual: Any) -> bool:
    if not isinstance(expected, float):
        return bool(expected == actual)
    if math.isnan(expected) or math.isnan(actual):
        return math.isnan(expected) and math.isnan(actual)
    least = 1e-7 if isinstance(expected, _Derived) else 1e-300
    return math.isclose(expected, actual, rel_tol=RELATIVE, abs_tol=least)
