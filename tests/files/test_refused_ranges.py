"""A server that refuses in the middle: the error is that of the data, whatever was read and wherever it broke off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lithops
import pytest
import refusing_server
import ROOT
from refusing_server import Refusing

import rdf_lithops
from rdf_lithops import DataAccessError

CONFIG = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
ENTRIES = 200_000  # of two doubles: ten times what is read ahead of a file's beginning and end
KINDS = {403: "denied", 404: "missing", 412: "changed"}
HEAD_BYTES = 1000
MIDDLE_BYTES = 200_000  # more than the baskets of both columns that lie side by side


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree and an RNTuple, each in two files, of columns that do not compress."""
    folder = tmp_path_factory.mktemp("written")
    for form in ("tree", "rntuple"):
        for name in "ab":
            options = ROOT.RDF.RSnapshotOptions()
            options.fOutputFormat = getattr(ROOT.RDF.ESnapshotOutputFormat, {"tree": "kTTree", "rntuple": "kRNTuple"}[form])
            frame = ROOT.RDataFrame(ENTRIES).Define("x", "gRandom->Rndm()").Define("y", "gRandom->Rndm()")
            frame.Snapshot("events", str(folder / f"{form}_{name}.root"), ["x", "y"], options)
    return folder


@pytest.fixture
def server(written: Path, tmp_path: Path) -> Iterator[Refusing]:
    """A server of them that nobody has read from."""
    folder = tmp_path / "served"
    folder.mkdir()
    for path in written.iterdir():
        os.link(path, folder / path.name)
    with refusing_server.running(folder) as serving:
        yield serving


@pytest.fixture(scope="module")
def own_fexec() -> Iterator[lithops.FunctionExecutor]:
    """An executor whose reader has read nothing from any of these servers, of which each test has one."""
    with lithops.FunctionExecutor(config=CONFIG, log_level=None) as executor:
        yield executor


@pytest.mark.parametrize("status", KINDS)
@pytest.mark.parametrize("form", ["tree", "rntuple"])
def test_refused_in_the_middle(form: str, status: int, server: Refusing, own_fexec: lithops.FunctionExecutor) -> None:
    """A server that refuses part of a file is an error that names the file and is not tried again; other files are read."""
    name = f"{form}_a.root"
    middle = (server.folder / name).stat().st_size // 4
    server.refuse(name, middle, middle + MIDDLE_BYTES, status)
    query = ROOT.RDataFrame("events", f"{server.url}/{name}", executor=own_fexec, npartitions=1).Sum("x")
    with pytest.raises(DataAccessError, match=name) as caught:
        query.GetValue()
    assert KINDS[status] == caught.value.kind
    other = ROOT.RDataFrame("events", f"{server.url}/{form}_b.root", executor=own_fexec, npartitions=1).Count()
    assert ENTRIES == other.GetValue()


@pytest.mark.parametrize("where", ["head", "end"])
@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("form", ["tree", "rntuple"])
def test_refused_where_a_file_begins_or_ends(
    form: str, which: str, where: str, server: Refusing, own_fexec: lithops.FunctionExecutor
) -> None:
    """A file of a chain whose header or footer is refused is an error of the data, too: the first, and one in mid-loop."""
    name = f"{form}_{which}.root"
    size = (server.folder / name).stat().st_size
    server.refuse(name, *((0, HEAD_BYTES) if where == "head" else (size - HEAD_BYTES, size)), 403)
    urls = [f"{server.url}/{form}_{each}.root" for each in "ab"]
    with pytest.raises(DataAccessError, match=name) as caught:
        ROOT.RDataFrame("events", urls, executor=own_fexec, npartitions=1).Sum("x").GetValue()
    assert "denied" == caught.value.kind


def test_refused_and_tried_again(server: Refusing, own_fexec: lithops.FunctionExecutor) -> None:
    """A refusal that may pass is tried as often as the options say, and then told as that of the data."""
    name = "rntuple_a.root"
    middle = (server.folder / name).stat().st_size // 4
    server.refuse(name, middle, middle + MIDDLE_BYTES, 418)
    options = {"attempts": 2}
    query = ROOT.RDataFrame("events", f"{server.url}/{name}", executor=own_fexec, npartitions=1, options=options).Sum("x")
    with pytest.raises(rdf_lithops.RunError, match="status 418") as caught:
        query.GetValue()
    assert "poison" not in str(caught.value)


def test_a_refused_file_leaves_no_connection(server: Refusing, own_fexec: lithops.FunctionExecutor) -> None:
    """Files that cannot be opened cost no descriptor: the reader would count each as somebody who reads."""
    ROOT.RDataFrame("events", f"{server.url}/tree_a.root", executor=own_fexec, npartitions=1)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        with pytest.raises(OSError):
            ROOT.TFile.Open(f"{server.url}/nothing_{number}.root")
    assert before == len(os.listdir("/proc/self/fd"))


def test_a_server_without_ranges(written: Path, own_fexec: lithops.FunctionExecutor) -> None:
    """A server that sends whole files only is read all the same: trees and RNTuples."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(written)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port is not None
            for form in ("tree", "rntuple"):
                names = [f"{form}_{each}.root" for each in "ab"]
                expected = ROOT.RDataFrame("events", [str(written / name) for name in names]).Max("x").GetValue()
                urls = [f"http://127.0.0.1:{port[1]}/{name}" for name in names]
                frame = ROOT.RDataFrame("events", urls, executor=own_fexec, npartitions=2)
                assert expected == frame.Max("x").GetValue()
        finally:
            server.kill()
