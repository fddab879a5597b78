"""A Snapshot with variations says of each varied value whether its event was selected, in however many parts it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ROOT

import rdf_lithops

COLUMNS = ("x", "y", "x__shift_up", "y__shift_down")


def snapshot(frame: Any, name: str) -> Any:
    """Filtered on what is varied; the varied column and one that depends on it."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fIncludeVariations = True
    varied = frame.Define("x", "(int)rdfentry_").Vary("x", "ROOT::RVecI{x - 50, x + 50}", ["down", "up"], "shift")
    return varied.Define("y", "2 * x").Filter("x > 40").Snapshot("t", name, ["x", "y"], options)


def values(frame: Any) -> list[int]:
    """Entries, and sums of the values that are valid, others counting -1."""
    for name in COLUMNS:
        frame = frame.DefaultValueFor(name, -1)
    return [frame.Count().GetValue(), *(int(frame.Sum(name).GetValue()) for name in COLUMNS)]


@pytest.mark.parametrize(
    ("npartitions", "options"),
    [(1, {}), (5, {"ranges_per_call": 5}), (3, {"file_mib": 100})],
    ids=["one range", "five in one call", "merged"],
)
def test_masks_are_those_of_local_rdataframe(fexec: Any, tmp_path: Path, npartitions: int, options: dict[str, Any]) -> None:
    """Masks are local RDataFrame's in the files, and in the frame that Snapshot returns."""
    expected = values(snapshot(ROOT.RDataFrame(100), str(tmp_path / "local.root")))
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=npartitions, options=options)
    written = snapshot(frame, "skim.root")
    assert expected == values(ROOT.RDataFrame("t", rdf_lithops.parts("skim.root")))
    assert expected == values(written)
    assert expected == values(ROOT.RDataFrame("t", "skim.root"))  # the very name, by local ROOT


@pytest.mark.parametrize("low", [90, 10, 1000])
def test_masks_of_ranges_that_select_little(low: int, fexec: Any, tmp_path: Path) -> None:
    """One file, and its masks, also where ranges, or all, have selected nothing."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fIncludeVariations = True
    found = []
    for given, name in (({}, "local.root"), ({"executor": fexec, "npartitions": 4}, "skim.root")):
        varied = ROOT.RDataFrame(100, **given).Define("x", "(int)rdfentry_").Define("z", "2 * x")
        varied = varied.Vary("x", "ROOT::RVecI{x - 2, x + 2}", ["down", "up"], "shift").Define("y", "2 * x")
        varied.Filter(f"x {'<' if low == 10 else '>'} {low}").Snapshot("t", str(tmp_path / name), ["x", "y", "z"], options)
        found.append(values(ROOT.RDataFrame("t", str(tmp_path / name))))
    assert found[0] == found[1]


@pytest.mark.parametrize("npartitions", [1, 4])
def test_masks_of_local_files_are_respected(fexec: Any, tmp_path: Path, npartitions: int) -> None:
    """What local ROOT has written is read alike, as a chain and with a friend beside it."""
    name = str(tmp_path / "local.root")
    snapshot(ROOT.RDataFrame(100), name)
    ROOT.RDataFrame(100).Define("w", "3 * rdfentry_").Snapshot("f", str(tmp_path / "friend.root"))
    chain = ROOT.TChain("t")
    chain.Add(name)
    expected = values(ROOT.RDataFrame("t", name))
    assert expected == values(ROOT.RDataFrame(chain, executor=fexec, npartitions=npartitions))
    chain.AddFriend("f", str(tmp_path / "friend.root"))
    weighted = [
        frame.DefaultValueFor("x", -1).Define("xw", "x * f.w").Sum("xw").GetValue()
        for frame in (ROOT.RDataFrame(chain), ROOT.RDataFrame(chain, executor=fexec, npartitions=npartitions))
    ]
    assert weighted[0] == weighted[1]
