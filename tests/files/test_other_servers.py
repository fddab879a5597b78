"""XRootD and web servers: what they refuse is told, what they want is the user's, and patterns mean what they mean here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import lithops
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG
from servers.web import Web
from test_remote import results

from rdf_lithops import DataAccessError
from rdf_lithops.dataset import names as dataset
from rdf_lithops.files import object_stores


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sss", "krb5", "gsi"])
def test_xrootd_without_credentials(kind: str, xrootd: Any, files: datasets.Datasets) -> None:
    """Without its credentials each kind of server refuses, and the error says denied, where and what to do."""
    url = xrootd(kind).put(files.main[0])
    program = f"""
import lithops, ROOT, rdf_lithops
executor = lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r})
try:
    ROOT.RDataFrame("events", {url!r}, executor=executor)
except rdf_lithops.DataAccessError as error:
    print(error.kind, error.url, "next:" in str(error))
executor.__exit__(None, None, None)
"""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("XrdSec", "KRB5", "X509"))}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=without, **CAPTURED)
    assert f"denied {url} True" == done.stdout.strip().splitlines()[-1], done.stderr[-2000:]


@pytest.mark.slow
def test_patterns_over_xrootd(xrootd: Any, files: datasets.Datasets, fexec: Any) -> None:
    """A pattern of files on an XRootD server means what it means locally."""
    server = xrootd("anonymous")
    for path in files.main:
        server.put(path)
    expected = results(ROOT.RDataFrame("events", files.main))
    assert expected == results(ROOT.RDataFrame("events", f"{server.url}/main_[abc].root", executor=fexec, npartitions=2))


def test_a_missing_file_on_xrootd(xrootd: Any, fexec: Any) -> None:
    """A file that an XRootD server does not have is named, with a next command."""
    url = f"{xrootd('anonymous').url}/nothing.root"
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", url, executor=fexec)
    assert ("missing", url) == (caught.value.kind, caught.value.url)
    assert "xrdfs" in str(caught.value)


def test_a_certificate_of_a_stranger(web: Web, files: datasets.Datasets) -> None:
    """A certificate that nobody here trusts is refused, and the error says how to trust it."""
    shutil.copy(files.main[0], web.root)
    object_stores.give_up_stores()  # other tests have met this server, and trusted it
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) as own, pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", f"{web.https}/main_a.root", executor=own)
    assert "certificate" == caught.value.kind
    assert "SSL_CERT_FILE" in str(caught.value)


@pytest.mark.slow
def test_a_bearer_token(
    web: Web, files: datasets.Datasets, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An https server that asks for a token gets the user's; no other server does, and a refusal says what to do."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    object_stores.give_up_stores()  # other tests have met this server
    (web.root / "protected").mkdir(exist_ok=True)
    for folder in (web.root, web.root / "protected"):
        shutil.copy(files.main[0], folder / "asked.root")
    place = "protected/asked.root"
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", f"{web.https}/{place}", executor=fexec)
    assert ("denied", True) == (caught.value.kind, "rdf-lithops auth status" in str(caught.value))
    (tmp_path / "token").write_text(web.token + "\n")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "token"))
    expected = results(ROOT.RDataFrame("events", files.main[0]))
    for name in ("asked.root", place):
        assert expected == results(ROOT.RDataFrame("events", f"{web.https}/{name}", executor=fexec, npartitions=2))
    with pytest.raises(DataAccessError) as caught:
        ROOT.RDataFrame("events", f"{web.http}/{place}", executor=fexec)
    assert "denied" == caught.value.kind
    assert {("https", f"/{place}")} == {(scheme, uri) for scheme, uri in web.authorized() if "asked" in uri}
    assert web.token not in str(caught.value)


def test_many_files_behind_a_bearer_token(web: Web, files: datasets.Datasets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are asked for side by side, before it is known that their server wants a token, are all asked for again."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN", web.token)
    (web.root / "protected").mkdir(exist_ok=True)
    names = [f"protected/many_{number}.root" for number in range(24)]
    for name in names:
        shutil.copy(files.main[0], web.root / name)
    object_stores.give_up_stores()
    versions = dataset.versions([f"{web.https}/{name}" for name in names])
    assert len(names) == len(versions)
    assert 1 == len({version.rpartition(":")[2] for version in versions.values()})
