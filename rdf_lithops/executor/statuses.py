"""What Lithops writes down of a call that has ended, read without Lithops: its status, and what it says of a failure."""

from __future__ import annotations

import ast
import base64
import pickle
import zlib
from collections.abc import Callable
from typing import Any

from ..run.books import CallEnd

__all__ = ["read_status"]

LOG_TAIL_CHARACTERS = 4000
_KINDS = {"TimeoutError": "timeout", "MemoryError": "killed"}


def read_status(status: object, output: Callable[[], bytes | None]) -> CallEnd | None:
    """How a call ended, by its status object; None while it has not. ``output`` fetches a return value that is an object of
    its own. What cannot be read is a damaged end, and never an error: those of ``output`` alone pass."""
    if not isinstance(status, dict) or not isinstance(status.get("type"), str):
        return _damaged("its status", "it does not say what it is of")
    if status["type"] != "__end__":
        return None
    figures = {name: value for name, value in status.items() if isinstance(value, (int, float)) or name == "activation_id"}
    if status.get("exception"):
        kind, why = _cause(status)
        return CallEnd(None, why, _log_tail(status), kind, figures)
    try:
        pickled = _bytes_of(status["result"]) if "result" in status else None
    except (ValueError, TypeError, AttributeError, pickle.UnpicklingError, EOFError) as error:
        return _damaged("its status", repr(error), figures)
    pickled = output() if "result" not in status else pickled
    if pickled is None:
        return CallEnd(None, "it says that it is done, but its output is gone from the storage", status=figures)
    try:
        value = pickle.loads(pickled)
    except Exception as error:
        return _damaged("its output", repr(error), figures)
    if not isinstance(value, bytes):
        return CallEnd(None, f"expected bytes from it, got {type(value).__name__}", kind="damaged", status=figures)
    return CallEnd(value, status=figures)


def _bytes_of(literal: str) -> bytes:  # decision 391
    """What ``repr`` has made of bytes, as pickle's first protocol reads such texts: in a tenth of the time of a parser."""
    if literal[:1] != "b" or "\n" in literal:
        raise ValueError("it is no literal of bytes")
    found = pickle.loads(b"S" + literal[1:].encode("ascii") + b"\n.", encoding="bytes")
    return bytes(found)


def _damaged(what: str, why: str, figures: dict[str, Any] | None = None) -> CallEnd:
    return CallEnd(None, f"{what} cannot be read: {why}", kind="damaged", status=figures or {})


def _log_tail(status: dict[str, Any]) -> str:
    """The end of the call's log, or why there is none: it explains a failure, and must not become one."""
    if "logs" not in status:
        return ""
    try:
        return zlib.decompress(base64.b64decode(status["logs"])).decode(errors="replace")[-LOG_TAIL_CHARACTERS:]
    except (ValueError, TypeError, zlib.error) as error:
        return f"(its log cannot be read: {error!r})"


def _cause(status: dict[str, Any]) -> tuple[str, str]:
    """What Lithops says of a call that ended without our envelope: killed, out of memory, timed out."""
    try:
        _, cause, _ = pickle.loads(ast.literal_eval(status["exc_info"]))
        name, told = type(cause).__name__, " ".join(str(part) for part in getattr(cause, "args", ()) if part != "HANDLER")
    except Exception as error:
        return "lost", f"Lithops' own record of it cannot be read ({error!r})"
    return _KINDS.get(name, "lost"), f"{name}: {told}"
