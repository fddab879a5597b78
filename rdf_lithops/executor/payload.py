"""Gather what DistRDF's registries hold (headers, libraries, files, C++, ``initialize``) into one payload.

DistRDF's registries are class attributes shared by all back ends and read again at each run: they are copied here, at
the door, so that a run which was submitted does not change under later calls.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import sys
import sysconfig
import tarfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cloudpickle

from ..errors import PayloadError

__all__ = ["Payload", "dumps", "gather", "user_modules_by_value"]


@dataclass(frozen=True)
class Payload:
    """The user's code: ``plain`` travels with the tasks, ``bundle`` (a tar archive, bytes) through the storage.

    ``plain["bundle"]`` is None where there are no files, else says under which key the tasks find it.
    """

    plain: dict[str, Any]
    initialisation: bytes
    bundle: bytes | None


def gather(backend: Any) -> Payload:
    """Copy the registries of ``backend`` (a DistRDF back end); raises PayloadError for a file that is gone."""
    headers = _entries("header", backend.headers)
    libraries = _entries("shared library", backend.shared_libraries)
    companions = _entries("pcm file", backend.pcms)
    files = _entries("file", backend.files)
    bundle = _archive({**_places(headers), **_places(libraries), **_places(companions)}, files)
    initialisation = dumps(backend.initialization)
    code = list(backend.strings_to_declare.values())
    digest = hashlib.sha256(bundle or b"")
    digest.update(json.dumps([headers, libraries, files, code]).encode())
    digest.update(initialisation)
    plain = {
        "format": 1,
        "sha256": digest.hexdigest(),
        "headers": headers,
        "libraries": libraries,
        "code": code,
        "bundle": None,
    }
    return Payload(plain, initialisation, bundle)


def _entries(kind: str, paths: Iterable[str]) -> list[dict[str, str]]:
    """``name`` as the user gave it, ``source`` where it is, ``path`` its place in the bundle: the full path, so that
    two files of one base name keep their places and relative includes work."""
    entries = []
    for name in sorted(paths):
        source = os.path.abspath(name)
        if not os.path.isfile(source):
            raise PayloadError(f"{kind} {name}", f"there is no such file ({source})")
        entries.append({"name": name, "source": source, "path": os.path.join("code", source.lstrip("/"))})
    return entries


def _places(entries: list[dict[str, str]]) -> dict[str, str]:
    return {entry["path"]: entry["source"] for entry in entries}


def _archive(code: dict[str, str], files: list[dict[str, str]]) -> bytes | None:
    """A tar archive that depends on names and contents alone. Distributed files also appear under ``files/``: by the
    name they were given (when that is relative), else by base name; two of one place are an error."""
    places = dict(code)
    for entry in files:
        relative = os.path.normpath(entry["name"])
        if os.path.isabs(relative) or relative.startswith(".."):
            relative = os.path.basename(relative)
        place = os.path.join("files", relative)
        if places.get(place, entry["source"]) != entry["source"]:
            why = f"{places[place]} would lie in the same place ({relative}) on the worker; give relative paths"
            raise PayloadError(f"file {entry['name']}", why)
        places[place] = entry["source"]
    if not places:
        return None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place, source in sorted(places.items()):
            with open(source, "rb") as stream:
                data = stream.read()
            member = tarfile.TarInfo(place)
            member.size, member.mode = len(data), 0o755 if os.access(source, os.X_OK) else 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def dumps(value: Any) -> bytes:
    """Cloudpickle ``value``, taking the user's own modules (those not installed) by value: a worker cannot import them."""
    with user_modules_by_value():
        return bytes(cloudpickle.dumps(value))


@contextmanager
def user_modules_by_value() -> Iterator[None]:
    """While this lasts, the user's modules are pickled by value. Around many ``dumps`` they are looked for once."""
    if getattr(_looked_for, "lasts", False):
        yield
        return
    registered = []
    for module in list(sys.modules.values()):
        if _is_users(module) and module.__name__ not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
    _looked_for.lasts = True
    try:
        yield
    finally:
        _looked_for.lasts = False
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


_looked_for = threading.local()
_INSTALLED = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def _is_users(module: ModuleType) -> bool:
    source = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")
    if not isinstance(module, ModuleType) or not isinstance(source, str) or sys.modules.get(name) is not module:
        return False
    if name.partition(".")[0] in ("rdf_lithops", "ROOT", "cppyy", "lithops", "__main__"):
        return False
    return _is_not_installed(source)


@functools.cache
def _is_not_installed(source: str) -> bool:
    path = os.path.realpath(source)
    return path.endswith(".py") and not path.startswith(_INSTALLED) and "site-packages" not in path
