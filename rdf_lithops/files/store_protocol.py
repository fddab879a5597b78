"""What a place offers where a dataset's files are written, and how it says that it cannot. ``stores.py`` has the places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

__all__ = ["PART", "Store", "StoreFailure", "split"]

PART = ".rdf_lithops-part"  # in the name of a file while it is written, where it cannot appear whole by itself


class StoreFailure(Exception):
    """Something that could not be written, read or listed: ``what``, ``why``; ``final`` where another try would end
    alike."""

    def __init__(self, what: str, why: str, final: bool) -> None:
        super().__init__(what, why, final)
        self.what, self.why, self.final = what, why, final

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class Store(Protocol):
    """The operations of a place where files are written, on whole URLs. All of them raise StoreFailure."""

    def prepare(self, folder: str) -> None:
        """Make ``folder`` where it would otherwise be made by whoever writes first, while others write already."""

    def put(self, path: str, url: str, replace: bool) -> None:
        """Make ``url`` a copy of the file ``path``; readers never see a part of it.

        With ``replace`` a file that is there is replaced; without it the file is left: it is whole, and a duplicate of
        ``path``.
        """

    def fetch(self, url: str, path: str) -> None:
        """Copy ``url`` into the file ``path``."""

    def sizes(self, folder: str, prefix: str) -> dict[str, int]:
        """Return, by URL, the sizes in bytes of the files in ``folder`` whose names start with ``prefix``; none where it is
        missing."""

    def remove(self, urls: Iterable[str]) -> None:
        """Remove files; those that are not there are no error."""

    def abandon(self, folder: str, prefix: str) -> None:
        """Remove what interrupted writers have left of such files."""


def split(url: str) -> tuple[str, str]:
    """Return the folder of ``url``, with its slash, and the name in it."""
    folder, slash, name = url.rpartition("/")
    return folder + slash, name
