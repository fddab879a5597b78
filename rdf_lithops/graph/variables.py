"""Global variables that the program declared in C++: workers get the values that they have when a graph is run.

Told by what they were when they were declared: numbers, characters, texts, and vectors of these, in namespaces too. What has
been written to a variable of another type since is not seen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

from . import statements
from .recording import Step

__all__ = ["declared", "with_values"]

MOST_VALUES = 100_000  # of one vector
_declared: dict[str, str] = {}  # by qualified name: the literal that it was declared with


def declared(text: str) -> None:
    """To be told of C++ that has just been declared: what its variables are is what they begin with on workers."""
    for name in statements.variables(text):
        literal = _literal(_value(name))
        if literal:
            _declared[name] = literal


def with_values(steps: Iterable[Step]) -> list[Step]:
    """``steps``, and behind them an assignment to each variable of theirs that has another value now than they leave it
    with."""
    kept = list(steps)
    names = [name for step in kept for name in _variables_of(step.plain) if name in _declared]
    now = {name: _literal(_value(name)) for name in dict.fromkeys(names)}
    changed = {name: literal for name, literal in now.items() if literal not in ("", _declared[name])}
    return [*kept, *(Step("line", _assignment(name, literal), "its value now") for name, literal in changed.items())]


def _assignment(name: str, literal: str) -> str:
    """C++ that gives a variable its value; a whole number may be that of an enumeration, which takes no other."""
    is_whole = literal.rstrip("ul").lstrip("-").isdigit()
    return (
        f"{name} = static_cast<std::remove_reference_t<decltype({name})>>({literal});"
        if is_whole
        else f"{name} = {literal};"
    )


@functools.lru_cache(maxsize=1024)
def _variables_of(text: str) -> tuple[str, ...]:
    return tuple(sorted(statements.variables(text)))


def _value(name: str) -> Any:
    """What the variable of that qualified name is; None where there is none, as another declaration took its place."""
    import ROOT

    found: Any = ROOT
    try:
        for part in name.split("::"):
            found = getattr(found, part)
    except Exception:  # whatever looking a name up raises
        return None
    return found


def _literal(value: Any) -> str:
    """The C++ that has this value; empty for one that cannot be written down."""
    import ROOT

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}{'ull' if value >= 2**63 else 'll' if abs(value) >= 2**31 else ''}"
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else f'std::stod("{value}")'
    if isinstance(value, str):  # a char, as PyROOT has it
        return str(ord(value)) if len(value) == 1 else ""
    if isinstance(value, ROOT.std.string):
        return f'std::string(R"rdfl({value})rdfl", {len(bytes(value))})' if ")rdfl" not in str(value) else ""
    kind = type(value).__name__
    if kind.startswith(("vector<", "RVec<")) and len(value) <= MOST_VALUES:
        items = [_literal(each) for each in value]
        return f"{{{', '.join(items)}}}" if all(items) else ""
    return ""
