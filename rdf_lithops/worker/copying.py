"""Copy or check one part of a file: what a call of ``replicate`` runs. Needs ROOT for what lies behind XRootD alone."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import credentials, remote, stores, xrootd

__all__ = ["CheckTask", "CopyTask", "read_extent"]


@contextmanager
def _equipped(sealed: credentials.Sealed | None, given: dict[str, str]) -> Iterator[dict[str, str]]:
    """The variables with which remote data is reached here, with the run's credentials installed while this lasts."""
    key = credentials.take_key()
    secret = None if sealed is None else credentials.unseal(sealed, key)
    os.environ.update(given)  # for XRootD's client
    with tempfile.TemporaryDirectory() as folder, credentials.installed(secret, os.path.join(folder, "credentials")):
        yield {**remote.relevant(os.environ), **credentials.token_variables(), **given}


def read_extent(url: str, start: int, end: int, version: str, variables: dict[str, str]) -> bytes:
    """Bytes [start, end) of a local or remote file. Raises AccessFailure; ``version`` "" takes any."""
    if url.partition("://")[0] in xrootd.SCHEMES:
        return xrootd.read_extent(url, start, end, version)
    if "://" in url:
        return remote.fetch_extent(url, start, end, version, variables)
    with open(url, "rb") as stream:
        stream.seek(start)
        data = stream.read(end - start)
    if len(data) != end - start:
        raise remote.truncated(url, f"expected bytes {start} to {end}, got {len(data)}")
    return data


def _answer(part: dict[str, Any], **found: Any) -> bytes:
    return json.dumps({"file": part["file"], "number": part["number"], **found}).encode()


@dataclass(frozen=True)
class CopyTask:
    """Copy bytes [start, end) of ``source`` to their place in ``target``; returns JSON with their SHA-256, or an error.

    In S3 they are part ``number`` of the multipart upload ``upload_id``, else a piece of the file ``staged``.
    """

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    sealed: credentials.Sealed | None = None

    def __call__(self, part: dict[str, Any]) -> bytes:
        try:
            with _equipped(self.sealed, self.variables) as variables:
                data = read_extent(part["source"], part["start"], part["end"], part["version"], variables)
                etag = self._write(part, data)
        except (remote.AccessFailure, stores.StoreFailure, OSError) as failure:
            return _answer(part, error=str(failure))
        return _answer(part, sha256=hashlib.sha256(data).hexdigest(), etag=etag)

    def _write(self, part: dict[str, Any], data: bytes) -> str:
        if part["upload_id"] is None:
            descriptor = os.open(part["staged"], os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(descriptor, data, part["start"])
            finally:
                os.close(descriptor)
            return ""
        bucket, _, key = part["target"][len("s3://") :].partition("/")
        where = {"Bucket": bucket, "Key": key, "UploadId": part["upload_id"], "PartNumber": part["number"]}
        with stores.s3_client(part["target"]) as client:
            etag = str(client.upload_part(**where, Body=data)["ETag"])
        if etag.strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
            raise stores.StoreFailure(part["target"], f"part {part['number']} did not arrive as it was sent", False)
        return etag


@dataclass(frozen=True)
class CheckTask:
    """Read bytes [start, end) of ``target`` back; returns JSON with their SHA-256, or an error."""

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    sealed: credentials.Sealed | None = None

    def __call__(self, part: dict[str, Any]) -> bytes:
        try:
            with _equipped(self.sealed, self.variables) as variables:
                data = read_extent(part["target"], part["start"], part["end"], part["target_version"], variables)
        except (remote.AccessFailure, OSError) as failure:
            return _answer(part, error=str(failure))
        return _answer(part, sha256=hashlib.sha256(data).hexdigest())
