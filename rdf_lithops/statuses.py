"""What Lithops writes down of a call that has ended, read without Lithops: its status, and what it says of a failure."""

from __future__ import annotations

import ast
import base64
import pickle
import zlib
from collections.abc import Callable
from typing import Any

from .recovery import CallEnd

__all__ = ["read_status"]

LOG_TAIL_CHARACTERS = 4000
_KINDS = {"TimeoutError": "timeout", "MemoryError": "killed"}


def read_status(status: dict[str, Any], output: Callable[[], bytes | None]) -> CallEnd:
    """How a call ended, by its status object; ``output`` fetches the return value where it is an object of its own."""
    figures = {name: value for name, value in status.items() if isinstance(value, (int, float)) or name == "activation_id"}
    if status.get("exception"):
        kind, why = _cause(status)
        logs = zlib.decompress(base64.b64decode(status["logs"])).decode(errors="replace") if "logs" in status else ""
        return CallEnd(None, why, logs[-LOG_TAIL_CHARACTERS:], kind, figures)
    pickled = ast.literal_eval(status["result"]) if "result" in status else output()
    if pickled is None:
        return CallEnd(None, "it says that it is done, but its output is gone from the storage", status=figures)
    try:
        value = pickle.loads(pickled)
    except Exception as error:
        return CallEnd(None, f"its output cannot be read: {error!r}", kind="damaged", status=figures)
    if not isinstance(value, bytes):
        return CallEnd(None, f"expected bytes from it, got {type(value).__name__}", kind="damaged", status=figures)
    return CallEnd(value, status=figures)


def _cause(status: dict[str, Any]) -> tuple[str, str]:
    """What Lithops says of a call that ended without our envelope: killed, out of memory, timed out."""
    try:
        _, cause, _ = pickle.loads(ast.literal_eval(status["exc_info"]))
    except Exception as error:
        return "lost", f"Lithops' own record of it cannot be read ({error})"
    name = type(cause).__name__
    return _KINDS.get(name, "lost"), f"{name}: {' '.join(str(part) for part in cause.args if part != 'HANDLER')}"
