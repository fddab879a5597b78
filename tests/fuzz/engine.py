"""One program on both sides: local RDataFrame says what is right."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any

import ROOT

from .programs import Booked, Program, booked, values
from .results import difference
from .sources import arguments, write

SHIFT = 7  # of the values in files that are written anew


class Raised(str):
    """What stands for the results of a graph that raised: why."""


def check(program: Program, executor: Any) -> str:
    """The first difference between local RDataFrame and ``executor``; empty if there is none."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        for shift in (0, SHIFT) if program.rewritten else (0,):
            data = os.path.join(folder, "data")
            os.makedirs(data, exist_ok=True)
            write(program.source, data, shift)
            expected = _answers(program, data, _made(folder, f"local{shift}"), None)
            actual = _answers(program, data, _made(folder, f"lithops{shift}"), executor)
            found = _compared(expected, actual)
            if found:
                return f"{'after rewriting: ' if shift else ''}{found}"
    return ""


def _made(*parts: str) -> str:
    path = os.path.join(*parts)
    os.makedirs(path)
    return path


def _compared(expected: list[Any], actual: list[Any]) -> str:
    for number, (local, ours) in enumerate(zip(expected, actual, strict=True)):
        if isinstance(local, Raised) and isinstance(ours, Raised):
            continue
        if isinstance(local, Raised) or isinstance(ours, Raised):
            return f"graph {number}: local RDataFrame: {_short(local)}\n   here: {_short(ours)}"
        found = difference(local, ours, f"graph {number}")
        if found:
            return found
    return ""


def _short(answer: Any) -> str:
    return f"raises {answer[:3000]}" if isinstance(answer, Raised) else f"answers {str(answer)[:500]}"


def _answers(program: Program, data: str, out: str, executor: Any) -> list[Any]:
    """The values of each graph's results, or that it raised."""
    frames: list[Booked | Raised] = []
    for number, graph in enumerate(program.graphs):
        try:
            frame, variations_for = _frame(program, data, executor)
            frames.append(booked(graph, frame, _made(out, str(number)), variations_for))
        except Exception as error:
            frames.append(Raised(f"{type(error).__name__}: {error}"))
    if program.together:
        handles = [results[0][1] for results in frames if not isinstance(results, Raised)]
        with contextlib.suppress(Exception):  # met again, graph by graph
            ROOT.RDF.RunGraphs(handles)
    return [results if isinstance(results, Raised) else _values(results) for results in frames]


def _values(results: Booked) -> Any:
    try:
        return values(results)
    except Exception as error:
        return Raised(f"{type(error).__name__}: {error}")


def _frame(program: Program, data: str, executor: Any) -> tuple[Any, Any]:
    given = arguments(program.source, data)
    if executor is None:
        return ROOT.RDataFrame(*given), ROOT.RDF.Experimental.VariationsFor
    options = program.all_options
    frame = ROOT.RDataFrame(*given, executor=executor, npartitions=program.npartitions, options=options)
    return frame, ROOT.RDF.Distributed.VariationsFor
