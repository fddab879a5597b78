"""Credentials reach the ROOT process and nobody else, and leave no trace."""

from __future__ import annotations

import base64
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from kinds import quickly
from marks import MARKS, READ_TOKEN, S3_SECRET, SSS_KEY, TOKEN, found_in, token_query
from test_finding_credentials import _nothing_of_this_user, keytab, private  # noqa: F401
from waiting import until

import rdf_lithops
from rdf_lithops import Options
from rdf_lithops.dataset import credentials
from rdf_lithops.executor import registry
from rdf_lithops.travels.sealed import CredentialsUnreadable, installed, unseal

CONFIG = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
LIMIT_S = 60.0


# -- sealed -----------------------------------------------------------------------------------------------------------


def test_sealed_needs_the_key_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs have two keys and one name for the same contents; the wrong key, or none, opens nothing and says so."""
    monkeypatch.setenv("BEARER_TOKEN", "MARKED")
    keyring = credentials.Keyring()
    (first, key), (second, other) = (keyring.seal(credentials.find(["token"])) for _ in range(2))
    assert b"MARKED" not in first.ciphertext + base64.b64decode(first.ciphertext, altchars=b"-_")
    assert (key != other, first.set_id == second.set_id) == (True, True)
    assert base64.b64encode(b"MARKED") in unseal(first, key)
    for wrong in (None, other, "x"):
        with pytest.raises(CredentialsUnreadable):
            unseal(first, wrong)
    monkeypatch.setenv("BEARER_TOKEN", "RENEWED")
    assert keyring.seal(credentials.find(["token"]))[0].set_id != first.set_id
    assert "MARKED" not in repr(first) + repr(keyring)


def test_installed_for_the_time_of_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are private and gone afterwards, also after a failure, and whatever a killed request has left."""
    monkeypatch.setenv("BEARER_TOKEN", "MARKED")
    sealed, key = credentials.Keyring().seal(credentials.find(["token"]))
    place = tmp_path / "place"
    place.mkdir()
    (place / "token").write_text("left by a killed request")
    with pytest.raises(ZeroDivisionError), installed(unseal(sealed, key), str(place)):
        assert "MARKED" == Path(os.environ["BEARER_TOKEN_FILE"]).read_text()
        assert (0o700, 0o600) == tuple(stat.S_IMODE(path.stat().st_mode) for path in (place, place / "token"))
        _ = 1 / 0
    assert not place.exists()
    monkeypatch.delenv("BEARER_TOKEN_FILE")


ABORTING = """
import os, resource, sys
from rdf_lithops.travels.sealed import Sealed, installed, pack, unseal
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
packed = pack({"token": b"MARKED"}, {})
if sys.argv[1] == "installed":
    with installed(packed, os.path.join(os.getcwd(), "place")):
        os.abort()
if sys.argv[1] == "unsealed":
    from cryptography.fernet import Fernet
    key = Fernet.generate_key()
    unseal(Sealed(Fernet(key).encrypt(packed), "name"), key.decode())
os.abort()
"""


@pytest.mark.parametrize("where", ["installed", "unsealed"])
def test_process_with_credentials_leaves_no_core(where: str, tmp_path: Path) -> None:
    """Where a crash leaves a core, whatever this machine does with cores, a process that has credentials leaves none."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    dumped = {}
    for given in ("without", where):
        process = subprocess.Popen(
            [sys.executable, "-c", ABORTING, given], env={**os.environ, "RDF_LITHOPS_WORKER": "1"}, cwd=tmp_path
        )
        _, status = os.waitpid(process.pid, 0)
        process.returncode = -os.WTERMSIG(status)
        assert signal.SIGABRT == os.WTERMSIG(status)
        dumped[given] = os.WCOREDUMP(status)
    assert not dumped[where]
    # a machine that allows cores, and keeps them in files or hands them to a program that takes them, has made the other
    assert dumped["without"] or limits[1] == 0 or Path("/proc/sys/kernel/core_pattern").read_text()[0] in "|/"


def test_reader_leaves_no_core(own_fexec: lithops.FunctionExecutor) -> None:
    """The process that fetches remote files is told keys and signed URLs: its limit is one byte, which is no core."""
    session = registry.session_for(own_fexec, Options())
    folder = session.reader(Options())
    (reader,) = [
        process
        for process in psutil.Process().children(recursive=True)
        if {"rdf_lithops.files.reader", folder} <= set(process.cmdline())
    ]
    assert reader.rlimit(psutil.RLIMIT_CORE)[0] <= 1


# -- a run, and what it leaves ----------------------------------------------------------------------------------------


@pytest.fixture
def marked(own_fexec: lithops.FunctionExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Marked secrets where users keep theirs, and options that send them along; the ROOT process was started without."""
    monkeypatch.setenv("BEARER_TOKEN_FILE", private(tmp_path / "bearer", TOKEN))
    monkeypatch.setenv("XrdSecSSSKT", private(tmp_path / "keytab", keytab(0, SSS_KEY)))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no such file"))
    found = credentials.find(["token", "sss"])
    (s3,) = [credentials.Credential("s3", "test", files={"s3": S3_SECRET.encode()})]
    monkeypatch.setitem(credentials._FINDERS, "s3", lambda: s3)
    assert ["token", "sss"] == [item.kind for item in found]
    return Options(credentials=("token", "sss", "s3"))


@pytest.fixture(scope="module")
def own_fexec() -> Iterator[lithops.FunctionExecutor]:
    """An executor whose ROOT process has started, without credentials in its environment, and may be killed."""
    executor = lithops.FunctionExecutor(config=CONFIG, log_level=None)
    registry.session_for(executor, Options())
    yield executor
    executor.__exit__(None, None, None)


def files_with_secrets(folder: Path, spared: tuple[Path, ...], marks: Iterable[str] = MARKS) -> dict[str, list[str]]:
    """Files below ``folder`` that have a marked secret in them, but for those that the user put there."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file() or any(path.is_relative_to(other) for other in spared):
            continue
        try:
            secrets = found_in(path.read_bytes(), marks)
        except OSError:
            continue
        if secrets:
            found[str(path)] = secrets
    return found


def processes_with_secrets(marks: Iterable[str] = MARKS) -> dict[str, list[str]]:
    """Processes of this test that have a marked secret, or a run's key, in their arguments or environment."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            dump = "\0".join([*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())])
        except psutil.Error:
            continue
        secrets = found_in(dump.encode(), marks) + (["run key"] if "RDF_LITHOPS_RUN_KEY" in dump else [])
        if secrets:
            found[str(process)] = secrets
    return found


def in_thread(action: Callable[[], Any]) -> tuple[threading.Thread, dict[str, Any]]:
    """Run ``action`` in a thread; its value or its error lands in the dictionary."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = action()
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def installed_files(executor: lithops.FunctionExecutor) -> list[Path]:
    """Files with credentials in the folder of an executor's ROOT process, at this moment."""
    return [
        path
        for path in Path(registry.session_of(executor).processes.warm_folder, "credentials").glob("*/*")
        if path.is_file()
    ]


@pytest.fixture
def _read_token(registries: Any) -> None:
    """Workers know the function that reads the token."""
    ROOT.RDF.Distributed.DistributeCppCode(READ_TOKEN)


@pytest.mark.usefixtures("_read_token")
def test_secrets_are_found_nowhere_but_where_they_are_used(
    marked: Options, own_fexec: lithops.FunctionExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In mid-run the secrets are in private files of the ROOT process alone; afterwards they are nowhere."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("lithops").setLevel(logging.DEBUG)
    logging.getLogger("lithops").addHandler(caplog.handler)
    temporary = Path(tempfile.gettempdir())
    keys = set(temporary.rglob("rdf_lithops-key-*"))  # of drivers that other tests have killed
    query = token_query(own_fexec, marked, 2, 2500)
    thread, outcome = in_thread(query.GetValue)
    try:
        places = until(lambda: len(files := installed_files(own_fexec)) >= 3 and files)
        assert places, "credentials on the worker"
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in places}
        private_folder = Path(registry.session_of(own_fexec).processes.warm_folder, "credentials")
        assert {} == files_with_secrets(temporary, (private_folder, tmp_path.parent))
        assert {} == processes_with_secrets()
    finally:
        thread.join(LIMIT_S)
        logging.getLogger("lithops").removeHandler(caplog.handler)
    assert {"value": 2 * len(TOKEN)} == outcome
    assert [] == installed_files(own_fexec)
    assert {} == files_with_secrets(temporary, (tmp_path.parent,))
    assert "Serializing function and data" in caplog.text  # the logs were on
    assert [] == found_in(caplog.text.encode())
    report = rdf_lithops.report(query)
    assert [] == found_in(f"{report} {report!r} {report.to_json()} {report._repr_html_()}".encode())
    assert keys == set(temporary.rglob("rdf_lithops-key-*"))


@pytest.mark.usefixtures("_read_token")
def test_next_run_without_credentials_meets_none(
    marked: Options, own_fexec: lithops.FunctionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same graph run without credentials finds none of the run before, and works in another process."""
    assert 2 * len(TOKEN) == token_query(own_fexec, marked).GetValue()
    assert 2 * len(TOKEN) == token_query(own_fexec, marked).GetValue()
    assert 0 == token_query(own_fexec, Options(credentials=())).GetValue()
    monkeypatch.setenv("BEARER_TOKEN", "renewed")
    assert 2 * len("renewed") == token_query(own_fexec, marked).GetValue()


@pytest.mark.usefixtures("_read_token")
@pytest.mark.parametrize("victim", quickly(["slot", "parent"], "slot"))
def test_killed_process_leaves_no_credentials(marked: Options, own_fexec: lithops.FunctionExecutor, victim: str) -> None:
    """SIGKILL of the process that has them, or of its parent: the run recovers, and no file stays."""
    thread, outcome = in_thread(token_query(own_fexec, marked, 2, 700).GetValue)
    installed = until(lambda: installed_files(own_fexec))
    assert installed, "credentials on the worker"
    first = installed[0]
    slot = psutil.Process(int(first.parent.name))
    os.kill(slot.pid if victim == "slot" else slot.ppid(), signal.SIGKILL)
    thread.join(LIMIT_S)
    assert {"value": 2 * len(TOKEN)} == outcome
    assert [] == installed_files(own_fexec)
    assert not first.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_read_token")
def test_without_a_warm_process(marked: Options, own_fexec: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """Where ROOT runs in the task itself the credentials are there too, and gone afterwards."""
    options = Options(credentials=marked.credentials, warm=False)
    assert len(TOKEN) == token_query(own_fexec, options, entries=1).GetValue()
    assert {} == files_with_secrets(Path(tempfile.gettempdir()), (tmp_path.parent,))


@pytest.mark.usefixtures("_read_token")
def test_errors_hold_no_secret(marked: Options, own_fexec: lithops.FunctionExecutor) -> None:
    """A failure of a graph that had credentials shows none of them, whole chain and fields included."""
    frame = ROOT.RDataFrame(2, executor=own_fexec, npartitions=2, options=marked)
    query = frame.Define("n", 'throw std::runtime_error("on purpose " + std::to_string(read_token().size())); return 1;')
    with pytest.raises(rdf_lithops.RangeError, match=f"on purpose {len(TOKEN)}") as caught:
        query.Sum("n").GetValue()
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb)) + repr(vars(caught.value))
    assert [] == found_in(shown.encode())


def test_plan_shows_no_secret_and_no_key(marked: Options, own_fexec: lithops.FunctionExecutor) -> None:
    """A plan can be printed, and its parts too."""
    count = ROOT.RDataFrame(2, executor=own_fexec, options=marked).Count()
    plan = rdf_lithops.plan(count)
    assert plan.map_task.surroundings.sealed is not None
    assert [] == found_in(f"{plan} {plan!r} {plan.map_task!r}".encode())
    key = Path(plan.map_task.surroundings.sealed.key_file).read_text()
    assert key not in f"{plan!r}"
    plan.deliver(own_fexec.get_result(own_fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)))
    assert 2 == count.GetValue()
    assert not Path(plan.map_task.surroundings.sealed.key_file).exists()
