"""Credentials are found where users keep them, reach the ROOT process and nobody else, and leave no trace."""

from __future__ import annotations

import base64
import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from click.testing import CliRunner
from conftest import CAPTURED
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from marks import READ_TOKEN, S3_SECRET, SSS_KEY, TOKEN, found_in, token_query

import rdf_lithops
from rdf_lithops import CredentialsError, Options, credentials, job
from rdf_lithops.cli import main
from rdf_lithops.worker.credentials import CredentialsUnreadable, installed, unseal

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
CONFIG = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
LIMIT_S = 60.0
PREFIXES = ("AWS_", "BEARER_TOKEN", "KRB5", "X509_", "XrdSec", "XDG_RUNTIME_DIR")


@pytest.fixture(autouse=True)
def _nothing_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of whoever runs the tests are out of the way."""
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("KRB5CCNAME", "X509_USER_PROXY"):
        monkeypatch.setenv(name, str(tmp_path / "no such file"))


# -- what they look like on disk --------------------------------------------------------------------------------------


def token(expires: datetime, secret: str = "signature") -> str:
    """A JSON Web Token of ``alice`` with that signature."""
    parts = [{"alg": "ES256"}, {"sub": "alice", "iss": "https://issuer", "exp": int(expires.timestamp())}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, secret])


def proxy(expires: datetime) -> bytes:
    """A proxy: a certificate that alice's has issued, its private key, and hers."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("alice", "proxy of alice")]
    until = {0: NOW + timedelta(days=300), 1: expires}
    pem = []
    for number in (1, 0):
        builder = x509.CertificateBuilder(names[0], names[number], keys[number].public_key(), 7)
        builder = builder.not_valid_before(datetime(2000, 1, 1)).not_valid_after(until[number])
        pem.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    format_, none = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    pem.insert(1, keys[1].private_bytes(serialization.Encoding.PEM, format_, none))
    return b"".join(pem)


def ticket_cache(expires: datetime, service: str = "krbtgt") -> bytes:
    """A Kerberos cache of format 4 with one ticket for ``service``, as MIT's documentation describes it."""

    def data(value: bytes) -> bytes:
        return len(value).to_bytes(4, "big") + value

    def principal(*parts: str) -> bytes:
        encoded = b"".join(data(part.encode()) for part in ("EXAMPLE.ORG", *parts))
        return (1).to_bytes(4, "big") + len(parts).to_bytes(4, "big") + encoded

    header = (1).to_bytes(2, "big") + (8).to_bytes(2, "big") + bytes(8)
    alice, end_s = principal("alice"), int(expires.timestamp())
    times = b"".join(moment.to_bytes(4, "big") for moment in (0, 0, end_s, end_s))
    key = (18).to_bytes(2, "big") + data(b"k" * 32)
    empty = (0).to_bytes(4, "big")
    ticket = alice + principal(service, "EXAMPLE.ORG") + key + times + bytes(5) + empty + empty + data(b"ticket") + empty
    return b"\x05\x04" + len(header).to_bytes(2, "big") + header + alice + ticket


def keytab(expires_s: int, key: str = "0f" * 32) -> str:
    """An sss keytab as XRootD's xrdsssadmin writes it."""
    return f"0 u:anybody g:usrgroup n:test N:6891 c:1700000000 e:{expires_s} f:0 k:{key}\n"


def private(path: Path, contents: bytes | str) -> str:
    """Write a file that its owner alone may read."""
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    path.chmod(0o600)
    return str(path)


def only(kind: str) -> credentials.Credential:
    """The one credential of ``kind`` that is found."""
    (found,) = credentials.find([kind])
    return found


# -- finding ----------------------------------------------------------------------------------------------------------


def test_kerberos_cache_is_found_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KRB5CCNAME names a file, with or without FILE:; its principal and the end of its ticket are read from it."""
    path = private(tmp_path / "cache", ticket_cache(NOW))
    for name in (path, f"FILE:{path}"):
        monkeypatch.setenv("KRB5CCNAME", name)
        assert ("alice@EXAMPLE.ORG", NOW, "") == (only("krb5").holder, only("krb5").expires, only("krb5").trouble)
    private(tmp_path / "cache", ticket_cache(NOW, "host"))
    assert "no ticket-granting ticket" in only("krb5").trouble
    private(tmp_path / "cache", ticket_cache(NOW)[:-30])
    assert "not a Kerberos cache" in only("krb5").trouble


@pytest.mark.parametrize("name", ["KEYRING:persistent:0", "KCM:", "DIR:/tmp/krb5cc", "MEMORY:x"])
def test_kerberos_cache_that_is_no_file_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be copied to a worker is reported, with the command that makes one that can."""
    monkeypatch.setenv("KRB5CCNAME", name)
    assert "cannot be copied" in only("krb5").trouble
    assert "kinit" in only("krb5").trouble


def test_proxy_is_found_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy ends when the first certificate of its chain does, and is its issuer's."""
    monkeypatch.setenv("X509_USER_PROXY", private(tmp_path / "proxy", proxy(NOW)))
    assert ("CN=alice", NOW, "") == (only("x509").holder, only("x509").expires, only("x509").trouble)
    private(tmp_path / "proxy", b"nonsense")
    assert "no certificate" in only("x509").trouble
    private(tmp_path / "proxy", proxy(NOW).split(b"-----BEGIN EC")[0])
    assert "no private key" in only("x509").trouble


def test_tokens_are_found_in_the_order_of_wlcg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BEARER_TOKEN, then BEARER_TOKEN_FILE, then bt_u<uid> of the runtime folder."""
    runtime = private(tmp_path / f"bt_u{os.getuid()}", token(NOW) + "\n")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert (runtime, NOW, "alice of https://issuer") == (only("token").source, only("token").expires, only("token").holder)
    assert token(NOW).encode() == only("token").files["token"]
    named = private(tmp_path / "named", token(NOW + timedelta(hours=1)))
    monkeypatch.setenv("BEARER_TOKEN_FILE", named)
    assert (named, NOW + timedelta(hours=1)) == (only("token").source, only("token").expires)
    monkeypatch.setenv("BEARER_TOKEN", "opaque")
    assert ("BEARER_TOKEN", None, "") == (only("token").source, only("token").expires, only("token").trouble)


def test_sss_key_is_found_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keytab of XrdSecSSSKT, or the default one; a key that names no end has none."""
    (tmp_path / ".xrd").mkdir()
    default = private(tmp_path / ".xrd" / "sss.keytab", keytab(0))
    assert (default, None, "test") == (only("sss").source, only("sss").expires, only("sss").holder)
    monkeypatch.setenv("XrdSecSSSKT", private(tmp_path / "other", keytab(int(NOW.timestamp()))))
    assert NOW == only("sss").expires
    private(tmp_path / "other", "nothing here")
    assert "no key" in only("sss").trouble


def test_s3_keys_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of AWS; the endpoint and the region go with them, and of the key its last letters are shown."""
    assert [] == credentials.find(["s3"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE1234")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sec%ret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert "key …1234" == only("s3").holder
    assert "http://127.0.0.1:9" == only("s3").environment["AWS_ENDPOINT_URL_S3"]
    assert b"aws_secret_access_key = sec%ret" in only("s3").files["s3"]
    assert "sec%ret" not in repr(only("s3")) + str(only("s3").environment)


def test_s3_profile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of AWS_PROFILE, and the endpoint and region that go with it; a profile that is not there is no key."""
    pytest.importorskip("botocore")
    keys = "[grid]\naws_access_key_id = AKIAGRID9876\naws_secret_access_key = hidden\n"
    settings = "[profile grid]\nendpoint_url = https://s3.example\nregion = cern\n"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", private(tmp_path / "keys", keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", private(tmp_path / "settings", settings))
    monkeypatch.setenv("AWS_PROFILE", "grid")
    assert "key …9876" == only("s3").holder
    named = only("s3").environment
    assert ("https://s3.example", "cern") == (named["AWS_ENDPOINT_URL"], named["AWS_DEFAULT_REGION"])
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert [] == credentials.find(["s3"])


def test_unreadable_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there and cannot be read is said to be so, not passed over."""
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path))
    assert "cannot be read" in only("token").trouble


@pytest.mark.parametrize(
    ("urls", "kinds"),
    [
        ([], ()),
        (["/data/f.root", "http://host/f.root"], ()),
        (["s3://bucket/f.root"], ("s3",)),
        (["https://host/f.root"], ("token",)),
        (["root://host//f.root", "s3://b/f.root", "f.root"], ("krb5", "x509", "token", "sss", "s3")),
    ],
)
def test_only_what_the_data_may_need(urls: list[str], kinds: tuple[str, ...]) -> None:
    """A run over local files takes no credential along; others take those that their servers speak."""
    assert kinds == credentials.kinds_for(urls)


def test_expiry_is_held_against_the_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Expired is an error with the command that renews; ending within the user's deadline too; else a warning."""
    monkeypatch.setenv("BEARER_TOKEN", token(NOW))
    with pytest.raises(CredentialsError, match=r"token \(BEARER_TOKEN\): expired at 2030(.|\n)*next: .*htgettoken"):
        credentials.for_run(["token", "x509"], None, NOW)
    before = NOW - timedelta(seconds=600)
    with pytest.raises(CredentialsError, match="would end before the run's deadline of 900"):
        credentials.for_run(["token"], 900.0, before)
    assert ["token"] == [item.kind for item in credentials.for_run(["token"], 500.0, before)]
    assert [] == caplog.records
    assert ["token"] == [item.kind for item in credentials.for_run(["token"], None, before)]
    assert "renew it" in caplog.text
    assert token(NOW) not in caplog.text


def test_status_names_everything_but_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says what there is, until when, and what to do about what there is not."""
    soon = datetime.now(timezone.utc) + timedelta(hours=3, minutes=1, seconds=30)
    monkeypatch.setenv("BEARER_TOKEN", token(soon, "MARKED"))
    monkeypatch.setenv("X509_USER_PROXY", private(tmp_path / "proxy", proxy(NOW - timedelta(days=4000))))
    done = CliRunner().invoke(main, ["auth", "status"])
    assert 0 == done.exit_code, done.output
    lines = done.output.splitlines()
    assert any(line.startswith("krb5  none") and "kinit" in line for line in lines)
    assert any(line.startswith("x509  expired") for line in lines)
    assert any(line.startswith("token usable") and "3 h 01 min" in line for line in lines)
    assert "MARKED" not in done.output
    assert 1 == CliRunner().invoke(main, ["auth", "status", "s3://b/f.root"]).exit_code
    assert "no credential is needed" in CliRunner().invoke(main, ["auth", "status", "f.root"]).output


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
from rdf_lithops.worker.credentials import installed, pack
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
packed = pack({"token": b"MARKED"}, {}) if sys.argv[1] == "with" else None
with installed(packed, os.path.join(os.getcwd(), "place")):
    os.abort()
"""


@pytest.mark.skipif(Path("/proc/sys/kernel/core_pattern").read_text()[0] in "|/", reason="cores do not land in the folder")
@pytest.mark.parametrize(("given", "cores"), [("without", 1), ("with", 0)])
def test_process_with_credentials_leaves_no_core(given: str, cores: int, tmp_path: Path) -> None:
    """A crash that leaves a core leaves none while there are credentials in the process."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    if limits[1] != resource.RLIM_INFINITY:
        pytest.skip("this machine allows no cores")
    variables = {**os.environ, "RDF_LITHOPS_WORKER": "1"}
    done = subprocess.run([sys.executable, "-c", ABORTING, given], **{**CAPTURED, "env": variables, "cwd": tmp_path})
    assert -signal.SIGABRT == done.returncode
    assert cores == len(list(tmp_path.glob("core*")))


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
    job.session_for(executor, Options())
    yield executor
    executor.__exit__(None, None, None)


def files_with_secrets(folder: Path, spared: tuple[Path, ...]) -> dict[str, list[str]]:
    """Files below ``folder`` that have a marked secret in them, but for those that the user put there."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file() or any(path.is_relative_to(other) for other in spared):
            continue
        try:
            secrets = found_in(path.read_bytes())
        except OSError:
            continue
        if secrets:
            found[str(path)] = secrets
    return found


def processes_with_secrets() -> dict[str, list[str]]:
    """Processes of this test that have a marked secret, or a run's key, in their arguments or environment."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            dump = "\0".join([*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())])
        except psutil.Error:
            continue
        secrets = found_in(dump.encode()) + (["run key"] if "RDF_LITHOPS_RUN_KEY" in dump else [])
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


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    return pytest.fail(f"{what}: not within {LIMIT_S} s")


def installed_files(executor: lithops.FunctionExecutor) -> list[Path]:
    """Files with credentials in the folder of an executor's ROOT process, at this moment."""
    return [path for path in Path(job._sessions[executor].warm_folder, "credentials").glob("*/*") if path.is_file()]


@pytest.fixture
def _read_token(registries: Any) -> None:
    """Workers know the function that reads the token."""
    ROOT.RDF.Distributed.DistributeCppCode(READ_TOKEN)


@pytest.mark.usefixtures("_read_token")
def test_secrets_are_found_nowhere_but_where_they_are_used(
    marked: Options, own_fexec: lithops.FunctionExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In mid-run the secrets are in private files of the ROOT process and nowhere else: not in the storage, job files, logs
    at their most talkative, arguments or environments; afterwards they are nowhere, the report included."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("lithops").setLevel(logging.DEBUG)
    logging.getLogger("lithops").addHandler(caplog.handler)
    temporary = Path(tempfile.gettempdir())
    keys = set(temporary.rglob("rdf_lithops-key-*"))  # of drivers that other tests have killed
    query = token_query(own_fexec, marked, 2, 2500)
    thread, outcome = in_thread(query.GetValue)
    try:
        places = until(lambda: len(files := installed_files(own_fexec)) >= 3 and files, "credentials on the worker")
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in places}
        private_folder = Path(job._sessions[own_fexec].warm_folder, "credentials")
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
    """The same graph on the same warm process, run without credentials, finds neither files nor variables of the run before,
    and works in another process, where no connection of it can be open."""
    assert 2 * len(TOKEN) == token_query(own_fexec, marked).GetValue()
    assert 2 * len(TOKEN) == token_query(own_fexec, marked).GetValue()
    assert 0 == token_query(own_fexec, Options(credentials=())).GetValue()
    monkeypatch.setenv("BEARER_TOKEN", "renewed")
    assert 2 * len("renewed") == token_query(own_fexec, marked).GetValue()


@pytest.mark.usefixtures("_read_token")
@pytest.mark.parametrize("victim", ["slot", pytest.param("parent", marks=pytest.mark.slow)])
def test_killed_process_leaves_no_credentials(marked: Options, own_fexec: lithops.FunctionExecutor, victim: str) -> None:
    """SIGKILL of the process that has them, or of its parent: the run recovers, and no file stays."""
    thread, outcome = in_thread(token_query(own_fexec, marked, 2, 700).GetValue)
    first = until(lambda: installed_files(own_fexec), "credentials on the worker")[0]
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
