"""Overwriting a Snapshot takes what is known to be its own, all of it or nothing, and nothing that the run reads."""

from __future__ import annotations

import errno
import glob
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ROOT
from chaos import overwrite
from servers import daemons

import rdf_lithops
from rdf_lithops import OutputError
from rdf_lithops.dataset import driver_processes, identity, manifest, snapshots
from rdf_lithops.executor import leftovers
from rdf_lithops.files import stores

END = "skim.rdf_lithops.json"


def write(executor: Any, name: str, version: int = 1, entries: int = 30, npartitions: int = 3, **more: Any) -> Any:
    """A Snapshot ``name`` whose events all have that version, in a file a range."""
    options = {"overwrite": True, "file_mib": 1e-6, **more}
    frame = ROOT.RDataFrame(entries, executor=executor, npartitions=npartitions, options=options)
    return frame.Define("v", str(version)).Define("n", "int(rdfentry_)").Snapshot("t", name, ["v", "n"])


def local(path: Path | str, version: int = 9, entries: int = 5) -> bytes:
    """A file that local ROOT writes; its bytes."""
    ROOT.RDataFrame(entries).Define("v", str(version)).Define("n", "int(rdfentry_)").Snapshot("t", str(path), ["v", "n"])
    return Path(path).read_bytes()


def events(names: list[str]) -> list[tuple[int, int]]:
    """The events of files as plain RDataFrame reads them."""
    columns = ROOT.RDataFrame("t", names).AsNumpy(["v", "n"])
    return sorted(zip(columns["v"].tolist(), columns["n"].tolist(), strict=True))


def of(version: int, entries: int = 30) -> list[tuple[int, int]]:
    """What ``write`` writes."""
    return [(version, number) for number in range(entries)]


def test_neighbours_are_not_touched(fexec: Any, tmp_path: Path) -> None:
    """Years and numbers in file names are other people's datasets: they stay, with and without overwriting."""
    names = ("data_2016.root", "data_2017.root", "data_1_0.root", "data_notes.root", "data_20160101_000.root", "data2.root")
    strangers = {tmp_path / name: local(tmp_path / name) for name in names}
    write(fexec, "data.root", version=1, overwrite=False)
    write(fexec, "data.root", version=2, npartitions=2)
    assert strangers == {path: path.read_bytes() for path in strangers}
    assert of(2) == events(rdf_lithops.parts("data.root"))
    assert {*names, "data_0.root", "data_1.root", "data.rdf_lithops.json"} == {path.name for path in tmp_path.iterdir()}


def test_a_dataset_whose_name_is_longer_is_not_touched(fexec: Any, tmp_path: Path) -> None:
    """ "skim_1" and "skim" are two datasets, though a part of the one has the name that a single file of the other has."""
    write(fexec, "skim_1.root", version=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write(fexec, "skim.root", version=2, overwrite=False)
    write(fexec, "skim.root", version=3)
    assert before == {path: path.read_bytes() for path in before}
    with pytest.raises(OutputError, match=r"skim_1.root cannot be written beside(.|\n)*skim_1.root"):
        write(fexec, "skim_1.root", version=4)
    assert (of(1), of(3)) == (events(rdf_lithops.parts("skim_1.root")), events(rdf_lithops.parts("skim.root")))


def test_a_failed_overwrite_leaves_the_old_dataset_whole(fexec: Any, tmp_path: Path) -> None:
    """Ranges that went well have replaced nothing when another fails."""
    write(fexec, "skim.root", version=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    frame = ROOT.RDataFrame(30, executor=fexec, npartitions=3, options={"overwrite": True, "ranges_per_call": 3})
    failing = frame.Define("v", 'if (rdfentry_ == 25) throw std::runtime_error("on purpose"); return 2;')
    with pytest.raises(rdf_lithops.RangeError, match="on purpose"):
        failing.Snapshot("t", "skim.root", ["v"])
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["skim_0.root", "skim_0123abc0_00000.root"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_only_looks_like_ours_is_refused(fexec: Any, tmp_path: Path, name: str, overwrite: bool) -> None:
    """Before anything runs, and the error names the file: nobody says that it is a part of this dataset."""
    bytes_of_it = local(tmp_path / name)
    with pytest.raises(OutputError, match=rf"files that are in its way(.|\n)*{name}(.|\n)*remove them"):
        write(fexec, "skim.root", overwrite=overwrite)
    assert [(name, bytes_of_it)] == [(path.name, path.read_bytes()) for path in tmp_path.iterdir()]


def test_a_part_that_somebody_has_replaced_is_his(fexec: Any, tmp_path: Path) -> None:
    """A file is known by more than its name; a copy of the folder is still a dataset."""
    write(fexec, "skim.root", version=1)
    subprocess.run(["cp", "-r", tmp_path, f"{tmp_path}-copy"], check=True)
    theirs = local(tmp_path / "skim_1.root")
    with pytest.raises(OutputError, match=r"in its way(.|\n)*skim_1.root"):
        write(fexec, "skim.root", version=2)
    assert theirs == (tmp_path / "skim_1.root").read_bytes()
    write(fexec, f"{tmp_path}-copy/skim.root", version=2, npartitions=2)
    assert of(2) == events(glob.glob(f"{tmp_path}-copy/skim*.root"))


def test_a_single_file_of_the_very_name_is_replaced(fexec: Any, tmp_path: Path) -> None:
    """A file of the very name is replaced, as by local ROOT's own Snapshot, but only when asked to."""
    local("skim.root")
    with pytest.raises(OutputError, match=r"there is a file of the name .*/skim.root already(.|\n)*skim.root"):
        write(fexec, "skim.root", overwrite=False)
    write(fexec, "skim.root", version=2)
    assert of(2) == events(glob.glob("skim*.root"))


@pytest.mark.parametrize("kind", ["chain", "friend", "specification", "hard link"])
def test_what_the_run_reads_is_not_overwritten(fexec: Any, tmp_path: Path, kind: str) -> None:
    """Whatever way a file comes into the run, and by whatever name."""
    write(fexec, "skim.root", npartitions=1)
    local("main.root", entries=30)
    chain = ROOT.TChain("t")
    if kind == "hard link":
        os.link("skim.root", "linked.root")
        arguments: tuple[Any, ...] = ("t", "linked.root")
    elif kind == "specification":
        arguments = (ROOT.RDF.Experimental.RDatasetSpec().AddSample(("s", "t", "skim.root")),)
    elif kind == "chain":
        chain.Add("main.root")
        chain.Add("skim.root")
        arguments = (chain,)
    else:
        chain.Add("main.root")
        chain.AddFriend("t", "skim.root")
        arguments = (chain,)
    frame = ROOT.RDataFrame(*arguments, executor=fexec, npartitions=1, options={"overwrite": True})
    with pytest.raises(OutputError, match=r"while it is read(.|\n)*(skim|linked).root"):
        frame.Define("w", "1").Snapshot("t", "skim.root", ["w"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("s3://b/out//skim.root", "s3://b/out//skim.root", True),
        ("s3://b/out/skim.root", "http://127.0.0.1:9000/b/out/skim.root", True),
        ("s3://b/out/skim.root", "http://127.0.0.1:9001/b/out/skim.root", False),
        ("s3://b/out/a b.root", "https://b.s3.eu-west-1.amazonaws.com/out/a%20b.root", True),
        ("s3://b/out/skim.root", "https://s3.amazonaws.com/b/out/skim.root", True),
        ("s3://b/out/skim.root", "s3://c/out/skim.root", False),
        ("root://host//eos/x/skim.root", "root://HOST:1094///eos/x/skim.root", True),
        ("root://host//eos/x/skim.root", "roots://user@host//eos/x/skim.root", True),
        ("root://host//eos/x/skim.root", "/eos/x/skim.root", True),
        ("https://host/a/../skim.root", "https://host/skim.root", False),
        ("https://host:443/a/skim.root", "https://host/a/skim.root", True),
        ("skim.root", "./../here/skim.root", True),
        ("skim.root", "skim_0.root", False),
    ],
)
def test_one_object_has_many_names(
    one: str, other: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are compared as what they name: paths as the system does, URLs without their ways of spelling."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert same == identity.same(one, other) == identity.same(other, one)


def test_a_folder_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EOS' and SMB's folders have none: files appear whole there too, and a duplicate leaves what is there."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for contents in ("first", "again"):
        (tmp_path / "source").write_text(contents)
        stores.put(str(tmp_path / "source"), f"{tmp_path}/target", replace=False)
    assert "first" == (tmp_path / "target").read_text()
    assert {"source", "target"} == {path.name for path in tmp_path.iterdir()}


def test_two_runs_of_one_name_do_not_meet(fexec: Any, tmp_path: Path) -> None:
    """While a driver of this machine is writing a name, another run of it is refused."""
    manifest.begin(f"{tmp_path}/", "skim", "0123abc0")
    with pytest.raises(OutputError, match=rf"another run writes .*/skim.root(.|\n)*process {os.getpid()}"):
        write(fexec, "skim.root")


def test_a_planned_snapshot_that_is_not_run_is_in_nobodys_way(fexec: Any, tmp_path: Path) -> None:
    """Looking at a plan leaves nothing beside the dataset, and a run may follow while the plan is kept."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    booked = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "1").Snapshot("t", "skim.root", ["x"], options)
    planned = rdf_lithops.plan(booked)
    assert [] == list(tmp_path.iterdir())
    assert 10 == booked.GetValue().Count().GetValue()
    del planned
    assert [END, "skim.root"] == sorted(path.name for path in tmp_path.iterdir())


def dead_driver() -> dict[str, Any]:
    """The description of a process of this machine that has ended."""
    program = "import json; from rdf_lithops.dataset import driver_processes; print(json.dumps(driver_processes.describe()))"
    environment = {**os.environ, "LITHOPS_WORKER": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True, timeout=60)
    described: dict[str, Any] = json.loads(done.stdout)
    assert driver_processes.lives(described) is False
    return described


@pytest.mark.parametrize("by", ["the next run", "gc"])
def test_what_a_killed_driver_left_is_removed(fexec: Any, tmp_path: Path, by: str) -> None:
    """By the next run of the name or by gc: its parts and its record, and nothing of another run."""
    write(fexec, "skim.root", version=1)
    (tmp_path / "skim.0123abc0.rdf_lithops-run").write_text(json.dumps(dead_driver()))
    (tmp_path / "skim_0123abc0_00000.root.rdf_lithops-part").write_text("whole")
    (tmp_path / "skim_0123abc0_00001.root.rdf_lithops-part.77777777.rdf_lithops-part").write_text("half")
    (tmp_path / "skim_7777abc0_00000.root.rdf_lithops-part").write_text("somebody else's")
    if by == "gc":
        leftovers.remove(
            None, [leftovers.Leftover("run", 0.0, outputs=((f"{tmp_path}/", "skim", "0123abc0"),))], snapshots.tidy
        )
        assert of(1) == events(rdf_lithops.parts("skim.root"))
    else:
        write(fexec, "skim.root", version=2)
        assert of(2) == events(rdf_lithops.parts("skim.root"))
    expected = {END, "skim_0.root", "skim_1.root", "skim_2.root", "skim_7777abc0_00000.root.rdf_lithops-part"}
    assert expected == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("may_write", [True, False])
def test_an_interrupted_publication_is_finished_by_its_readers(
    fexec: Any, tmp_path: Path, may_write: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is killed before it renames leaves the new dataset to whoever asks, and touches no other file."""
    write(fexec, "skim.root", version=1)
    for number in range(2):
        os.link(f"{tmp_path}/skim_{number}.root", f"{tmp_path}/skim_0123abc0_0000{number}.root.rdf_lithops-part")
    staged = sorted(map(str, tmp_path.glob("skim_0123abc0*")))
    destination, seen = snapshots.Destination(f"{tmp_path}/", "skim", "0123abc0"), manifest.look(f"{tmp_path}/", "skim")
    manifest.commit(seen, snapshots._published(destination, seen, staged))  # and here it was killed
    if not may_write:
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
    names = rdf_lithops.parts("skim.root")
    assert 2 == len(names) == len([name for name in names if os.path.exists(name)])
    assert of(1, 20) == events(names)
    monkeypatch.undo()
    snapshots.tidy(f"{tmp_path}/", "skim", "0123abc0")
    assert {END, "skim_0.root", "skim_1.root"} == {path.name for path in tmp_path.iterdir()}


def test_a_part_that_comes_too_late_replaces_nothing(fexec: Any, tmp_path: Path) -> None:
    """What a call delivers that was given up is not noticed by readers, and the next run takes it away."""
    write(fexec, "skim.root", version=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    late = json.loads((tmp_path / END).read_text())["files"][1]["staged"]
    local("late.root")
    os.rename("late.root", late)
    assert of(1) == events(rdf_lithops.parts("skim.root"))
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != late}
    write(fexec, "skim.root", version=2)
    assert (of(2), False) == (events(rdf_lithops.parts("skim.root")), (tmp_path / late).exists())


@pytest.mark.parametrize(
    ("name", "kills"),
    [("folder", 3), *(pytest.param(name, 8, marks=pytest.mark.slow) for name in overwrite.PLACES)],
)
@pytest.mark.timeout(600)
def test_killed_at_each_step(name: str, kills: int, tmp_path: Path) -> None:
    """Whenever a driver that overwrites is killed, the old dataset is there or the new; the next run leaves nothing else."""
    tmp_path.chmod(0o755)  # servers have users of their own
    try:
        with overwrite.place(name, tmp_path) as made:
            overwrite.kill_at_each_step(made, kills, random.Random(1))
            made.end()
    except daemons.ServerMissing as missing:
        pytest.skip(str(missing))
    assert kills == made.tally["killed"]
    assert made.tally["old"] and made.tally["new"]
