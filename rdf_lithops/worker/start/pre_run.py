"""What Lithops calls first in the process that it forks for a call (its PRE_RUN), before it unpickles anything."""

from __future__ import annotations

import sys
from typing import Any

from ...processes.inherited_connections import leave_inherited

__all__ = ["begin"]

REDUCER_POLL_S = 0.01  # instead of one second, which most reducers would wait through, on the bill, with all partials there
NEAR_POLL_S = 0.002  # instead of 0.1 s where the storage is this machine's: half of what a small query took


def begin() -> None:
    """Make this process one of its own, and one that does not sleep over its input.

    A reducer's Lithops looks for its partials' states before its own monitor has listed them, and then sleeps.
    """
    leave_inherited()
    waiting: Any = sys.modules.get("lithops.wait")
    if waiting is not None:
        waiting.WAIT_DUR_SEC = min(REDUCER_POLL_S, waiting.WAIT_DUR_SEC)
        waiting._poll_sleep_sec = _pause


def _pause(monitor: Any, wanted_s: float | None) -> float:
    """In the place of Lithops' function, which is not asked how long to sleep beside a storage of this machine."""
    return NEAR_POLL_S if getattr(monitor, "storage_backend", "") == "localhost" else wanted_s or REDUCER_POLL_S
