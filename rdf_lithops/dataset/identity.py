"""Whether two names mean one file: paths by what they lead to, URLs by the object that they name however they are spelt."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote, urlsplit

from ..files import xrootd

__all__ = ["common", "same"]

PORTS = {"http": "80", "https": "443", **dict.fromkeys(xrootd.SCHEMES, "1094")}
_AMAZON = re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?")

Key = tuple[object, ...]


def common(names: Iterable[str], others: Collection[str]) -> list[str]:
    """Return those of ``others``, sorted, that mean a file which one of ``names`` means."""
    keys = {key for name in names for key in _keys(name)}
    return sorted(other for other in others if keys.intersection(_keys(other)))


def same(name: str, other: str) -> bool:  # decision 89
    """Return whether both names mean one file, also one that is not there yet."""
    return bool(common([name], [other]))


def _keys(name: str) -> set[Key]:
    """Return what a file is known by: two names that share a key mean the same file."""
    parts = urlsplit(name)
    if parts.scheme in ("", "file"):
        return _of_path(parts.path if parts.scheme else name)
    path = "/" + re.sub("/+", "/", unquote(parts.path)).strip("/")
    if parts.scheme == "s3":
        return {("s3", parts.netloc, unquote(parts.path).strip("/"))}
    host = (parts.hostname or "").lower()
    kind = "root" if parts.scheme in xrootd.SCHEMES else "http"
    keys: set[Key] = {(kind, host, str(parts.port or PORTS.get(parts.scheme, "")), path)}
    if kind == "root":  # EOS is mounted below the path that it has
        return keys | ({("path", path)} if path.startswith("/eos/") else set())
    return keys | _of_object(host, parts.port, path)


def _of_path(path: str) -> set[Key]:
    """Return the keys of a path. Links, hard links and bind mounts lead to one file, which has one device and number."""
    real = os.path.realpath(os.path.expanduser(path))
    keys: set[Key] = {("path", real)}
    try:
        seen = os.stat(real)
    except OSError:
        return keys
    return keys | {("file", seen.st_dev, seen.st_ino)}


def _of_object(host: str, port: int | None, path: str) -> set[Key]:
    """Return the key of the S3 object that an http(s) URL means, where its host is this program's endpoint, or Amazon's."""
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    amazon = _AMAZON.fullmatch(host)
    if amazon and amazon["bucket"]:
        return {("s3", amazon["bucket"], path.strip("/"))}
    own = (endpoint.hostname or "").lower()
    if own and host.endswith(f".{own}") and port == endpoint.port:
        return {("s3", host.removesuffix(f".{own}"), path.strip("/"))}
    if amazon or (own == host and port == endpoint.port):
        bucket, _, key = path.strip("/").partition("/")
        return {("s3", bucket, key)}
    return set()
