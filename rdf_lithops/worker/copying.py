"""Copy or check parts of files: what calls of ``replicate`` run. Needs ROOT for what lies behind XRootD alone.

A part is a range of such a run: a dictionary with its ``id``, the ``file`` and ``number`` that the driver knows it by, and
where its bytes come from and go to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..files import object_stores, remote, stores, xrootd
from ..fold.order import check_each_range_once
from ..processes.beats import STATUS_NAME, Pulse
from ..travels import sealed
from ..travels.envelope import Envelope, pack, unpack
from . import faults
from .surroundings import Surroundings

__all__ = ["CheckTask", "CopyTask", "GatherTask", "read_extent"]


@contextmanager
def _equipped(secret: bytes | None, given: dict[str, str]) -> Iterator[dict[str, str]]:
    """The variables with which remote data is reached here, with the run's credentials installed while this lasts."""
    os.environ.update(given)  # for XRootD's client
    with tempfile.TemporaryDirectory() as folder, sealed.installed(secret, os.path.join(folder, "credentials")):
        yield {**object_stores.relevant(os.environ), **sealed.token_variables(), **given}


def read_extent(name: str, start: int, end: int, version: str, variables: dict[str, str]) -> bytes:
    """Bytes [start, end) of a local or remote file. Raises AccessFailure; ``version`` "" takes any."""
    url = sealed.signed_urls().get(name, name)
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


@dataclass(frozen=True)
class _PartTask:
    """Runs one call of parts: ``{"id", "ranges"}`` in, a packed envelope out, its body JSON with an answer per part. Never
    raises. ``surroundings`` as for other calls, without a payload; ``variables`` say where the data is."""

    surroundings: Surroundings
    variables: dict[str, str] = field(default_factory=dict, repr=False)

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        key, here = sealed.take_key(), self.surroundings
        range_ids = tuple(part["id"] for part in call["ranges"])
        try:
            script, status_key = here.faults, here.key_of(STATUS_NAME)
            garbage = None if script is None else faults.strike_task(script, call, storage, status_key)
            if garbage is not None:
                return garbage
            with contextlib.ExitStack() as stack:
                stack.enter_context(stack.enter_context(contextlib.closing(Pulse(here.beats, storage))).beating())
                variables = stack.enter_context(_equipped(here.secret(key), self.variables))
                answers = [self._done(part, variables) for part in call["ranges"]]
            return pack(Envelope(range_ids, None, "", json.dumps(answers).encode()))
        except Exception as problem:
            error = {"call_id": call["id"], "range_ids": list(range_ids), "where": _described(call), **_failure(problem)}
            return pack(Envelope(range_ids, None, "", error=error))

    def _done(self, part: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        raise NotImplementedError


def _described(call: dict[str, Any]) -> str:
    part = call["ranges"][0]
    return f"bytes {part['start']} to {part['end']} of {part['source']}"


def _failure(problem: Exception) -> dict[str, Any]:
    """What went wrong, in the words of a run (see ``recovery``): what another attempt may cure, and what it would not."""
    found: dict[str, Any] = {"type": type(problem).__name__, "message": str(problem) or type(problem).__name__}
    if isinstance(problem, sealed.CredentialsUnreadable):
        return {"kind": "credentials", **found}
    if isinstance(problem, remote.AccessFailure):
        return {"kind": "access" if problem.kind in remote.FINAL else "transfer", "access": problem.fields, **found}
    if isinstance(problem, stores.StoreFailure):
        return {"kind": "output" if problem.final else "transfer", "what": problem.what, **found, "message": problem.why}
    kind = "memory" if isinstance(problem, MemoryError) else "worker"
    return {"kind": kind, **found, "traceback": traceback.format_exc()}


@dataclass(frozen=True)
class CopyTask(_PartTask):
    """Copy bytes [start, end) of ``source`` to their place in ``target``; answers have their SHA-256, and an ETag.

    In S3 they are part ``number`` of the multipart upload ``upload_id``, else a piece of the file ``staged``.
    """

    def _done(self, part: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        data = read_extent(part["source"], part["start"], part["end"], part["version"], variables)
        etag = self._write(part, data)
        return {"file": part["file"], "number": part["number"], "sha256": hashlib.sha256(data).hexdigest(), "etag": etag}

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
class CheckTask(_PartTask):
    """Read bytes [start, end) of ``target`` back; answers have their SHA-256, or the ``error`` with which that ended."""

    def _done(self, part: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        known = {"file": part["file"], "number": part["number"]}
        try:
            data = read_extent(part["target"], part["start"], part["end"], part["target_version"], variables)
        except remote.AccessFailure as failure:
            if failure.kind not in remote.FINAL:
                raise  # it may pass
            return {**known, "error": str(failure)}
        except OSError as error:
            return {**known, "error": str(error)}
        return {**known, "sha256": hashlib.sha256(data).hexdigest()}


@dataclass(frozen=True)
class GatherTask:
    """Where a run has its fold: sees that each part was delivered once. The answers themselves the driver has already.

    ``kept``, ``attempt``: as in ``task.ReduceTask``.
    """

    range_ids: tuple[int, ...]
    surroundings: Surroundings
    kept: tuple[bytes, ...] = ()
    attempt: int = 1

    def __call__(self, results: list[bytes], storage: Any = None) -> bytes:
        """``results`` is every map's output; ``storage`` is filled in by Lithops, which recognises the name."""
        sealed.take_key()
        try:
            arrived = {}
            for data in [*self.kept, *results]:
                envelope = unpack(data)
                if envelope.error is not None:
                    return data
                arrived[envelope.range_ids] = dataclasses.replace(envelope, body=b"")
            check_each_range_once(self.range_ids, list(arrived.values()))
        except Exception as problem:
            error = {"kind": "fold", "type": type(problem).__name__, "message": str(problem), "range_ids": []}
            return pack(Envelope(self.range_ids, None, "", error=error))
        return pack(Envelope(self.range_ids, None, ""))
