"""Stats with weights of both signs: ROOT leaves out an entry with which the sum of weights would be 0, in whatever range."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT
from kinds import quickly

pytestmark = pytest.mark.filterwarnings("ignore:.*Sum of weights is zero:RuntimeWarning")  # local ROOT's words, and ours
COUNT = 24
SIGNS = "(({} * 7 + rdfentry_ * 11) % 3 == 0 ? -1.0 : 1.0)"  # of which the sum is 0 now and then


def columns(frame: Any, seed: int = 1) -> Any:
    """Values, and weights of several kinds."""
    node = frame.Define("x", "0.3 + 1.4 * double(rdfentry_)").Define("w", SIGNS.format(seed))
    node = node.Define("v", "ROOT::RVecD{x, 2 * x}").Define("u", "ROOT::RVecD{w, -w}").Define("i", "int(w)")
    return node.Define("positive", "w + 2").Define("c", "char(w)").Define("n", "UInt_t(rdfentry_ % 3)").Define("b", "x > 4")


def numbers(statistic: Any) -> tuple[float, ...]:
    """What a TStatistic holds, to the bit."""
    moments = statistic.GetN(), statistic.GetW(), statistic.GetW2(), statistic.GetMean(), statistic.GetM2()
    return *moments, statistic.GetMin(), statistic.GetMax()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("npartitions", [1, 2, 9])
def test_weights_that_cancel(fexec: Any, npartitions: int, seed: int) -> None:
    """The same entries are left out as by local ROOT, wherever ranges begin: the same numbers, to the bit."""
    expected = numbers(columns(ROOT.RDataFrame(COUNT), seed).Stats("x", "w"))
    assert expected[0] < COUNT  # else there is nothing to see
    found = columns(ROOT.RDataFrame(COUNT, executor=fexec, npartitions=npartitions), seed).Stats("x", "w")
    assert expected == numbers(found)


KINDS = [("v", "w"), ("v", "u"), ("x", "u"), ("x", "i"), ("x", "c"), ("n", "w")]


@pytest.mark.parametrize(("value", "weight"), quickly(KINDS, ("v", "w"), ("x", "i"), ("x", "c"), names=2))
def test_kinds_of_columns(fexec: Any, value: str, weight: str) -> None:
    """Collections, whole numbers and characters are filled as local ROOT fills them."""
    expected = columns(ROOT.RDataFrame(COUNT)).Stats(value, weight)
    found = columns(ROOT.RDataFrame(COUNT, executor=fexec, npartitions=3)).Stats(value, weight)
    assert numbers(expected) == numbers(found)


@pytest.mark.parametrize("weight", ["positive", "n", "b"])
def test_weights_that_cannot_cancel(fexec: Any, weight: str) -> None:
    """Weights that cannot cancel take one run, in which ranges are filled by themselves."""
    expected = columns(ROOT.RDataFrame(COUNT)).Stats("x", weight)
    frame = ROOT.RDataFrame(COUNT, executor=fexec, npartitions=3)
    found = columns(frame).Stats("x", weight)
    assert numbers(expected) == pytest.approx(numbers(found.GetValue()), rel=1e-12)
    assert 1 == frame.GetNRuns()


def test_in_run_graphs_and_behind_filters(fexec: Any) -> None:
    """Of several graphs in one run, each is right, also where no entry is left."""

    def booked(frame: Any) -> list[Any]:
        node = columns(frame)
        return [node.Filter(cut).Stats("x", "w") for cut in ("x > 3", "x < 0")]

    handles = booked(ROOT.RDataFrame(COUNT, executor=fexec, npartitions=4))
    ROOT.RDF.RunGraphs(handles)
    expected = [numbers(each) for each in booked(ROOT.RDataFrame(COUNT))]
    assert expected == [numbers(each) for each in handles]
    assert expected == [numbers(each.GetValue()) for each in handles]


@pytest.mark.parametrize(("column", "varied"), [("x", "ROOT::RVecD{x - 1, x + 1}"), ("positive", "ROOT::RVecD{1., 2.}")])
def test_variations_of_positive_weights(fexec: Any, column: str, varied: str) -> None:
    """Variations of positive weights are local ROOT's, whichever varies."""

    def booked(frame: Any) -> Any:
        return ROOT.RDF.Experimental.VariationsFor(columns(frame).Vary(column, varied, 2).Stats("x", "positive"))

    expected, found = booked(ROOT.RDataFrame(COUNT)), booked(ROOT.RDataFrame(COUNT, executor=fexec, npartitions=3))
    names = [str(name) for name in expected.GetKeys()]
    assert 3 == len(names)
    for name in names:
        assert numbers(expected[name]) == pytest.approx(numbers(found[name]), rel=1e-12)
