"""Expressions and Python functions that do not compile when they are booked: told with the compiler's words, and a way.

ROOT's own error has neither: the compiler's lines are printed beside it, Numba's are behind it, a hundred lines long.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import types
from collections.abc import Iterator
from typing import Any

from ..errors import PlanError
from ..frame import compiler

# isort: split
import ROOT  # noqa: F401  # DistRDF is a part of it
from ROOT._distrdf import Operation

__all__ = ["told"]

_OF_CPP, _OF_PYTHON = "just-in-time compilation", "Failed to jit Python callable"
_UNDECLARED = re.compile(r"use of undeclared identifier '(\w+)'")
_LINES = 12  # of what Numba says


def told(problem: Exception, operation: Any, node: Any) -> PlanError | None:
    """Return what is to be raised for ``problem``, which ROOT raised when ``operation`` (DistRDF's) was booked on ``node``
    (the driver's own); None where it is of another kind, and ROOT's words are best."""
    said = str(problem)
    if isinstance(operation, Operation.Transformation) and _OF_PYTHON in said:
        return PlanError(_of_python(problem, operation))
    if isinstance(operation, Operation.Transformation) and _OF_CPP in said and (first := _heard(operation, node)):
        return PlanError(_of_cpp(first, operation, node))
    return None


def _heard(operation: Any, node: Any) -> str:
    """What the compiler says of ``operation``, which is booked once more: it has said so before, and nobody noted it."""
    with compiler.heard(aloud=False) as said, contextlib.suppress(Exception):  # the one that is being told
        getattr(node, operation.name)(*operation.args, **operation.kwargs)
    return compiler.first_error(said.text)


def _of_cpp(first: str, operation: Any, node: Any) -> str:
    expression = next(iter(operation.args[0 if operation.name == "Filter" else 1 :]), None)
    lines = first.splitlines()
    message = lines[0].partition("error: ")[2]
    unknown = _UNDECLARED.search(message)
    way = _way_to(unknown[1], node) if unknown else "write it so that it compiles"
    why = "".join(f"\n    {line}" for line in lines)
    what = f"{operation.name}: the C++ {expression!r} does not compile"
    return f"{what}: {message}\n  why:{why}\n  next:  {way}; the data frame is as it was"


def _way_to(name: str, node: Any) -> str:
    close = difflib.get_close_matches(name, [str(column) for column in node.GetColumnNames()], 1, 0.5)
    hint = f"did you mean the column {close[0]!r}? If not, " if close else ""
    return f"{hint}{name} is no column, and not known to this process: declare it before, with ROOT.gInterpreter.Declare"


def _of_python(problem: BaseException, operation: Any) -> str:
    function = next((given for given in operation.args if isinstance(given, types.FunctionType)), None)
    code = getattr(function, "__code__", None)
    where = f" {code.co_name} ({code.co_filename}:{code.co_firstlineno})" if code else ""
    lines = [line for line in str([*_reasons(problem)][-1]).splitlines() if line.strip()][:_LINES]
    why = "".join(f"\n    {line}" for line in lines)
    return (
        f"{operation.name}: Numba does not compile the Python function{where}\n  why:{why}\n  next:  let it compute with "
        "numbers and arrays alone, write it in C++, or take AsNumpy and call it with the arrays; the data frame is as it was"
    )


def _reasons(problem: BaseException | None) -> Iterator[BaseException]:
    """``problem``, and what it came of."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__
