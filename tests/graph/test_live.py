"""Live drawing where nobody looks: a picture on disk that is always whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ROOT

from rdf_lithops.graph import live_drawing

_pictures: list[bytes] = []


def _note_picture(drawn: Any) -> None:  # ROOT parses a callback's source: it cannot be indented
    if Path("live.png").exists():
        _pictures.append(Path("live.png").read_bytes())


def test_the_picture_is_rewritten(fexec: Any) -> None:
    """Each partial leaves a whole picture of what has arrived; the last one has all, and no other file is left."""
    options = {"ranges_per_call": 1, "live_picture": "live.png"}
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=4, options=options)
    histogram = frame.Define("x", "gSystem->Sleep(10); return double(rdfentry_);").Histo1D(("h", "", 40, 0.0, 40.0), "x")
    _pictures.clear()
    ROOT.RDF.Distributed.LiveVisualize([histogram], _note_picture)
    assert 40 == histogram.GetEntries()
    pictures = [*_pictures, Path("live.png").read_bytes()]
    assert len(pictures) >= 2
    for picture in pictures:
        assert b"\x89PNG" == picture[:4] and picture.rstrip().endswith(b"IEND\xaeB`\x82")
    assert pictures[0] != pictures[-1]
    assert ["live.png"] == [path.name for path in Path().iterdir()]


def test_the_users_pad_is_current_again() -> None:
    """Live drawing has a canvas of its own, and gives back the one that was current; with objects in pads side by side."""
    own = ROOT.TCanvas("own", "", 100, 100)
    own.cd()
    drawables: live_drawing.Drawables = {node: ([], node, "Histo1D") for node in range(3)}
    with live_drawing.canvas(drawables, None) as drawing:
        assert "own" != ROOT.gPad.GetName()
        assert all(drawing.canvas.GetPad(pad) for pad in (1, 2, 3))
    assert "own" == ROOT.gPad.GetName()
    own.Close()


def test_a_picture_that_cannot_be_written(fexec: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is there, and it is said once that there is no picture."""
    options = {"ranges_per_call": 1, "live_picture": str(tmp_path / "no folder" / "live.png")}
    frame = ROOT.RDataFrame(30, executor=fexec, npartitions=3, options=options)
    histogram = frame.Histo1D(("h", "", 10, 0.0, 30.0), "rdfentry_")
    ROOT.RDF.Distributed.LiveVisualize([histogram])
    assert 30 == histogram.GetEntries()
    assert 1 == sum("live_picture cannot be written" in record.message for record in caplog.records)
