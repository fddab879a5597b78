"""What ROOT 6.40 lacks or does wrong, and we make up for: a test here that fails says that ours may go."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import ROOT
from conftest import CAPTURED
from ROOT._distrdf import Operation

from rdf_lithops.graph import operations


def test_distrdf_still_lacks_these_methods() -> None:
    """As long as DistRDF has none of them, or refuses a Histo1D without limits, we make them of others (``operations``)."""
    assert not operations.answered_here() & set(Operation.SUPPORTED_OPERATIONS)
    with pytest.raises(ValueError, match="model"):
        Operation.create_op("Histo1D", "x")


def test_root_still_clones_no_snapshot_with_variations(tmp_path: Path) -> None:
    """As long as ROOT cannot clone one for a second range, frames with one are made anew for each (``masks``)."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = options.fIncludeVariations = True
    frame = ROOT.RDataFrame(4).Define("x", "double(rdfentry_)").Vary("x", "ROOT::RVecD{x - 1, x + 1}", 2)
    snapshot = frame.Snapshot("t", str(tmp_path / "varied.root"), ["x"], options)
    snapshot.GetValue()
    with pytest.raises(Exception, match="MakeNew method is not implemented"):
        ROOT.Internal.RDF.CloneResultAndAction(snapshot)


@pytest.mark.slow
def test_root_still_aborts_on_samples_beside_variations(tmp_path: Path) -> None:
    """As long as this process dies, a column of samples is a copy of one of ours (``composed.define_per_sample``)."""
    program = """
        import ROOT
        ROOT.RDataFrame(9).Define("x", "1.").Snapshot("t", "one.root", ["x"])
        frame = ROOT.RDataFrame("t", "one.root").DefinePerSample("w", "2.").Vary("x", "ROOT::RVecD{x - 1, x + 1}", 2)
        varied = ROOT.RDF.Experimental.VariationsFor(frame.Define("xw", "x * w").Sum("xw"))
        print(list(varied.GetKeys()), varied["nominal"])
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], cwd=tmp_path, **CAPTURED)
    assert 0 != done.returncode, done.stdout
