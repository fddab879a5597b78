"""Which kinds of one test run by default: the others are marked slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["quickly"]


def quickly(kinds: Iterable[Any], *quick: Any, names: int = 1) -> list[Any]:
    """``kinds`` for ``parametrize``, those that are not among ``quick`` marked slow. With several ``names`` a kind is a
    tuple of as many values."""
    given = list(kinds)
    unknown = [kind for kind in quick if kind not in given]
    assert not unknown, f"these are no kinds: {unknown}"
    slow = [pytest.param(*(kind if names > 1 else [kind]), marks=pytest.mark.slow) for kind in given]
    return [kind if kind in quick else marked for kind, marked in zip(given, slow, strict=True)]
