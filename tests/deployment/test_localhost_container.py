"""This machine in containers of the workers' image, by ``configs/localhost_container.yaml``: ``make test-container``."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
import yaml
from conftest import REPOSITORY
from lithops.constants import TEMP_DIR
from waiting import until

import rdf_lithops
from rdf_lithops.deployment import runtime

pytestmark = [
    pytest.mark.slow,
    # Lithops waits for none of the commands with which it removes containers
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
IMAGE = os.environ.get("RDF_LITHOPS_LOCAL_IMAGE", "")


@pytest.fixture(scope="module", autouse=True)
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lithops takes the ``docker`` that comes first on PATH, though none may answer: it is the one that has the image."""
    if not IMAGE:
        pytest.skip("no image is named: make test-container (RDF_LITHOPS_LOCAL_IMAGE)")
    folder = tmp_path_factory.mktemp("bin")
    (folder / "docker").symlink_to(runtime.tool())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def fexec(tool: None) -> Iterator[lithops.FunctionExecutor]:
    """Lithops' own executor of the configuration, with the image that was built; it leaves no folder behind."""
    config = yaml.safe_load((REPOSITORY / "configs" / "localhost_container.yaml").read_text())
    config["localhost"]["runtime"] = IMAGE
    before = set(Path(TEMP_DIR).glob("rdf_lithops-*"))
    with lithops.FunctionExecutor(config=config) as made:
        yield made
    assert before == set(Path(TEMP_DIR).glob("rdf_lithops-*"))


@pytest.fixture(autouse=True)
def _no_container_is_left() -> Iterator[None]:
    """Those of a test end with it."""
    yield
    assert until(lambda: not containers())


def containers() -> list[str]:
    """The names of those that run for Lithops."""
    command = ["docker", "ps", "--filter", "name=lithops_", "--format", "{{.Names}}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def booked(frame: Any) -> Any:
    """A histogram of entry numbers."""
    return frame.Define("x", "rdfentry_ * 0.01").Histo1D(("h", "", 50, 0, 10), "x")


def test_a_histogram_of_a_container(fexec: Any) -> None:
    """Equal to local RDataFrame bin by bin; ROOT is the image's, in a container, and none runs on this machine for it."""
    expected = booked(ROOT.RDataFrame(1000)).GetValue()
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=2)
    result = booked(frame)
    inside = frame.Define("inside", 'int(!gSystem->AccessPathName("/opt/rdf/bin/python"))').Sum("inside")
    found = result.GetValue()
    assert [expected.GetBinContent(i) for i in range(52)] == [found.GetBinContent(i) for i in range(52)]
    assert 1000 == inside.GetValue()
    assert [] == [process for process in psutil.Process().children(recursive=True) if _is_root(process)]


def _is_root(process: psutil.Process) -> bool:
    try:
        return "rdf_lithops.worker.root" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_files_below_tmp_are_read(fexec: Any, tmp_path: Path) -> None:
    """A container sees this machine's folder for temporary files."""
    path = str(tmp_path / "data.root")
    ROOT.RDataFrame(100).Define("x", "double(rdfentry_)").Snapshot("t", path)
    if TEMP_DIR != "/tmp":
        pytest.skip("the folder for temporary files is not /tmp: calls know a file by another path than the driver")
    assert 4950 == ROOT.RDataFrame("t", path, executor=fexec, npartitions=2).Sum("x").GetValue()


def test_what_fails_in_a_container(fexec: Any) -> None:
    """The error is the range's own, and the next query is right."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=1, options={"attempts": 1})
    with pytest.raises(rdf_lithops.RangeError, match="thrown in a container"):
        frame.Define("x", 'throw std::runtime_error("thrown in a container"); return 1;').Sum("x").GetValue()
    assert 45 == ROOT.RDataFrame(10, executor=fexec, npartitions=1).Sum("rdfentry_").GetValue()


def test_a_container_that_is_killed(fexec: Any, tmp_path: Path) -> None:
    """Its calls run again in another one, and the answer is right."""
    mark = tmp_path / "mark"
    seen = os.path.join("/tmp", os.path.relpath(mark, TEMP_DIR))
    wait = f'{{ std::ofstream("{seen}") << 1; gSystem->Sleep(300000); }}'
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=1, options={"backoff_s": 0.0})
    total = frame.Define("one", f'if (gSystem->AccessPathName("{seen}")) {wait} return 1;').Sum("one")

    def kill() -> None:
        assert until(mark.exists)
        subprocess.run(["docker", "kill", *containers()], capture_output=True, timeout=60, check=True)

    thread = threading.Thread(target=kill)
    thread.start()
    assert 10 == total.GetValue()
    thread.join()
    assert 1 <= rdf_lithops.report(total).repeated
