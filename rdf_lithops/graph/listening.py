"""Stands around ROOT's functions that declare or load something, and lets ``spellings`` see what the program gives them.

ROOT's own functions stay what they are, and do what they did. Light: ROOT is not touched before somebody uses it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from types import FrameType
from typing import Any

from ..compiled import compiling, header_paths
from . import recording, spellings

__all__ = ["install", "register"]


def register() -> None:
    """See to it that everything is seen from now on, or from the moment on in which ROOT starts."""
    import ROOT

    if "cppyy" in sys.modules:
        compiling.miss_level()
        install()
        return
    facade = type(ROOT)
    setup = facade._finalSetup
    without_root = _AtImportOfCppyy()

    def set_up(self: Any) -> None:
        without_root.remove()
        with header_paths.in_environment():
            setup(self)
        facade._finalSetup = setup
        install()

    facade._finalSetup = set_up
    sys.meta_path.insert(0, without_root)
    _lead_numba()  # now: who reads it first has it from the property as it is before ROOT comes up


class _AtImportOfCppyy(MetaPathFinder):
    """Sees that somebody imports cppyy, as correctionlib does, before ROOT is used, which would import it."""

    def remove(self) -> None:
        """Look no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:  # Python's name
        """Return how to import cppyy, and stand around ROOT's functions behind it; of other modules nothing."""
        if fullname != "cppyy":
            return None
        self.remove()
        spec = importlib.util.find_spec(fullname)
        loader: Any = spec and spec.loader
        if loader is None:
            return spec
        load = loader.exec_module

        def loaded(module: Any) -> None:
            with header_paths.in_environment():
                load(module)
            install()

        loader.exec_module = loaded
        return spec


def install() -> None:
    """Stand around ROOT's functions. To be called once ROOT is up; done twice, it does nothing."""
    import ROOT
    from cppyy import gbl

    interpreter, system, root = gbl.TInterpreter, type(gbl.gSystem), type(gbl.ROOT.GetROOT())
    if getattr(interpreter.Declare, "rdf_lithops", False):
        return
    for name in ("ProcessLine", "ProcessLineSynch"):
        _stand_around(interpreter, name, spellings.line)
    for name in ("ProcessLine", "ProcessLineSync", "ProcessLineFast"):
        _stand_around(root, name, spellings.line)
    for kind in (interpreter, root):
        _stand_around(kind, "LoadMacro", spellings.macro)
    _stand_around(root, "Macro", spellings.macro_that_is_run)
    _stand_around(interpreter, "ExecuteMacro", spellings.macro_that_is_run)
    _stand_around(interpreter, "Declare", spellings.declaration)
    _stand_around(interpreter, "LoadText", spellings.declaration)
    _stand_around(interpreter, "AddIncludePath", spellings.include_path)
    _stand_around(interpreter, "Load", spellings.library)
    _stand_around(system, "Load", spellings.library)
    _stand_around(system, "CompileMacro", spellings.compiled)
    _stand_around(system, "Setenv", spellings.variable)
    _stand_around(system, "Unsetenv", spellings.no_variable)
    _lead_numba()
    for name in ("Detail", "Internal"):  # which a program's `using namespace` would hide from DistRDF: decision 281
        vars(ROOT)[name] = getattr(gbl.ROOT, name)


def _stand_around(kind: Any, name: str, look: Callable[..., Any]) -> None:
    original = getattr(kind, name)

    @functools.wraps(original)
    def seen(self: Any, *args: Any, **given: Any) -> Any:
        frame = _of_the_program(sys._getframe(1))
        if frame is None or given or recording.is_paused():
            return original(self, *args, **given)
        with recording.paused():  # what comes of it in Python is of the same kind
            return look(functools.partial(original, self), _line_of(frame), *args)

    seen.rdf_lithops = True  # type: ignore[attr-defined]
    setattr(kind, name, seen)


def _of_the_program(frame: FrameType | None) -> FrameType | None:
    """The frame of the program that called; None for ROOT's own Python, for cppyy's when it is imported, and for ours."""
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "cppyy":
        if frame.f_code.co_name == "<module>":  # cppyy.ll declares what it casts with
            return None
        frame = frame.f_back
    name = "" if frame is None else frame.f_globals.get("__name__", "")
    theirs = name.startswith(("ROOT.", "rdf_lithops.")) and not name.startswith("ROOT._jupyroot")
    return None if theirs else frame


def _line_of(frame: FrameType) -> str:
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _lead_numba() -> None:
    """Have ``ROOT.Numba.Declare`` keep the Python function that it is given, when somebody reads ``ROOT.Numba``."""
    import ROOT

    facade = type(ROOT)
    prop = vars(facade).get("Numba")
    if isinstance(prop, property) and not getattr(prop.fget, "rdf_lithops", False):
        read = prop.fget
        assert read is not None, "ROOT's own property"

        def numba(self: Any) -> Any:
            namespace = read(self)
            _lead_declare(namespace)
            return namespace

        numba.rdf_lithops = True  # type: ignore[attr-defined]
        facade.Numba = property(numba)
    elif not isinstance(prop, property) and "Numba" in vars(ROOT):
        _lead_declare(ROOT.Numba)


def _lead_declare(namespace: Any) -> None:
    declare = namespace.Declare
    if getattr(declare, "rdf_lithops", False):
        return

    def keeping(input_types: Any, return_type: Any = None, name: Any = None) -> Callable[[Any], Any]:
        decorate = declare(input_types, return_type, name)
        where = _line_of(sys._getframe(1))

        def decorated(function: Any) -> Any:
            made = decorate(function)
            from ..worker.payload import declare_numba
            from .python_functions import as_it_is

            called = name or function.__name__
            kept = as_it_is(function, "Numba.Declare")
            recording.note(
                recording.Step(
                    "call",
                    f"Numba::{called}",
                    where,
                    call=functools.partial(declare_numba, input_types, return_type, called, kept),
                )
            )
            return made

        return decorated

    keeping.rdf_lithops = True  # type: ignore[attr-defined]
    namespace.Declare = staticmethod(keeping)
