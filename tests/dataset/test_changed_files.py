"""Files that are rewritten in one session, and graphs that look alike: what is read is what is there now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import ROOT
from servers.s3 import S3
from test_remote import Bucket, bucket, s3_here  # noqa: F401  # fixtures

import rdf_lithops
from rdf_lithops.errors import DataAccessError

_kept: list[Any] = []


def write(path: Path, entries: int, tree: str = "t", **columns: str) -> str:
    """A file whose columns hold what these expressions say."""
    frame: Any = ROOT.RDataFrame(entries)
    for name, code in (columns or {"x": "int(rdfentry_)"}).items():
        frame = frame.Define(name, code)
    options = ROOT.RDF.RSnapshotOptions()
    options.fMode = "UPDATE" if path.exists() and columns else "RECREATE"
    frame.Snapshot(tree, str(path), list(columns or {"x": ""}), options)
    return str(path)


def entry_numbers(frame: Any) -> float:
    """The sum of all entry numbers."""
    return float(frame.Define("e", "double(rdfentry_)").Sum("e").GetValue())


def whole(entries: int) -> float:
    """The sum of all numbers below ``entries``."""
    return entries * (entries - 1) / 2


@pytest.mark.parametrize("survey", [True, False])
def test_entry_numbers_after_a_remote_file_was_rewritten(
    survey: bool,
    s3_here: S3,  # noqa: F811
    bucket: Bucket,  # noqa: F811
    fexec: Any,
    tmp_path: Path,
) -> None:
    """Entry numbers are those of the objects as they are now, also where an earlier query has seen other ones."""
    urls = [bucket.put(f"rewritten/{survey}/{name}.root", write(tmp_path / f"{name}.root", 100)) for name in "ab"]

    def ask() -> float:
        return entry_numbers(ROOT.RDataFrame("t", urls, executor=fexec, npartitions=2, options={"survey": survey}))

    assert whole(200) == ask()
    bucket.put(f"rewritten/{survey}/a.root", write(tmp_path / "a.root", 150))
    assert whole(250) == ask()


@pytest.mark.parametrize("survey", [True, False])
@pytest.mark.parametrize("kind", ["tree", "spec", "rntuple"])
def test_entry_numbers_after_a_local_file_was_rewritten(kind: str, survey: bool, fexec: Any, tmp_path: Path) -> None:
    """The same for local files, even where the clock of the file system did not move between two versions."""
    paths = [str(tmp_path / f"{name}.root") for name in "ab"]

    def put(path: str, entries: int) -> None:
        options = ROOT.RDF.RSnapshotOptions()
        if kind == "rntuple":
            options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
        ROOT.RDataFrame(entries).Define("x", "int(rdfentry_)").Snapshot("t", path, ["x"], options)
        os.utime(path, ns=(10**18, 10**18))

    def ask() -> float:
        given: tuple[Any, ...] = ("t", paths)
        if kind == "spec":
            given = (ROOT.RDF.Experimental.RDatasetSpec().AddSample(("s", ["t", "t"], paths)),)
        return entry_numbers(ROOT.RDataFrame(*given, executor=fexec, npartitions=2, options={"survey": survey}))

    for path in paths:
        put(path, 100)
    assert whole(200) == ask()
    put(paths[0], 101)  # as large as before, or nearly
    assert whole(201) == ask()


def test_a_file_that_changes_after_the_plan_is_named(fexec: Any, tmp_path: Path) -> None:
    """A run whose local data changed after its ranges were made is refused, and says which file."""
    paths = [write(tmp_path / f"{name}.root", 100) for name in "ab"]
    result = ROOT.RDataFrame("t", paths, executor=fexec, npartitions=2, options={"survey": True}).Sum("x")
    plan = rdf_lithops.plan(result)
    write(tmp_path / "b.root", 100)  # of the same size
    futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
    with pytest.raises(DataAccessError) as caught:
        plan.deliver(fexec.get_result(futures))
    assert ("changed", paths[1]) == (caught.value.kind, caught.value.url)
    assert "run the query again" in str(caught.value)


def test_another_tree_of_a_file_is_another_graph(fexec: Any, tmp_path: Path) -> None:
    """Two trees of one file, of different types, are each read as what they are."""
    path = tmp_path / "two.root"
    for tree, code in (("t1", "int(rdfentry_)"), ("t2", "1.5 * double(rdfentry_)")):
        write(path, 8, tree, x=code)
    for tree, expected in (("t1", 28.0), ("t2", 42.0), ("t1", 28.0)):
        assert expected == ROOT.RDataFrame(tree, str(path), executor=fexec, npartitions=1).Sum("x").GetValue()


def friend_sum(main: str, other: str, tree: str = "f", **given: Any) -> float:
    """The sum of the friend's column."""
    chain, friend = ROOT.TChain("t"), ROOT.TChain(tree)
    chain.Add(main)
    friend.Add(other)
    chain.AddFriend(friend, "fr")
    _kept.extend([chain, friend])
    return float(ROOT.RDataFrame(chain, **given).Sum("fr.y").GetValue())


@pytest.mark.parametrize("survey", [True, False])
def test_another_friend_is_another_graph(survey: bool, fexec: Any, tmp_path: Path) -> None:
    """A friend of another name, of another file, or that was rewritten with another type, is read as it is."""
    main, other = write(tmp_path / "main.root", 8), tmp_path / "other.root"
    given = {"executor": fexec, "npartitions": 2, "options": {"survey": survey}}
    write(other, 8, "f", y="int(rdfentry_)")
    write(other, 8, "g", y="2.5 * rdfentry_")
    for tree, expected in (("f", 28.0), ("g", 70.0)):
        assert expected == friend_sum(main, str(other), tree, **given)
    third = write(tmp_path / "third.root", 8, "f", y="float(rdfentry_) / 2")
    assert 14.0 == friend_sum(main, third, **given)
    os.remove(other)
    write(other, 8, "f", y="1.5 * rdfentry_")
    assert 42.0 == friend_sum(main, str(other), **given)


def test_other_metadata_is_another_graph(fexec: Any, tmp_path: Path) -> None:
    """The same files with other metadata, or other names of samples, give their own answer."""
    path = write(tmp_path / "a.root", 10)

    def answer(weight: float, name: str) -> list[float]:
        metadata = ROOT.RDF.Experimental.RMetaData()
        metadata.Add("w", weight)
        spec = ROOT.RDF.Experimental.RDatasetSpec().AddSample((name, "t", path, metadata))
        frame = ROOT.RDataFrame(spec, executor=fexec, npartitions=2)
        frame = frame.DefinePerSample("w", 'rdfsampleinfo_.GetD("w")')
        frame = frame.DefinePerSample("n", "double(rdfsampleinfo_.GetSampleName().size())")
        booked = [frame.Sum("w"), frame.Sum("n")]
        return [float(result.GetValue()) for result in booked]

    assert [10.0, 20.0] == answer(1.0, "ab")
    assert [30.0, 20.0] == answer(3.0, "ab")
    assert [30.0, 50.0] == answer(3.0, "abcde")
