"""RunGraphs is one run: one submission, calls that hold ranges of several graphs, one reducer that folds each apart."""

from __future__ import annotations

import pickle
import struct
import traceback
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import jobs_of
from datasets import Datasets

import rdf_lithops
from rdf_lithops.errors import GraphsError
from rdf_lithops.planning.packing import Unit, pack_units, summed_units
from rdf_lithops.run.events import AttemptBegan, Event, RunBegan, RunEnded
from rdf_lithops.travels.envelope import Envelope, pack, unpack
from rdf_lithops.worker.together import joined, opened, renumbered

THROWS = 'if (rdfentry_ == {entry}) throw std::runtime_error("{why}"); return true;'


def told(frames: list[Any]) -> list[Event]:
    """A list that gets the events of the runs of ``frames``."""
    events: list[Event] = []
    hear = events.append
    for frame in frames:
        frame._headnode.backend.consumers = (hear,)
    return events


def booked(fexec: Any, graphs: int = 6, npartitions: int = 2, **options: Any) -> tuple[list[Any], list[Any]]:
    """Frames of 100, 101, … entries in so many ranges, and of each a histogram, a sum, a mean of random numbers."""
    frames = [ROOT.RDataFrame(100 + i, executor=fexec, npartitions=npartitions, options=options) for i in range(graphs)]
    results = []
    for frame in frames:
        node = frame.Define("x", "double(rdfentry_) / 3").Define("r", "gRandom->Gaus()")
        results.append([node.Histo1D(("h", "", 8, 0.0, 40.0), "x", "r"), node.Sum("r"), node.Mean("x")])
    return frames, results


def values(results: list[list[Any]]) -> list[bytes]:
    """Every bit of what ``booked`` gave."""
    found = []
    for histogram, total, mean in results:
        filled = histogram.GetValue()
        bins = [filled.GetBinContent(i) for i in range(10)] + [filled.GetBinError(i) for i in range(10)]
        found.append(struct.pack("22d", *bins, total.GetValue(), mean.GetValue()))
    return found


def test_the_bits_are_those_of_each_graph_alone(fexec: Any) -> None:
    """However graphs are packed into one run, the results of each have the bits that it has alone, random numbers too."""
    alone = booked(fexec)[1]
    expected = values(alone)
    frames, together = booked(fexec)
    events, before = told(frames), jobs_of(fexec)
    assert len(frames) == ROOT.RDF.RunGraphs([results[0] for results in together])
    assert expected == values(together)
    assert before + 1 == jobs_of(fexec)
    assert [1, 1, 1] == [sum(isinstance(event, kind) for event in events) for kind in (RunBegan, AttemptBegan, RunEnded)]
    one_by_one = booked(fexec, ranges_per_call=1)
    ROOT.RDF.RunGraphs([results[0] for results in one_by_one[1]])
    assert expected == values(one_by_one[1])


@pytest.mark.parametrize("script", [{}, {"slot": {"12": ["exit"]}}, {"task": {"12": ["lose", "lose"]}}], ids=str)
def test_bits_of_units_that_are_summed_in_their_call(script: dict[str, Any], fexec: Any) -> None:
    """A graph of two calls' ranges that one call has: sums are made in the order of the plan, whatever is lost."""
    expected = values(booked(fexec, npartitions=5)[1])
    together = booked(fexec, npartitions=5, faults=script)[1]
    ROOT.RDF.RunGraphs([results[0] for results in together])
    assert expected == values(together)


@pytest.mark.parametrize(
    "script",
    [
        {"slot": {"4": ["exit"]}},
        {"slot": {"4": ["garbage"]}},
        {"task": {"4": ["lose", "lose"]}},
        {"reduce": ["exit"]},
        {"fold": ["exit"]},
        {"slot": {"4": ["exit"], "7": ["exit"]}, "reduce": ["garbage"]},
    ],
    ids=str,
)
def test_what_is_lost_runs_again(script: dict[str, Any], fexec: Any) -> None:
    """A ROOT process, a call, a reducer that is lost, and what arrives damaged: each graph has its bits all the same."""
    expected = values(booked(fexec)[1])
    frames, results = booked(fexec, faults=script, backoff_s=0.01)
    events = told(frames)
    ROOT.RDF.RunGraphs([some[0] for some in results])
    assert expected == values(results)
    assert 1 == sum(isinstance(event, RunEnded) for event in events)


def test_a_poisoned_range_ends_its_graph_alone(fexec: Any) -> None:
    """ROOT dies each time in one range: its graph fails, in the numbers of that graph, and the others have their results."""
    expected = values(booked(fexec)[1])
    frames, results = booked(fexec, faults={"slot": {"7": ["exit"] * 9}}, backoff_s=0.01)
    told(frames)
    with pytest.raises(rdf_lithops.LostRangesError, match="range 1 is poison"):
        ROOT.RDF.RunGraphs([some[0] for some in results])
    report = rdf_lithops.report(frames[0])
    assert [False, False, False, True, False, False] == [share.error is not None for share in report.graphs]
    assert expected[:3] + expected[4:] == values(results[:3] + results[4:])


def test_what_is_printed_of_many_failures_fits_on_a_screen(fexec: Any) -> None:
    """What a terminal shows of many graphs that fail is the first in full, once, and the others by kind."""
    bad = [
        ROOT.RDataFrame(4, executor=fexec, npartitions=1).Filter(THROWS.format(entry=i % 4, why=f"spoilt {i}")).Count()
        for i in range(5)
    ]
    with pytest.raises(GraphsError, match="5 of 5 graphs failed; the first, of Count:") as caught:
        ROOT.RDF.RunGraphs(bad)
    printed = "".join(traceback.format_exception(caught.value))
    assert 1 == printed.count("  range 0 failed: C++ exception thrown: runtime_error: spoilt 0\n")
    assert len(printed.splitlines()) <= 30


def test_which_graphs_failed_is_said(fexec: Any) -> None:
    """Of each of many that failed a result is named, also where the error has travelled."""
    frames = [ROOT.RDataFrame(4, executor=fexec, npartitions=1).Filter(THROWS.format(entry=0, why="no")) for _ in range(4)]
    frames = [frame.Define("x", "1.0") for frame in frames]
    model = ROOT.RDF.TH1DModel("mass", "", 1, 0.0, 2.0)
    first, second, third, fourth = frames
    varied = third.Vary("x", "ROOT::RVecD{x, x}", ["down", "up"])
    pt = ROOT.RDF.Experimental.VariationsFor(varied.Histo1D(("pt", "", 1, 0.0, 2.0), "x"))
    bad = [first.Count(), second.Histo1D(model, "x"), pt, fourth.Sum("x")]
    with pytest.raises(GraphsError) as caught:
        ROOT.RDF.RunGraphs(bad)
    assert ("Count", "Histo1D mass", "VariationsFor Histo1D pt", "Sum x") == caught.value.names
    assert "(Histo1D mass, VariationsFor Histo1D pt, Sum x)" in str(caught.value)
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))


def test_an_exception_of_cpp_is_told_without_our_own_lines(fexec: Any) -> None:
    """What the user's C++ threw, where, and what to do next: no line of this package's or ROOT's that it came through."""
    with pytest.raises(rdf_lithops.RangeError) as caught:
        ROOT.RDataFrame(4, executor=fexec, npartitions=1).Filter(
            THROWS.format(entry=2, why="0 => no jets")
        ).Count().GetValue()
    assert "range 0 failed: C++ exception thrown: runtime_error: 0 => no jets" == str(caught.value).splitlines()[0]
    assert "Traceback" not in str(caught.value) and ".py" not in str(caught.value)
    assert "entries 0 to 4" in str(caught.value)


def test_failures_of_some(fexec: Any, tmp_path: Path) -> None:
    """Graphs that fail before the run, while they run and at the end: one error; the others have results, and run once."""
    _, results = booked(fexec, 2)
    bad = [ROOT.RDataFrame(20, executor=fexec, npartitions=2) for _ in range(3)]
    handles = [frame.Filter(THROWS.format(entry=15, why=f"no. {number}")).Count() for number, frame in enumerate(bad[:2])]
    (tmp_path / "there.root").write_text("somebody's")
    (tmp_path / "there_0.root").write_text("somebody's")
    snapshot = bad[2].Define("x", "1").Snapshot("t", str(tmp_path / "there.root"), ["x"], lazy_snapshot())
    before = jobs_of(fexec)
    with pytest.raises(GraphsError, match="3 of 5 graphs failed") as failed:
        ROOT.RDF.RunGraphs([results[0][0], *handles, snapshot, results[1][0]])
    assert ["RangeError", "RangeError", "OutputError"] == [type(failure).__name__ for failure in failed.value.failures]
    assert before + 1 == jobs_of(fexec)
    assert values(results) == values(booked(fexec, 2)[1])
    assert "range 1 failed" in str(failed.value)


def lazy_snapshot() -> Any:
    """Options of a Snapshot that waits for its run."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    return options


@pytest.mark.slow
def test_snapshots_of_graphs_that_run_together(fexec: Any, tmp_path: Path) -> None:
    """Each writes its own dataset, under its own name; two of one name are refused, and nothing runs."""
    frames = [ROOT.RDataFrame(30 + i, executor=fexec, npartitions=2).Define("x", f"rdfentry_ + {100 * i}") for i in range(2)]
    names = [str(tmp_path / f"skim{i}.root") for i in range(2)]
    written = [frame.Snapshot("t", name, ["x"], lazy_snapshot()) for frame, name in zip(frames, names, strict=True)]
    ROOT.RDF.RunGraphs(written)
    for number, name in enumerate(names):
        read = ROOT.RDataFrame("t", rdf_lithops.parts(name))
        assert (30 + number, 100 * number) == (read.Count().GetValue(), read.Min("x").GetValue())
    same = [frame.Snapshot("t", str(tmp_path / "same.root"), ["x"], lazy_snapshot()) for frame in frames]
    with pytest.raises(rdf_lithops.OutputError, match="two Snapshots of the graphs that run together write"):
        ROOT.RDF.RunGraphs(same)


def test_arrays_of_graphs_that_run_together(fexec: Any) -> None:
    """Large arrays, which lie in the storage until the driver has them, are each graph's own."""
    frames = [ROOT.RDataFrame(50, executor=fexec, npartitions=2, options={"arrays_mib": 0.0001}) for _ in range(3)]
    arrays = [frame.Define("x", f"double(rdfentry_ * {i})").AsNumpy(["x"], lazy=True) for i, frame in enumerate(frames)]
    ROOT.RDF.RunGraphs(arrays)
    assert [[i * entry for entry in range(50)] for i in range(3)] == [list(each.GetValue()["x"]) for each in arrays]


def of_all_kinds(files: Datasets, **given: Any) -> list[list[Any]]:
    """Of data frames over each kind of dataset some results; what they read and what they are told differs."""
    frames = [
        ROOT.RDataFrame(57, **given).Define("x", "0.1 * rdfentry_"),
        ROOT.RDataFrame("events", files.main, **given),
        ROOT.RDataFrame("events", files.main[2], **given),
        ROOT.RDF.Experimental.FromSpec(files.spec_with_friends, **given),
        ROOT.RDataFrame("events", files.rntuple, **given),
        ROOT.RDF.Experimental.FromSpec(files.spec, **given),
        ROOT.RDataFrame("events", files.empty, **given),
    ]
    booked = []
    for frame in frames:
        passed = frame.Filter("x > 1", "large").Define("e", "rdfentry_")
        booked.append([passed.Sum("x"), passed.Sum("e"), passed.Histo1D(("h", "", 5, 0.0, 9.0), "x"), passed.Count()])
    return booked


def numbers(booked: list[list[Any]]) -> list[list[float]]:
    """What ``of_all_kinds`` gave."""
    return [[a.GetValue(), b.GetValue(), h.GetValue().GetSumOfWeights(), c.GetValue()] for a, b, h, c in booked]


@pytest.mark.parametrize("options", [{}, pytest.param({"warm": False}, marks=pytest.mark.slow)], ids=["warm", "cold"])
def test_graphs_of_all_kinds_of_datasets(options: dict[str, Any], files: Datasets, fexec: Any) -> None:
    """Entries, trees, friends, RNTuples, specifications and nothing at all, in one run: the numbers are local ROOT's."""
    expected = numbers(of_all_kinds(files))
    booked = of_all_kinds(files, executor=fexec, npartitions=3, options=options)
    before = jobs_of(fexec)
    assert len(booked) == ROOT.RDF.RunGraphs([results[0] for results in booked])
    assert before + 1 == jobs_of(fexec)
    for local, found in zip(expected, numbers(booked), strict=True):
        assert local == pytest.approx(found, rel=1e-12)


def test_graphs_of_many_partials_are_folded_by_trees(fexec: Any) -> None:
    """One reducer that has too much of a graph hands that graph on, and it is folded in rounds of its own."""
    frames = [
        ROOT.RDataFrame(40 + i, executor=fexec, npartitions=8, options={"ranges_per_call": 1, "fold_partials": 3})
        for i in range(2)
    ]
    sums = [frame.Define("x", "1.5 * rdfentry_").Sum("x") for frame in frames]
    ROOT.RDF.RunGraphs(sums)
    assert [1.5 * 40 * 39 / 2, 1.5 * 41 * 40 / 2] == [each.GetValue() for each in sums]


def test_files_in_one_cluster_are_one_range(fexec: Any, tmp_path: Path) -> None:
    """No range is empty: a small file of one cluster is one range, however many workers and ranges there are."""
    paths = [str(tmp_path / f"{entries}.root") for entries in (100, 0, 50)]
    for path in paths:
        ROOT.RDataFrame(int(Path(path).stem)).Define("x", "rdfentry_").Snapshot("t", path, ["x"])
    for given in ({}, {"npartitions": 5}):
        count = ROOT.RDataFrame("t", paths[0], executor=fexec, **given).Count()
        assert 1 == rdf_lithops.plan(count).ranges
        assert 100 == count.GetValue()
        assert 150 == ROOT.RDataFrame("t", paths, executor=fexec, **given).Count().GetValue()


def test_frames_of_one_shape_are_compiled_once(files: Datasets, fexec: Any) -> None:
    """The same analysis of several samples is one piece of code: it is sent once, and a process compiles it once."""
    frames = [ROOT.RDataFrame("events", file, executor=fexec, npartitions=1) for file in files.main]
    plans = [rdf_lithops.plan(frame.Define("of_shape", "x * 17.25").Sum("of_shape")) for frame in frames]
    assert 1 == len({plan.map_task.graph for plan in plans})
    assert 1 == len({plan.map_task.graph_digest for plan in plans})


def test_two_executors_are_two_runs(fexec: Any) -> None:
    """Graphs of other options, too, are a run of their own; all of them have their results."""
    one, other = (ROOT.RDataFrame(n, executor=fexec, npartitions=1, options={"seed": n}).Count() for n in (5, 6))
    before = jobs_of(fexec)
    assert 2 == ROOT.RDF.RunGraphs([one, other])
    assert (5, 6, before + 2) == (one.GetValue(), other.GetValue(), jobs_of(fexec))


# -- what can be looked at without a run -------------------------------------------------------------------------------


def units(*seconds: float, code: str = "a", compile_s: float = 0.0, first: int = 0) -> list[Unit]:
    """Units of one code with one range each."""
    return [Unit(({"id": first + i},), each, code, compile_s) for i, each in enumerate(seconds)]


def test_units_are_packed_evenly() -> None:
    """By cost over all of them; each is there once, and calls hold them in order."""
    given = [unit for i in range(9) for unit in units(float(1 + i % 3), code=str(i), first=i)]
    calls = pack_units(given, 3)
    assert [6.0, 6.0, 6.0] == [sum(unit.seconds for unit in some) for some in calls]
    assert list(range(9)) == sorted(unit.ranges[0]["id"] for some in calls for unit in some)
    assert all(ids == sorted(ids) for ids in ([unit.ranges[0]["id"] for unit in some] for some in calls))


def test_two_units_of_one_graph_are_summed_in_their_call() -> None:
    """Where the graph has no other: more partials may be folded by a tree, in which their sum would have other bits."""
    given = [(0, 1), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)]
    units = [Unit(({"id": i, "graph": graph, "unit": unit},), 1.0, "a") for i, (graph, unit) in enumerate(given)]
    found = [
        [(fields["graph"], fields["unit"], fields.get("summand")) for fields in ranges]
        for ranges in summed_units(units, {0, 1, 2})
    ]
    alone = [[(graph, unit, None)] for graph, unit in given[3:]]
    assert [[(0, 1, None)], [(1, 0, None), (1, 0, 1)], *alone] == found


def test_code_is_compiled_in_as_few_calls_as_can_be() -> None:
    """Small graphs are not torn apart; one that has more to do than its share is."""
    small = [unit for i in range(4) for unit in units(0.1, 0.1, code=str(i), compile_s=1.0, first=2 * i)]
    calls = pack_units(small, 2)
    assert [{"0", "2"}, {"1", "3"}] == [{unit.code for unit in some} for some in calls]
    large = [*units(5.0, 5.0, code="large", compile_s=1.0), *units(0.1, code="small", compile_s=1.0, first=2)]
    assert [2, 1] == sorted((len(some) for some in pack_units(large, 2)), reverse=True)


def test_what_a_call_of_several_units_hands_back() -> None:
    """Each unit's partial, or failure, comes back as it was; its ranges have the plan's numbers."""
    good = pack(Envelope((0, 1), 7, "6", b"abc", facts={"loop_s": 1.0, "pid": 3}))
    bad = pack(Envelope((0,), None, "6", error={"kind": "range", "range_ids": [0]}, facts={"loop_s": 0.5}))
    whole = joined([renumbered(good, 0), renumbered(bad, 2)])
    _, ((first, packed), (second, _)) = opened(whole)
    assert (good, (0, 1), (2,)) == (packed, first.range_ids, second.range_ids)
    assert [2] == (second.error or {})["range_ids"]
    found = unpack(whole)
    assert ((0, 1, 2), 7, 1.5, 3) == (found.range_ids, found.entries, found.facts["loop_s"], found.facts["pid"])
    assert [0, 2] == [unit["range_id"] for unit in found.facts["units"]]


def test_the_error_of_many_graphs_fits_on_a_screen() -> None:
    """65 failures, one of thousands of lines, are 60 lines at most: the first in full, the others by kind."""
    first = rdf_lithops.RangeError("range 0 failed: spoilt", where="call 0", why="\n".join(["x" * 9000] * 3000))
    others = [rdf_lithops.RangeError(f"range {i} failed: no column named pt_{i}") for i in range(60)]
    rest = [rdf_lithops.PlanError(f"kind {chr(65 + i)}") for i in range(20)]
    text = str(GraphsError([first, *others, *rest], 90))
    assert len(text.splitlines()) <= 60 and len(text) < 30_000
    assert "81 of 90 graphs failed" in text and "range 0 failed: spoilt" in text and "where: call 0" in text
    assert "60 x RangeError: range 0 failed: no column named pt_0" in text and "kinds more" in text
    topics = Path(rdf_lithops.__file__).with_name("troubleshooting.md").read_text()
    assert f"\n## {GraphsError.topic()}\n" in topics
