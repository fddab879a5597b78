"""Snapshot to XRootD servers that ask who one is, by workers that know it from the driver alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG
from datasets import Datasets
from test_output import selected

import rdf_lithops
from rdf_lithops import Options, OutputError
from rdf_lithops.executor import registry
from rdf_lithops.files import stores

COLUMNS = ["i", "q"]
SLOW = pytest.mark.slow
KINDS = ["anonymous", *(pytest.param(kind, marks=SLOW) for kind in ("sss", "krb5", "gsi"))]
PREFIXES = ("XrdSec", "KRB5", "X509", "BEARER_TOKEN")


@pytest.fixture
def blank_fexec(monkeypatch: pytest.MonkeyPatch) -> Iterator[lithops.FunctionExecutor]:
    """An executor whose ROOT process has started without any variable of a credential."""
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    executor = lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG))
    registry.session_for(executor, Options())
    yield executor
    executor.__exit__(None, None, None)


# what is seen of Snapshots that hold every event once, in whole files that plain RDataFrame reads
WRITTEN = {
    "files": [3, 2, 1],
    "read by local RDataFrame": [True, True],
    "read by what Snapshot returned": True,
    "left of the second": set[str](),
    "beside the last": {"skim.rdf_lithops.json"},
    "parts name the last": True,
}


def written_to(url: str, folder: Path, fexec: lithops.FunctionExecutor, files: Datasets) -> dict[str, Any]:
    """What is seen of Snapshots to ``url``, which lie in ``folder``: of a first one, of a second that takes its place, and
    of a third that takes that of the second, and merges its parts."""

    def write(npartitions: int, **options: Any) -> Any:
        frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=npartitions, options=options)
        return selected(frame).Snapshot("skim", url, COLUMNS)

    def names() -> list[str]:
        return sorted(map(str, folder.glob("*.root")))

    def is_whole() -> bool:
        return expected["i"].tolist() == ROOT.RDataFrame("skim", names()).AsNumpy(["i"])["i"].tolist()

    expected = selected(ROOT.RDataFrame("events", files.main)).AsNumpy(COLUMNS)
    returned = write(3)
    first, whole = names(), [is_whole()]
    by_returned = expected["q"].tolist() == returned.AsNumpy(["q"])["q"].tolist()
    write(2)  # the program once more: what it wrote is replaced
    second = names()
    write(2, overwrite=True, file_mib=100)
    last = names()
    return {
        "files": [len(first), len(second), len(last)],
        "read by local RDataFrame": [*whole, is_whole()],
        "read by what Snapshot returned": by_returned,
        "left of the second": set(second) & set(last),
        "beside the last": {path.name for path in folder.iterdir()} - {os.path.basename(name) for name in last},
        "parts name the last": rdf_lithops.parts(url) == [f"{url.rpartition('/')[0]}/{os.path.basename(n)}" for n in last],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_snapshot_to_xrootd(
    kind: str,
    xrootd: Callable[[str], Any],
    files: Datasets,
    blank_fexec: lithops.FunctionExecutor,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With the driver's credentials and no other the workers write there and read back."""
    server = xrootd(kind)
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)
    url, folder = f"{server.url}/out-{kind}/skim.root", server.data / f"out-{kind}"
    assert WRITTEN == written_to(url, folder, blank_fexec, files)


def test_a_folder_is_made_before_many_write_to_it(xrootd: Callable[[str], Any]) -> None:
    """With all folders above it, and twice does nothing."""
    server = xrootd("anonymous")
    for _ in range(2):
        stores.store_of(server.url).prepare(f"{server.url}/made/for/many/")
        assert (server.data / "made" / "for" / "many").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sss", "krb5"])
def test_snapshot_without_credentials_is_refused(
    kind: str, xrootd: Callable[[str], Any], blank_fexec: lithops.FunctionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is given none is refused by the server, and the run ends with that after one try."""
    server = xrootd(kind)
    options = Options(credentials=(), attempts=2)
    frame = ROOT.RDataFrame(10, executor=blank_fexec, npartitions=1, options=options).Define("x", "1")
    with pytest.raises(OutputError, match="cannot write root://"):
        frame.Snapshot("t", f"{server.url}/refused.root", ["x"])
    assert not (server.data / "refused.root").exists()
