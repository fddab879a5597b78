"""Files that cannot be read, one of each kind among good ones: an error that names it, or left out and reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ROOT
from datasets import Datasets

import rdf_lithops
from rdf_lithops.options import Options
from rdf_lithops.run.events import Event, FileSkipped

pytestmark = pytest.mark.filterwarnings("default")  # ROOT warns, too


def another_tree(path: Path, good: bytes) -> None:
    """A ROOT file without the tree."""
    with ROOT.TFile(str(path), "RECREATE") as file:
        file.WriteObject(ROOT.TNamed("something", "else"), "something")


BAD: dict[str, tuple[Callable[[Path, bytes], Any], str]] = {
    "missing": (lambda path, good: None, "does not exist"),
    "truncated": (lambda path, good: path.write_bytes(good[: len(good) // 2]), "truncated"),
    "zero_byte": (lambda path, good: path.write_bytes(b""), "empty"),
    "non_root": (lambda path, good: path.write_bytes(b"just text\n" * 500), "no ROOT file"),
    "wrong_tree": (another_tree, "no tree"),
}


def with_bad(files: Datasets, folder: Path, kinds: list[str]) -> tuple[list[str], list[str]]:
    """The good files, with bad ones between them: all, and the bad ones."""
    good = Path(files.main[0]).read_bytes()
    bad = []
    for kind in kinds:
        path = folder / f"{kind}.root"
        BAD[kind][0](path, good)
        bad.append(str(path))
    return [files.main[0], *bad, *files.main[1:]], bad


@pytest.mark.parametrize("kind", BAD)
def test_raise_names_the_file(fexec: Any, files: Datasets, tmp_path: Path, kind: str) -> None:
    """By default a bad file among good ones is an error with its name, not a smaller result."""
    paths, _ = with_bad(files, tmp_path, [kind])
    with pytest.raises(Exception, match=rf"{kind}\.root"):
        ROOT.RDataFrame("events", paths, executor=fexec, npartitions=3).Count().GetValue()


def test_skip_reports_each_file(fexec: Any, files: Datasets, tmp_path: Path, caplog: Any) -> None:
    """All kinds at once are left out: the answer is that of the good files, to the bit, and each is told and logged."""
    paths, bad = with_bad(files, tmp_path, list(BAD))
    with caplog.at_level(logging.WARNING, logger="rdf_lithops"):
        frame = ROOT.RDataFrame("events", paths, executor=fexec, npartitions=3, options=Options(on_bad_file="skip"))
    heard: list[Event] = []
    frame._headnode.backend.consumers = (heard.append,)
    booked = frame.Count(), frame.Sum("x")
    good = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=3)
    expected = good.Count(), good.Sum("x")
    assert [each.GetValue() for each in expected] == [each.GetValue() for each in booked]
    told = [event for event in heard if isinstance(event, FileSkipped)]
    assert bad == [event.path for event in told]
    assert all(BAD[kind][1] in event.why for kind, event in zip(BAD, told, strict=True))
    assert all(path in caplog.text for path in bad)


def test_skip_with_no_good_file(fexec: Any, files: Datasets, tmp_path: Path) -> None:
    """Nothing left is an error that says what is wrong with the files."""
    _, bad = with_bad(files, tmp_path, ["zero_byte", "non_root"])
    with pytest.raises(rdf_lithops.PlanError, match=r"got 2 bad ones.*empty"):
        ROOT.RDataFrame("events", bad, executor=fexec, options=Options(on_bad_file="skip"))


@pytest.mark.parametrize(
    "names",
    [
        ["run_[12].root"],
        ["good.root", "run_?.root"],
        ["$PLACE/run_*.root"],
        ["~/good.root"],
        ["good.root?#events", "run_1.root"],
    ],
    ids=["brackets", "mark", "variable", "home", "tree"],
)
def test_skip_means_the_same_files(
    names: list[str], fexec: Any, files: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patterns, variables, the home folder and trees in names mean what they mean to ROOT; bad files among them go."""
    for name in ("good", "run_1", "run_2"):
        (tmp_path / f"{name}.root").write_bytes(Path(files.main[0]).read_bytes())
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    given = [name if name[0] in "$~" else str(tmp_path / name) for name in names]
    expected = ROOT.RDataFrame("events", given).Count().GetValue()
    for bad in ([], ["run_3"]):
        for name in bad:
            (tmp_path / f"{name}.root").write_bytes(b"")
        frame = ROOT.RDataFrame("events", given, executor=fexec, npartitions=2, options={"on_bad_file": "skip"})
        assert expected == frame.Count().GetValue()


def test_skip_keeps_the_trees_of_a_chain(fexec: Any, tmp_path: Path) -> None:
    """A chain whose files have trees of different names loses the bad ones, and no name."""
    chain = ROOT.TChain("")
    for tree, entries in (("one", 10), ("two", 20)):
        path = str(tmp_path / f"{tree}.root")
        ROOT.RDataFrame(entries).Define("x", "1").Snapshot(tree, path, ["x"])
        chain.AddFile(path, ROOT.TTree.kMaxEntries, tree)
    expected = ROOT.RDataFrame(chain).Sum("x").GetValue()
    chain.AddFile(str(tmp_path / "missing.root"), ROOT.TTree.kMaxEntries, "two")
    frame = ROOT.RDataFrame(chain, executor=fexec, npartitions=2, options={"on_bad_file": "skip"})
    assert expected == frame.Sum("x").GetValue()


def test_a_pattern_of_rntuples_is_an_error(fexec: Any, tmp_path: Path) -> None:
    """ROOT expands no patterns for RNTuples: then nor does this option, which says what to give instead."""
    ROOT.RDataFrame(3).Define("x", "1").Snapshot("n", str(tmp_path / "n1.root"), ["x"], format_options())
    pattern = str(tmp_path / "n*.root")
    with pytest.raises(Exception, match="Cannot open"):
        ROOT.RDataFrame("n", pattern).Count().GetValue()
    with pytest.raises(Exception, match="Cannot open"):
        ROOT.RDataFrame("n", pattern, executor=fexec).Count().GetValue()
    for given in (pattern, [pattern]):
        with pytest.raises(rdf_lithops.PlanError, match=r"sorted\(glob.glob"):
            ROOT.RDataFrame("n", given, executor=fexec, options={"on_bad_file": "skip"})
    names = [str(tmp_path / "n1.root")]
    assert 3 == ROOT.RDataFrame("n", names, executor=fexec, options={"on_bad_file": "skip"}).Count().GetValue()


def format_options() -> Any:
    """Of a Snapshot that writes an RNTuple."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    return options


@pytest.mark.parametrize("what", ["friends", "an entry list"])
def test_skip_refuses_what_it_would_lose(what: str, fexec: Any, files: Datasets) -> None:
    """A chain with friends, or with an entry list, is not robbed of them: said before anything runs."""
    chain, friend, selected = ROOT.TChain("events"), ROOT.TChain("friends"), ROOT.TEntryList("selected", "")
    for name in files.main:
        chain.Add(name)
    if what == "friends":
        for name in files.friends:
            friend.Add(name)
        chain.AddFriend(friend)
    else:
        selected.Enter(1, chain)
        chain.SetEntryList(selected)
    with pytest.raises(rdf_lithops.PlanError, match=what):
        ROOT.RDataFrame(chain, executor=fexec, options={"on_bad_file": "skip"})


def test_another_policy() -> None:
    """A policy that does not exist is an error that names those that do."""
    with pytest.raises(rdf_lithops.PlanError, match="'raise' or 'skip', got 'ignore'"):
        Options(on_bad_file="ignore")
