"""Python functions in ``Filter`` and ``Define``: they travel by value, and workers compile them as local ROOT does."""

from __future__ import annotations

import copy
import hashlib
import pickle
import types
from typing import Any

from ..errors import PlanError
from ..executor import payload
from .rewriting import made_node

__all__ = ["as_it_is", "unadorned", "with_bare_functions"]


def as_it_is(function: types.FunctionType, operation: str) -> types.FunctionType:  # decision 412
    """Return ``function`` with what it uses of the program now, as local ROOT compiles it now: a variable may be another
    when the graph runs. Raises PlanError, naming ``operation``, for what cannot be pickled: known when it is booked, it
    spoils no later query of the data frame."""
    kept: types.FunctionType = pickle.loads(_dumped(unadorned(function), operation))
    return kept


def with_bare_functions(nodes: dict[int, Any]) -> dict[int, Any]:
    """``nodes`` with functions as the program wrote them: ROOT hangs what it has compiled of one on it, which cannot travel.

    Each gets a name of its content: ROOT keeps what it compiles by name, and would take the first of two that share one.
    PlanError for a function that cannot be pickled.
    """
    bare = dict(nodes)
    for number, node in nodes.items():
        given = getattr(node.operation, "args", ())
        if any(isinstance(argument, types.FunctionType) for argument in given):
            operation = copy.copy(node.operation)
            operation.args = [
                _bare(item, operation.name) if isinstance(item, types.FunctionType) else item for item in given
            ]
            bare[number] = made_node(operation, node.parent_id)
    return bare


def unadorned(function: types.FunctionType) -> types.FunctionType:
    """``function`` as it was written, without what somebody has hung on it."""
    code = function.__code__
    bare = types.FunctionType(code, function.__globals__, code.co_name, function.__defaults__, function.__closure__)
    bare.__kwdefaults__, bare.__annotations__ = function.__kwdefaults__, dict(function.__annotations__)
    bare.__module__, bare.__qualname__ = function.__module__, code.co_name
    return bare


def _bare(function: types.FunctionType, operation: str) -> types.FunctionType:
    bare = unadorned(function)
    content = _dumped(bare, operation)
    name = "".join(letter if letter.isalnum() else "_" for letter in bare.__code__.co_name)
    bare.__name__ = f"{name}_{hashlib.sha256(content).hexdigest()[:12]}"
    return bare


def _dumped(bare: types.FunctionType, operation: str) -> bytes:
    try:
        return payload.dumps(bare)
    except Exception as error:
        where = f"{bare.__code__.co_filename}:{bare.__code__.co_firstlineno}"
        raise PlanError(
            f"the Python function {bare.__name__} ({where}) of {operation} cannot travel to workers: {error}; "
            "let it use plain values, or write it in C++"
        ) from error
