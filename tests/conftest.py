"""What all tests share: one Lithops executor on this machine, datasets on disk, and DistRDF's registries kept clean."""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# before lithops is imported: without it two Lithops programs of one user delete each other's copy of the package.
os.environ["PYTHONSAFEPATH"] = "1"
# before ROOT is: most of the time would be compilation, of code that runs over few entries (make test-all: as users have it)
os.environ.setdefault("EXTRA_CLING_ARGS", "-O0")
# and RDataFrame's templates come from libraries that `make test` has built, or from none: nothing is built on the side
os.environ.setdefault(
    "RDF_LITHOPS_INSTANTIATIONS",
    next(map(str, Path(__file__).resolve().parent.parent.glob(".venv/instantiations")), "off"),
)
# and each of pytest's processes is a Lithops program: it gets a folder of its own
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    tempfile.tempdir = os.environ["TMPDIR"] = os.path.join(tempfile.gettempdir(), worker)
    os.makedirs(tempfile.tempdir, exist_ok=True)

import datasets
import lambda_standin
import lithops
import pytest
import ROOT
from batch.fixtures import *  # noqa: F403  # one Slurm per session, for tests that ask for it
from lambda_standin.fixtures import *  # noqa: F403  # one Lambda per session, likewise
from servers.fixtures import *  # noqa: F403  # one of each server per session, for tests that ask for it

import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT

ROOT.gROOT.SetBatch(True)
ROOT.TH1.AddDirectory(False)

REPOSITORY = Path(__file__).resolve().parent.parent
LOCALHOST_CONFIG = REPOSITORY / "configs" / "localhost.yaml"
WITHOUT_ROOT: dict[str, Any] = {  # of an executor whose calls need no ROOT: none starts beside it
    "lithops": {"backend": "localhost", "storage": "localhost"},
    "localhost": {"version": 1},
    "rdf_lithops": {"warm": False},
}
CAPTURED: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}  # for subprocess.run


def jobs_of(executor: Any) -> int:
    """How many runs this executor has made: Lithops numbers the maps and the reduce of one alike."""
    return int(executor.total_jobs)


def pytest_configure(config: pytest.Config) -> None:
    """Lithops configures its logger anew with each executor and leaves the unused handler's /dev/null open, as it does the
    files of modules in which it looks for what a function imports."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed file .*/dev/null:ResourceWarning")
    config.addinivalue_line("filterwarnings", r"ignore:unclosed file .*/tests/.*\.py:ResourceWarning")
    # no test measures time, hypothesis' own included; by its name, as Lithops looks for modules in what is imported here
    hypothesis = importlib.import_module("hypothesis")
    hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on Lambda first, so that one of several pytest processes has them all: each has a stand-in of its own."""
    items.sort(key=lambda item: "standing_lambda" not in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say where the calls of Lambda's tests ran, if there were any."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    if any("test_lambda" in report.nodeid for report in reports):
        terminalreporter.write_line(f"AWS Lambda's execution environments were {lambda_standin.where()}")


@pytest.fixture(scope="session")
def fexec() -> Iterator[lithops.FunctionExecutor]:
    """One executor of this machine for all tests, from the configuration that users are given."""
    executor = lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG))
    yield executor
    executor.__exit__(None, None, None)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> datasets.Datasets:
    """All generated datasets, written once."""
    return datasets.generate(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(autouse=True)
def _safe_path_is_set() -> Iterator[None]:
    """Two Lithops clients of one user must not delete each other's package, before and after each test."""
    assert "1" == os.environ.get("PYTHONSAFEPATH")
    yield
    assert "1" == os.environ.get("PYTHONSAFEPATH")


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that write by relative path write into their own folder."""
    monkeypatch.chdir(tmp_path)


_numbers = itertools.count()


@pytest.fixture
def tag() -> str:
    """A name that no other test declares: what ROOT was told in this process stays for its life."""
    return f"test_{os.getpid()}_{next(_numbers)}"


@pytest.fixture
def registries() -> Iterator[Any]:
    """DistRDF's registries are class attributes shared by all back ends: empty in the test, restored after it."""
    import ROOT._distrdf.Backends.Base as base

    backend = base.BaseBackend
    kept = {
        name: vars(backend)[name]
        for name in ("initialization", "headers", "files", "pcms", "shared_libraries", "strings_to_declare")
    }
    backend.initialization = staticmethod(_nothing)
    backend.headers, backend.files, backend.pcms, backend.shared_libraries = set(), set(), set(), set()
    backend.strings_to_declare = {}
    yield backend
    for name, value in kept.items():
        setattr(backend, name, value)


@pytest.fixture(autouse=True)
def _declared() -> Iterator[None]:
    """What a test gives to the interpreter does not travel with the next one's graphs."""
    from rdf_lithops.graph import recording

    kept, recording._steps[:] = list(recording._steps), []
    yield
    recording._steps[:] = kept


def _nothing() -> None:
    """The initialisation of somebody who asked for none."""
