"""Objects that a function of the program keeps and hands out, as a configuration is kept: ``static Config c; return c;``.

They are variables as others are, under the name of a call, once the program has used the function or class in Python, or in
a call that is not repeated. Nobody else's are made: a constructor may do anything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

from . import recording, statements

__all__ = ["called", "is_one", "names_in", "used"]

_KEEPING = re.compile(  # masked: what it returns, its name, and a body of a static variable and its return
    r"(?:^|[;{}:]|\binline\b|(?P<static>\bstatic\b))\s*(?P<type>[\w:]+(?:<[^;{}]*>)?)\s*(?P<by>[&*])\s*"
    r"(?P<name>(?:\w+::)*\w+)\s*\(\s*(?:void\s*)?\)\s*"
    r"(?:noexcept\s*)?\{\s*static\s+[^;=({]*?\b(?P<kept>\w+)\s*(?:[={(][^;]*)?;\s*return\s+(?P=kept)\s*;\s*\}"
)


@functools.lru_cache(maxsize=1024)
def names_in(text: str, inside: str = "", in_class: bool = False) -> tuple[str, ...]:
    """The calls that give such objects in C++ ``text``: ``config()``, ``Config::get()``, and ``*Config::get()`` for what is
    given by a pointer."""
    found: list[str] = []
    for statement in statements.split(text):
        plain = statements.masked(statement)
        scope = re.match(r"\s*(?:inline\s+)?(namespace|class|struct)\s+([\w:]+)[^;{()]*\{", plain)
        if scope:
            body = statement[statement.index("{") + 1 : statement.rindex("}")]
            found += names_in(
                re.sub(r"\b(?:public|private|protected)\s*:", " ", body), f"{inside}{scope[2]}::", scope[1] != "namespace"
            )
        elif (keeping := _KEEPING.search(plain)) and (keeping["static"] or not in_class):
            found.append(f"{'*' if keeping['by'] == '*' else ''}{inside}{keeping['name']}()")
    return tuple(found)


def is_one(name: str) -> bool:
    """Whether the name of a variable is such a call."""
    return name.endswith("()")


def called(name: str) -> Any:
    """What the call gives in Python; raises whatever that does."""
    from cppyy import addressof, gbl

    *scopes, function = name.lstrip("*").removesuffix("()").split("::")
    found = getattr(functools.reduce(getattr, scopes, gbl), function)()
    is_object = hasattr(type(found), "__cpp_name__")
    return None if is_object and not addressof(found) else found  # of a pointer to nothing


def used(texts: Iterable[str]) -> list[str]:
    """Those in the C++ ``texts`` that the program has used in Python, or that a function of the program's may have changed
    that it has called: of these such alone as hold plain members, as to look at one makes it."""
    all_texts = list(texts)
    names = [name for text in all_texts for name in names_in(text)]
    has_called = functools.cache(lambda: _has_called(all_texts))
    return [name for name in names if _is_in_python(name) or (_is_plain(name, all_texts) and has_called())]


def _is_plain(name: str, texts: Iterable[str]) -> bool:
    from . import object_states

    function = name.lstrip("*").removesuffix("()").rpartition("::")[2]
    found = (kept for text in texts for kept in _KEEPING.finditer(statements.masked(text)))
    return any(kept["name"].endswith(function) and object_states.is_whole(kept["type"]) for kept in found)


def _has_called(texts: Iterable[str]) -> bool:
    """Whether the program has called a function of its own, in Python or in a line that is not repeated."""
    from cppyy import gbl

    own = {name for text in texts for name in _names_of(text)}
    left = {word for each in recording.left() for word in statements.words(each.text)}
    known = vars(gbl)
    return bool(own & left) or any(type(known.get(name)).__name__ in ("CPPOverload", "TemplateProxy") for name in own)


@functools.lru_cache(maxsize=1024)
def _names_of(text: str) -> frozenset[str]:
    return frozenset(statements.names(text))


def _is_in_python(name: str) -> bool:
    """Whether Python has looked up all that the name consists of: PyROOT keeps that."""
    from cppyy import gbl

    found: Any = gbl
    for part in name.lstrip("*").removesuffix("()").split("::"):
        if part not in vars(found):
            return False
        found = getattr(found, part)
    return True
