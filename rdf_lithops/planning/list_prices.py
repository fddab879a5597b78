"""Prices that a provider's own list has said, kept in this user's cache for later plans: they are newer than the table's."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["keep", "kept"]

NAMES = ("gb_s", "request")


def keep(backend: str, region: str, as_of: str, prices: dict[str, float]) -> None:
    """Keep the ``prices`` (USD by the names that a table has) of a region, as they were on a day."""
    path = _path(backend, region)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps({"as_of": as_of, "prices": prices}))
    scratch.replace(path)


def kept(backend: str, region: str, newer_than: str) -> tuple[str, dict[str, float]] | None:
    """Return the day and the prices that were kept of a region; None where there are none that are ``newer_than`` a day."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found: dict[str, Any] = json.loads(_path(backend, region).read_text())
        prices = {name: float(found["prices"][name]) for name in NAMES if name in found["prices"]}
        if prices and all(0 < price < 1 for price in prices.values()) and str(found["as_of"]) > newer_than:
            return str(found["as_of"]), prices
    return None


def _path(backend: str, region: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache, "rdf_lithops", f"prices-{backend}-{region}.json")
