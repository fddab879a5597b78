"""How what Cling compiles is optimised. Needs ROOT."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

__all__ = ["compiling_quickly"]


@contextlib.contextmanager
def compiling_quickly() -> Iterator[None]:
    """In this block what is compiled is not optimised: it takes a third of the time and is slower code, which later graphs
    share."""
    import ROOT

    given = re.findall(r"-O([0-3])", os.environ.get("EXTRA_CLING_ARGS", ""))
    ROOT.gInterpreter.ProcessLine(".O 0")
    try:
        yield
    finally:
        ROOT.gInterpreter.ProcessLine(f".O {given[-1] if given else 1}")
