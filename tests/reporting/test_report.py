"""The report of real runs: its clocks against ours, its counts against ROOT's, and runs that fail, repeat or are many."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import ROOT
from datasets import ENTRIES, Datasets
from test_reporting import does_not_add_up

import rdf_lithops
from rdf_lithops.reporting import Report

SLOW = "gSystem->Sleep(20); return double(rdfentry_);"  # 20 ms of event loop an entry


def test_the_seconds_are_those_of_the_wall_clock(fexec: Any) -> None:
    """The parts add up to the time that the user waited, and 5 % or less of it has no name but "other"."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=4, options={"ranges_per_call": 1}).Define("x", SLOW)
    total = frame.Sum("x")
    began = time.perf_counter()
    assert 4950 == total.GetValue()
    waited_s = time.perf_counter() - began
    report = rdf_lithops.report(total)
    assert [] == does_not_add_up(report)
    assert waited_s == pytest.approx(report.wall_s, rel=0.05)
    assert report.path["other"] <= 0.05 * report.wall_s
    assert sum(call.parts["loop"] for call in report.maps) >= 2.0, "a hundred entries sleep for 20 ms each"
    for call in report.maps:
        assert call.parts["other"] <= 0.05 * call.time_s


def test_what_ran_is_counted(files: Datasets, fexec: Any) -> None:
    """Entries, ranges, calls and bytes are those of the dataset; memory and hosts are those of this machine."""
    options = {"ranges_per_call": 2}
    count = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=6, options=options).Filter("x > 2").Count()
    count.GetValue()
    report = rdf_lithops.report(count)
    assert (ENTRIES, 6, 3, 1) == (report.entries, sum(c.ranges for c in report.maps), len(report.maps), report.attempts)
    assert [0, 1, 2] == sorted(call.call_id for call in report.maps)
    assert 1 == sum(call.stage == "reduce" for call in report.calls)
    assert 0 < report.read_bytes
    assert {os.uname().nodename} == {call.host for call in report.maps}
    assert all(50 < call.peak_memory_mib < 5000 for call in report.maps)
    assert report.place.startswith("localhost")
    assert report.error is None


def test_bytes_are_those_that_root_counts(tmp_path: Path, fexec: Any) -> None:
    """A dataset whose columns are all read is read once, give or take its headers; reads and decompression take time."""
    path = str(tmp_path / "random.root")
    frame = ROOT.RDataFrame(400_000)
    columns = [f"c{i}" for i in range(4)]
    for name in columns:
        frame = frame.Define(name, "gRandom->Gaus()")
    frame.Snapshot("events", path, columns)
    read = ROOT.RDataFrame("events", path, executor=fexec, npartitions=2).Define("s", " + ".join(columns)).Sum("s")
    read.GetValue()
    report = rdf_lithops.report(read)
    assert os.path.getsize(path) == pytest.approx(report.read_bytes, rel=0.05)
    assert report.totals["decompression"] > 0 and report.totals["read"] > 0


@pytest.mark.slow
def test_the_peak_is_that_of_the_system(fexec: Any) -> None:
    """Memory of a call with a large result is what the system counted in its ROOT process, packing included."""
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=1)
    booked = [frame.Histo1D((f"large{i}", "", 1_000_000, 0.0, 1000.0), "rdfentry_") for i in range(25)]
    assert 1000 == booked[0].GetEntries()
    (call,) = rdf_lithops.report(frame).maps
    status = Path(f"/proc/{call.pid}/status").read_text()
    most_mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    assert most_mib > 25e6 * 8 * 3 / 2**20
    assert most_mib == pytest.approx(call.peak_memory_mib, rel=0.03)


def test_a_later_query_compiles_nothing(fexec: Any) -> None:
    """The compiled graph is found again: the report shows it, and that nothing had to start."""

    def query() -> Report:
        total = ROOT.RDataFrame(1000, executor=fexec, npartitions=1).Define("y", "rdfentry_ * 1.75").Sum("y")
        total.GetValue()
        return rdf_lithops.report(total)

    first, second = query(), query()
    assert second.totals["compilation"] < 0.25 * first.totals["compilation"]
    (reduce,) = (call for call in second.calls if call.stage == "reduce")
    assert 0.0 == reduce.parts["loop"], "it handed the only partial on"
    assert os.uname().nodename == reduce.host


def test_each_run_has_its_report(fexec: Any) -> None:
    """A data frame that ran twice has two; the last one is given unless another is asked for."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=2)
    with pytest.raises(rdf_lithops.PlanError, match="got one with 0 runs"):
        rdf_lithops.report(frame)
    frame.Count().GetValue()
    frame.Sum("rdfentry_").GetValue()
    last = rdf_lithops.report(frame)
    assert last is rdf_lithops.report(frame, run=1) is not rdf_lithops.report(frame, run=0)
    assert last.run_id != rdf_lithops.report(frame, run=0).run_id
    with pytest.raises(rdf_lithops.PlanError, match="got one with 2 runs, and no run 7"):
        rdf_lithops.report(frame, run=7)
    for thing in (None, ROOT.RDataFrame(3)):
        with pytest.raises(TypeError, match="expected a distributed RDataFrame"):
            rdf_lithops.report(thing)


def test_planning_is_no_run(fexec: Any) -> None:
    """A plan leaves no report behind."""
    count = ROOT.RDataFrame(100, executor=fexec, npartitions=2).Count()
    rdf_lithops.plan(count)
    with pytest.raises(rdf_lithops.PlanError, match="0 runs"):
        rdf_lithops.report(count)


def test_a_run_that_failed_is_reported(fexec: Any) -> None:
    """What it took until it failed, which calls failed, and why."""
    frame = ROOT.RDataFrame(4, executor=fexec, npartitions=2, options={"ranges_per_call": 1})
    broken = frame.Define("x", 'if (rdfentry_ > 1) throw std::runtime_error("on purpose"); return 1.0;').Sum("x")
    with pytest.raises(rdf_lithops.RangeError, match="on purpose"):
        broken.GetValue()
    report = rdf_lithops.report(frame)
    assert [] == does_not_add_up(report)
    assert report.error is not None and "on purpose" in report.error
    assert [1] == [call.call_id for call in report.calls if call.outcome == "range"]
    assert "on purpose" in str(report)
    assert report == Report.from_json(report.to_json())


def test_graphs_that_run_together(fexec: Any) -> None:
    """RunGraphs: one report for all, with what each graph had of it; one that failed among them says why."""
    frames = [ROOT.RDataFrame(50 + i, executor=fexec, npartitions=2) for i in range(3)]
    counts = [frame.Count() for frame in frames[:2]]
    bad = frames[2].Filter('throw std::runtime_error("spoilt"); return true;').Count()
    with pytest.raises(rdf_lithops.RangeError, match="spoilt"):
        ROOT.RDF.RunGraphs([*counts, bad])
    report = rdf_lithops.report(counts[0])
    assert all(report is rdf_lithops.report(frame) for frame in frames)
    assert [] == does_not_add_up(report)
    assert [50, 51] == [share.entries for share in report.graphs[:2]]
    assert all(1 <= len(share.units) <= 2 for share in report.graphs[:2]), "one of each call that has some of the graph"
    assert [2, 2, 2] == [share.ranges for share in report.graphs]
    assert report.graphs[2].error is not None and "spoilt" in report.graphs[2].error
    assert "3 graphs" in str(report) and "spoilt" in str(report)
    assert report == Report.from_json(report.to_json())
    assert json.loads(report.to_json())["error"].startswith("1 of 3 graphs failed")


def test_without_a_warm_process(fexec: Any) -> None:
    """ROOT in the task itself: its start is in the initialisation, and the parts add up all the same."""
    count = ROOT.RDataFrame(100, executor=fexec, npartitions=1, options={"warm": False}).Count()
    assert 100 == count.GetValue()
    report = rdf_lithops.report(count)
    assert [] == does_not_add_up(report)
    assert report.totals["initialisation"] > 0.1, "ROOT does not start faster than that"
    assert report.path["other"] <= 0.05 * report.wall_s


def test_an_rntuple(files: Datasets, fexec: Any) -> None:
    """Bytes of an RNTuple are counted too, which ROOT's file does not tell of."""
    count = ROOT.RDataFrame("events", files.rntuple, executor=fexec, npartitions=2).Filter("x > 2").Count()
    count.GetValue()
    assert 0 < rdf_lithops.report(count).read_bytes
