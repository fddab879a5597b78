"""Why a worker does not know a C++ name that the driver may know: told in the error, with what would carry it."""

from __future__ import annotations

import re

from ..errors import RunError
from ..options import Options
from . import recording, statements

# isort: split
import ROOT

__all__ = ["explain"]

_NAME = re.compile(
    r"error: (?:use of undeclared identifier|unknown type name|no type named|no member named|no template named) '(\w+)'"
)
_DISTRIBUTE = "give it to ROOT.RDF.Distributed.DistributeCppCode"


def explain(failure: RunError, options: Options) -> None:
    """Say in ``failure``, where it is of a name that a worker does not know, how that name gets there."""
    found = _NAME.search(failure.why)
    if found is not None:
        failure.next_command = _how(found[1], options)


def _how(name: str, options: Options) -> str:
    for left in reversed(recording.left()):
        if name in statements.names(left.text):
            return (
                f"{name} comes from {left.where}, which does not travel: {left.why}; declare it apart from that, or do it "
                "in a function for ROOT.RDF.Distributed.initialize"
            )
    if not hasattr(ROOT._cppyy.gbl, name):
        return f"{name} is not known to this process either: declare it with ROOT.gInterpreter.Declare"
    kept = next((step.where for step in recording.steps() if name in statements.names(step.written)), "")
    if kept and not options.declared:
        return f"{name} is declared in {kept}, and options.declared is off: {_DISTRIBUTE}"
    seen = "which did not see where it comes from: import rdf_lithops before it is declared"
    return f"{name} is known to this process, {seen}, or {_DISTRIBUTE}"
