"""Kerberos caches, as MIT's documentation describes their file format."""

from __future__ import annotations

import io
import os
from datetime import datetime, timezone

__all__ = ["principal_and_end"]


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
