"""Python's search for garbage while a run of many calls goes on."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from rdf_lithops.run.heap import MANY_CALLS, set_aside


class Node:
    """Something that may be garbage: it refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Nothing is frozen before a test, nor after it."""
    assert gc.get_freeze_count() == 0
    yield
    gc.unfreeze()


def test_what_was_there_is_not_looked_through_meanwhile() -> None:
    """Garbage of before stays while the run goes on, what is made meanwhile goes, and afterwards the other does."""
    before = weakref.ref(Node())
    with set_aside(MANY_CALLS):
        meanwhile = weakref.ref(Node())
        gc.collect()
        assert before() is not None
        assert meanwhile() is None
    gc.collect()
    assert before() is None


def test_a_run_of_few_calls_changes_nothing() -> None:
    """Small runs follow each other closely: what they leave must not pile up among what is not looked at."""
    with set_aside(MANY_CALLS - 1):
        assert gc.get_freeze_count() == 0


def test_runs_at_a_time() -> None:
    """The heap is taken back when the last of them ends, also by an error."""
    first, second = set_aside(MANY_CALLS), set_aside(MANY_CALLS)
    first.__enter__()
    with pytest.raises(ValueError, match="broken"), second:
        raise ValueError("broken")
    assert gc.get_freeze_count() > 0
    first.__exit__(None, None, None)
    assert gc.get_freeze_count() == 0


def test_what_a_program_has_frozen_stays_so() -> None:
    """Objects that the user's program has set aside itself are none of ours to give back."""
    gc.freeze()
    with set_aside(MANY_CALLS):
        pass
    assert gc.get_freeze_count() > 0


def test_a_program_without_collection_keeps_it_so() -> None:
    """Where the user's program has turned the collector off, nothing is done."""
    gc.disable()
    try:
        with set_aside(MANY_CALLS):
            assert gc.get_freeze_count() == 0
    finally:
        gc.enable()
