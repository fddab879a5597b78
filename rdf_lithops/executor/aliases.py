"""Calls through an alias of the Lambda function: a snapshot (SnapStart) is that of a published version, and Lithops calls
the unpublished one. Nothing of Lithops' is changed: its own ``invoke`` runs, on a back end that says another name."""

from __future__ import annotations

from typing import Any

from ..planning.limits import SNAPSTART_ALIAS, wants_snapstart

__all__ = ["invoke_published"]


class _Published:
    """Lithops' back end, in the eyes of its own ``invoke``: the function's name is that of its alias, as boto3 spells it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def _format_function_name(self, *named: Any) -> str:
        return f"{self._backend._format_function_name(*named)}%3A{SNAPSTART_ALIAS}"


def invoke_published(executor: Any) -> Any:
    """Have ``executor`` call the published version, if its configuration asks for SnapStart; else nothing. Returns its back
    end in the eyes of whoever invokes."""
    name = executor.config["lithops"]["backend"]
    backend = getattr(executor.compute_handler, "backend", None)
    if backend is None or not wants_snapstart(name, executor.config[name]):
        return backend
    published, invoke = _Published(backend), type(backend).invoke
    backend.invoke = lambda *given: invoke(published, *given)
    return published
