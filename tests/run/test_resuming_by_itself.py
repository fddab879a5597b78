"""A program whose driver was killed, started again with the options that there are by default, takes up what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.killed_drivers import PROGRAM, RANGES, Drivers

TOGETHER = (
    PROGRAM.partition("    frame = ROOT")[0]
    + f"""
    frames = [ROOT.RDataFrame("t", "data.root", executor=fexec, npartitions={RANGES}, options=options) for _ in range(2)]
    for frame in frames:
        frame._headnode.backend.consumers = (hear,)
    slow = "double slow = 0; for (int step = 0; step < 200000; ++step) slow += std::sqrt(step + x);"
    totals = [frame.Define("y", slow + f"return x * {{factor}} + 1e-15 * slow;").Sum("y") for frame, factor in
              zip(frames, (0.1, 0.3))]
    ROOT.RDF.RunGraphs(totals)
    print("bits", *(total.GetValue().hex() for total in totals), flush=True)
"""
)


@pytest.mark.slow
def test_what_is_there_is_taken_up_by_itself(tmp_path: Path) -> None:
    """SIGKILL of the driver when three calls have delivered, and the program again: the bits of an undisturbed run, no range
    computed twice, nothing left."""
    drivers = Drivers(tmp_path)
    expected = drivers.bits()
    kill = drivers.kill(0.0, partials=3)
    assert kill is not None
    assert len(kill.there) >= 3
    assert kill.is_right, kill
    assert expected == kill.bits


@pytest.mark.slow
def test_graphs_that_run_together_are_taken_up(tmp_path: Path) -> None:
    """The same of two graphs in one run: calls that are there of each are not computed again."""
    drivers = Drivers(tmp_path, TOGETHER)
    expected = drivers.bits()
    calls = drivers.computed()
    kill = drivers.kill(0.0, partials=5)
    assert kill is not None
    assert len(kill.there) >= 5
    assert calls - kill.there == kill.again, kill
    assert not kill.left
    assert expected == kill.bits
