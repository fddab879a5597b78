"""``rdf-lithops check SOURCE...`` opens each as a run would, says which do not open and why, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import REPOSITORY
from datasets import Datasets
from servers.s3 import S3
from servers.web import Web
from servers.xrootd import MACAROON, XRootD

from rdf_lithops.deployment import check


@pytest.fixture
def places(s3: S3, web: Web, xrootd: Callable[[str], XRootD], files: Datasets, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same file in all places that data is read from: good sources by name, and what is wrong with bad ones."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN", web.token)
    for folder in ("", "protected", "signed"):
        (web.root / folder).mkdir(exist_ok=True)
        shutil.copy(files.main[0], web.root / folder / "checked.root")
    (web.root / "page.root").write_text("no ROOT file")
    plain, closed = xrootd("anonymous"), xrootd("macaroons")
    macaroon = closed.credentials[MACAROON]
    with s3.bucket() as bucket, contextlib.closing(s3.client()) as client:
        for key in ("checked.root", "checked_2.root"):
            client.upload_file(files.main[0], bucket, key)
        key = {"Bucket": bucket, "Key": "checked.root"}
        good = {
            "s3": f"s3://{bucket}/checked.root",
            "pattern": f"s3://{bucket}/checked*.root",
            "presigned": client.generate_presigned_url("get_object", Params=key),
            "http": f"{web.http}/checked.root",
            "https": f"{web.https}/checked.root",
            "token": f"{web.https}/protected/checked.root",
            "signed": f"{web.http}/signed/checked.root?sig={web.signature}",
            "root": plain.put(files.main[0]),
            "macaroon": f"{closed.put(files.main[0])}?authz={macaroon}",
            "local": files.main[0],
            "local pattern": files.glob,
        }
        bad = {
            f"s3://{bucket}/nothing.root": "there is no such object",
            f"s3://{bucket}/nothing*.root": "found none",
            f"s3://{bucket}-no/a.root": "there is no such bucket",
            f"{web.http}/nothing.root": "there is no such object",
            f"{web.http}/signed/checked.root?sig=SECRETwrong": "access is denied",
            f"{web.http}/page.root": "not a ROOT file",
            "http://127.0.0.1:1/a.root": "nobody listens there",
            f"{closed.url}/main_a.root": "access is denied",
            f"{plain.url}/nothing.root": "there is no such file",
            "/nowhere/a.root": "not there",
            "/nowhere/*.root": "found none",
        }
        yield good, bad


@pytest.mark.slow
def test_sources_that_open(places: Any) -> None:
    """Whatever a run would read is found good, and no secret of a URL is shown."""
    good, _ = places
    findings = check.check(str(REPOSITORY / "configs" / "localhost.yaml"), list(good.values()))
    sources = [finding for finding in findings if finding.name == "source"]
    assert dict.fromkeys(good, "ok") == {
        name: finding.level if finding.level == "ok" else str(finding) for name, finding in zip(good, sources, strict=True)
    }
    assert ": 2 files, of which the first opens" in sources[1].message
    shown = " ".join(map(str, findings))
    assert [] == [url for url in good.values() if "?" in url and url.partition("?")[2] in shown]


@pytest.mark.slow
def test_sources_that_do_not_open(places: Any) -> None:
    """What a run would not read is told with the reason and with what to do, and no secret of a URL is shown."""
    _, bad = places
    findings = check.check(str(REPOSITORY / "configs" / "localhost.yaml"), list(bad))
    sources = [finding for finding in findings if finding.name == "source"]
    for (url, why), finding in zip(bad.items(), sources, strict=True):
        assert ("wrong", url, True) == (finding.level, url, why in finding.message), finding.message
        assert finding.remedy
    assert "SECRETwrong" not in " ".join(map(str, findings))


def test_checking_leaves_nothing_behind(places: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a folder nor the reader of remote files outlives the question, also if there is no answer in time."""
    good, _ = places
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    site = check.Site({"lithops": {"backend": "localhost"}}, "", 1)
    assert ["ok"] == [finding.level for finding in check._source(site, good["http"])]
    monkeypatch.setattr(check, "SOURCE_LIMIT_S", 2.0)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.root"
        (finding,) = check._source(site, url)
    assert ("wrong", True) == (finding.level, "does not open within 2 s" in finding.message)
    assert [] == list(tmp_path.iterdir())
    deadline = time.monotonic() + 30
    while _readers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [] == _readers(tmp_path)


def _readers(folder: Path) -> list[int]:
    """Readers of remote files that serve something below ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "rdf_lithops.files.reader" in command and any(part.startswith(str(folder)) for part in command):
            found.append(process.pid)
    return found
