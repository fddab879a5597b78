"""The picture of the spectrum, on logarithmic axes, with the resonances named."""

from __future__ import annotations

import array
from typing import Any

from .sample import PEAKS

__all__ = ["save_plot"]

_BIN_RATIO = 1.012  # width of the picture's bins relative to their mass, where the histogram's own are narrower
_LABELS_TO_THE_RIGHT = ("psi(2S)", "Upsilon(1S)")  # centred, they would run into their left neighbour


def save_plot(histogram: Any, path: str) -> None:
    """Draw the spectrum, pairs per GeV on logarithmic axes with the resonances named, and save it as ``path``."""
    import ROOT

    batch = ROOT.gROOT.IsBatch()
    ROOT.gROOT.SetBatch(True)
    before, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kWarning  # not a line for each file saved
    try:
        canvas = _canvas()
        drawn = _density(histogram)
        _draw(drawn)
        labels = [*_peak_labels(drawn), *_captions(histogram)]  # ROOT draws at the end: keep them until then
        canvas.SaveAs(path)
        labels.clear()
        canvas.Close()
    finally:
        ROOT.gErrorIgnoreLevel = before
        ROOT.gROOT.SetBatch(batch)


def _canvas() -> Any:
    import ROOT

    canvas = ROOT.TCanvas("dimuon", "", 1400, 900)
    canvas.SetLogx()
    canvas.SetLogy()
    canvas.SetTicks(1, 1)
    canvas.SetMargin(0.09, 0.03, 0.12, 0.08)
    return canvas


def _density(histogram: Any) -> Any:
    """Pairs per GeV in bins whose width grows with the mass; their edges are edges of ``histogram``."""
    import ROOT

    axis = histogram.GetXaxis()
    edges = [axis.GetBinLowEdge(1)]
    for i in range(2, axis.GetNbins() + 2):
        edge = axis.GetBinLowEdge(i)
        if edge >= edges[-1] * _BIN_RATIO or i == axis.GetNbins() + 1:
            edges.append(edge)
    density = histogram.Rebin(len(edges) - 1, "density", array.array("d", edges))
    density.SetDirectory(ROOT.nullptr)
    density.Scale(1.0, "width")
    return density


def _draw(density: Any) -> None:
    density.SetStats(False)
    density.SetTitle("")
    density.SetLineWidth(2)
    density.SetLineColor(_colour("#20456e"))
    density.SetFillColor(_colour("#9fc3e8"))
    lowest = min((density.GetBinContent(i) for i in _filled(density)), default=1.0)
    density.SetMinimum(lowest * 0.5)
    density.SetMaximum(max(density.GetMaximum() * 6.0, 1.0))
    _axis(density.GetXaxis(), "m(#mu^{+}#mu^{#minus}) [GeV]", 1.15)
    _axis(density.GetYaxis(), "pairs per GeV", 1.0)
    density.GetXaxis().SetMoreLogLabels(False)
    density.Draw("hist")


def _filled(density: Any) -> list[int]:
    return [i for i in range(1, density.GetNbinsX() + 1) if density.GetBinContent(i) > 0]


def _axis(axis: Any, title: str, offset: float) -> None:
    axis.SetTitle(title)
    axis.SetTitleSize(0.045)
    axis.SetLabelSize(0.04)
    axis.SetTitleOffset(offset)


def _colour(code: str) -> int:
    import ROOT

    return int(ROOT.TColor.GetColor(code))


def _peak_labels(density: Any) -> list[Any]:
    """The names of the resonances, each above its own peak, where there are entries."""
    labels = []
    for peak in PEAKS:
        window = peak.mass_gev * 0.97, peak.mass_gev * 1.03
        height = max(density.GetBinContent(i) for i in range(*_bins(density, *window)))
        if peak.label and height > 0:
            align = 11 if peak.name in _LABELS_TO_THE_RIGHT else 21
            labels.append(_text(peak.mass_gev, height * 1.5, peak.label, 0.042, align))
    return labels


def _bins(density: Any, low: float, high: float) -> tuple[int, int]:
    return density.FindFixBin(low), density.FindFixBin(high) + 1


def _captions(histogram: Any) -> list[Any]:
    left, right = "Dimuon mass, RDataFrame on Lithops", f"{int(histogram.GetEntries()):,} opposite-sign pairs"
    return [_text(0.09, 0.94, left, 0.042, 11, ndc=True), _text(0.97, 0.94, right, 0.042, 31, ndc=True)]


def _text(x: float, y: float, text: str, size: float, align: int, ndc: bool = False) -> Any:
    import ROOT

    drawn = ROOT.TLatex(x, y, text)
    drawn.SetNDC(ndc)
    drawn.SetTextFont(42)
    drawn.SetTextSize(size)
    drawn.SetTextAlign(align)
    drawn.Draw()
    return drawn
