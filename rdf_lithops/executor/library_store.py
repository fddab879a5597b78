"""This machine's instantiation libraries in Lithops' storage, for workers elsewhere: what was compiled once, all have."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tarfile
from typing import Any

from ..compiled import library
from ..options import Options
from ..travels.libraries import Libraries
from .session import Session

__all__ = ["LIBRARIES_PREFIX", "leave_out", "offered"]

logger = logging.getLogger(__name__)

LIBRARIES_PREFIX = "rdf_lithops/libraries"
MAX_BYTES = 32 * 2**20  # of all: a worker fetches and loads them before it compiles its first graph
_left_out: set[str] = set()  # names of those that workers could not load


def leave_out(name: str) -> None:
    """Offer a library no more that does not load where it was sent; said once."""
    if name not in _left_out:
        _left_out.add(name)
        logger.warning(
            "instantiation library %s does not load on workers (another ROOT or C library than this machine's): they "
            "compile what is in it. Build it where they run: RUN rdf-lithops cache build, in their image",
            name,
        )


def offered(session: Session, options: Options) -> Libraries | None:
    """What a run's workers are offered: the base library and the newest of the learned ones, put into the storage where they
    are not there yet. None on localhost, whose workers have this machine's, and where libraries are not used."""
    if session.local or options.instantiations == library.OFF or not library.is_wanted():
        return None
    try:
        place = library.folder()
    except library.LibraryRefused:
        return None
    state = _state_of(place)
    if session.offered is None or session.offered[0] != state:
        session.offered = state, {"root": library.key(), "bundles": _stored(session.storage, place)}
    found = session.offered[1]
    bundles = [bundle for bundle in found["bundles"] if f"{bundle['name']}.so" not in _left_out]
    return {"root": found["root"], "bundles": bundles} if bundles else None


def _state_of(place: str) -> tuple[tuple[str, int, int], ...]:
    """What tells whether the libraries in ``place`` are those of the last look."""
    with os.scandir(place) as entries:
        seen = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".so")]
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in seen))


def _stored(storage: Any, place: str) -> list[dict[str, Any]]:
    """The bundles of the libraries in ``place``, each in the ``storage``, the base first and then the newest."""
    found = sorted(library.libraries(place), key=lambda known: (not known.is_base, -os.stat(known.path).st_mtime_ns))
    bundles, size = list[dict[str, Any]](), 0
    for known in found:
        size += os.path.getsize(known.path)
        if size > MAX_BYTES:
            break
        data = _archive(known.path)
        digest = hashlib.sha256(data).hexdigest()
        key = f"{LIBRARIES_PREFIX}/{digest}.tar"
        if not _is_there(storage, key):
            storage.put_object(storage.bucket, key, data)
        name = os.path.basename(known.path).removesuffix(".so")
        bundles.append({"name": name, "bucket": storage.bucket, "key": key, "sha256": digest})
    return bundles


def _is_there(storage: Any, key: str) -> bool:
    try:
        storage.head_object(storage.bucket, key)
    except Exception:  # each storage says so in its own way
        return False
    return True


def _archive(path: str) -> bytes:
    """A library and its description, as bytes that depend on them alone; unpacked, nobody but the owner can write them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in (path, path.removesuffix(".so") + ".json"):
            with open(name, "rb") as stream:
                data = stream.read()
            member = tarfile.TarInfo(os.path.basename(name))
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
