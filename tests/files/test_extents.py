"""Arithmetic of byte extents, and the cache of them: what it gives back is what was put in, and it stays below its limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdf_lithops.files.extents import Cache, merge_near, split, subtract, union

extents = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1])))


def positions(some: list[tuple[int, int]]) -> set[int]:
    """Every byte of the extents."""
    return {at for start, end in some for at in range(start, end)}


@given(extents, extents)
def test_union_and_subtract_are_those_of_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """Union and difference of extents are union and difference of their bytes; results are sorted and do not touch."""
    assert positions(one) == positions(union(one))
    assert positions(one) - positions(other) == positions(subtract(union(one), union(other)))
    assert all(first[1] < second[0] for first, second in zip(union(one), union(one)[1:], strict=False))


def test_a_transfer_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    """Pieces that end in an error are not there; nor is what arrives for an object that had to make room meanwhile."""

    def broken() -> Iterator[bytes]:
        yield bytes(100)
        raise ZeroDivisionError

    cache = Cache(str(tmp_path / "cache"), 1000)
    cached = cache.of("one")
    with pytest.raises(ZeroDivisionError):
        cache.keep(cached, 0, broken())
    assert [(0, 100)] == cached.missing([(0, 100)])

    def overtaken() -> Iterator[bytes]:
        yield bytes(100)
        cache.keep(cache.of("two"), 0, [bytes(1001)])
        yield bytes(100)

    cache.keep(cached, 0, overtaken())
    assert [(0, 200)] == cached.missing([(0, 200)])
    assert 0 == cache.bytes
    assert [] == list((tmp_path / "cache").iterdir())


@given(extents)
def test_bridged_gaps_waste_little(some: list[tuple[int, int]]) -> None:
    """Merging near extents loses no byte and adds less than a tenth; splitting changes no byte."""
    wanted = union(some)
    merged = merge_near(wanted)
    assert positions(wanted) <= positions(merged)
    assert len(positions(merged)) <= 1.1 * len(positions(wanted))
    assert positions(merged) == positions(split(merged, 7))


def test_the_cache_gives_back_what_it_got(tmp_path: Path) -> None:
    """What was stored is copied out, byte for byte, and what was not is said to be missing."""
    cache = Cache(str(tmp_path / "cache"), 10_000)
    data = os.urandom(500)
    cached = cache.of("object one")
    cache.keep(cached, 100, [data[:200], data[200:]])
    into = bytearray(700)
    assert [(50, 100), (600, 750)] == cached.copy(50, memoryview(into))
    assert data == into[50:550]
    assert [(0, 100)] == cached.missing([(0, 300)])
    assert 500 == cache.bytes


def test_the_cache_stays_below_its_limit(tmp_path: Path) -> None:
    """The object that was used longest ago goes first, with its file; who still holds it finds nothing in it."""
    cache = Cache(str(tmp_path / "cache"), 1000)
    for name in ("one", "two"):
        cache.keep(cache.of(name), 0, [bytes(400)])
    first = cache.of("one")
    oldest = cache.of("two")
    cache.of("one")
    held = os.open(oldest.path, os.O_RDONLY)
    cache.keep(cache.of("three"), 0, [bytes(400)])
    assert 800 == cache.bytes
    assert [(0, 400)] == oldest.missing([(0, 400)])
    assert b"" == os.read(held, 400)
    os.close(held)
    assert [] == first.missing([(0, 400)])
    assert 2 == len(list((tmp_path / "cache").iterdir()))
