"""A dataset without entries, as a Snapshot that nothing passes leaves it, has the answers of local RDataFrame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ROOT

import rdf_lithops


def empty_files(folder: Path) -> list[str]:
    """Two files without an entry, by local ROOT."""
    names = [str(folder / f"empty_{number}.root") for number in range(2)]
    for name in names:
        frame = ROOT.RDataFrame(5).Define("x", "1.5").Define("n", "int(rdfentry_)").Filter("n > 100")
        frame.Snapshot("t", name, ["x", "n"])
    return names


def answers(frame: Any) -> dict[str, Any]:
    """What many kinds of results are, of a graph with rdfentry_ in it."""
    node = frame.Define("e", "x + rdfentry_").Filter("e > 0", "positive")
    histogram, profile = node.Histo1D(("h", "title", 3, 0.0, 3.0), "x"), node.Profile1D(("p", "p", 3, 0.0, 3.0), "x", "e")
    numbers = [node.Count(), node.Sum("x"), node.Min("n"), node.Max("x"), node.Mean("x"), node.StdDev("x")]
    arrays, report = node.AsNumpy(["x", "n"]), node.Report()
    return {
        "numbers": [repr(number.GetValue()) for number in numbers],
        "histogram": (histogram.GetTitle(), histogram.GetEntries(), [histogram.GetBinContent(i) for i in range(5)]),
        "profile": profile.GetEntries(),
        "arrays": {name: (str(array.dtype), array.tolist()) for name, array in arrays.items()},
        "report": [(str(cut.GetName()), int(cut.GetAll()), int(cut.GetPass())) for cut in report.GetValue()],
    }


def tree(names: list[str]) -> tuple[Any, ...]:
    return "t", names


def specification(names: list[str]) -> tuple[Any, ...]:
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    spec.AddSample(("sample", "t", names))
    return (spec,)


@pytest.mark.parametrize("arguments", [tree, specification])
def test_answers_are_those_of_local_rdataframe(
    fexec: Any, tmp_path: Path, arguments: Callable[[list[str]], tuple[Any, ...]]
) -> None:
    """All kinds of results, where no file of the dataset has an entry."""
    names = empty_files(tmp_path)
    local, ours = ROOT.RDataFrame(*arguments(names)), ROOT.RDataFrame(*arguments(names), executor=fexec, npartitions=2)
    assert answers(local) == answers(ours)


def test_a_snapshot_of_nothing_is_there(fexec: Any, tmp_path: Path) -> None:
    """Nothing passes, and what is read back of it is written once more: two datasets with their columns and no entries."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "1.5").Filter("x > 2")
    again = frame.Snapshot("t", "first.root", ["x"]).Define("y", "2 * x").Snapshot("u", "second.root", ["x", "y"])
    assert (0, 0.0) == (again.Count().GetValue(), again.Sum("y").GetValue())
    assert ["second.root"] == rdf_lithops.parts("second.root")
    plain = ROOT.RDataFrame("u", rdf_lithops.parts("second.root"))
    assert (0, ["x", "y"]) == (plain.Count().GetValue(), sorted(map(str, plain.GetColumnNames())))
    assert [] == [path.name for path in tmp_path.iterdir() if path.suffix not in (".root", ".json")]


@pytest.mark.parametrize("options", [{}, {"file_mib": 10}], ids=["by the driver", "by calls"])
@pytest.mark.parametrize("cut", ["x < 0", "x > 7", "x < 2"])
def test_rntuples_of_which_parts_are_empty(cut: str, options: dict[str, Any], fexec: Any) -> None:
    """A Snapshot as RNTuple is one file also where ranges, or all of them, have selected nothing."""
    given = ROOT.RDF.RSnapshotOptions()
    given.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=3, options=options).Define("x", "int(rdfentry_)")
    passing = frame.Filter(cut)
    passing.Snapshot("t", "skim.root", ["x"], given)
    (name,) = rdf_lithops.parts("skim.root")
    with ROOT.TFile.Open(name) as file:
        reader = ROOT.RNTupleReader.Open(file.Get("t"))
        assert {"x < 0": 0, "x > 7": 2, "x < 2": 2}[cut] == reader.GetNEntries()
    if cut != "x < 0":
        assert {"x > 7": 17, "x < 2": 1}[cut] == ROOT.RDataFrame("t", name).Sum("x").GetValue()


def test_a_plan_of_nothing_can_be_driven_by_hand(fexec: Any, tmp_path: Path) -> None:
    """A plan of no entries can be driven by hand, as that of any other graph."""
    count = ROOT.RDataFrame("t", empty_files(tmp_path), executor=fexec, npartitions=2).Filter("x > 0").Count()
    plan = rdf_lithops.plan(count)
    plan.deliver(fexec.get_result(fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)))
    assert 0 == count.GetValue()
