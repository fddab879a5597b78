"""ROOT RDataFrame analyses on any compute that Lithops reaches, with the answer of one core.

Importing this package makes ``ROOT.RDataFrame(..., executor=lithops.FunctionExecutor())`` work; see README.md. A query
passes the folders in this order:

graph       the seam with ROOT: DistRDF's graph as one that travels, and its results as DistRDF wants them
dataset     what lies where, where it is cut into ranges, who may read it, Snapshots
planning    what will run and may cost, as values: calls, limits of back ends, prices
run         attempts until each range is there once: who has ended, lives, is late, is dead; rounds of folds
executor    the seam with Lithops: ``map_reduce`` submitted, looked at, cleaned up after
worker      the far side: what Lithops calls, and the processes with ROOT
reporting   what each second and cent went into
frame, files, fold, processes, travels, compiled   on both sides: ranges and data frames, bytes of files, merging of results,
            warm processes, what crosses the wire, libraries of instantiations
batch       back ends of Lithops' kind for Slurm and HTCondor
deployment, cli, demo   images and checks, the command line, an example
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
