"""DefaultValueFor, of the type that the program gave or its value has.

PyROOT takes the type of an earlier one of this process where it can, and ROOT then reads the column as that, in silence.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NAME", "defined", "kind_of"]

NAME = "DefaultValueFor"
_OWN = {bool: "bool", int: "int", float: "double"}


def kind_of(operation: Any) -> str:
    """The type of DistRDF's ``operation`` in C++; empty where it is PyROOT's to find out."""
    given = getattr(operation, "template", "")
    values = [*operation.args[1:], *(operation.kwargs[name] for name in ("defaultValue",) if name in operation.kwargs)]
    if given or len(values) != 1:
        return str(given)
    own = _OWN.get(type(values[0]), "")
    return "" if own == "int" and not -(2**31) <= values[0] < 2**31 else own


def defined(parent: Any, operation: Any) -> Any:
    """The node of ROOT's that DistRDF's ``operation`` makes of the node ``parent``."""
    kind = kind_of(operation)
    return (parent.DefaultValueFor[kind] if kind else parent.DefaultValueFor)(*operation.args, **operation.kwargs)
