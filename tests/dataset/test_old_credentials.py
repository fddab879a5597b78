"""A credential that nobody needs stops no run; one that somebody else has put there is not used; a refusal names the old."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import ROOT
from datasets import Datasets
from servers.s3 import S3
from servers.web import Web
from servers.xrootd import XRootD
from test_finding_credentials import _nothing_of_this_user, keytab, only, private, proxy, ticket_cache, token  # noqa: F401

from rdf_lithops import CredentialsError, DataAccessError
from rdf_lithops.dataset import credentials
from rdf_lithops.files import object_stores
from rdf_lithops.travels import sealed as far

AGO = datetime.now(timezone.utc) - timedelta(days=8)
NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files that belong to somebody else")

OLD = {  # what a user may have from last week: the variable that names it, and the file's contents
    "krb5": ("KRB5CCNAME", ticket_cache(AGO)),
    "x509": ("X509_USER_PROXY", proxy(AGO)),
    "token": ("BEARER_TOKEN_FILE", token(AGO)),
    "sss": ("XrdSecSSSKT", keytab(int(AGO.timestamp()))),
}
BROKEN = {"krb5": b"nonsense", "x509": b"nonsense", "token": None, "sss": b"no key"}


def events(name: str | list[str], **given: Any) -> int:
    """A sum over the tree of a file."""
    return int(ROOT.RDataFrame("events", name, **given).Sum("i").GetValue())


@pytest.fixture(autouse=True)
def _as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are given once in a program: each test is one."""
    monkeypatch.setattr(credentials, "_warned", set())


# -- nobody needs it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["old", "broken"])
@pytest.mark.parametrize("kind", list(OLD))
def test_public_data_behind_xrootd(
    kind: str,
    state: str,
    xrootd: Callable[[str], XRootD],
    files: Datasets,
    fexec: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A ticket, proxy, token or key that is old or no such thing is told, and the run over public files gives its answer."""
    variable, contents = OLD[kind]
    contents = contents if state == "old" else BROKEN[kind]
    place = tmp_path / "credential"
    monkeypatch.setenv(variable, str(place))
    if contents is None:
        place.mkdir()
    else:
        private(place, contents)
    url = xrootd("anonymous").put(files.main[0])
    assert events(files.main[0]) == events(url, executor=fexec, npartitions=2)
    (told,) = [record.getMessage() for record in caplog.records if kind in record.getMessage()]
    assert str(place) in told
    assert credentials.RENEW[kind] in told


def test_public_data_behind_https(
    web: Web, files: Datasets, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An old token is told once and left out; a run over public files goes on, with a deadline, too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN_FILE", private(tmp_path / "token", token(AGO)))
    shutil.copy(files.main[0], web.root / "public.root")
    for _ in range(2):
        assert events(files.main[0]) == events(f"{web.https}/public.root", executor=fexec, npartitions=2)
    monkeypatch.setenv(
        "BEARER_TOKEN_FILE", private(tmp_path / "short", token(datetime.now(timezone.utc) + timedelta(minutes=5)))
    )
    options = {"deadline_s": 3000.0}
    assert events(files.main[0]) == events(f"{web.https}/public.root", executor=fexec, npartitions=2, options=options)
    warned = [record.getMessage() for record in caplog.records if record.name == "rdf_lithops.dataset.credentials"]
    assert 2 == len(warned)
    assert "expired at" in warned[0]
    assert "would end before the run's deadline" in warned[1]


def test_keys_that_nobody_knows_and_a_public_bucket(
    s3: S3, files: Datasets, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 refuses wrong keys where it would ask for none: public objects are asked for without; others stay refused."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFANOTHERSITE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with s3.bucket() as bucket, contextlib.closing(s3.client()) as client:
        for key, access in (("a.root", "public-read"), ("b.root", "public-read"), ("mine.root", "private")):
            client.put_object(Bucket=bucket, Key=key, Body=Path(files.main[0]).read_bytes(), ACL=access)
        names = [f"s3://{bucket}/{name}.root" for name in "ab"]
        assert 2 * events(files.main[0]) == events(names, executor=fexec, npartitions=2)
        with pytest.raises(DataAccessError, match="access is denied"):
            events(f"s3://{bucket}/mine.root", executor=fexec)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # nor are there any
            monkeypatch.delenv(name)
        assert 2 * events(files.main[0]) == events(names, executor=fexec, npartitions=2)
        with pytest.raises(DataAccessError, match=r"no S3 credentials were found|access is denied"):
            events(f"s3://{bucket}/mine.root", executor=fexec)


def test_keys_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile whose program gives no keys is trouble of that credential, not a traceback of AWS's library."""
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_CONFIG_FILE", private(tmp_path / "settings", "[default]\ncredential_process = false\n"))
    assert "cannot be had" in only("s3").trouble
    assert [] == credentials.for_run(["s3"], None)
    with pytest.raises(CredentialsError, match=r"s3(.|\n)*cannot be had"):
        credentials.for_run(["s3"], None, asked=True)


# -- somebody needs it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["old", "broken"])
@pytest.mark.parametrize("kind", list(OLD))
def test_what_the_user_asks_for_must_be_good(
    kind: str, state: str, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind that options.credentials names and that is old or broken is an error before anything runs."""
    variable, contents = OLD[kind]
    contents = contents if state == "old" else BROKEN[kind]
    place = tmp_path / "credential"
    monkeypatch.setenv(variable, str(place))
    if contents is None:
        place.mkdir()
    else:
        private(place, contents)
    said = rf"the {kind} credential of options\.credentials cannot be used(.|\n)*renew it"
    with pytest.raises(CredentialsError, match=said):
        ROOT.RDataFrame(2, executor=fexec, options={"credentials": (kind,)}).Count().GetValue()


def test_refusal_says_which_credential_was_old(
    web: Web,
    xrootd: Callable[[str], XRootD],
    files: Datasets,
    fexec: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a server refuses, the error says which of the user's credentials could not be used, and what renews them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN_FILE", private(tmp_path / "token", token(AGO)))
    (web.root / "protected").mkdir(exist_ok=True)
    shutil.copy(files.main[0], web.root / "protected" / "old.root")
    object_stores.give_up_stores()
    with pytest.raises(DataAccessError, match=r"access is denied(.|\n)*token \(.*expired at(.|\n)*htgettoken"):
        events(f"{web.https}/protected/old.root", executor=fexec)
    monkeypatch.setenv("XrdSecSSSKT", private(tmp_path / "keytab", keytab(int(AGO.timestamp()))))
    url = xrootd("sss").put(files.main[0])
    with pytest.raises(
        DataAccessError, match=r"accepts no credentials(.|\n)*sss \(.*expired at(.|\n)*htgettoken.*XrdSecSSSKT"
    ):
        events(url, executor=fexec)


# -- somebody else's --------------------------------------------------------------------------------------------------


def found_in_shared_folder(kind: str, folder: Path) -> Path:
    """Where a credential of ``kind`` is looked for if no variable names it."""
    names = {"krb5": f"krb5cc_{os.getuid()}", "x509": f"x509up_u{os.getuid()}", "token": f"bt_u{os.getuid()}"}
    return folder / names[kind]


SOON = datetime.now(timezone.utc) + timedelta(hours=9)
GOOD: dict[str, bytes | str] = {"krb5": ticket_cache(SOON), "x509": proxy(SOON), "token": token(SOON)}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /tmp, in which everybody may write; no variable names a credential."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(far, "SHARED", str(folder))
    for name in ("KRB5CCNAME", "X509_USER_PROXY"):
        monkeypatch.delenv(name)
    return folder


@pytest.mark.parametrize("kind", list(GOOD))
def test_own_files_are_found(kind: str, shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the user's own tools put into /tmp is used; if others can read it he is told, if they can write it, it is not."""
    place = found_in_shared_folder(kind, shared)
    private(place, GOOD[kind])
    assert "" == only(kind).trouble
    assert [] == caplog.records
    place.chmod(0o644)
    assert "" == only(kind).trouble
    assert f"chmod 600 {place}" in caplog.text
    place.chmod(0o666)
    assert "others can write it" in only(kind).trouble


@as_root
@pytest.mark.parametrize("kind", list(GOOD))
@pytest.mark.parametrize("how", ["file", "link", "pipe"])
def test_files_of_others_are_not_used(kind: str, how: str, shared: Path, tmp_path: Path, caplog: Any) -> None:
    """A file, a link to a file of the user's, or a pipe that somebody else put into /tmp is named and left alone."""
    place = found_in_shared_folder(kind, shared)
    if how == "file":
        private(place, GOOD[kind])
    elif how == "link":
        place.symlink_to(private(tmp_path / "mine", GOOD[kind]))
    else:
        os.mkfifo(place)
    os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    assert f"it belongs to user {NOBODY}, and not to you" == only(kind).trouble
    assert not only(kind).files
    assert [] == credentials.for_run([kind], None)
    assert str(place) in caplog.text
    assert str(place) in credentials.describe(kind, only(kind), SOON)


@as_root
def test_token_of_others_is_sent_to_nobody(shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker that looks for a token itself takes none of somebody else's, and one that a variable names."""
    place = found_in_shared_folder("token", shared)
    private(place, "planted")
    assert "planted" == far.bearer_token()
    os.chown(place, NOBODY, NOBODY)
    assert "" == far.bearer_token()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    assert "" == far.bearer_token()
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(place))
    assert "planted" == far.bearer_token()
