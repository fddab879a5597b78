"""Kerberos caches, as MIT's documentation describes their file format."""

from __future__ import annotations

import importlib
import io
import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["copied", "file_of", "principal_and_end"]


def file_of(name: str) -> str | None:
    """Return the file of a cache whose ``name`` is as KRB5CCNAME has it; None where it is none. A folder (``DIR:``) has
    several, and says which is meant."""
    kind, _, rest = name.rpartition(":") if ":" not in name else name.partition(":")
    if kind in ("", "FILE"):
        return rest
    if kind != "DIR":
        return None
    if rest.startswith(":"):
        return rest[1:]
    try:
        chosen = Path(rest, "primary").read_text().strip()
    except OSError:
        chosen = "tkt"
    return os.path.join(rest, chosen)


def copied(name: str) -> bytes | None:  # decision 304
    """Return what a cache of any kind holds, as a file of version 4 has it; None where the package ``krb5`` is not
    installed. Raises OSError with Kerberos' own words where the cache cannot be read."""
    try:
        krb5 = importlib.import_module("krb5")
    except ImportError:
        return None
    context = krb5.init_context()
    try:
        with tempfile.TemporaryDirectory(prefix="rdf_lithops-krb5-") as folder:  # which nobody else may enter
            path = os.path.join(folder, "cache")
            cache, copy = krb5.cc_resolve(context, name.encode()), krb5.cc_resolve(context, f"FILE:{path}".encode())
            krb5.cc_initialize(context, copy, cache.principal)
            for ticket in cache:
                krb5.cc_store_cred(context, copy, ticket)
            return Path(path).read_bytes()
    except krb5.Krb5Error as problem:
        raise OSError(str(problem)) from problem


def principal_and_end(cache: bytes) -> tuple[str, datetime | None]:
    """Return whose a Kerberos cache of version 4 is, and when its ticket-granting ticket ends (UTC); ValueError for anything
    else."""
    stream = io.BytesIO(cache)

    def number(size: int) -> int:
        data = stream.read(size)
        if len(data) < size:
            raise ValueError("cut short")
        return int.from_bytes(data, "big")

    def principal() -> tuple[str, list[str]]:
        stream.seek(4, os.SEEK_CUR)  # its type
        count = number(4)
        realm, *parts = [stream.read(number(4)).decode() for _ in range(count + 1)]
        return realm, parts

    if number(2) != 0x0504:
        raise ValueError("another format")
    stream.seek(number(2), os.SEEK_CUR)
    realm, parts = principal()
    holder, expires = f"{'/'.join(parts)}@{realm}", None
    while stream.tell() < len(cache):
        principal()
        service_realm, service = principal()
        stream.seek(2, os.SEEK_CUR)
        stream.seek(number(4), os.SEEK_CUR)  # the session key
        _, _, end_s, _ = (number(4) for _ in range(4))
        stream.seek(5, os.SEEK_CUR)
        for _ in range(2):  # addresses, authorisation data
            for _ in range(number(4)):
                stream.seek(2, os.SEEK_CUR)
                stream.seek(number(4), os.SEEK_CUR)
        for _ in range(2):  # tickets
            stream.seek(number(4), os.SEEK_CUR)
        if service[:1] == ["krbtgt"] and not service_realm.startswith("X-CACHECONF"):
            expires = datetime.fromtimestamp(end_s, timezone.utc)
    return holder, expires
