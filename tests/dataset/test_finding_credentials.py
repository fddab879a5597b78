"""Credentials are found where users keep them, held against the run, and described without what they are made of."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rdf_lithops import CredentialsError
from rdf_lithops.cli import main
from rdf_lithops.dataset import credentials

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
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


@pytest.mark.parametrize("name", ["KEYRING:persistent:0", "KCM:", "MEMORY:x"])
def test_kerberos_cache_that_is_no_file_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be copied to a worker is reported, with the command that makes one that can."""
    monkeypatch.setitem(sys.modules, "krb5", None)  # as where the package is not installed
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
        (["http://s3.rdf-lithops.invalid/bucket/ntuple.root"], ("s3",)),  # as ROOT is told of an RNTuple
        (["https://host/f.root"], ("token",)),
        (["root://host//f.root", "s3://b/f.root", "f.root"], ("krb5", "x509", "token", "sss", "s3")),
    ],
)
def test_only_what_the_data_may_need(urls: list[str], kinds: tuple[str, ...]) -> None:
    """A run over local files takes no credential along; others take those that their servers speak."""
    assert kinds == credentials.kinds_for(urls)


def test_expiry_is_held_against_the_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What has expired, or ends too soon, is told with the command that renews it; asked for by name it is an error."""
    monkeypatch.setattr(credentials, "_warned", set())
    monkeypatch.setenv("BEARER_TOKEN", token(NOW))
    assert [] == credentials.for_run(["token", "x509"], None, now=NOW)
    assert re.search(r"token \(BEARER_TOKEN\): expired at 2030.*htgettoken", caplog.text)
    with pytest.raises(CredentialsError, match=r"token \(BEARER_TOKEN\): expired at 2030(.|\n)*next: .*htgettoken"):
        credentials.for_run(["token", "x509"], None, True, NOW)
    before = NOW - timedelta(seconds=600)
    assert ["token"] == [item.kind for item in credentials.for_run(["token"], 900.0, now=before)]
    assert "would end before the run's deadline of 900" in caplog.text
    with pytest.raises(CredentialsError, match="would end before the run's deadline of 900"):
        credentials.for_run(["token"], 900.0, True, before)
    caplog.clear()
    assert ["token"] == [item.kind for item in credentials.for_run(["token"], 500.0, now=before)]
    assert [] == caplog.records
    assert ["token"] == [item.kind for item in credentials.for_run(["token"], None, now=before)]
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
