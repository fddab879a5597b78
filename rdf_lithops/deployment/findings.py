"""What ``rdf-lithops check`` finds: the answer to one question, as a value."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "note", "ok", "wrong"]


@dataclass(frozen=True)
class Finding:
    """The answer to one question. ``level``: ``ok``, ``wrong`` (a run would fail, leak or cost more) or ``note``
    (could not be found out, or is worth knowing); ``remedy`` is the command or the setting that mends it."""

    name: str
    level: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        shown = {"ok": "ok", "wrong": "WRONG", "note": "note"}[self.level]
        return f"{shown:6} {self.name}: {self.message}" + (f"\n       next: {self.remedy}" if self.remedy else "")


def ok(name: str, message: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", message)


def wrong(name: str, message: str, remedy: str) -> Finding:
    """A run would fail, leak or cost more."""
    return Finding(name, "wrong", message, remedy)


def note(name: str, message: str, remedy: str = "") -> Finding:
    """Worth knowing, or not to be found out."""
    return Finding(name, "note", message, remedy)
