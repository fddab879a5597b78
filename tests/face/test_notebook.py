"""Life in a notebook, with a real kernel: reports are shown, drawing is live, an interrupted cell leaves nothing behind."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import kernel
import pytest
from conftest import LOCALHOST_CONFIG

SET_UP = f"""
import warnings
warnings.simplefilter("ignore")
import lithops, psutil, ROOT, rdf_lithops
fexec = lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r})
one_each = {{"ranges_per_call": 1}}
"""
RUNNING = """
def workers():   # slots of the ROOT process and tasks of Lithops, which end with a run that is interrupted
    found = []
    for process in psutil.Process().children(recursive=True):
        if any(word in " ".join(process.cmdline()) for word in ("worker.root.parent", "prefork", "launcher")):
            found.append(process)
    return found
def busy():
    before = {process.pid: process.cpu_times().user for process in workers()}
    psutil.time.sleep(1.0)
    return [p.pid for p in workers() if p.cpu_times().user - before.get(p.pid, 0.0) > 0.5]
"""


@pytest.fixture(scope="module")
def notebook() -> Iterator[kernel.Kernel]:
    """A kernel with an executor."""
    with kernel.started() as running:
        assert running.run(SET_UP).error is None
        yield running


def test_a_report_is_shown(notebook: kernel.Kernel) -> None:
    """A cell that ends in a report shows it as HTML with a picture; its text is there for other front ends."""
    cell = notebook.run(
        "df = ROOT.RDataFrame(40, executor=fexec, npartitions=2)\n"
        'count = df.Filter("rdfentry_ > 9").Count()\nprint(count.GetValue())\nrdf_lithops.report(df)'
    )
    assert (None, "30\n") == (cell.error, cell.text)
    (shown,) = cell.contents("execute_result")
    assert "<svg" in shown["data"]["text/html"]
    assert "where the time went" in shown["data"]["text/plain"]


def test_a_long_run_has_a_bar(notebook: kernel.Kernel) -> None:
    """A widget appears for a run that takes its time, and nothing is written to the cell's streams."""
    cell = notebook.run(
        "df = ROOT.RDataFrame(60, executor=fexec, npartitions=4, options=one_each)\n"
        'print(df.Define("x", "gSystem->Sleep(50); return 1.0;").Sum("x").GetValue())'
    )
    assert (None, "60.0\n") == (cell.error, cell.text)
    assert ["application/vnd.jupyter.widget-view+json" in one["data"] for one in cell.contents("display_data")] == [True]
    assert [] == [one for one in cell.contents("stream") if one["name"] == "stderr"]


def test_live_drawing(notebook: kernel.Kernel) -> None:
    """LiveVisualize shows one picture, and replaces it as partials arrive; the last one is the result."""
    cell = notebook.run(
        'df = ROOT.RDataFrame(40, executor=fexec, npartitions=4, options={**one_each, "progress": False})\n'
        'h = df.Define("x", "gSystem->Sleep(10); return double(rdfentry_);").Histo1D(("h", "", 40, 0, 40), "x")\n'
        "ROOT.RDF.Distributed.LiveVisualize([h])\nprint(h.GetEntries())"
    )
    assert (None, "40.0\n") == (cell.error, cell.text)
    (first,) = cell.contents("display_data")
    updates = cell.contents("update_display_data")
    assert updates and {first["transient"]["display_id"]} == {one["transient"]["display_id"] for one in updates}
    for shown in (first, *updates):
        assert b"PNG" == base64.b64decode(shown["data"]["image/png"])[1:4]


@pytest.mark.slow
def test_an_interrupted_cell(notebook: kernel.Kernel) -> None:
    """Interrupting a cell ends its run at once: nothing computes any more, the report says it, the next cell works."""
    notebook.run(RUNNING)
    cell = notebook.run(
        'df = ROOT.RDataFrame(10**6, executor=fexec, npartitions=4, options={**one_each, "progress": False})\n'
        'spin = "double x = 1; for (int i = 0; i < 30000000; ++i) x = std::sqrt(x + i); return x;"\n'
        'df.Define("x", spin).Sum("x").GetValue()',
        interrupt_after_s=4.0,
    )
    assert "KeyboardInterrupt" == cell.error
    after = notebook.run("print(busy())\nprint(rdf_lithops.report(df).error)")
    assert (None, "[]\nKeyboardInterrupt\n") == (after.error, after.text)
    again = notebook.run("print(ROOT.RDataFrame(100, executor=fexec).Count().GetValue())")
    assert (None, "100\n") == (again.error, again.text)


def test_an_error_reads_well(notebook: kernel.Kernel) -> None:
    """A failure of the graph ends the cell with our error, which names the range and what C++ said."""
    cell = notebook.run(
        "df = ROOT.RDataFrame(4, executor=fexec, npartitions=2)\n"
        "df.Filter('throw std::runtime_error(\"spoilt\"); return true;').Count().GetValue()"
    )
    assert "RangeError" == cell.error
    assert "spoilt" in cell.contents("error")[0]["evalue"]
