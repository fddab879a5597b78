"""The examples, run small: the known physics of their samples is recovered, and is what local RDataFrame finds."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lithops
import pytest
import ROOT
from conftest import REPOSITORY

import rdf_lithops.pyrdf as PyRDF

EXAMPLES = REPOSITORY / "benchmarks" / "examples"
EVENTS = 20_000


def example(name: str) -> ModuleType:
    """The example of that name, imported."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bins(histogram: Any) -> list[float]:
    """Contents of all bins."""
    return [histogram.GetBinContent(i) for i in range(histogram.GetNcells())]


@pytest.fixture
def _local_again() -> Iterator[None]:
    """PyRDF's choice of a back end does not outlive the test."""
    yield
    PyRDF.use("local")


def test_two_passes(fexec: lithops.FunctionExecutor, registries: Any, tmp_path: Path) -> None:
    """The first loop finds what the arms see, the second a peak at 0 of the known width; the same events as local ROOT."""
    two_pass = example("two_pass")
    files = two_pass.make_sample(str(tmp_path), EVENTS, 3)
    answer = two_pass.analyse(lambda: ROOT.RDataFrame("Events", files, executor=fexec, npartitions=4))
    assert {} == {text: true for text, true in two_pass.verdicts(answer).items() if not true}
    here = two_pass.analyse(lambda: ROOT.RDataFrame("Events", files))
    assert here.extremes == answer.extremes
    assert here.cut_flow == answer.cut_flow
    for name in ("correlation", "acoplanarity", "mass"):
        assert bins(getattr(here, name)) == bins(getattr(answer, name)), name
    for arm in (0, 1):
        assert bins(here.differences[arm]) == bins(answer.differences[arm])


@pytest.mark.slow
def test_elastic(fexec: lithops.FunctionExecutor, registries: Any, tmp_path: Path, _local_again: None) -> None:
    """70 actions in one event loop, with six headers and initialize: the known slope, and local ROOT's histograms."""
    elastic = example("elastic")
    PyRDF.use("lithops", {"lithops": fexec, "npartitions": 3})
    PyRDF.include_headers(elastic.HEADERS)
    PyRDF.initialize(elastic.fill_globals, elastic.SETTINGS)
    assert 6 == len(elastic.HEADERS)
    files = elastic.make_sample(str(tmp_path), EVENTS, 3)
    booked = elastic.book(PyRDF.RDataFrame("TotemNtuple", files))
    assert 70 == len(booked)
    jobs = fexec.total_jobs
    slope, uncertainty = elastic.fitted_slope(booked["t equal weight"].GetValue())
    assert pytest.approx(elastic.SLOPE, abs=4 * uncertainty) == slope
    assert uncertainty < 0.6
    assert booked["elastic"].GetValue() > EVENTS / 4
    assert 1 == fexec.total_jobs - jobs  # one map_reduce: all of the rest is there already
    PyRDF.use("local")
    here = elastic.book(PyRDF.RDataFrame("TotemNtuple", files))
    assert here["elastic"].GetValue() == booked["elastic"].GetValue()
    for name in set(booked) - {"elastic"}:
        assert pytest.approx(bins(here[name]), rel=1e-12) == bins(booked[name]), name
