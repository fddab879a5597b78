"""Snapshot over http(s), to servers that speak WebDAV: nginx with an authority and a token of its own, and XrdHttp."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lithops
import pytest
import ROOT
from datasets import Datasets
from kinds import quickly
from servers.web import Web
from test_output_xrootd import WRITTEN, blank_fexec, written_to  # noqa: F401

from rdf_lithops import Options, OutputError
from rdf_lithops.files import stores, webdav

PLACES = quickly(["nginx", "xrdhttp"], "nginx")


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A URL that can be written, with what this process needs for it, and the folder where the server keeps it."""
    name = f"dav-{os.urandom(4).hex()}"
    if request.param == "xrdhttp":
        server = request.getfixturevalue("xrootd")("http")
        return f"{server.url}/{name}", server.data / name
    web = request.getfixturevalue("web")
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN", web.token)
    (web.root / "protected").mkdir(exist_ok=True)
    return f"{web.https}/protected/{name}", web.root / "protected" / name


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_a_file_appears_whole(place: tuple[str, Path], tmp_path: Path) -> None:
    """What is put is listed and fetched whole; what is there stays or is replaced, as asked; half a file is not listed."""
    url, folder = place
    space = "%20" if url.startswith("https") else "_"  # XrdHttp 5.5 takes where a file is to be moved as it is spelt
    target = f"{url}/skim_0{space}1.root"
    for number, contents in enumerate((b"first", b"second", b"other")):
        (tmp_path / str(number)).write_bytes(contents)
    assert {} == stores.sizes(f"{url}/", "skim")
    for _ in range(2):
        stores.store_of(url).prepare(f"{url}/")
        assert folder.is_dir()
    stores.put(str(tmp_path / "0"), target, replace=False)
    stores.put(str(tmp_path / "1"), target, replace=False)
    assert {target: 5} == stores.sizes(f"{url}/", "skim")
    stores.put(str(tmp_path / "2"), target, replace=True)
    stores.put(str(tmp_path / "1"), f"{url}/other.root", replace=False)
    stores.fetch(target, str(tmp_path / "back"))
    assert b"other" == (tmp_path / "back").read_bytes()
    (folder / "skim_2.root.0123abcd.rdf_lithops-part").write_bytes(b"half")
    assert {target: 5} == stores.sizes(f"{url}/", f"skim_0{space}")
    stores.store_of(url).abandon(f"{url}/", "skim")
    assert ["other.root", unquote(stores.split(target)[1])] == sorted(path.name for path in folder.iterdir())
    stores.remove([target, f"{url}/absent.root"])
    assert ["other.root"] == [path.name for path in folder.iterdir()]
    with pytest.raises(stores.StoreFailure, match=r"cannot read .*absent.root: there is no such file or folder \(404\)"):
        stores.fetch(f"{url}/absent.root", str(tmp_path / "back"))


@pytest.mark.parametrize("place", ["xrdhttp"], indirect=True)
def test_a_writer_that_dies_leaves_what_can_be_told_apart(place: tuple[str, Path]) -> None:
    """XrdHttp keeps what a broken connection has sent, which is why nothing is sent under its own name."""
    url, folder = place
    folder.mkdir()
    folder.chmod(0o777)
    parts = urlsplit(f"{url}/skim_0.root.0123abcd.rdf_lithops-part")
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"PUT {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 100000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 50_000)
        deadline = time.monotonic() + 10
        while not list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert 1 == len(list(folder.iterdir()))
    assert {} == stores.sizes(f"{url}/", "skim")
    stores.store_of(url).abandon(f"{url}/", "skim")
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_snapshot_over_http(blank_fexec: lithops.FunctionExecutor, place: tuple[str, Path], files: Datasets) -> None:  # noqa: F811
    """With the driver's token and authority the workers write there and read back."""
    url, folder = place
    assert WRITTEN == written_to(f"{url}/skim.root", folder, blank_fexec, files)


@pytest.mark.parametrize("place", ["nginx"], indirect=True)
@pytest.mark.slow
def test_failed_run_takes_its_files_away_over_http(blank_fexec: lithops.FunctionExecutor, place: tuple[str, Path]) -> None:  # noqa: F811
    """What the ranges wrote that went well is removed when another fails."""
    url, folder = place
    frame = ROOT.RDataFrame(40, executor=blank_fexec, npartitions=4, options=Options(ranges_per_call=1))
    frame = frame.Define("x", 'if (rdfentry_ == 39) throw std::runtime_error("on purpose"); return 1;')
    with pytest.raises(Exception, match="on purpose"):
        frame.Snapshot("t", f"{url}/t.root", ["x"])
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize(
    ("path", "without", "said"),
    [
        ("{https}/protected/dav/skim.root", "BEARER_TOKEN", r"access is denied \(401\); no bearer token was found here"),
        ("{https}/protected/dav/skim.root", "SSL_CERT_FILE", "not signed by an authority(.|\n)*SSL_CERT_FILE"),
        ("{http}/protected/skim.root", "", r"access is denied \(401\); no bearer token"),
        ("{http}/skim.root", "", r"speaks no WebDAV \(405\)"),
        ("{https}/dav/skim.root?X-Amz-Signature=abcdef", "", "expected a URL without a query"),
        ("http://127.0.0.1:9/skim.root", "", "the server does not answer"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_runs(
    web: Web,
    fexec: lithops.FunctionExecutor,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    without: str,
    said: str,
) -> None:
    """No token, no authority, no WebDAV: an error that says what to do; no token is sent where others could read it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN", web.token)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if without:
        monkeypatch.delenv(without)
    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", 'throw std::runtime_error("it ran"); return 1;')
    with pytest.raises(OutputError, match=said) as caught:
        frame.Snapshot("t", path.format(http=web.http, https=web.https), ["x"])
    assert "auth status http" in str(caught.value)
    assert "abcdef" not in str(caught.value) and web.token not in str(caught.value)
    assert {"https"} >= {scheme for scheme, _ in web.authorized()}


def test_a_token_goes_only_where_it_is_asked_for(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An https server that lets anybody write never sees the user's token."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    monkeypatch.setenv("BEARER_TOKEN", web.token)
    webdav._token_wanted.clear()
    (tmp_path / "file").write_bytes(b"x")
    name = os.urandom(4).hex()
    stores.put(str(tmp_path / "file"), f"{web.https}/dav/{name}.root", replace=False)
    assert b"x" == (web.root / "dav" / f"{name}.root").read_bytes()
    assert [] == [uri for _, uri in web.authorized() if uri.startswith(f"/dav/{name}")]
