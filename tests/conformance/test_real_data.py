"""Real events: a spectrum or a cut flow of each file through Lithops equals local RDataFrame's."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import REPOSITORY
from plain_results import cut_flow, histogram, number, same

FOLDER = Path(os.environ.get("RDF_LITHOPS_TEST_DATA", REPOSITORY.parent / "shared" / "data")).resolve()

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no folder of real data at {FOLDER}; RDF_LITHOPS_TEST_DATA may name another"
)


def top_pairs(frame: Any) -> dict[str, Any]:
    """CMS Open Data, simulated top pairs: lepton and jet selection with its cut flow, and spectra."""
    selected = (
        frame.Filter("nMuon > 0", "a muon")
        .Define("good", "Muon_pt > 10 && abs(Muon_eta) < 2.4")
        .Filter("Sum(good) > 0", "a good muon")
        .Define("leading_pt", "Max(Muon_pt[good])")
        .Filter("nJet >= 2", "two jets")
    )
    booked = {
        "cut flow": (selected.Report(), cut_flow),
        "muons": (frame.Histo1D(("n", "", 8, 0.0, 8.0), "nMuon"), histogram),
        "all muons": (frame.Histo1D(("pt", "", 40, 0.0, 200.0), "Muon_pt"), histogram),
        "leading muon": (selected.Histo1D(("lead", "", 20, 0.0, 200.0), "leading_pt"), histogram),
    }
    return {name: read(result) for name, (result, read) in booked.items()}


def z_to_muons(frame: Any) -> dict[str, Any]:
    """Z to two muons: the stored mass against the one computed from momenta."""
    computed = frame.Define("m", "sqrt(pow(E1 + E2, 2) - pow(px1 + px2, 2) - pow(py1 + py2, 2) - pow(pz1 + pz2, 2))")
    peak = computed.Filter("m > 70 && m < 110", "on the peak")
    booked = {
        "spectrum": (computed.Histo1D(("m", "", 120, 0.0, 120.0), "m"), histogram),
        "peak": (peak.Mean("m"), number),
        "width": (peak.StdDev("m"), number),
        "cut flow": (peak.Report(), cut_flow),
        "momenta": (peak.Histo2D(("p", "", 20, -60.0, 60.0, 20, -60.0, 60.0), "px1", "py1"), histogram),
    }
    return {name: read(result) for name, (result, read) in booked.items()}


def higgs_to_z_pairs(frame: Any) -> dict[str, Any]:
    """Higgs to ZZ: muon pairs of arrays of different lengths, with the event weight varied."""
    pairs = (
        frame.Filter("NMuon >= 2", "two muons")
        .Filter("Muon_Charge[0] * Muon_Charge[1] < 0", "opposite charges")
        .Define("e", "Muon_E[0] + Muon_E[1]")
        .Define("px", "Muon_Px[0] + Muon_Px[1]")
        .Define("py", "Muon_Py[0] + Muon_Py[1]")
        .Define("pz", "Muon_Pz[0] + Muon_Pz[1]")
        .Define("m", "double(sqrt(e * e - px * px - py * py - pz * pz))")
        .Define("weight", "double(EventWeight)")
    )
    booked = {
        "cut flow": (pairs.Report(), cut_flow),
        "spectrum": (pairs.Histo1D(("m", "", 60, 0.0, 120.0), "m", "weight"), histogram),
        "all muons": (frame.Histo1D(("px", "", 40, -100.0, 100.0), "Muon_Px"), histogram),
        "largest": (pairs.Max("m"), number),
        "weights": (pairs.Sum("weight"), number),
    }
    return {name: read(result) for name, (result, read) in booked.items()}


ANALYSES: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "nanoAOD_2015_CMS_Open_Data_ttbar.root": ("Events", top_pairs),
    "uproot-Zmumu.root": ("events", z_to_muons),
    "uproot-HZZ.root": ("events", higgs_to_z_pairs),
}


@functools.cache
def local(file: str) -> dict[str, Any]:
    """Local RDataFrame's results for a file, computed once."""
    tree, analysis = ANALYSES[file]
    return analysis(ROOT.RDataFrame(tree, str(FOLDER / file)))


@pytest.mark.parametrize("npartitions", [1, 3, 5])
@pytest.mark.parametrize("file", ANALYSES)
def test_equals_local(file: str, npartitions: int, fexec: Any) -> None:
    """Spectra and cut flow of a real file through Lithops, in 1, 3 and 5 partitions, equal local RDataFrame's."""
    if not (FOLDER / file).is_file():
        pytest.skip(f"no file {file} in {FOLDER}")
    tree, analysis = ANALYSES[file]
    actual = analysis(ROOT.RDataFrame(tree, str(FOLDER / file), executor=fexec, npartitions=npartitions))
    expected = local(file)
    assert list(expected) == list(actual)
    assert {} == {name: found for name in expected if (found := same(expected[name], actual[name]))}
    assert sum(expected["all muons" if "all muons" in expected else "spectrum"]["contents"]) > 0
