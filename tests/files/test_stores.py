"""Clients of S3: what each needs is read once, and none has another's keys."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import botocore.loaders
import pytest

from rdf_lithops.files import stores


def key_of(client: Any) -> str:
    """The access key that this client signs with."""
    return str(client._request_signer._credentials.access_key)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of descriptions that botocore has read, other than those of a first client."""
    read, load = list[str](), botocore.loaders.JSONFileLoader.load_file

    def load_and_note(self: Any, path: str) -> Any:
        read.append(path)
        return load(self, path)

    monkeypatch.setattr(botocore.loaders.JSONFileLoader, "load_file", load_and_note)
    with stores.s3_client("cannot begin"):
        read.clear()
    return read


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the access key that boto3 finds."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return lambda key: monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)


def test_descriptions_are_read_once(reads: list[str], found: Any) -> None:
    """Later clients read none, and each has the keys that are found when it is made."""
    for key in ("one", "other"):
        found(key)
        with stores.s3_client("cannot try") as client:
            assert key == key_of(client)
    assert [] == reads


def test_clients_of_threads(reads: list[str], found: Any) -> None:
    """Clients that are made at once work, and read none either."""
    found("all")

    def made(_: int) -> str:
        with stores.s3_client("cannot try") as client:
            return key_of(client)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert ["all"] * 12 == list(pool.map(made, range(12)))
    assert [] == reads


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 says of the user's settings is an error of the store, for a first client and for later ones."""
    monkeypatch.setenv("AWS_PROFILE", "of nobody")
    stores._descriptions.cache_clear()
    for _ in range(2):
        with pytest.raises(stores.StoreFailure, match=r"cannot try(.|\n)*of nobody"), stores.s3_client("cannot try"):
            pass
