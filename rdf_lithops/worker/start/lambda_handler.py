"""The entry point of the AWS Lambda image: ROOT is up and warm before the first event, then Lithops' events are handed on.

    initialisation (once per execution environment)      each event
    start the warm ROOT process ──> import Lithops       Lithops' own handler ──> its task ──> the warm ROOT process
                                ──> wait until ROOT
                                    has compiled

With SnapStart the initialisation ends in a snapshot, and each environment is a copy of it (see ``processes.restored``).

Lithops' worker forks a process per task; the warm ROOT process is held from here, so that it lives as long as this
environment, however long Lambda freezes it between two events. The only module of the far side that imports lithops: it is
what Lithops calls, where every other module is called by it.
"""

from __future__ import annotations

import contextlib
import time
from multiprocessing.connection import Connection
from typing import Any

from ...processes import restored, seconds, warm
from ..root import smoke

__all__ = ["handler"]

FOREVER_S = 1e9  # the environment's life is Lambda's business
WARM_LIMIT_S = 8.0  # Lambda allows 10 s of initialisation; beyond them it starts again, on the call's time
SNAPSHOT_LIMIT_S = 100.0  # of initialisation before a snapshot it allows 130 s


def _hold_root() -> Connection[Any, Any] | None:
    """Start the warm ROOT process where the tasks will look for it; None where none can be kept: tasks then run ROOT."""
    try:
        return warm.hold(warm.folder_for(None), {"idle_limit_s": FOREVER_S, "eager": 1})
    except warm.WarmProcessUnavailable as reason:
        print(f"rdf_lithops: no warm ROOT process: {reason}")  # noqa: T201  # the function's log
        return None


def _wait_for_root() -> str | None:
    """ROOT's version once it is warm; None if it is not: the first task starts it anew, and says why if it cannot."""
    with contextlib.suppress(warm.WarmProcessDied, warm.WarmProcessUnavailable):
        limit_s = SNAPSHOT_LIMIT_S if restored.is_snapshot() else WARM_LIMIT_S
        return warm.wait_until_warm(warm.folder_for(None), limit_s)
    return None


def _start_root_again() -> None:
    """In a copy of a snapshot whose ROOT process is lost: hold a new one, which comes up while the first event does."""
    global _held
    _held = _hold_root()


def _require_root() -> None:
    """Before a snapshot: without ROOT in it, each copy would cost what a snapshot costs, and start ROOT as well."""
    if ROOT_VERSION is None:
        raise RuntimeError(
            "no snapshot is taken of an environment in which ROOT is not up; what it said is in the log above"
        )


_began = time.perf_counter()
_held = _hold_root()

from lithops.serverless.backends.aws_lambda import entry_point  # noqa: E402  # while ROOT comes up behind

from .. import fold_task, task  # noqa: E402, F401  # what each call's process has then, and need not import
from . import descriptions, pre_run  # noqa: E402, F401  # after what brings boto3

ROOT_VERSION = _wait_for_root() if _held is not None else None
if restored.is_snapshot():
    import snapshot_restore_py as hooks  # type: ignore[import-untyped]  # which awslambdaric runs

    hooks.register_before_snapshot(_require_root)
    hooks.register_after_restore(restored.renew, warm.folder_for(None), _start_root_again)
INITIALISATION_S = time.perf_counter() - _began


def handler(event: dict[str, Any], context: Any) -> Any:
    """What Lambda calls. ``{"rdf_lithops": "describe"}`` asks what is in the image; all else is Lithops' event."""
    seconds.note_invocation()
    if event.get("rdf_lithops") == "describe":
        return {"versions": {**smoke.versions(), "root": ROOT_VERSION}, "initialisation_s": INITIALISATION_S}
    return entry_point.lambda_handler(event, context)
