"""What is refused when it is booked, because ranges cannot give local ROOT's answer."""

from __future__ import annotations

import array
import copy
import re
import types
from collections.abc import Iterator, KeysView, Mapping, ValuesView
from typing import Any

from ..errors import PlanError
from . import python_functions

__all__ = ["as_it_is", "check", "check_varied", "listed", "with_expressions", "with_models"]

_MODELS = {
    "Histo1D": "TH1DModel",
    "Histo2D": "TH2DModel",
    "Histo3D": "TH3DModel",
    "Profile1D": "TProfile1DModel",
    "Profile2D": "TProfile2DModel",
}
_CALLABLE_AT = {"Filter": 0, "Define": 1, "Redefine": 1}
_TEXTS = ("U", "O")  # NumPy's kinds of arrays of them
_COPIED = re.compile(  # by ROOT, when it is booked
    r"ROOT::RDF::(T\w+Model|RSnapshotOptions)$|(std::|ROOT::(VecOps::)?)?(vector|RVec)<"
)
_NAME = re.compile(r"([\w:]+)\(")


def listed(argument: Any) -> Any:
    """Return an argument of a booking as a list where it is an iterator, a dictionary, a view of one or an array of texts:
    it travels, may be looked at more than once, and is true where it is not empty."""
    if getattr(getattr(argument, "dtype", None), "kind", "") in _TEXTS:
        return argument.tolist()
    return list(argument) if isinstance(argument, (Iterator, Mapping, KeysView, ValuesView)) else argument


def as_it_is(argument: Any, operation: str) -> Any:  # decision 412
    """Return an argument of a booking as it is now, whatever the program does to it before the graph runs: local ROOT has
    taken it by then. ``operation`` is for the PlanError of a function that cannot travel."""
    if isinstance(argument, types.FunctionType):
        return python_functions.as_it_is(argument, operation)
    if type(argument) in (list, tuple):
        return type(argument)(as_it_is(item, operation) for item in argument)
    if isinstance(argument, array.array) or hasattr(argument, "dtype"):
        return copy.copy(argument)
    kind = getattr(type(argument), "__cpp_name__", "")
    return type(argument)(argument) if isinstance(kind, str) and _COPIED.match(kind) else argument


def with_expressions(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a booking's arguments with a function of C++ as the expression that calls it: such objects cannot travel.

    Raises PlanError for those of which nobody knows how to call them: a ``std::function``, a template.
    """
    at = next((number for number, given in enumerate(args) if _is_function(given)), -1)
    if at < 0:
        return args
    columns = args[at + 1] if len(args) > at + 1 and not isinstance(args[at + 1], str) else ()
    called = _NAME.search(next(iter(getattr(args[at], "func_overloads_types", None) or ()), ""))
    if not called or not columns or at != _CALLABLE_AT.get(name, -1):
        raise PlanError(
            f"{name}: expected an expression, or (in Filter, Define, Redefine) a function of C++ and its columns, got a "
            f'{type(args[at]).__name__}, which cannot travel to workers: write the call as a text, "function(column)"'
        )
    return (*args[:at], f"{called[1]}({', '.join(map(str, columns))})", *args[at + 2 :])


def with_models(name: str, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, ...]:
    """Return a booking's arguments with a histogram or profile that stands for its model as that, as ROOT's own methods take
    it. Raises TypeError for one of another kind, for a profile without model and for keywords, as they do."""
    if (model := _MODELS.get(name)) is None:
        return args
    if given:
        raise TypeError(
            f"{name} takes no keywords, here as in ROOT, got {', '.join(given)}: give model and columns in order"
        )
    if name.startswith("Profile") and args and isinstance(args[0], str):
        raise TypeError(f"{name}: expected a model, (name, title, bins, from, to), before the columns, got {args[0]!r}")
    if not args or not hasattr(args[0], "GetXaxis"):
        return args
    import ROOT

    return (getattr(ROOT.RDF, model)(args[0]), *args[1:])


def _is_function(given: Any) -> bool:
    kind = type(given).__name__
    return kind in ("CPPOverload", "TemplateProxy") or kind.startswith("function<")


def check_varied(operation: Any) -> None:
    """Raise PlanError if what ``operation`` gives has no variations; ROOT 6.40 crashes on those of a Report."""
    if operation.name in ("AsNumpy", "Report", "Snapshot"):
        raise PlanError(
            f"VariationsFor: expected a histogram, a number or the like, got the result of {operation.name}, of which ROOT "
            "makes no variations: Count of the filtered nodes has some, and a Snapshot with fIncludeVariations"
        )


def check(operation: Any) -> None:
    """Raise PlanError if ranges cannot give what ``operation`` (a DistRDF operation) gives locally."""
    name, arguments, given = operation.name, operation.args, operation.kwargs
    if name == "Sum" and (len(arguments) > 1 or "initValue" in given):
        raise PlanError("Sum: expected a column, got an initial value too, which each range would add: add it to the result")
    if name == "AsNumpy" and (texts := [each for each in (*arguments[:2], *given.values()) if isinstance(each, str)]):
        raise PlanError(f"AsNumpy: expected a list of columns, got a text: [{texts[0]!r}]")
