"""Results, graphs and their life: what is computed when, once, and with the same bits."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG, jobs_of
from datasets import Datasets
from plain_results import arrays, cut_flow, number, same


def test_instant_arrays(files: Datasets, fexec: Any) -> None:
    """AsNumpy without ``lazy`` runs at once and gives local RDataFrame's arrays, for integers, floats and arrays."""
    wanted = ["i", "x", "y", "v"]
    expected = arrays(ROOT.RDataFrame("events", files.main).AsNumpy(wanted))
    actual = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=4).AsNumpy(wanted)
    assert dict is type(actual)
    assert expected == arrays(actual)


@pytest.mark.parametrize("npartitions", [1, 3])
def test_arrays_of_all_columns_of_a_selection(npartitions: int, files: Datasets, fexec: Any) -> None:
    """AsNumpy without columns takes all of them; of nothing selected it gives empty arrays of the same types."""

    def measured(frame: Any) -> list[Any]:
        some, none = frame.Filter("i > 390"), frame.Filter("i < 0")
        booked = [some.AsNumpy(exclude=["v"], lazy=True), none.AsNumpy(["i", "x"], lazy=True)]
        return [arrays(result) for result in booked]

    args = ("events", [files.main[0], files.main[2]])
    expected = measured(ROOT.RDataFrame(*args))
    assert expected == measured(ROOT.RDataFrame(*args, executor=fexec, npartitions=npartitions))


def test_snapshot_returns_a_distributed_frame(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """What Snapshot returns is a data frame on the same executor over the parts, and can be used further."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=3, options={"file_mib": 1e-6})
    written = frame.Filter("i % 2 == 0").Define("q", "x * 2").Snapshot("out", "skim.root", ["i", "q"])
    expected = ROOT.RDataFrame("events", files.main).Filter("i % 2 == 0").Define("q", "x * 2")
    assert [] == same(number(expected.Sum("q")), number(written.Sum("q")))
    assert number(expected.Count()) == number(written.Count())
    assert {"skim_0.root", "skim_1.root", "skim_2.root"} == {path.name for path in tmp_path.glob("*.root")}
    assert ["skim_0.root", "skim_1.root", "skim_2.root"] == written._headnode.inputfiles, "as they were spelt"


def test_snapshot_of_all_columns_with_few_arguments(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """Snapshot with a tree's and a file's name alone writes every column of every event."""
    ROOT.RDataFrame("events", files.main[2], executor=fexec, npartitions=2).Snapshot("all", "all.root")
    expected = arrays(ROOT.RDataFrame("events", files.main[2]).AsNumpy())
    actual = arrays(ROOT.RDataFrame("all", str(tmp_path / "all.root")).AsNumpy())
    assert dict(sorted(expected.items())) == dict(sorted(actual.items()))


def test_snapshot_to_rntuple(files: Datasets, tmp_path: Path) -> None:
    """Snapshot as RNTuple writes every event once and gives a frame of them; in a process of its own, as it may crash."""
    program = f"""
        import lithops, ROOT, rdf_lithops
        options = ROOT.RDF.RSnapshotOptions()
        options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
        with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}) as fexec:
            frame = ROOT.RDataFrame("events", {files.main!r}, executor=fexec, npartitions=2)
            written = frame.Filter("x > 2").Snapshot("out", "out.root", ["i", "x"], options)
            print("events:", written.Count().GetValue(), int(written.Sum("i").GetValue()))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    selected = ROOT.RDataFrame("events", files.main).Filter("x > 2").AsNumpy(["i", "x"])
    assert (0, f"events: {len(selected['i'])} {selected['i'].sum()}") == (done.returncode, done.stdout.strip()), done.stderr[
        :2000
    ]
    assert arrays(selected) == arrays(ROOT.RDataFrame("out", str(tmp_path / "out.root")).AsNumpy(["i", "x"]))


def test_zero_is_not_computed_again(fexec: Any) -> None:
    """A result that is 0, or empty, is a result: asking again runs nothing."""
    frame = ROOT.RDataFrame(20, executor=fexec, npartitions=2).Define("x", "0.")
    count, total, array = frame.Filter("x > 1").Count(), frame.Sum("x"), frame.Filter("x > 1").AsNumpy(["x"], lazy=True)
    assert 0 == count.GetValue()
    ran = jobs_of(fexec)
    assert (0, 0.0, 0) == (count.GetValue(), total.GetValue(), len(array.GetValue()["x"]))
    assert ran == jobs_of(fexec)


def test_one_run_fills_all_that_was_booked(fexec: Any) -> None:
    """The first result that is read runs the graph; the others are there; what is booked later runs once more."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=3).Define("x", "double(rdfentry_)")
    before = jobs_of(fexec)
    low, high = frame.Filter("x < 30"), frame.Filter("x >= 30")
    first = [low.Count(), high.Count(), low.Sum("x"), high.Mean("x")]
    assert [30, 70, 435.0, 64.5] == [result.GetValue() for result in first]
    assert before + 1 == jobs_of(fexec)
    later = [low.Filter("x > 10").Count(), high.Max("x")]
    assert [19, 99.0] == [result.GetValue() for result in later]
    assert before + 2 == jobs_of(fexec)
    assert [30, 70, 435.0, 64.5] == [result.GetValue() for result in first]
    assert before + 2 == jobs_of(fexec)


def test_branches_of_a_graph(files: Datasets, fexec: Any) -> None:
    """A tree of filters and definitions, with names used again in different branches, equals local RDataFrame."""

    def measured(frame: Any) -> list[Any]:
        root = frame.Define("a", "x + z")
        left, right = root.Filter("a > 8", "left").Define("b", "a * 2"), root.Filter("a <= 8", "right").Define("b", "a - 1")
        leaves = [left.Filter("b > 20", "leaf"), left, right.Filter("n == 2", "leaf"), right]
        booked = [(leaf.Sum("b"), number) for leaf in leaves] + [(leaf.Report(), cut_flow) for leaf in leaves]
        return [read(result) for result, read in booked]

    expected = measured(ROOT.RDataFrame("events", files.main))
    assert [] == same(expected, measured(ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=5)))


def test_results_that_nobody_holds_are_not_computed(fexec: Any) -> None:
    """A booked action that was let go is pruned: it does not run, and does not shift the others' results."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
    kept = frame.Count()
    frame.Filter('throw std::runtime_error("nobody asked"); return true;').Count()
    another = frame.Sum("rdfentry_")
    assert (10, 45.0) == (kept.GetValue(), another.GetValue())


def contents_as_bytes(results: list[Any]) -> list[bytes]:
    """The bits of floating-point results."""
    return [numpy.array(result, dtype=numpy.float64).tobytes() for result in results]


def test_same_plan_same_bits(files: Datasets, fexec: Any) -> None:
    """Partials are folded in range order: two runs of one plan agree to the last bit, sums of floats included."""

    def run() -> list[bytes]:
        frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=7).Define("q", "sqrt(x) / 3 + y")
        histogram, total = frame.Histo1D(("h", "", 20, 0.0, 15.0), "q", "x"), frame.Sum("q")
        spread, values = frame.StdDev("q"), frame.AsNumpy(["q"], lazy=True)
        h = histogram.GetValue()
        bins = [h.GetBinContent(i) for i in range(22)] + [h.GetBinError(i) for i in range(22)]
        return contents_as_bytes([bins, total.GetValue(), spread.GetValue(), values.GetValue()["q"]])

    first = run()
    assert [first, first] == [run(), run()]
