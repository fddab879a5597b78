"""Gather what DistRDF's registries hold (headers, libraries, files, C++, ``initialize``) into one payload.

DistRDF's registries are class attributes shared by all back ends and read again at each run: they are copied here, at
the door, so that a run which was submitted does not change under later calls.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import json
import os
import sys
import sysconfig
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

import cloudpickle

from ..errors import PayloadError

__all__ = ["Payload", "dumped_call", "dumps", "gather", "user_modules_by_value"]


@dataclass(frozen=True)
class Payload:
    """The user's code: ``fields`` travels with the tasks, ``bundle`` (a tar archive, bytes) through the storage.

    ``fields["bundle"]`` is None where there are no files, else says under which key the tasks find it.
    """

    fields: dict[str, Any]
    initialisation: bytes
    bundle: bytes | None


def gather(backend: Any, recorded: Sequence[Recorded] = ()) -> Payload:
    """Copy the registries of ``backend`` (a DistRDF back end) and what was ``recorded`` of the program, in its order.

    What of the registries was not seen when it came there goes first, ``initialize`` last. Raises PayloadError for a file
    that is gone.
    """
    headers = {entry["name"]: entry for entry in _entries("header", backend.headers)}
    libraries = {entry["name"]: entry for entry in _entries("shared library", backend.shared_libraries)}
    companions = _entries("pcm file", backend.pcms)
    files = _entries("file", backend.files)
    work = _Work(headers, libraries, dict(backend.strings_to_declare), backend.initialization)
    work.add_unseen(recorded)
    for step in recorded:
        work.add(step)
    work.add_initialize()
    code = (*headers.values(), *libraries.values(), *companions)
    places = {**{entry["path"]: entry["source"] for entry in code}, **work.places}
    bundle = _archive(places, files, work.files)
    initialisation = dumps(work.calls)
    digest = hashlib.sha256(bundle or b"")
    digest.update(json.dumps([work.steps, files]).encode())
    digest.update(initialisation)
    fields = {"format": 2, "sha256": digest.hexdigest(), "steps": work.steps, "bundle": None}
    return Payload(fields, initialisation, bundle)


class Recorded(Protocol):
    """What the driver has seen of the program: see ``graph.recording.Step``."""

    @property
    def kind(self) -> str: ...  # see there
    @property
    def text(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def files(self) -> dict[str, bytes]: ...
    @property
    def folders(self) -> tuple[str, ...]: ...
    @property
    def call(self) -> Callable[[], Any] | None: ...


@dataclass
class _Work:
    """What a worker does before it runs graphs, in its order, as it is put together: see ``worker.payload.load``."""

    headers: dict[str, dict[str, str]]
    libraries: dict[str, dict[str, str]]
    code: dict[str, str]
    initialization: Callable[[], Any]
    steps: list[dict[str, Any]] = field(default_factory=list)
    calls: list[bytes] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    initialized: bool = False

    def add_unseen(self, recorded: Sequence[Recorded]) -> None:
        """What the registries have, and nobody was seen to put there."""
        seen = {(step.kind, step.text) for step in recorded}
        if self.headers:
            self._add_headers([entry for name, entry in self.headers.items() if ("header", name) not in seen])
        if self.libraries:
            self._add_libraries([entry for name, entry in self.libraries.items() if ("shared library", name) not in seen])
        for key, text in self.code.items():
            if ("code", key) not in seen:
                self._add_code(text)

    def add(self, step: Recorded) -> None:
        """What is to be done for ``step``; nothing for an entry that is no longer in its registry."""
        if step.kind == "header":
            self._add_headers([self.headers[step.text]] if step.text in self.headers else [])
        elif step.kind == "shared library":
            self._add_libraries([self.libraries[step.text]] if step.text in self.libraries else [])
        elif step.kind == "code":
            if step.text in self.code:
                self._add_code(self.code[step.text])
        elif step.kind == "initialize":
            self.add_initialize()
        else:
            self._add_recorded(step)

    def add_initialize(self) -> None:
        """Call what was given to ``initialize``, once."""
        if not self.initialized:
            self.initialized = True
            self._add_call("the function given to initialize", self.initialization)

    def _add_headers(self, entries: list[dict[str, str]]) -> None:
        for entry in entries:
            self.steps.append({"do": "include_path", "path": os.path.dirname(entry["path"]), "bundled": True})
        for entry in entries:
            self.steps.append({"do": "header", "what": f"header {entry['name']}", "path": entry["path"]})

    def _add_libraries(self, entries: list[dict[str, str]]) -> None:
        for entry in entries:
            self.steps.append({"do": "library", "what": f"shared library {entry['name']}", "path": entry["path"]})

    def _add_code(self, text: str) -> None:
        self.steps.append({"do": "declare", "what": "C++ code given to DistributeCppCode", "text": text})

    def _add_call(self, what: str, call: Callable[[], Any]) -> None:
        self.steps.append({"do": "call", "what": what, "number": len(self.calls)})
        self.calls.append(dumped_call(what, call))

    def _add_recorded(self, step: Recorded) -> None:
        self.files.update({f"code{path}": data for path, data in step.files.items()})
        for folder in step.folders:
            self.steps.append({"do": "include_path", "path": f"code{folder}", "bundled": True})
        if step.kind == "call":
            assert step.call is not None, "what is called is kept with the step"
            self._add_call(f"{step.text}, declared in {step.where}", step.call)
        elif step.kind == "library":
            self._add_recorded_library(step)
        elif step.kind == "environment":
            self.steps.append({"do": "environment", **json.loads(step.text)})
        elif step.kind == "watch":
            self.steps.append({"do": "watch", "text": step.text})
        elif step.kind == "include_path":
            self.steps.append({"do": "include_path", "path": f"code{step.text}", "bundled": True})
            self.steps.append({"do": "include_path", "path": step.text, "bundled": False})
        else:
            what = f"C++ that the program declares in {step.where}"
            given = bool(self.headers or self.code)
            self.steps.append({"do": step.kind, "what": what, "text": step.text, "may_be_known": given})

    def _add_recorded_library(self, step: Recorded) -> None:
        what = f"shared library {step.text}, loaded in {step.where}"
        if not os.path.isabs(step.text):
            self.steps.append({"do": "library", "what": what, "name": step.text})
            return
        if not os.path.isfile(step.text):
            raise PayloadError(f"shared library {step.text}, loaded in {step.where}", "there is no such file any more")
        stem = step.text.rpartition(".")[0]
        beside = [
            step.text,
            *(
                path
                for path in (f"{stem}_rdict.pcm", f"{stem}_ACLiC_dict_rdict.pcm", f"{stem}.rootmap")
                if os.path.isfile(path)
            ),
        ]
        self.places.update({f"code{path}": path for path in beside})
        self.steps.append({"do": "library", "what": what, "path": f"code{step.text}"})


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


def _archive(code: dict[str, str], files: list[dict[str, str]], kept: dict[str, bytes]) -> bytes | None:
    """A tar archive that depends on names and contents alone; ``kept`` are contents by place, which come before files.

    Distributed files also appear under ``files/``: by the name they were given (when that is relative), else by base name;
    two of one place are an error.
    """
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
    if not places and not kept:
        return None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place, source in sorted({**dict.fromkeys(kept, ""), **places}.items()):
            data = _read(source) if place not in kept else kept[place]
            member = tarfile.TarInfo(place)
            member.size, member.mode = len(data), 0o755 if source and os.access(source, os.X_OK) else 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def dumps(value: Any) -> bytes:
    """Cloudpickle ``value``, taking the user's own modules (those not installed) by value: a worker cannot import them."""
    with user_modules_by_value():
        return bytes(cloudpickle.dumps(value))


def dumped_call(what: str, call: Callable[[], Any]) -> bytes:
    """``call`` as ``dumps`` has it. PayloadError where it cannot be pickled, which names what of it cannot."""
    try:
        return dumps(call)
    except Exception as error:  # whatever an object's own pickling raises
        refused = f"it cannot travel to workers: {error}"
    found = f": {part}" if (part := _part_that_stays(call)) else ""
    raise PayloadError(what, f"{refused}{found}; let it make its own on each worker")


def _part_that_stays(call: Any) -> str:
    """What of a function, or of its arguments, cannot be pickled: its name and type, and where the function is."""
    function = getattr(call, "func", call)
    given = [*enumerate(getattr(call, "args", ())), *getattr(call, "keywords", {}).items()]
    parts = {f"argument {name}": argument for name, argument in given}  # whose values may be secrets
    place = ""
    if inspect.isfunction(function):
        used = inspect.getclosurevars(function)
        parts |= {**used.globals, **used.nonlocals}
        place = f" of {function.__name__} ({function.__code__.co_filename}:{function.__code__.co_firstlineno})"
    return next((f"{name}, a {type(part).__name__},{place}" for name, part in parts.items() if not _travels(part)), "")


def _travels(part: Any) -> bool:
    try:
        dumps(part)
    except Exception:  # whatever an object's own pickling raises
        return False
    return True


@contextmanager
def user_modules_by_value() -> Iterator[None]:
    """While this lasts, the user's modules are pickled by value. Around many ``dumps`` they are looked for once."""
    if getattr(_looked_for, "lasts", False):
        yield
        return
    registered = []
    for module in _users_modules():
        if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
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


_others: dict[str, ModuleType] = {}  # modules, by their names, that are not the user's: a program has thousands


def _users_modules() -> Iterator[ModuleType]:
    for name, module in sys.modules.copy().items():
        if _others.get(name) is module:
            continue
        if _is_users(module):
            yield module
        elif isinstance(getattr(module, "__file__", None), str):
            _others[name] = module


def _is_users(module: ModuleType) -> bool:
    source = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")
    if not isinstance(module, ModuleType) or not isinstance(source, str) or sys.modules.get(name) is not module:
        return False
    if name.partition(".")[0] in ("rdf_lithops", "ROOT", "cppyy", "lithops", "__main__"):
        return False
    return _is_not_installed(source)


_real_folder = functools.cache(os.path.realpath)  # a program has a thousand modules, in a few folders


@functools.cache
def _is_not_installed(source: str) -> bool:
    if os.path.islink(source):
        path = os.path.realpath(source)
    else:
        path = os.path.join(_real_folder(os.path.dirname(source)), os.path.basename(source))
    return path.endswith(".py") and not path.startswith(_INSTALLED) and "site-packages" not in path
