"""Kerberos caches that ``kinit`` has made, with tickets of a real KDC: files, folders, and what the package krb5 reads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from servers import xrootd

from rdf_lithops.dataset import credentials
from rdf_lithops.dataset.tickets import principal_and_end

LIMIT_S = 60


@dataclass(frozen=True)
class Centre:
    """A KDC: where its configuration is, and the keys of its user."""

    configuration: str
    keys: str
    user: str

    def ticket(self, cache: str) -> None:
        """What ``kinit`` puts into a cache of that name."""
        command = ["kinit", "-k", "-t", self.keys, "-c", cache, self.user]
        own = {**os.environ, "KRB5_CONFIG": self.configuration}
        subprocess.run(command, env=own, check=True, capture_output=True, timeout=LIMIT_S)


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    """A key distribution centre, for as long as these tests last."""
    folder = tmp_path_factory.mktemp("kerberos") / "server"
    folder.mkdir()
    with xrootd.kerberos(folder) as (_, client, _):
        keys = folder.parent / f"{folder.name}-client.keytab"
        yield Centre(client["KRB5_CONFIG"], str(keys), f"user@{xrootd.REALM}")


@pytest.fixture(autouse=True)
def _configured(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", centre.configuration)


def found(name: str, monkeypatch: pytest.MonkeyPatch) -> credentials.Credential:
    """The ticket that is found where KRB5CCNAME is ``name``."""
    monkeypatch.setenv("KRB5CCNAME", name)
    (only,) = credentials.find(["krb5"])
    return only


@pytest.mark.parametrize("kind", ["", "FILE:", "DIR:", "DIR::"])
def test_a_cache_of_files(kind: str, centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or the one that a folder of caches has chosen: it is the user's, good for some hours, and travels whole."""
    folder = tmp_path / "caches"
    folder.mkdir(mode=0o700)
    name = {"DIR:": f"DIR:{folder}", "DIR::": f"DIR::{folder}/tktwork"}.get(kind, f"{kind}{tmp_path}/ticket")
    centre.ticket(name)
    ticket = found(name, monkeypatch)
    assert (centre.user, "") == (ticket.holder, ticket.trouble)
    assert ticket.expires is not None
    assert timedelta(minutes=10) < ticket.expires - datetime.now(timezone.utc) < timedelta(days=2)
    assert centre.user == principal_and_end(ticket.files["krb5cc"])[0]


def test_the_chosen_one_of_a_folder(centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of two caches names the one that counts; one without any says that there is none."""
    folder = tmp_path / "caches"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("KRB5CCNAME", f"DIR:{folder}")
    assert [] == credentials.find(["krb5"])
    centre.ticket(f"DIR::{folder}/tktother")
    (folder / "primary").write_text("tktother\n")
    assert str(folder / "tktother") == found(f"DIR:{folder}", monkeypatch).source


@pytest.mark.parametrize("kind", ["FILE", "DIR", "KEYRING:user"])
def test_any_cache_with_the_package(kind: str, centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package krb5 is installed, a cache of any kind is copied, with all of its tickets."""
    krb5 = pytest.importorskip("krb5", reason="the package krb5 is not installed")
    from rdf_lithops.dataset.tickets import copied

    (tmp_path / "DIR").mkdir(mode=0o700)
    name = f"{kind}:rdf_lithops_test" if kind.startswith("KEYRING") else f"{kind}:{tmp_path / kind}"
    try:
        centre.ticket(name)
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"kinit has no such cache here: {refused.stderr.decode().strip()}")
    data = copied(name)
    assert data is not None
    holder, expires = principal_and_end(data)
    assert centre.user == holder
    assert expires is not None
    assert (centre.user, "") == (found(name, monkeypatch).holder, found(name, monkeypatch).trouble)
    context = krb5.init_context()
    assert str(krb5.cc_resolve(context, name.encode()).principal) == holder
    with pytest.raises(OSError, match=r"(?i)cache|credentials"):
        copied(f"FILE:{tmp_path}/none")
