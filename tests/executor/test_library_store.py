"""What was compiled on the driver's machine is compiled nowhere else: libraries travel to workers elsewhere, once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.testing
import psutil
import pytest
import ROOT
from lambda_standin.environment import Places
from lambda_standin.standing import standing

from rdf_lithops.cli import _run, main
from rdf_lithops.compiled import build, instantiation_lines, library, noting
from rdf_lithops.executor import library_store
from rdf_lithops.executor.session import OF_A_JOB, Session
from rdf_lithops.options import Options
from rdf_lithops.worker import libraries

MEAN = instantiation_lines.action("Mean", ["short"], "double")  # no catalogue has these
MAX = instantiation_lines.action("Max", ["short"], "double")
pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache with a library of one instantiation."""
    cache = tmp_path_factory.mktemp("cache")
    program = f"""
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build, library
        build.build(library.folder(), "learned-one", {[MEAN]!r})
    """
    variables = {name: value for name, value in os.environ.items() if name != library.VARIABLE}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    subprocess.run(command, env={**variables, "XDG_CACHE_HOME": str(cache)}, check=True, timeout=120)
    return cache


@pytest.fixture
def cache(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of that library in a cache of the test's own, which is this program's."""
    shutil.copytree(built, tmp_path / "driver")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "driver"))
    monkeypatch.delenv(library.VARIABLE)
    yield Path(library.folder())
    library_store._left_out.clear()


class Storage(SimpleNamespace):
    """Lithops' storage, of which every request is counted."""

    bucket = "bucket"

    def __init__(self) -> None:
        super().__init__(objects={}, asked=[])

    def head_object(self, bucket: str, key: str) -> None:
        self.asked.append(("head", key))
        if key not in self.objects:
            raise LookupError(key)

    def put_object(self, bucket: str, key: str, data: bytes) -> None:
        self.asked.append(("put", key))
        self.objects[key] = data

    def get_object(self, bucket: str, key: str) -> bytes:
        self.asked.append(("get", key))
        return bytes(self.objects[key])


def session(storage: Storage, local: bool = False) -> Any:
    """What is asked of a session."""
    return SimpleNamespace(storage=storage, local=local, offered=None)


def test_workers_elsewhere_get_what_was_compiled_here(cache: Path, tmp_path: Path) -> None:
    """A new worker on Lambda has Cling instantiate what no library of the driver's machine has, and nothing else."""
    places = Places(None, variables={"XDG_CACHE_HOME": str(tmp_path / "worker")})
    with standing(places, quota=1) as made:
        frame = ROOT.RDataFrame(100, executor=made.executor, npartitions=1, options={"instantiations": "use"})
        column = frame.Define("s", "short(rdfentry_)")
        mean, largest = column.Mean("s"), column.Max("s")
        assert (49.5, 99) == (mean.GetValue(), largest.GetValue())
    wanted = {line for path in cache.glob(f"{noting.WANTED}*") for line in path.read_text().splitlines()}
    assert MAX in wanted
    assert MEAN not in wanted


RECORDING = """#!/bin/sh
case " $* " in *" -c "*) echo compiled >>{said}; exit 1;; esac
exec {compiler} "$@"
"""


@pytest.mark.slow
def test_what_is_missing_is_made_when_the_program_ends(
    fexec: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver whose calls run elsewhere has the libraries made that its machine lacks, when it is done."""
    said, programs = tmp_path / "said", tmp_path / "programs"
    programs.mkdir()
    for name in ("g++", "c++"):
        (programs / name).write_text(RECORDING.format(said=said, compiler=build.compiler()))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    before = set(psutil.Process().children())
    session = Session.of(
        SimpleNamespace(executor_id="x", storage=fexec.storage, job_monitor=fexec.job_monitor), None, local=False
    )
    session.makes_libraries = True
    assert not said.exists()
    session.close()
    psutil.wait_procs(set(psutil.Process().children()) - before, timeout=60)
    assert said.exists()


def test_a_library_is_stored_once(cache: Path) -> None:
    """However many queries and programs come, each library is stored once; what lies there is what a worker gets."""
    storage, options = Storage(), Options()
    ours = session(storage)
    first = library_store.offered(ours, options)
    assert first is not None
    assert ["head", "put"] == [verb for verb, _ in storage.asked]
    assert first == library_store.offered(ours, options)
    assert first == library_store.offered(session(storage), options)
    assert ["head", "put", "head"] == [verb for verb, _ in storage.asked]
    for ending in (".so", ".json"):
        shutil.copy(cache / f"learned-one{ending}", cache / f"learned-two{ending}")
    more = library_store.offered(ours, options)
    assert more is not None
    assert ["learned-one", "learned-two"] == sorted(bundle["name"] for bundle in more["bundles"])
    assert more["root"] == library.key()


def test_a_storage_that_takes_no_library(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Full, or refusing: the run goes on without libraries, which are an advantage and no need, and says so once."""
    storage, options = Storage(), Options()
    storage.put_object = lambda *given: Path("/dev/full").write_bytes(given[2])  # the kernel's own error
    ours = session(storage)
    assert [None, None] == [library_store.offered(ours, options) for _ in range(2)]
    (said,) = caplog.messages
    assert "No space left on device" in said


@pytest.mark.parametrize("how", ["on localhost", "not used"])
def test_nothing_travels(cache: Path, how: str) -> None:
    """Where workers have this machine's libraries, or none are used, no request is made for them."""
    storage = Storage()
    options = Options(instantiations="off") if how == "not used" else Options()
    assert library_store.offered(session(storage, local=how == "on localhost"), options) is None
    assert [] == storage.asked


def test_a_machine_that_has_a_library_fetches_none(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where a worker's processes look by themselves, in an image or a home that is shared, is not fetched."""
    storage = Storage()
    offered = library_store.offered(session(storage), Options())
    with libraries.at_hand(offered, storage, str(tmp_path / "place")) as found:
        assert [] == found
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "worker"))
    with libraries.at_hand(offered, storage, str(tmp_path / "place")) as found:
        assert ["learned-one.json", "learned-one.so"] == sorted(os.listdir(found[0]))
        assert library.read(os.path.join(found[0], "learned-one.so")).lines == (MEAN,)


DAMAGES = {
    "lost": lambda storage, bundle: storage.objects.clear(),
    "altered": lambda storage, bundle: storage.objects.update({bundle["key"]: b"something else"}),
    "cut": lambda storage, bundle: storage.objects.update({bundle["key"]: storage.objects[bundle["key"]][:-600]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_library_that_cannot_be_had(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    """One that is gone from the storage, or is not what the driver put there, is left out, and the task's log says so."""
    storage = Storage()
    offered = library_store.offered(session(storage), Options())
    assert offered is not None
    DAMAGES[damage](storage, offered["bundles"][0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "worker"))
    with libraries.at_hand(offered, storage, str(tmp_path / "place")) as found:
        assert [] == found
    assert "an instantiation library is left out" in capfd.readouterr().out


def test_a_library_that_does_not_load_there(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What workers say that they cannot load is sent there no more, and the user is told once, with what to do."""
    ours = session(Storage())
    for _ in range(2):
        library_store.leave_out("learned-one.so")
    assert library_store.offered(ours, Options()) is None
    (said,) = [record.getMessage() for record in caplog.records]
    assert "learned-one.so does not load on workers" in said
    assert "rdf-lithops cache build" in said


LOADED = """
    import os, sys
    from rdf_lithops.compiled import library
    from rdf_lithops.worker import libraries
    from rdf_lithops.worker.root import initialisation
    initialisation.initialise()
    place, root = sys.argv[1], sys.argv[2] or library.key()
    libraries.load(root, [place])
    libraries.load(root, [place])
    print(len(initialisation.instantiated), libraries.left_out)
"""


@pytest.mark.parametrize(
    ("root", "library_is", "expected"),
    [("", "whole", "1 []"), ("another", "whole", "0 ['learned-one.so']"), ("", "of another system", "0 ['learned-one.so']")],
)
def test_what_came_is_loaded(cache: Path, tmp_path: Path, root: str, library_is: str, expected: str) -> None:
    """A library that came is loaded once; one for another ROOT, or that does not load here, is named."""
    if library_is != "whole":
        source = tmp_path / "x.cxx"
        source.write_text("extern int nobody_has_this(); int call() { return nobody_has_this(); }")
        command = [str(build.compiler()), "-shared", "-fPIC", str(source), "-o", str(cache / "learned-one.so")]
        subprocess.run(command, check=True, timeout=60)
        (cache / "learned-one.so").chmod(0o600)
        described = library.json.loads((cache / "learned-one.json").read_text())
        digest = library.hashlib.sha256((cache / "learned-one.so").read_bytes()).hexdigest()
        (cache / "learned-one.json").write_text(library.json.dumps({**described, "sha256": digest}))
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LOADED), str(cache), root]
    variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "worker")}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stderr[-3000:]
    assert expected == done.stdout.strip()


@pytest.fixture
def elsewhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """A Lithops configuration, and its storage with nothing of ours in it."""
    config = tmp_path / "elsewhere.yaml"
    config.write_text(
        "lithops: {backend: localhost, storage: localhost, data_cleaner: False}\n"
        f"localhost: {{storage_bucket: {tmp_path.name}}}\n"
    )
    storage = _run.storage(str(config))
    library_store.remove_stored(storage)
    yield str(config), storage
    library_store.remove_stored(storage)


def cached(*arguments: str) -> click.testing.Result:
    """What ``rdf-lithops cache`` prints."""
    return click.testing.CliRunner().invoke(main, ["cache", *arguments])


def test_what_lies_in_a_storage_is_listed_checked_and_cleared(elsewhere: tuple[str, Any], cache: Path) -> None:
    """With --config the verbs of ``cache`` are about a storage, and clear removes nothing of anybody else's."""
    config, storage = elsewhere
    assert 1 == library_store.put(storage, str(cache))
    listed = json.loads(cached("list", "--config", config, "--json").stdout)
    assert [("learned-one", 1, "")] == [(each["name"], each["lines"], each["wrong"]) for each in listed["libraries"]]
    assert "1 libraries" in cached("list", "--config", config).output
    assert 0 == cached("check", "--config", config).exit_code
    (key,) = storage.list_keys(storage.bucket, f"{library_store.LIBRARIES_PREFIX}/")
    strangers = f"{library_store.LIBRARIES_PREFIX}/notes.txt", "rdf_lithops/mine.tar"
    for name in strangers:
        storage.put_object(storage.bucket, name, b"mine")
    storage.put_object(storage.bucket, key, storage.get_object(storage.bucket, key)[:-1] + b"?")
    damaged = cached("check", "--config", config)
    assert 3 == damaged.exit_code
    assert "it is not what its name says" in damaged.output
    cleared = json.loads(cached("clear", "--config", config, "--json").stdout)
    assert 1 == cleared["removed"]
    assert set(strangers) <= {*storage.list_keys(storage.bucket, "rdf_lithops/")}
    assert [] == list(library_store.stored(storage))
    storage.delete_objects(storage.bucket, list(strangers))
    assert (cache / "learned-one.so").exists()  # what lies here is another matter


@pytest.mark.parametrize(
    ("backend", "variable", "expected"),
    [
        ("aws_lambda", None, True),
        ("slurm", None, False),
        ("htcondor", None, False),
        ("slurm", "SLURM_JOB_ID", True),
        ("htcondor", "_CONDOR_JOB_AD", True),
    ],
)
def test_no_compiler_runs_on_a_login_node(
    backend: str, variable: str | None, expected: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver whose calls a batch system runs makes no libraries, unless it is a job itself; any other driver does."""
    for name in OF_A_JOB:
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    monitor = SimpleNamespace(type="storage")
    executor = SimpleNamespace(config={"lithops": {"backend": backend}}, executor_id="x", storage=None, job_monitor=monitor)
    found = Session.of(executor, executor, local=False)
    assert expected == found.may_compile()
    assert expected == ("login node" not in library_store._why_not(found, Options()))
