"""What a restored copy of a snapshot (AWS Lambda's SnapStart) makes anew, as all copies begin with the same memory.

    initialisation ── before: ROOT is warm ──> snapshot ──┬── after: a name, randomness, keys, the hour ──> events
                                                          ├── after: …
                                                          └── after: …

Nothing is open at the snapshot but what both ends of are in it: the ROOT process, held by a socket. Clients of AWS are made
in the forks that run calls, and so after it; their keys come from where the environment says, and not from variables.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable

from . import warm

__all__ = ["SANDBOX", "is_snapshot", "renew", "renew_python", "restored_at"]

INITIALISATION, SNAPSHOT = "AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"  # the variable that Lambda sets, and its value
# In the environment of a copy: its name, as those of host and log are the same in all, and when it was restored, in Unix
# seconds, as its processes' starts are the snapshot's.
SANDBOX, RESTORED = "RDF_LITHOPS_SANDBOX", "RDF_LITHOPS_RESTORED"


def is_snapshot() -> bool:
    """Whether a snapshot is taken of this process when its initialisation is over."""
    return os.environ.get(INITIALISATION) == SNAPSHOT


def restored_at() -> float:
    """When this process, or the one that it was forked from, was restored, in Unix seconds; 0 if it is no copy."""
    return float(os.environ.get(RESTORED, 0.0))


def renew(folder: str, start_root: Callable[[], None]) -> None:  # decision 311
    """The hook after restoring: this process, and the ROOT process of ``folder``, are nobody's copies any more.

    A ROOT process that does not answer was lost with the snapshot: ``start_root`` starts another.
    """
    variables = {SANDBOX: os.urandom(8).hex(), RESTORED: f"{time.time()}"}
    os.environ.update(variables)
    renew_python()
    try:
        warm.tell_restored(folder, variables)
    except (warm.WarmProcessDied, warm.WarmProcessUnavailable) as lost:
        print(f"rdf_lithops: the snapshot's ROOT process is lost, another is started: {lost}")  # noqa: T201  # the log
        start_root()


def renew_python() -> None:
    """Give Python's generators, and names of temporary files, randomness of this copy's own."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    tempfile._name_sequence = None  # type: ignore[attr-defined]  # made anew at the next name
