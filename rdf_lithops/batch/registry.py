"""Have Lithops find our back ends by their names. Imports nothing of Lithops: it may come later, or never.

Lithops imports ``lithops.serverless.backends.NAME`` and looks NAME up in a tuple of its constants. A finder serves the first
from the folders ``compute`` and ``storage`` here; the second is extended when that module is there, or as soon as it comes.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["COMPUTE", "register"]

COMPUTE = ("slurm", "htcondor")
CONSTANTS = "lithops.constants"
_HERE = os.path.dirname(os.path.abspath(__file__))
_HOMES = {"lithops.serverless.backends": ("compute", COMPUTE), "lithops.storage.backends": ("storage", ("shared_folder",))}


class _Finder:
    """Finds our back ends below Lithops' packages, and Lithops' constants in order to extend them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == CONSTANTS:
            return _extending(importlib.machinery.PathFinder.find_spec(name, path))
        package, _, last = name.rpartition(".")
        home, names = _HOMES.get(package, ("", ()))
        return importlib.machinery.PathFinder.find_spec(name, [os.path.join(_HERE, home)]) if last in names else None


def _extending(spec: importlib.machinery.ModuleSpec | None) -> importlib.machinery.ModuleSpec | None:
    """The same module, with our names in it once it has run."""
    loader: Any = None if spec is None else spec.loader
    if loader is not None:
        run = loader.exec_module

        def run_and_extend(module: ModuleType) -> None:
            run(module)
            _extend(module)

        loader.exec_module = run_and_extend
    return spec


def _extend(constants: Any) -> None:
    new = tuple(name for name in COMPUTE if name not in constants.SERVERLESS_BACKENDS)
    constants.SERVERLESS_BACKENDS += new


def register() -> None:
    """Make the back ends known; done twice, it does nothing."""
    if not any(
        type(finder).__qualname__ == _Finder.__qualname__ and type(finder).__module__ == __name__ for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _Finder())
    if CONSTANTS in sys.modules:
        _extend(sys.modules[CONSTANTS])
