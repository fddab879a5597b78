"""A run's record as users have it: printed, shown in a notebook, drawn, written as HTML and as JSON, and read back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from .. import _version
from .advice import advise
from .html import fragment, page
from .picture import draw
from .text import render
from .values import Bill, Call, RunRecord, Share

__all__ = ["Report"]

FORMAT_VERSION = 1


class Report(RunRecord):
    """One run: what ran, where the time went, what it cost, what to do better.

    Print it, or let a notebook show it; ``to_json``, ``to_html`` and ``plot`` take it elsewhere.
    """

    @property
    def advice(self) -> tuple[str, ...]:
        """What another run could do better, most important first."""
        return tuple(advise(self))

    def __str__(self) -> str:
        return render(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # IPython would show the fields

    def _repr_html_(self) -> str:
        return fragment(self)

    def to_html(self, path: str) -> None:
        """Write one HTML file that needs nothing else, to look at or to send."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(page(self))

    def plot(self, path: str) -> None:
        """Draw the timeline of calls and where the time went; the ending of ``path`` says the format. Needs matplotlib."""
        draw(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with what is derived beside what was measured."""
        derived = {
            "entries": self.entries,
            "read_bytes": self.read_bytes,
            "fetched_bytes": self.fetched_bytes,
            "fetches": self.fetches,
            "totals": self.totals,
            "advice": list(self.advice),
        }
        return {"format": FORMAT_VERSION, "rdf_lithops": _version.__version__, **dataclasses.asdict(self), **derived}

    def to_json(self) -> str:
        """The report as JSON; the inverse of ``from_json``."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """A report that ``to_json`` wrote. Raises ValueError for anything else, saying what is missing."""
        given = json.loads(text)
        if not isinstance(given, dict) or given.get("format") != FORMAT_VERSION:
            found = given.get("format") if isinstance(given, dict) else type(given).__name__
            raise ValueError(f"expected a report of format {FORMAT_VERSION}, got {found}")
        known = {item.name for item in dataclasses.fields(cls)}
        values = {name: value for name, value in given.items() if name in known}
        try:
            values["calls"] = tuple(Call(**call) for call in given["calls"])
            values["bill"] = Bill(**given["bill"])
            values["graphs"] = tuple(_share(share) for share in given.get("graphs", ()))
            values["notes"], values["skipped_files"] = tuple(given["notes"]), tuple(given["skipped_files"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the report does not hold what it should: {error}") from error


def _share(given: dict[str, Any]) -> Share:
    return Share(**{**given, "units": tuple(Call(**unit) for unit in given["units"])})
