"""What a Snapshot writes is there once and whole, wherever it goes and whatever dies; large arrays go past the reducer."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
import ROOT
from conftest import jobs_of
from datasets import Datasets
from kinds import quickly
from test_reporting import does_not_add_up

import rdf_lithops
from rdf_lithops import Options, OutputError
from rdf_lithops.files import stores
from rdf_lithops.files.snapshot_parts import part_url, publish
from rdf_lithops.fold import arrays


def events(paths: list[str], tree: str = "skim") -> dict[str, list[Any]]:
    """The events of plain files with plain RDataFrame, sorted by their number."""
    columns = ROOT.RDataFrame(tree, paths).AsNumpy(["i", "q"])
    order = numpy.argsort(columns["i"], kind="stable")
    return {name: columns[name][order].tolist() for name in ("i", "q")}


def selected(frame: Any) -> Any:
    """What these tests write."""
    return frame.Filter("i % 3 != 0").Define("q", "x * 2 + y")


def expected_events(files: Datasets) -> dict[str, list[Any]]:
    """The same selection by local RDataFrame."""
    columns = selected(ROOT.RDataFrame("events", files.main)).AsNumpy(["i", "q"])
    return {name: columns[name].tolist() for name in ("i", "q")}


# -- names, and what may not be ----------------------------------------------------------------------------------------


def test_names_sort_in_the_order_of_ranges() -> None:
    """A run's parts have its name in theirs, and a range has one name whoever runs it."""
    plain = {"folder": "s3://b/out/", "stem": "skim", "run": "0123abcd"}
    names = [part_url(plain, range_id) for range_id in (0, 9, 10, 99999)]
    assert "s3://b/out/skim_0123abcd_00009.root" == names[1]
    assert names == sorted(names)
    halves = [part_url(plain, range_id, piece) for range_id, piece in ((5, (0,)), (5, (1, 0)), (5, (1, 1)), (6, ()))]
    assert halves == sorted(halves)
    local = {"folder": "/data/", "stem": "skim", "run": "0123abcd", "ending": ".rdf_lithops-part"}
    assert "/data/skim_0123abcd_00007.root.rdf_lithops-part" == part_url(local, 7), "nobody takes it for a part of a dataset"


@pytest.mark.slow
def test_the_name_that_was_given_is_there(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """Small parts are one file of the very name, which local ROOT opens; a second run replaces it, however it was cut."""

    def write(npartitions: int, **options: Any) -> Any:
        frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=npartitions, options=options)
        return selected(frame).Snapshot("skim", "out/skim.root", ["i", "q"])

    (tmp_path / "out").mkdir()
    for npartitions in (3, 1, 2):
        returned = write(npartitions)
        assert ["skim.rdf_lithops.json", "skim.root"] == sorted(path.name for path in (tmp_path / "out").iterdir())
        assert ["out/skim.root"] == rdf_lithops.parts("out/skim.root")
        columns = ROOT.RDataFrame("skim", "out/skim.root").AsNumpy(["i", "q"])
        assert expected_events(files) == {name: columns[name].tolist() for name in ("i", "q")}, "in order"
    assert len(columns["i"]) == returned.Count().GetValue()
    write(2, file_mib=1e-6)
    there = ["skim.rdf_lithops.json", "skim_0.root", "skim_1.root"]
    assert there == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert ["out/skim_0.root", "out/skim_1.root"] == rdf_lithops.parts("out/skim.root")
    assert len(columns["i"]) == ROOT.RDataFrame("skim", "out/skim.root", executor=fexec, npartitions=2).Count().GetValue()


def test_names_in_which_root_stands(fexec: Any, tmp_path: Path) -> None:
    """``.root`` in the middle of a name is a part of it: the file has that very name, and no other is touched."""
    (tmp_path / "a.root").write_text("somebody's")
    frame = ROOT.RDataFrame(6, executor=fexec, npartitions=2).Define("x", "1.5 * rdfentry_")
    for name in ("a.root.skim.root", "a.root_2017.root", "b.rootfile.root"):
        frame.Snapshot("t", name, ["x"])
        assert [name] == rdf_lithops.parts(name)
        assert 22.5 == ROOT.RDataFrame("t", name).Sum("x").GetValue()
    assert "somebody's" == (tmp_path / "a.root").read_text()


def entries_in(path: str) -> tuple[list[tuple[str, str]], list[list[float]]]:
    """The branches of a tree t, and the values of their leaves: a data frame has a column ``rdfentry_`` of its own."""
    file = ROOT.TFile.Open(path)
    tree, values = file.Get("t"), []
    branches = [(str(branch.GetName()), str(branch.GetTitle())) for branch in tree.GetListOfBranches()]
    for entry in range(tree.GetEntries()):
        tree.GetEntry(entry)
        values.append([float(tree.GetLeaf(name).GetValue()) for name, _ in branches])
    file.Close()
    return branches, values


@pytest.mark.parametrize("kind", [list, tuple, lambda names: ROOT.std.vector["std::string"](names)])
def test_entry_numbers_are_those_of_the_dataset(kind: Any, files: Datasets, fexec: Any) -> None:
    """A Snapshot of ``rdfentry_`` has the numbers that it has in local ROOT's, of its type, however many ranges wrote it."""
    written = {}
    for name, given in {"local": {}, "one": {"npartitions": 1}, "four": {"npartitions": 4}}.items():
        executor = {"executor": fexec} if given else {}
        frame = ROOT.RDataFrame("events", files.main, **executor, **given).Filter("i % 3 != 0")
        frame.Snapshot("t", f"{name}.root", kind(["rdfentry_", "i"]))
        written[name] = entries_in(f"{name}.root")
    assert len(written["local"][1]) > 100
    assert written["local"] == written["one"] == written["four"]
    with pytest.raises(rdf_lithops.PlanError, match="Snapshot: tdfentry_ counts within a range; write rdfentry_"):
        ROOT.RDataFrame("events", files.main, executor=fexec).Snapshot("t", "old.root", kind(["tdfentry_"]))


def test_names_without_the_ending_are_refused(fexec: Any, tmp_path: Path) -> None:
    """The files would have another name than was given: refused, with the one that works, before anything runs."""
    frame = ROOT.RDataFrame(6, executor=fexec, npartitions=2).Define("x", "1.5 * rdfentry_")
    before = jobs_of(fexec)
    for name in ("skim.dat", "skim", "skim.root.new"):
        with pytest.raises(rdf_lithops.OutputError, match=rf"Snapshot: expected a name that ends in \.root, got '{name}'"):
            frame.Snapshot("t", name, ["x"])
    assert before == jobs_of(fexec)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_reading_what_is_overwritten_is_refused(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """A dataset cannot be replaced while it is read, by whatever name."""
    (tmp_path / "other").symlink_to(tmp_path)
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=2, options={"file_mib": 1e-6})
    selected(frame).Snapshot("skim", "skim.root", ["i", "q"])
    for name in (tmp_path / "skim.root", tmp_path / "other" / "skim.root"):
        again = ROOT.RDataFrame("skim", "skim_*.root", executor=fexec, npartitions=2, options={"overwrite": True})
        with pytest.raises(OutputError, match=r"while it is read(.|\n)*the run reads .*skim_0.root, .*skim_1.root"):
            again.Snapshot("skim", str(name), ["i", "q"])


def test_two_snapshots_of_one_name_are_refused(fexec: Any) -> None:
    """Two Snapshots of one graph that would write the same files are an error."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", "1")
    results = [frame.Snapshot(name, "both.root", ["x"], options) for name in ("first", "second")]
    with pytest.raises(OutputError, match=r"two Snapshots of one graph write .*/both.root"):
        results[0].GetValue()


@pytest.mark.parametrize("url", ["ftp://host/skim.root", "gs://bucket/skim.root"])
def test_store_that_nobody_can_write_is_refused(fexec: Any, url: str) -> None:
    """An unknown scheme is an error before anything runs, and says which are known."""
    with pytest.raises(OutputError, match=r"expected a path or a URL that starts with s3://, root://"):
        ROOT.RDataFrame(10, executor=fexec).Define("x", "1").Snapshot("t", url, ["x"])


def test_folder_that_is_not_there_is_refused(fexec: Any, tmp_path: Path) -> None:
    """Where nothing can be put, nothing runs."""
    mark = tmp_path / "ran"
    frame = ROOT.RDataFrame(1, executor=fexec, npartitions=1)
    frame = frame.Define("x", f'std::ofstream("{mark}", std::ios::app) << "x"; return 1;')
    with pytest.raises(OutputError, match=r"cannot write .*/nowhere/t(.|\n)*No such file"):
        frame.Snapshot("t", "nowhere/t.root", ["x"])
    assert not mark.exists()


def test_failed_run_takes_its_files_away(fexec: Any, tmp_path: Path) -> None:
    """What the ranges wrote that went well is removed when another fails, and nothing else."""
    (tmp_path / "t_notes.root").write_text("somebody's")
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=4, options=Options(ranges_per_call=1))
    frame = frame.Define("x", 'if (rdfentry_ == 39) throw std::runtime_error("on purpose"); return 1;')
    with pytest.raises(rdf_lithops.RangeError, match="on purpose"):
        frame.Snapshot("t", "t.root", ["x"])
    assert ["t_notes.root"] == [path.name for path in tmp_path.iterdir()]


def test_parts_are_merged_into_files_of_a_size(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """Parts become fewer files, with the same events in the same order; what is large enough is left as it is."""
    options = Options(ranges_per_call=1, file_mib=0.02)
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=6, options=options)
    written = selected(frame).Snapshot("skim", "skim.root", ["i", "q"])
    names = sorted(map(str, tmp_path.glob("*.root")))
    assert 1 < len(names) < 6
    expected = expected_events(files)
    in_order = ROOT.RDataFrame("skim", names).AsNumpy(["i", "q"])
    assert expected == {name: in_order[name].tolist() for name in ("i", "q")}
    assert len(expected["i"]) == written.Count().GetValue()
    selected(frame).Snapshot("skim", "skim.root", ["i", "q"])
    assert expected == events(sorted(map(str, tmp_path.glob("*.root"))))
    report = rdf_lithops.report(frame, run=0)
    assert [] == does_not_add_up(report)
    assert report.path["files"] > 0
    assert 2 <= sum(call.stage == "files" and call.worker_s > 0 for call in report.calls), "those that merged, and a reducer"
    assert 6 == len(report.maps)


@pytest.mark.parametrize("passed", ["first", "last", "neither"])
@pytest.mark.parametrize("column", ["vector", "i"])
def test_parts_without_entries_are_merged(column: str, passed: str, fexec: Any) -> None:
    """A range of which nothing passes makes no difference, also where ROOT writes an object in another way then."""
    of_objects = ROOT.RDataFrame(40).Define("i", "int(rdfentry_)").Define("vector", "TLorentzVector(1, 2, 3, i)")
    clustered = ROOT.RDF.RSnapshotOptions()
    clustered.fAutoFlush = 10
    of_objects.Snapshot("t", "objects.root", ["i", "vector"], clustered)
    wanted = {"first": range(3, 8), "last": range(33, 38), "neither": range(0)}[passed]
    frame = ROOT.RDataFrame("t", "objects.root", executor=fexec, npartitions=4, options={"ranges_per_call": 1})
    cut = frame.Filter(f"i >= {wanted.start} && i < {wanted.stop}")
    written = cut.Define("energy", "vector.E()").Snapshot("t", "out.root", ["energy", column])
    assert ["out.root"] == rdf_lithops.parts("out.root")
    assert 4 == len(rdf_lithops.report(frame).maps)
    for read in (written, ROOT.RDataFrame("t", "out.root")):
        assert list(map(float, wanted)) == sorted(read.AsNumpy(["energy"])["energy"].tolist())


# -- arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit_mib", quickly([0, 1000.0], 0))
def test_arrays_are_those_of_local_rdataframe(files: Datasets, fexec: Any, limit_mib: float) -> None:
    """AsNumpy in the order of the dataset, through the storage or through the reducer; arrays of arrays too."""
    options = Options(arrays_mib=limit_mib, ranges_per_call=1)
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=5, options=options)
    expected = selected(ROOT.RDataFrame("events", files.main)).AsNumpy(["i", "q", "v"])
    actual = selected(frame).AsNumpy(["i", "q", "v"])
    assert list(expected) == list(actual)
    for name in ("i", "q"):
        assert expected[name].dtype == actual[name].dtype
        assert expected[name].tolist() == actual[name].tolist()
    assert [list(value) for value in expected["v"]] == [list(value) for value in actual["v"]]


def test_large_arrays_do_not_pass_through_the_reducer(fexec: Any) -> None:
    """The reducer gets where a large column lies; the driver gets it whole, and nothing stays in the storage."""
    storage = fexec.storage

    def arrays() -> list[str]:
        return [key for key in storage.list_keys(storage.bucket, "rdf_lithops/runs/") if "/arrays/" in key]

    before = arrays()  # of drivers that other tests have killed
    frame = ROOT.RDataFrame(200_000, executor=fexec, npartitions=4, options=Options(arrays_mib=0.1, ranges_per_call=1))
    booked = frame.Define("x", "0.5 * rdfentry_").AsNumpy(["x"], lazy=True)
    plan = rdf_lithops.plan(booked)
    result = fexec.get_result(fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task))
    assert len(result) < 20_000
    assert 4 == len(set(arrays()) - {*before})
    plan.deliver(result)
    assert numpy.array_equal(0.5 * numpy.arange(200_000), booked.GetValue()["x"])
    assert before == arrays()


def test_damaged_arrays_are_noticed() -> None:
    """An object that is not what the worker wrote is an error, not other numbers."""
    whole = pickle.dumps({"x": numpy.arange(3)})
    stored = arrays.Stored("key", "0" * 64)
    assert [0, 1, 2] == arrays.joined(arrays.ArrayParts([whole]), lambda key: b"")["x"].tolist()
    with pytest.raises(ValueError, match="damaged"):
        arrays.joined(arrays.ArrayParts([whole, stored]), lambda key: whole)


# -- the stores themselves --------------------------------------------------------------------------------------------


def test_folder_shows_a_file_when_it_is_whole(tmp_path: Path) -> None:
    """A copy appears under its name by one rename; a failed one leaves nothing; what a killed one left is told apart."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1000)
    target = tmp_path / "target"
    target.mkdir()
    stores.put(str(source), f"{target}/skim_0.root", replace=True)
    assert {f"{target}/skim_0.root": 1000} == stores.sizes(f"{target}/", "skim")
    with pytest.raises(stores.StoreFailure, match="cannot write"):
        stores.put(str(tmp_path / "absent"), f"{target}/skim_1.root", replace=True)
    (target / "skim_2.root.0123abcd.rdf_lithops-part").write_bytes(b"half")
    assert {f"{target}/skim_0.root": 1000} == stores.sizes(f"{target}/", "skim")
    stores.store_of(f"{target}/").abandon(f"{target}/", "skim")
    assert ["skim_0.root"] == [path.name for path in target.iterdir()]


def test_published_parts_are_named_where_they_are_and_leave_no_copy(tmp_path: Path) -> None:
    """A range's files move to their destination, also twice; only those that were redirected are touched."""

    class Part:
        def __init__(self, name: str) -> None:
            self.filenames = [name]

    class Result:
        mergeables: list[Any]

    target, place = tmp_path / "target", tmp_path / "place"
    (place / "0").mkdir(parents=True)
    target.mkdir()
    plain = ({"folder": f"{target}/", "stem": "skim", "run": "0123abcd"},)
    for contents in ("first", "again"):
        (place / "0" / "part_3.root").write_text(contents)
        result = Result()
        result.mergeables = [Part(str(place / "0" / "part_3.root")), Part("/elsewhere/other.root"), object()]
        publish(result, plain, str(place), {"id": 3})
        assert [f"{target}/skim_0123abcd_00003.root"] == result.mergeables[0].filenames
        assert ["/elsewhere/other.root"] == result.mergeables[1].filenames
        assert "first" == (target / "skim_0123abcd_00003.root").read_text(), "a duplicate leaves what is there"
    assert [] == list((place / "0").iterdir())
    assert 1 == len(list(target.iterdir()))
