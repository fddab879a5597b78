"""What is kept of each call with which a program gives something to the interpreter.

A function here is named for what ROOT's does; it is handed that one (``call``), the program's line (``where``) and what the
program gave, calls it, and returns what it returned. What went wrong is not kept. Code is kept that declares; what is only
done (a call, a drawing) is not done again on workers.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections.abc import Callable
from typing import Any

from ..compiled import compiling
from . import recording, statements, variables
from .recording import Left, Step

__all__ = [
    "compiled",
    "declaration",
    "include_path",
    "library",
    "line",
    "macro",
    "macro_that_is_run",
    "no_variable",
    "variable",
]


def declaration(call: Callable[..., Any], where: str, code: Any, *args: Any) -> Any:
    before = variables.before() if statements.runs(str(code)) else {}
    done = call(code, *args)
    if done:
        _keep_code("declare", str(code), where, before)
    return done


def _keep_code(kind: str, text: str, where: str, before: dict[str, Any]) -> None:
    from .included import included

    effects = [piece for piece in statements.split(text) if not _is_inert(piece) and statements.acts_outside(piece)]
    if effects:
        recording.leave(
            Left(text, where, f"it does something outside of the process ({statements.acts_outside(effects[0])})")
        )
        return
    found = included(text)
    _keep_needed(text, where)
    variables.keep(Step(kind, found.text, where, found.files, tuple(found.folders), written=text), before)


def _keep_needed(text: str, where: str) -> None:
    for name in variables.needed_libraries(text):
        recording.note(Step("library", name, where))


def _is_inert(statement: str) -> bool:
    """Whether nothing happens when ``statement`` is declared: functions and types; a variable is initialised."""
    text = statements.masked(statement).strip()
    return text.startswith(("#", "class", "struct", "template", "namespace")) or text.endswith("}")


def line(call: Callable[..., Any], where: str, line: Any, *args: Any) -> Any:
    from .included import is_installed

    text = str(line).strip()
    if text.startswith(".L "):
        return macro(lambda _name, *rest: call(line, *rest), where, text[3:].strip(), *args)
    before = variables.before() if statements.runs(text) else {}
    value, failed = _with_errors(call, line, args)
    if failed:
        return value
    if text.startswith((".I ", ".include ")):
        _keep_folder(text.split(None, 1)[1])
    elif text.startswith((".x ", ".X ")):
        _keep_run_macro(text[3:], where, before)
    elif text.startswith(".O"):
        compiling.hear_level(text)
    elif text and not text.startswith(".") and not is_installed(text):
        _keep_lines(text, where, before)
    return value


def _keep_lines(text: str, where: str, before: dict[str, Any]) -> None:
    """Keep what of ``text`` declares, or sets what was declared; calls are not repeated."""
    kept: list[str] = []
    own = {name for step in recording.steps() for source in step.sources for name in _names_of(source)}
    pieces = statements.split(text)
    for piece in pieces:
        is_kept = statements.is_declaration(piece) or statements.assigned(piece) in own
        if is_kept and (_is_inert(piece) or not statements.acts_outside(piece)):
            kept.append(piece)
            own |= statements.names(piece)
        else:
            outside = statements.acts_outside(piece)
            why = f"it does something outside of the process ({outside})" if outside else "it is done, and declares nothing"
            recording.leave(Left(piece.strip(), where, why))
    if kept:
        from .included import included

        found = included("".join(kept).strip())
        _keep_needed("".join(kept), where)
        step = Step("line", found.text, where, found.files, tuple(found.folders), written="".join(kept))
        variables.keep(step, before, recording.append, is_whole=len(kept) == len(pieces))


@functools.lru_cache(maxsize=1024)
def _names_of(text: str) -> frozenset[str]:
    return frozenset(statements.names(text))


def _with_errors(call: Callable[..., Any], line: Any, args: tuple[Any, ...]) -> tuple[Any, bool]:
    """What ``call`` gives for ``line``, and whether it went wrong: ROOT says that in the argument behind it alone."""
    if args:
        value = call(line, *args)
        return value, bool(_code_of(args[0]))
    code = ctypes.c_int(0)
    value = call(line, _pointer(code)) if _is_interpreters(call) else call(line, code)
    return value, code.value != 0


def _is_interpreters(call: Any) -> bool:
    return type(getattr(call, "args", (None,))[0]).__name__ == "TInterpreter"


def _pointer(code: ctypes.c_int) -> Any:
    import cppyy.ll

    return cppyy.ll.reinterpret_cast["TInterpreter::EErrorCode*"](ctypes.addressof(code))


def _code_of(given: Any) -> int:
    """The error that somebody's own variable, or pointer to one, has; 0 if that cannot be told."""
    import cppyy

    if isinstance(given, ctypes.c_int):
        return given.value
    try:
        return ctypes.c_int.from_address(cppyy.addressof(given)).value
    except (TypeError, ValueError):
        return 0


def macro(call: Callable[..., Any], where: str, name: Any, *args: Any) -> Any:
    libraries, before = _libraries(), variables.before()
    value = call(name, *args)
    path, _, _ = str(name).strip().partition("+")
    found = _macro_path(path)
    if not found:
        return value
    if "+" in str(name):
        _keep_new_libraries(libraries, where, found)
    elif not path.endswith((".so", ".dylib")) and not isinstance(value, bool) and int(value or 0) == 0:
        _keep_macro(found, where, before)
    else:
        _keep_library(path, where)
    return value


def macro_that_is_run(call: Callable[..., Any], where: str, name: Any, *args: Any) -> Any:
    before = variables.before()
    value, failed = _with_errors(call, name, args)
    if not failed:
        _keep_run_macro(str(name), where, before)
    return value


def _keep_run_macro(name: str, where: str, before: dict[str, Any]) -> None:  # decision 366
    """Keep what a macro declares; what its function has done to variables travels with their values, and is not repeated."""
    recording.leave(Left(f".x {name}", where, "it runs a macro, and what that does is not repeated"))
    path, compiled, _ = name.partition("(")[0].strip().partition("+")
    found = _macro_path(path)
    if found and compiled:
        _keep_new_libraries(_libraries(), where, found, has_run=True)
    elif found and not _is_unnamed(found):
        _keep_macro(found, where, before, has_run=True)


def _is_unnamed(path: str) -> bool:
    """Return whether a macro is statements in braces, which can be run, and not loaded."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = statements.masked(stream.read())
    return bool(re.match(r"(\s*#[^\n]*\n)*\s*\{", text))


def _macro_path(name: str) -> str:
    """The file that ROOT finds for a macro's ``name``; empty for none."""
    import ROOT

    name = os.path.expandvars(os.path.expanduser(name.strip()))
    found = ROOT.gSystem.Which(ROOT.TROOT.GetMacroPath(), name)
    return os.path.abspath(str(found)) if found else ""


def _keep_macro(path: str, where: str, before: dict[str, Any], has_run: bool = False) -> None:
    from ..worker.payload import PLACE
    from .included import included

    with open(path, "rb") as stream:
        data = stream.read()
    found = included(data.decode(errors="replace"), os.path.dirname(path))
    text = data.decode(errors="replace")
    step = Step("macro", f"{PLACE}/code{path}", where, {path: data, **found.files}, tuple(found.folders), written=text)
    variables.keep(step, before, has_run=has_run)


def compiled(call: Callable[..., Any], where: str, name: Any, *args: Any) -> Any:
    before = _libraries()
    value = call(name, *args)
    found = _macro_path(str(name).rstrip("+gOfkcdsv"))
    if value and found:
        _keep_new_libraries(before, where, found)
    return value


def _libraries() -> list[str]:
    import ROOT

    return str(ROOT.gSystem.GetLibraries("", "D")).split()


def _keep_new_libraries(before: list[str], where: str, source: str, has_run: bool = False) -> None:
    """Keep what ACLiC has made of ``source``, and the source, which the library's dictionary includes."""
    from .included import included

    with open(source, "rb") as stream:
        data = stream.read()
    found = included(data.decode(errors="replace"), os.path.dirname(source))
    stem = os.path.basename(source).replace(".", "_")
    loaded = [path for path in _libraries() if path not in before or os.path.basename(path).partition(".")[0] == stem]
    for path in loaded:
        files = {source: data, **found.files}
        folders = (os.path.dirname(source), *found.folders)
        step = Step("library", os.path.abspath(path), where, files, folders)
        recording.note(step)
        variables.declared(step, has_run)


def library(call: Callable[..., Any], where: str, name: Any, *args: Any) -> Any:
    value = call(name, *args)
    if int(value) >= 0:
        _keep_library(str(name), where)
    return value


def _keep_library(name: str, where: str) -> None:
    import ROOT

    from .included import is_installed

    found = ROOT.gSystem.DynamicPathName(name, True)
    path = os.path.abspath(str(found)) if found else ""
    recording.note(Step("library", path if path and not is_installed(path) else name, where))


def include_path(call: Callable[..., Any], where: str, path: Any) -> Any:
    value = call(path)
    _keep_folder(str(path))
    return value


def _keep_folder(path: str) -> None:
    for folder in path.replace("-I", " ").split() if path.lstrip().startswith("-I") else [path]:
        recording.note(Step("include_path", os.path.abspath(os.path.expandvars(folder.strip().strip('"')))))


def variable(call: Callable[..., Any], where: str, name: Any, value: Any) -> Any:
    done = call(name, value)
    os.environ[str(name)] = str(value)  # which Python reads once, when it starts
    return done


def no_variable(call: Callable[..., Any], where: str, name: Any) -> Any:
    done = call(name)
    os.environ.pop(str(name), None)
    return done
