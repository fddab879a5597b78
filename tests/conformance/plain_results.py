"""Results of RDataFrame as plain Python values, and where two differ: integers exactly, numbers to 1e-12 relative."""

from __future__ import annotations

import glob
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import ROOT

RELATIVE = 1e-12


def differences(expected: Any, actual: Any, where: str = "") -> Iterator[str]:
    """Where two plain values differ: containers by element, floats by RELATIVE, everything else exactly."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if list(expected) != list(actual):
            yield f"{where}: expected keys {list(expected)}, got {list(actual)}"
        for key in expected.keys() & actual.keys():
            yield from differences(expected[key], actual[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(expected) != len(actual):
            yield f"{where}: expected {len(expected)} elements, got {len(actual)}"
        for index, pair in enumerate(zip(expected, actual, strict=False)):
            yield from differences(*pair, f"{where}[{index}]")
    elif isinstance(expected, float) and isinstance(actual, float):
        if not math.isclose(expected, actual, rel_tol=RELATIVE) and not (math.isnan(expected) and math.isnan(actual)):
            yield f"{where}: expected {expected!r}, got {actual!r}"
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{where}: expected {expected!r}, got {actual!r}"


def same(expected: Any, actual: Any, where: str = "") -> list[str]:
    """The first few differences; [] when there are none."""
    return list(itertools.islice(differences(expected, actual, where), 5))


def array_values(array: Any) -> list[float]:
    """The elements of a TArrayD, or of a C array inside a histogram."""
    return [float(array.At(i)) for i in range(array.GetSize())]


def histogram(result: Any) -> dict[str, Any]:
    """A TH1, TH2, TH3 or TProfile: names, axes, entries and each bin with its error, under- and overflow included."""
    h = result.GetValue()
    axes = [h.GetXaxis(), h.GetYaxis(), h.GetZaxis()][: h.GetDimension()]
    plain = {
        "class": h.ClassName(),
        "name": h.GetName(),
        "title": h.GetTitle(),
        "axes": [[axis.GetNbins(), axis.GetXmin(), axis.GetXmax()] for axis in axes],
        "entries": h.GetEntries(),
        "contents": [float(h.GetBinContent(i)) for i in range(h.GetNcells())],
        "sumw2": array_values(h.GetSumw2()),
    }
    if h.ClassName().startswith("TProfile"):  # errors derive from these by a difference of nearly equal numbers
        plain["bin entries"] = [float(h.GetBinEntries(i)) for i in range(h.GetNcells())]
    else:
        plain["errors"] = [float(h.GetBinError(i)) for i in range(h.GetNcells())]
    return plain


def many_dimensions(result: Any) -> dict[str, Any]:
    """A THnD or THnSparseD: entries and the filled bins with their errors, by coordinates."""
    h = result.GetValue()
    dimensions = h.GetNdimensions()
    bins = {}
    coordinates = numpy.zeros(dimensions, dtype=numpy.int32)
    for number in range(h.GetNbins()):
        content = h.GetBinContent(number, coordinates)
        if content:
            bins[str(coordinates.tolist())] = [float(content), float(h.GetBinError2(number))]
    return {
        "class": h.ClassName(),
        "name": h.GetName(),
        "dimensions": dimensions,
        "entries": h.GetEntries(),
        "bins": dict(sorted(bins.items())),
    }


def graph(result: Any) -> dict[str, Any]:
    """A TGraph or TGraphAsymmErrors: its points with their errors, in order of x (ROOT promises no order)."""
    g = result.GetValue()
    points = []
    for i in range(g.GetN()):
        point = [g.GetPointX(i), g.GetPointY(i)]
        if g.InheritsFrom("TGraphAsymmErrors"):
            point += [g.GetErrorXlow(i), g.GetErrorXhigh(i), g.GetErrorYlow(i), g.GetErrorYhigh(i)]
        points.append(point)
    return {"class": g.ClassName(), "points": sorted(points)}


def number(result: Any) -> float | int:
    """A Count, Sum, Mean, …: Python's number of the same kind."""
    value = result.GetValue()
    return int(value) if isinstance(value, int) else float(value)


def statistic(result: Any) -> dict[str, float | int]:
    """A TStatistic."""
    s = result.GetValue()
    return {
        "n": int(s.GetN()),
        "sum of weights": float(s.GetW()),
        "sum of squared weights": float(s.GetW2()),
        "mean": float(s.GetMean()),
        "variance": float(s.GetVar()),
        "min": float(s.GetMin()),
        "max": float(s.GetMax()),
    }


def cut_flow(result: Any) -> list[Any]:
    """An RCutFlowReport: name, all, passed, efficiency of each named filter, in order."""
    return [[str(cut.GetName()), int(cut.GetAll()), int(cut.GetPass()), cut.GetEff()] for cut in result.GetValue()]


def arrays(result: Any) -> dict[str, Any]:
    """What AsNumpy gives: element types and elements, in the order of the dataset."""
    columns = result.GetValue() if hasattr(type(result), "GetValue") else result
    return {name: [str(column.dtype), [plain_element(e) for e in column]] for name, column in columns.items()}


def plain_element(element: Any) -> Any:
    """A number, or a list of numbers for an RVec."""
    return element.item() if isinstance(element, numpy.generic) else [float(e) for e in element]


def variations(read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Every key of a VariationsFor map with its value read by ``read``; local maps run when their nominal is read."""

    @dataclass
    class Value:
        held: Any

        def GetValue(self) -> Any:
            return self.held

    def read_all(results: tuple[Any, Any]) -> dict[str, Any]:
        nominal, varied = results
        nominal.GetValue()
        return {str(key): read(Value(varied[str(key)])) for key in varied.GetKeys()}

    return read_all


def snapshot(result: Any) -> dict[str, Any]:
    """The events that a Snapshot wrote, wherever its parts are, sorted by their number."""
    result.GetValue()
    name, pattern = result.rdf_lithops_written
    parts = sorted(glob.glob(pattern))
    columns = ROOT.RDataFrame(name, parts).AsNumpy()
    order = numpy.argsort(columns["i"], kind="stable")
    return {column: [plain_element(e) for e in columns[column][order]] for column in sorted(columns)}
