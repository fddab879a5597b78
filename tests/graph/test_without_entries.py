"""Datasets in which there is nothing, in all files or in some, give what they give local RDataFrame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ROOT
from test_what_is_read import answers

from rdf_lithops.errors import PlanError

ROOT.gInterpreter.Declare("""
void rdf_lithops_write_nothing(const char *path) {
   TFile file(path, "recreate"); TTree t("t", "t"); int x; t.Branch("x", &x); t.Write();
}
""")


@pytest.mark.parametrize("kind", ["number", "trees", "specification"])
def test_datasets_without_entries(kind: str, fexec: Any, tmp_path: Path) -> None:
    """Nothing in, nothing out: empty results, as locally."""
    files = [str(tmp_path / f"{number}.root") for number in range(2)]
    for path in files:
        ROOT.rdf_lithops_write_nothing(path)

    def given() -> tuple[Any, ...]:
        if kind == "specification":
            return (ROOT.RDF.Experimental.RDatasetSpec().AddSample(("a", ["t", "t"], files)),)
        return (0,) if kind == "number" else ("t", files)

    def answer(frame: Any) -> list[float]:
        frame = frame.Define("x", "1") if kind == "number" else frame
        histogram = frame.Histo1D(("h", "", 5, 0.0, 5.0), "x")
        booked = [frame.Count(), frame.Sum("x"), frame.Max("x")]
        return [histogram.GetEntries(), *(float(result.GetValue()) for result in booked)]

    local, ours = answers(given, answer, fexec)
    assert [local] * 3 == ours


def test_rntuples_without_entries_among_others(fexec: Any, tmp_path: Path) -> None:
    """An RNTuple without entries, first, last or in between, changes nothing."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    full, none = str(tmp_path / "full.root"), str(tmp_path / "none.root")
    ROOT.RDataFrame(10).Define("x", "(int)rdfentry_").Snapshot("n", full, ["x"], options)
    ROOT.RDataFrame(10).Define("x", "(int)rdfentry_").Filter("x > 10").Snapshot("n", none, ["x"], options)
    with pytest.raises(PlanError, match="without entries"):  # of which ROOT crashes
        ROOT.RDataFrame("n", [none, none], executor=fexec, npartitions=2).Count().GetValue()
    for files in ([none, full], [full, none], [full, none, none, full], [none, none, full, none]):
        local, ours = answers(
            lambda files=files: ("n", files),
            lambda frame: frame.Define("e", "(x + 1) * (int)rdfentry_").Sum("e").GetValue(),
            fexec,
        )
        assert [local] * 3 == ours
