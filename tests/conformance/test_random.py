"""Random numbers: each range draws its own stream, which depends on the seed and the range alone."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import ROOT

import rdf_lithops
from rdf_lithops.worker.root.execute import range_seed

DRAW = "gRandom->Uniform()"


def drawn(executor: Any, entries: int = 40, npartitions: int = 4, **options: Any) -> list[float]:
    """What every entry of an empty source draws, in order of entries."""
    frame = ROOT.RDataFrame(entries, executor=executor, npartitions=npartitions, options=options)
    return [float(value) for value in frame.Define("r", DRAW).AsNumpy(["r"])["r"]]


@pytest.fixture(scope="module")
def by_default(fexec: Any) -> list[float]:
    """40 numbers in 4 ranges, with all options at their defaults."""
    return drawn(fexec)


def test_ranges_draw_different_streams(by_default: list[float]) -> None:
    """No number is drawn twice: not by two ranges, and not by two entries of one."""
    assert 40 == len(set(by_default))


def test_numbers_are_uniform(fexec: Any) -> None:
    """Over many ranges the numbers are as uniform as 2000 numbers are."""
    values = numpy.array(drawn(fexec, entries=2000, npartitions=20))
    assert 2000 == len(set(values))
    assert abs(values.mean() - 0.5) < 5 / numpy.sqrt(12 * 2000)


def test_same_seed_same_numbers(fexec: Any, by_default: list[float]) -> None:
    """The same seed gives the same numbers, in the processes that are warm by now too; the default seed is 1."""
    assert by_default == drawn(fexec)
    assert by_default == drawn(fexec, seed=1)


def test_other_seed_other_numbers(fexec: Any, by_default: list[float]) -> None:
    """Another seed shares no number with the first."""
    other = drawn(fexec, seed=2)
    assert 40 == len(set(other))
    assert set() == set(other) & set(by_default)


@pytest.mark.parametrize("ranges_per_call", [1, 3, 4])
def test_calls_do_not_matter(fexec: Any, by_default: list[float], ranges_per_call: int) -> None:
    """However ranges are packed into calls, and whoever ran before in the process, the numbers are the same."""
    assert by_default == drawn(fexec, ranges_per_call=ranges_per_call)


def test_order_and_workers_do_not_matter(fexec: Any, by_default: list[float]) -> None:
    """One call that gets the ranges in reverse order, driven by hand, draws the same numbers."""
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=4, options={"ranges_per_call": 4})
    booked = frame.Define("r", DRAW).AsNumpy(["r"], lazy=True)
    plan = rdf_lithops.plan(booked)
    [item] = plan.iterdata
    reversed_call = {"id": 0, "ranges": item["call"]["ranges"][::-1]}
    plan.deliver(plan.reduce_task([plan.map_task(reversed_call)]))
    assert by_default == [float(value) for value in booked.GetValue()["r"]]


@pytest.mark.slow
def test_without_a_warm_process(fexec: Any, by_default: list[float]) -> None:
    """A task that runs ROOT itself draws what a warm process draws."""
    assert by_default == drawn(fexec, warm=False)


def test_seeds_of_ranges() -> None:
    """Seeds are 32 bits, never 0 (which asks for a random seed), and differ between ranges and between users' seeds."""
    seeds = [range_seed(seed, number) for seed in (0, 1, -5, 2**70) for number in range(2000)]
    assert all(0 < seed < 2**32 for seed in seeds)
    assert len(seeds) - len(set(seeds)) <= 2  # 8000 of 2**32 collide 0.007 times on average
    assert seeds[:5] == [range_seed(0, number) for number in range(5)]
    assert range_seed(1, 11) != range_seed(11, 1)
