"""ROOT RDataFrame analyses on any compute that Lithops reaches, with the answer of one core.

Importing this package makes ``ROOT.RDataFrame(..., executor=lithops.FunctionExecutor())`` work; see README.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .dataset.names import expand
    from .dataset.snapshots import parts
    from .errors import (
        CredentialsError,
        DataAccessError,
        LostRangesError,
        OutputError,
        PayloadError,
        PlanError,
        RangeError,
        RdfLithopsError,
        RunError,
    )
    from .executor.asked_for import resume
    from .graph.asking import plan, report
    from .options import Options
    from .planning.plans import Plan
    from .registration import RDataFrame
    from .reporting import Report

__all__ = [
    "CredentialsError",
    "DataAccessError",
    "LostRangesError",
    "Options",
    "OutputError",
    "PayloadError",
    "Plan",
    "PlanError",
    "RDataFrame",
    "RangeError",
    "RdfLithopsError",
    "Report",
    "RunError",
    "__version__",
    "expand",
    "parts",
    "plan",
    "report",
    "resume",
]

_HOMES = {
    "RDataFrame": "registration",
    "Options": "options",
    "Plan": "planning.plans",
    "Report": "reporting",
    "expand": "dataset.names",
    "parts": "dataset.snapshots",
    "plan": "graph.asking",
    "report": "graph.asking",
    "resume": "executor.asked_for",
}


def __getattr__(name: str) -> Any:
    """Load the driver side when it is asked for: a task imports this package too, and needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


# Lithops sets LITHOPS_WORKER where it runs a call, we set RDF_LITHOPS_WORKER in the ROOT process: nobody books there.
# Nor does a shell that completes our command line, and a user who presses the tabulator should not wait for ROOT.
if os.environ.keys().isdisjoint(("LITHOPS_WORKER", "RDF_LITHOPS_WORKER", "_RDF_LITHOPS_COMPLETE")):
    from .registration import register

    register()
