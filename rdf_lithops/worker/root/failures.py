"""What is said of a call that failed, in its envelope."""

from __future__ import annotations

import traceback
from typing import Any

from ...files import access, remote, stores
from ...frame import ranges as adapter

__all__ = [
    "NotCompiled",
    "RangeFailure",
    "described",
    "store_failure_described",
]

_CPP = "C++ exception thrown:"  # what DistRDF's mapper says of one, with its name and text


class RangeFailure(Exception):
    """Something that the user's graph or data did: which range, and the original exception as ``__cause__``."""

    def __init__(self, range_id: int) -> None:
        super().__init__(range_id)
        self.range_id = range_id


class NotCompiled(Exception):
    """C++ of the graph that does not compile here, in the compiler's words: the error, its line and the caret."""


def described(failure: RangeFailure, call: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    cause = failure.__cause__
    assert cause is not None, "RangeFailure is always raised from the original exception"
    fields = next(fields for fields in call["ranges"] if fields["id"] == failure.range_id)
    names = adapter.files_of([fields], dataset)
    failed = access.take_failure() or (cause.fields if isinstance(cause, remote.AccessFailure) else access.unreadable(names))
    failed = failed or access.broken_off(names, str(cause))
    if failed is not None:
        return {
            "kind": "access" if failed["kind"] in remote.FINAL else "transfer",
            "call_id": call["id"],
            "range_ids": [failure.range_id],
            "where": adapter.describe(fields, dataset),
            "type": "AccessFailure",
            "message": f"{failed['url']}: {failed['why']}",
            "access": failed,
        }
    if isinstance(cause, NotCompiled):
        return {
            "kind": "range",
            "call_id": call["id"],
            "range_ids": [failure.range_id],
            "where": adapter.describe(fields, dataset),
            "type": "runtime_error",
            "message": f"its C++ does not compile on the worker:{str(cause).splitlines()[0].partition('error:')[2]}",
            "traceback": str(cause),
        }
    out_of_memory = isinstance(cause, MemoryError) or "bad_alloc" in f"{type(cause).__name__} {cause}"
    return {
        "kind": "memory" if out_of_memory else "range",
        "call_id": call["id"],
        "range_ids": [failure.range_id],
        "where": adapter.describe(fields, dataset),
        "type": type(cause).__name__,
        "message": _message(cause),
        "traceback": "" if _is_of_cpp(cause) else "".join(traceback.format_exception(cause)),
    }


def _is_of_cpp(cause: BaseException) -> bool:
    """Whether the user's C++ threw it: then no line of Python's has a part in it."""
    return str(cause).startswith(_CPP) or type(cause).__module__.startswith("cppyy.gbl")


def _message(cause: BaseException) -> str:
    """What an exception says; one of C++ in one line with its name, without the function of ROOT's that it came through."""
    said = str(cause) or type(cause).__name__
    if not _is_of_cpp(cause):
        return said
    name_and_text = said.removeprefix(_CPP) if said.startswith(_CPP) else said.partition("=>\n")[2] or said
    return f"{_CPP} {name_and_text.strip()}"


def store_failure_described(failure: stores.StoreFailure, call: dict[str, Any]) -> dict[str, Any]:
    """What is final is the run's end; what another try may cure is tried again, as a lost call is."""
    return {
        "kind": "output" if failure.final else "worker",
        "call_id": call["id"],
        "range_ids": [fields["id"] for fields in call["ranges"]],
        "type": type(failure).__name__,
        "what": failure.what,
        "message": failure.why,
    }
