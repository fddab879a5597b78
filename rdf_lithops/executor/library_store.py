"""This machine's instantiation libraries in Lithops' storage, for workers elsewhere: what was compiled once, all have."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import hashlib
import io
import itertools
import json
import logging
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..compiled import build, library
from ..options import Options
from ..planning.making import Making
from ..planning.outlook import Outlook
from ..travels.libraries import Libraries
from .session import Session

__all__ = ["LIBRARIES_PREFIX", "Stored", "lacking", "leave_out", "offered", "put", "remove_stored", "stored", "weighed"]

logger = logging.getLogger(__name__)

LIBRARIES_PREFIX = "rdf_lithops/libraries"
MAX_BYTES = 32 * 2**20  # of all: a worker fetches and loads them before it compiles its first graph
WRITERS = 8  # threads that put them there
_NAME = re.compile(rf"{LIBRARIES_PREFIX}/([0-9a-f]{{64}})\.tar")  # nothing else there is ours
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
        session.offered = state, {"root": library.key(), "bundles": _stored_or_not(session.storage, place)}
    found = session.offered[1]
    bundles = [bundle for bundle in found["bundles"] if f"{bundle['name']}.so" not in _left_out]
    return {"root": found["root"], "bundles": bundles} if bundles else None


def lacking(lines: Iterable[str]) -> set[str]:
    """Those instantiations that no library of this machine has, and that it has not failed to compile."""
    try:
        place = library.folder()
    except library.LibraryRefused:
        return set(lines)
    there = {line for known in library.libraries(place) for line in known.lines}
    return set(lines) - there - set(build.given_up(place))


def weighed(outlook: Outlook, session: Session, options: Options, shape: str) -> Outlook:
    """The outlook, with what a library could do for the calls of a graph of this shape, which run elsewhere."""
    if options.instantiations == library.OFF or not library.is_wanted():
        return outlook
    asked = session.asked.get(shape)
    cold = min(outlook.calls, outlook.starting + outlook.compiling)
    missing = None if asked is None else len(lacking(asked))
    making = Making(cold, outlook.speeds.compile_s, missing, _why_not(session, options), outlook.usd_per_s)
    return replace(outlook, making=making)


def _why_not(session: Session, options: Options) -> str:
    """Why no library can be made here before a run; empty if one can."""
    if options.instantiations != "build":
        return f"options.instantiations is {options.instantiations!r}"
    if not library.grows():
        return "the folder of libraries that is named here is not added to"
    if not session.may_compile():
        return "on a login node nothing is compiled unasked (rdf-lithops cache build, in a job)"
    if build.compiler() is None:
        return "there is no C++ compiler here"
    with contextlib.suppress(library.LibraryRefused):
        if os.path.exists(os.path.join(library.folder(), f"{library.BASE}.so")):
            return ""
    return "the base library is not there yet, a minute's work (rdf-lithops cache build)"


def _state_of(place: str) -> tuple[tuple[str, int, int], ...]:
    """What tells whether the libraries in ``place`` are those of the last look."""
    with os.scandir(place) as entries:
        seen = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".so")]
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in seen))


def _stored_or_not(storage: Any, place: str) -> list[dict[str, Any]]:
    """The same; none where the storage does not take them, as no run needs them."""
    try:
        return _stored(storage, place)
    except Exception as problem:  # of the storage's own kind
        logger.warning("workers compile for themselves, as the storage took no instantiation library: %s", problem)
        return []


def _stored(storage: Any, place: str) -> list[dict[str, Any]]:
    """The bundles of the libraries in ``place``, each in the ``storage``, the base first and then the newest."""
    found = sorted(library.libraries(place), key=lambda known: (not known.is_base, -os.stat(known.path).st_mtime_ns))
    sizes = itertools.accumulate(os.path.getsize(known.path) for known in found)
    paths = [known.path for known, size in zip(found, sizes, strict=True) if size <= MAX_BYTES]
    if not paths:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(len(paths), WRITERS)) as pool:  # each is a round trip, or two
        return list(pool.map(functools.partial(_stored_one, storage), paths))


def _stored_one(storage: Any, path: str) -> dict[str, Any]:
    data = _archive(path)
    digest = hashlib.sha256(data).hexdigest()
    key = f"{LIBRARIES_PREFIX}/{digest}.tar"
    if not _is_there(storage, key):
        storage.put_object(storage.bucket, key, data)
    return {"name": os.path.basename(path).removesuffix(".so"), "bucket": storage.bucket, "key": key, "sha256": digest}


@dataclass(frozen=True)
class Stored:
    """An object with a library in a storage: its key, its size, the library's name and how many instantiations it has.
    ``wrong`` says why a worker would not load it; empty where it is whole. Only ``stored`` with ``read`` looks inside."""

    key: str
    kib: int
    name: str = ""
    lines: int = 0
    wrong: str = ""


def put(storage: Any, place: str) -> int:
    """Put this machine's libraries, which lie in ``place``, into a storage, as a run there would; returns how many."""
    return len(_stored(storage, place))


def stored(storage: Any, read: bool = True) -> Iterator[Stored]:
    """What lies in a storage below ``LIBRARIES_PREFIX`` and is of this package, by key; ``read`` fetches and checks it."""
    for key in sorted(storage.list_keys(storage.bucket, f"{LIBRARIES_PREFIX}/")):
        digest = _NAME.fullmatch(key)
        if digest is not None:
            yield _looked_into(key, digest[1], storage.get_object(storage.bucket, key)) if read else Stored(key, 0)


def remove_stored(storage: Any) -> int:
    """Delete all of that, and nothing else; returns how many. Runs that are under way there compile for themselves."""
    keys = [each.key for each in stored(storage, read=False)]
    if keys:
        storage.delete_objects(storage.bucket, keys)
    return len(keys)


def _looked_into(key: str, digest: str, data: bytes) -> Stored:
    """An object, with what a worker would find in it."""
    kib = len(data) // 1024
    if hashlib.sha256(data).hexdigest() != digest:
        return Stored(key, kib, wrong="it is not what its name says")
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            described = next(member for member in archive if member.name.endswith(".json"))
            content = archive.extractfile(described)
            assert content is not None, "an archive of ours has regular files"
            made = json.load(content)
            return Stored(key, kib, described.name.removesuffix(".json"), len(made["lines"]))
    except (tarfile.TarError, StopIteration, ValueError, KeyError) as error:
        return Stored(key, kib, wrong=f"it is no library: {type(error).__name__}")


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
