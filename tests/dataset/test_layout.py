"""Where a dataset is cut: pieces tile it, end where clusters do, weigh about the same, and mean the same to DistRDF."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lithops
import pytest
import ROOT
from datasets import CLUSTER_ENTRIES, ENTRIES, MAIN_ENTRIES, Datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from ROOT._distrdf import Ranges
from ROOT._distrdf._graph_cache import ExecutionIdentifier

import rdf_lithops
from rdf_lithops.dataset import survey
from rdf_lithops.dataset.columns import columns_read
from rdf_lithops.dataset.layout import EVEN, FileLayout, Piece, cut, even_count, even_edges, unevenness
from rdf_lithops.dataset.ranges_by_load import fraction
from rdf_lithops.planning.cost import Speeds
from rdf_lithops.planning.plans import work_of

BYTES_ALONE = SimpleNamespace(load=lambda entries, read_bytes, files: float(read_bytes)).load


@st.composite
def layouts(draw: st.DrawFn) -> list[FileLayout]:
    """Files of no, one or many clusters, whose sizes differ by a thousand times."""
    made = []
    for number in range(draw(st.integers(1, 8))):
        lengths = draw(st.lists(st.integers(1, 50), max_size=12))
        sizes = [draw(st.integers(1, 10 ** draw(st.integers(1, 4)))) for _ in lengths]
        made.append(FileLayout(f"f{number}.root", "t", tuple(itertools.accumulate(lengths)), tuple(sizes)))
    return made


def entries_of(piece: Piece, files: list[FileLayout]) -> list[tuple[int, int]]:
    """The piece's entries as (file, entry) pairs."""
    pairs = []
    for index in range(piece.first_file, piece.last_file + 1):
        start = piece.start if index == piece.first_file else 0
        end = piece.end if index == piece.last_file else files[index].entries
        pairs += [(index, entry) for entry in range(start, end)]
    return pairs


@given(layouts(), st.integers(1, 30))
@settings(deadline=None, max_examples=300)
def test_pieces_tile_the_dataset(files: list[FileLayout], count: int) -> None:
    """Each entry is in one piece, in order; every file is in one; none is empty; all end at clusters; as many as asked."""
    pieces = cut(files, count, BYTES_ALONE)
    everything = [(index, entry) for index, layout in enumerate(files) for entry in range(layout.entries)]
    assert everything == [pair for piece in pieces for pair in entries_of(piece, files)]
    assert set(range(len(files))) == {i for piece in pieces for i in range(piece.first_file, piece.last_file + 1)}
    clusters = sum(len(layout.ends) for layout in files)
    assert max(1, min(count, clusters)) == len(pieces)
    assert clusters == sum(piece.clusters for piece in pieces)
    assert sum(sum(layout.read_bytes) for layout in files) == sum(piece.read_bytes for piece in pieces)
    for piece in pieces if clusters else []:
        assert piece.entries == len(entries_of(piece, files)) > 0
        assert piece.start in (0, *files[piece.first_file].ends)
        assert piece.end in (0, *files[piece.last_file].ends)
        assert sum(layout.entries for layout in files[: piece.first_file]) == piece.first_entry


@given(st.lists(st.floats(0.1, 1.0), min_size=1, max_size=200), st.integers(1, 40))
def test_no_part_is_far_from_the_mean(loads: list[float], count: int) -> None:
    """Where every load is small, a part differs from the mean by one load at most."""
    parts = parts_of(loads, even_edges(loads, count))
    assert min(count, len(loads)) == len(parts)
    if sum(loads) / count > 2 * max(loads):
        assert all(abs(part - sum(loads) / count) <= max(loads) * (1 + 1e-9) for part in parts)


def parts_of(loads: list[float], edges: list[int]) -> list[float]:
    """The load of each part."""
    return [sum(loads[start:end]) for start, end in itertools.pairwise(edges)]


@given(st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.1, 3.0, 40.0]), min_size=1, max_size=9), st.integers(1, 9))
def test_no_cut_has_a_lighter_heaviest_part(loads: list[float], count: int) -> None:
    """Of all the cuts there are, tried one by one, none has a heaviest part that is lighter; and no part is empty."""
    edges = even_edges(loads, count)
    inner = itertools.combinations(range(1, len(loads)), min(count, len(loads)) - 1)
    lightest = min(max(parts_of(loads, [0, *cuts, len(loads)])) for cuts in inner)
    assert max(parts_of(loads, edges)) == pytest.approx(lightest, rel=1e-8)
    assert all(end > start for start, end in itertools.pairwise(edges))


def test_fewer_and_even_parts_take_no_longer() -> None:
    """Where clusters are few, the number of calls by default is one that they fill evenly; else it is as it was."""
    assert 18 == even_count([1.0] * 36, 32)
    assert 12 == even_count([1.0] * 36, 16)
    assert 32 == even_count([1.0] * 3600, 32)
    assert 7 == even_count([1.0] * 7, 7)
    assert 2 == even_count([1.0, 1.0, 1.0], 2), "one call would take half as long again"
    assert 5 == even_count([], 5)


@given(st.lists(st.floats(0.1, 1.0), min_size=1, max_size=60), st.integers(1, 40))
@settings(deadline=None)
def test_an_even_number_of_parts_is_no_worse(loads: list[float], count: int) -> None:
    """It is not above the one that was asked for, no less even, and its heaviest part at most a few per cent heavier."""
    chosen = even_count(loads, count)
    before, after = (parts_of(loads, even_edges(loads, each)) for each in (count, chosen))
    assert 1 <= chosen <= count
    assert unevenness(after) <= unevenness(before) + 1e-9
    assert max(after) <= max(before) * (1 + EVEN) * (1 + 1e-8)


@given(layouts().filter(lambda files: any(each.entries for each in files)), st.integers(1, 30))
@settings(deadline=None, max_examples=300)
def test_distrdf_takes_fractions_for_the_clusters_that_were_meant(files: list[FileLayout], count: int) -> None:
    """What DistRDF's worker computes from a range's fractions are the clusters at which the piece was cut."""
    for piece in cut(files, count, BYTES_ALONE):
        first, last = files[piece.first_file], files[piece.last_file]
        starts_at = (fraction(piece.start, first.entries), first.entries, [0, *first.ends])
        ends_at = (fraction(piece.end, last.entries), last.entries, [0, *last.ends])
        assert piece.start == Ranges.get_entryrange_at_cluster_boundaries(starts_at[0], 1, *starts_at[1:])[0]
        assert piece.end == Ranges.get_entryrange_at_cluster_boundaries(0, *ends_at)[1]


@given(st.integers(1, 2**48), st.integers(1, 2**48))
def test_fractions_survive_rounding(entry: int, more: int) -> None:
    """The fraction of an entry gives that entry back, in files of any size."""
    assert entry == int(fraction(entry, entry + more) * (entry + more))


def read(files: list[str], tree: str, columns: set[str] | None, is_ntuple: bool = False) -> list[FileLayout]:
    """The layouts of files that can be read."""
    found = survey.read_layouts(files, [tree] * len(files), None if columns is None else frozenset(columns), is_ntuple)
    assert found is not None
    return found


def test_survey_of_trees(files: Datasets) -> None:
    """Clusters are ROOT's own, and the bytes are those that ROOT says its branches take on disk."""
    for layout, entries in zip(read(files.main, "events", {"x", "v.size", "nonsense"}), MAIN_ENTRIES.values(), strict=True):
        boundaries, counted = ROOT.Internal.TreeUtils.GetClustersAndEntries("events", layout.file)
        assert (list(boundaries)[1:], counted) == (list(layout.ends), layout.entries)
        assert entries == layout.entries
        with ROOT.TFile.Open(layout.file) as file:
            tree = file.Get("events")
            expected = sum(tree.GetBranch(name).GetZipBytes("*") for name in ("x", "v"))
        assert abs(expected - sum(layout.read_bytes)) <= len(layout.ends)
    everything = sum(sum(layout.read_bytes) for layout in read(files.main, "events", None))
    assert sum(sum(layout.read_bytes) for layout in read(files.main, "events", set())) == 0
    assert everything > 3 * sum(sum(layout.read_bytes) for layout in read(files.main, "events", {"x"}))


def test_survey_of_ntuples(files: Datasets) -> None:
    """RNTuples have clusters and bytes as well; a column of arrays counts with its elements."""
    for layout in read(files.rntuple, "events", {"x"}, True):
        found = ROOT.Internal.RDF.GetClustersAndEntries("events", layout.file)
        assert [cluster.fLastEntryPlusOne for cluster in found.first] == list(layout.ends)
        assert found.second == layout.entries
    sizes = {
        name: sum(sum(each.read_bytes) for each in read(files.rntuple, "events", names, True))
        for name, names in (("x", {"x"}), ("v", {"v.size"}), ("both", {"x", "v"}), ("all", None))
    }
    assert sizes["both"] == sizes["x"] + sizes["v"]
    assert 0 < sizes["x"] < sizes["both"] < sizes["all"]


def test_survey_of_files_without_entries_or_that_are_not_there(files: Datasets) -> None:
    """An empty tree has no clusters; what cannot be read is no layout, and no error: the worker will say it better."""
    assert [(), ()] == [layout.ends for layout in read(files.empty, "events", None)]
    assert survey.read_layouts(["/no such file.root"], ["events"], None, False) is None
    assert survey.read_layouts(files.main[:1], ["no_such_tree"], None, False) is None
    assert survey.read_layouts(files.rntuple[:1], ["no_such_ntuple"], None, True) is None


def test_a_file_that_changed_is_surveyed_again(tmp_path: Path) -> None:
    """Layouts are kept while the file is the same, and not longer."""
    path = str(tmp_path / "f.root")
    for entries in (10, 30):
        ROOT.RDataFrame(entries).Define("x", "1").Snapshot("t", path)
        assert [entries] == [layout.entries for layout in read([path], "t", {"x"})]


def test_columns_read(files: Datasets, fexec: Any) -> None:
    """Names come from expressions, lists, models' columns and Python functions; a Snapshot of all reads all."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=2)
    booked = [
        frame.Filter("x > 2 && v.size() > 1").Histo1D(("h", "", 10, 0.0, 12.0), "y", "w"),
        frame.AsNumpy(["z"], lazy=True),
    ]
    head = booked[0].proxied_node.get_head()
    found = columns_read(head.graph_nodes)
    assert found is not None
    assert {"x", "v.size", "y", "w", "z"} <= found
    assert not {"i", "n", "maybe"} & found
    booked.append(frame.AsNumpy(lazy=True))
    assert columns_read(head.graph_nodes) is None


def uneven_files(folder: Path) -> list[str]:
    """Files of 20 kB, 200 kB, 2 MB and 20 MB, in clusters of about 80 kB."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fAutoFlush = 5000
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kTTree
    names = []
    for entries in (1_400, 14_000, 140_000, 1_400_000):
        names.append(str(folder / f"{entries}.root"))
        frame = ROOT.RDataFrame(entries).Define("x", "float(TMath::Sin(0.7 * rdfentry_))").Define("y", "x * x * x")
        frame.Define("k", "int(rdfentry_ % 3)").Snapshot("events", names[-1], ["x", "y", "k"], options)
    return names


def test_load_per_call_though_files_differ_a_thousand_times(tmp_path: Path, fexec: Any) -> None:
    """Each call's load lies within 15 % of the mean and no range is empty, where percentages of files give most to a few."""
    names = uneven_files(tmp_path)
    given = {"executor": fexec, "npartitions": 12, "options": {"survey": True, "ranges_per_call": 1}}
    frame = ROOT.RDataFrame("events", names, **given)
    total = frame.Define("s", "x + y").Sum("s")
    plan = rdf_lithops.plan(total)
    works = [work_of(item) for item in plan.iterdata]
    loads = [Speeds().load_of(work) for work in works if work is not None]  # seconds: bytes, entries and opening
    mean = sum(loads) / len(loads)
    assert 12 == plan.calls == len(loads)
    assert max(abs(load - mean) for load in loads) <= 0.15 * mean

    read_bytes = [work.read_bytes for work in works if work is not None]
    upstream = percentage_loads(names, 12, read(names, "events", {"x", "y"}))
    assert sum(read_bytes) == sum(upstream)
    assert min(read_bytes) > 0 == min(upstream)
    assert max(upstream) > 3 * sum(upstream) / 12
    expected = ROOT.RDataFrame("events", names).Define("s", "x + y").Sum("s").GetValue()
    assert total.GetValue() == pytest.approx(expected, rel=1e-9, abs=1e-6)


def percentage_loads(names: list[str], count: int, surveyed: list[FileLayout]) -> list[int]:
    """The bytes of DistRDF's own ranges, computed as its workers do."""
    loads = []
    for item in Ranges.get_percentage_ranges(["events"] * len(names), names, count, None, ExecutionIdentifier("", ""), None):
        load = 0
        for position in range(item.first_file_idx, item.last_file_idx):
            layout = next(each for each in surveyed if each.file == item.filenames[position])
            begin = item.first_tree_start_perc if position == item.first_file_idx else 0
            end = item.last_tree_end_perc if position == item.last_file_idx - 1 else 1
            clusters = [0, *layout.ends]
            start, stop, _ = Ranges.get_entryrange_at_cluster_boundaries(begin, end, layout.entries, clusters)
            load += sum(layout.read_bytes[clusters.index(start) : clusters.index(stop)])
        loads.append(load)
    return loads


def test_the_default_number_of_calls_is_one_that_clusters_fill_evenly(tmp_path: Path) -> None:
    """For 4 workers six clusters of a size are cut into 3 calls; who asks for four is told what limits them."""
    path = str(tmp_path / "f.root")
    options = ROOT.RDF.RSnapshotOptions()
    options.fAutoFlush = 200_000
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kTTree
    ROOT.RDataFrame(1_200_000).Define("x", "gRandom->Gaus()").Snapshot("t", path, ["x"], options)
    workers = {"localhost": {"version": 1, "worker_processes": 4}}
    with lithops.FunctionExecutor(config={"lithops": {"backend": "localhost", "storage": "localhost"}, **workers}) as four:
        given = {"executor": four, "options": {"survey": True}}
        plan = rdf_lithops.plan(ROOT.RDataFrame("t", path, **given).Sum("x"))
        asked = rdf_lithops.plan(ROOT.RDataFrame("t", path, **given, npartitions=4).Sum("x"))
    assert plan.outlook is not None
    assert plan.outlook.balance is not None
    assert (3, 6) == (plan.calls, plan.outlook.clusters)
    assert plan.outlook.balance <= EVEN
    assert "whole clusters" not in str(plan)
    assert 4 == asked.calls
    assert "a call has whole clusters, and the files have 6; fewer ranges are more even" in str(asked)
    assert 6 == json.loads(asked.to_json())["clusters"]


@pytest.mark.parametrize("npartitions", [1, 17, 40])
def test_more_ranges_than_clusters(npartitions: int, files: Datasets, fexec: Any) -> None:
    """No range is empty and none shares a cluster: there are as many ranges as clusters at most."""
    clusters = sum(-(-entries // CLUSTER_ENTRIES) for entries in MAIN_ENTRIES.values())
    given = {"executor": fexec, "npartitions": npartitions, "options": {"survey": True}}
    count = ROOT.RDataFrame("events", files.main, **given).Count()
    assert min(npartitions, clusters) == rdf_lithops.plan(count).ranges
    assert ENTRIES == count.GetValue()


def test_a_file_that_grew_after_it_was_surveyed(tmp_path: Path, fexec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout that is out of date costs balance, not entries."""
    path = str(tmp_path / "f.root")
    options = ROOT.RDF.RSnapshotOptions()
    options.fAutoFlush = 10
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kTTree
    ROOT.RDataFrame(100).Define("x", "1").Snapshot("t", path, ["x"], options)
    before = read([path], "t", {"x"})
    ROOT.RDataFrame(230).Define("x", "1").Snapshot("t", path, ["x"], options)
    monkeypatch.setattr(survey, "read_layouts", lambda *_: before)
    frame = ROOT.RDataFrame("t", path, executor=fexec, npartitions=4, options={"survey": True})
    assert 230 == frame.Count().GetValue()
