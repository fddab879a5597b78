"""Instantiation libraries that come with a run, as both sides see them."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["Libraries"]


class Libraries(TypedDict):
    """What a run brings along; each bundle is an archive of ``NAME.so`` and ``NAME.json`` in Lithops' storage."""

    root: str  # the key of the ROOT that they are for, see ``compiled.library``
    bundles: list[dict[str, Any]]  # of each its name, and bucket, key and sha256 of the archive
