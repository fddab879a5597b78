"""Bring the user's code into a ROOT process: unpack the bundle once per machine, load it once per process."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import io
import os
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ..frame import compiler

__all__ = [
    "FILES_VARIABLE",
    "PLACE",
    "PayloadFailure",
    "at_hand",
    "clear",
    "declare_numba",
    "is_written_to",
    "load",
    "unpacked",
]

PLACE = "@rdf_lithops_place@"  # in C++ that travels, the folder into which a worker has unpacked the bundle

FILES_VARIABLE = "RDF_LITHOPS_FILES"  # where distributed files lie, for user code in Python and C++
MAX_UNUSED = 2  # unpacked bundles stay for who comes again; a header that is edited is another bundle each time


class PayloadFailure(Exception):
    """A header, library, piece of C++ or initialisation of the user that does not load here: which, and why."""

    def __init__(self, what: str, why: str, log_tail: str = "") -> None:
        super().__init__(what, why, log_tail)
        self.what = what
        self.why = why
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@contextlib.contextmanager
def at_hand(payload: dict[str, Any], storage: Any, folder: str) -> Iterator[str | None]:
    """The folder, below ``folder``, that has the unpacked bundle of ``payload``, or None for one without; it stays there
    while this lasts, and as long as a process lives that has loaded it. Of those that nobody uses MAX_UNUSED stay."""
    if payload["bundle"] is None:
        yield None
        return
    with unpacked(payload["bundle"], storage, os.path.join(folder, "payloads"), MAX_UNUSED) as target:
        yield target


@contextlib.contextmanager
def unpacked(bundle: dict[str, Any], storage: Any, folder: str, unused: int) -> Iterator[str]:
    """The folder in ``folder`` that has an unpacked ``bundle`` (its bucket, key, sha256), while this lasts.

    ``storage`` is Lithops' Storage, or anything with ``get_object(bucket, key) -> bytes``. The digest is checked before
    anything is unpacked; the folder appears complete or not at all. Of what is there and not used so many stay.
    """
    target = os.path.join(folder, bundle["sha256"])
    while (held := _held(target)) is None:
        clear(folder, unused)
        try:
            _unpack(bundle, storage, target)
        except OSError:  # a full disk, perhaps: what nobody uses makes room
            clear(folder, 0)
            _unpack(bundle, storage, target)
    try:
        os.utime(target)
        yield target
    finally:
        os.close(held)


def _held(target: str) -> int | None:
    """An open descriptor of the folder ``target``, whose lock keeps others from removing it; None if it is not there."""
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if os.path.isdir(target) and os.path.samestat(os.fstat(descriptor), os.stat(target)):
        return descriptor
    os.close(descriptor)  # it was removed meanwhile
    return None


def clear(folder: str, kept: int) -> None:
    """Remove the unpacked bundles in ``folder`` that no process uses, but for the ``kept`` newest of all."""
    with contextlib.suppress(OSError):  # there is none yet
        found = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
        for entry in found[kept:]:
            with contextlib.suppress(OSError):
                _remove_unused(entry.path)


def _remove_unused(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody uses it
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _unpack(bundle: dict[str, Any], storage: Any, target: str) -> None:
    data = storage.get_object(bundle["bucket"], bundle["key"])
    if hashlib.sha256(data).hexdigest() != bundle["sha256"]:
        raise PayloadFailure(f"payload {bundle['key']}", "its SHA-256 is not the one that the driver wrote: damaged")
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    staging = tempfile.mkdtemp(dir=os.path.dirname(target))
    descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(staging, filter="data")
        try:
            os.rename(staging, target)
        except OSError:
            if not os.path.isdir(target):  # else another task of this machine was faster, with the same bytes
                raise
    finally:
        os.close(descriptor)
        shutil.rmtree(staging, ignore_errors=True)


def load(
    payload: dict[str, Any], initialisation: bytes, folder: str | None, note: Callable[[str], None] | None = None
) -> None:
    """Do the steps of ``payload`` in this process, in their order, each one checked: it is the order of the program.

    A step says what to ``do``: "environment", "include_path", "header", "library", "declare", "line", "macro", "call". Paths
    are those in the unpacked bundle, ``folder``, but for those of folders that are not ``bundled``, which the worker may
    have itself.
    What ``may_be_known`` is passed over where it defines nothing new: the program gave it to the workers otherwise, too.
    ``note`` is told of each step before it is done, in the words that an error has for it.
    """
    if folder is not None:
        _held(folder)  # as long as this process lives, and what is forked from it
        os.environ[FILES_VARIABLE] = os.path.join(folder, "files")
    calls: list[bytes] = pickle.loads(initialisation)
    for step in payload["steps"]:
        if note is not None:
            note(step.get("what", ""))
        if step["do"] == "call":
            _call(step["what"], calls[step["number"]])
        else:
            _DOING[step["do"]](step, folder or "")


def _call(what: str, pickled: bytes) -> None:
    """Call what the program gave to ``initialize``, or declared in Python; C++ that does not compile there is an error."""
    try:
        with compiler.heard() as said:
            pickle.loads(pickled)()
    except PayloadFailure:
        raise
    except Exception as error:
        raise PayloadFailure(what, f"{type(error).__name__}: {error}") from error
    if problem := compiler.first_error(said.text):
        raise PayloadFailure(what, f"its C++ does not compile:\n{problem}")


def _set_environment(step: dict[str, Any], folder: str) -> None:
    for name in step["unset"]:
        os.environ.pop(name, None)
    os.environ.update(step["set"])


def _add_include_path(step: dict[str, Any], folder: str) -> None:
    import ROOT

    path = os.path.join(folder, step["path"]) if step["bundled"] else step["path"]
    if os.path.isdir(path):
        ROOT.gInterpreter.AddIncludePath(f"-I{path}")  # ROOT quotes it


def _declare(step: dict[str, Any], folder: str) -> None:
    import ROOT

    text = (
        f'#include "{os.path.join(folder, step["path"])}"' if step["do"] == "header" else step["text"].replace(PLACE, folder)
    )
    with compiler.heard() as said:
        done = ROOT.gInterpreter.Declare(text)
    if not done and not (step.get("may_be_known") and compiler.is_all_known(said.text)):
        raise PayloadFailure(step["what"], _not_compiled(said.text, folder))


def _process_line(step: dict[str, Any], folder: str) -> None:
    import ROOT

    text = step["text"].replace(PLACE, folder)
    code = ctypes.c_int(0)
    with compiler.heard() as said:
        ROOT.gROOT.ProcessLine(f".L {text}" if step["do"] == "macro" else text, code)
    if code.value or compiler.first_error(said.text):
        raise PayloadFailure(step["what"], _not_compiled(said.text, folder))


def _not_compiled(said: str, folder: str) -> str:
    """Why a step failed, in the compiler's words, with the driver's names of files."""
    lines = compiler.first_error(said) or said
    if "file not found" in lines:
        lines += "\n(workers have what comes with ROOT, and the user's own headers: DistributeHeaders takes others along)"
    return "it does not compile here:\n" + (lines.replace(os.path.join(folder, "code"), "") if folder else lines)


def _load_library(step: dict[str, Any], folder: str) -> None:
    import ROOT

    path = step.get("name") or os.path.join(folder, step["path"])
    if os.path.isabs(path):
        ROOT.gSystem.AddDynamicPath(os.path.dirname(path))
    if ROOT.gSystem.Load(path) < 0:
        why = "ROOT cannot load it: not a shared library for this machine, or it needs one that is not here"
        raise PayloadFailure(step["what"], why)


def _watch(step: dict[str, Any], folder: str) -> None:
    """Begin to tell whether a graph writes to variables; where the C++ for it does not compile, nobody can."""
    import ROOT

    with compiler.heard():
        _watching[:] = [True] if ROOT.gInterpreter.Declare(step["text"]) else []


def is_written_to() -> bool:  # decision 414
    """Whether a graph has written to a variable of the program's C++ since that was loaded: what it counts begins with what
    the driver has, in each query."""
    import ROOT

    return bool(_watching) and bool(ROOT.rdf_lithops.is_written_to())


_watching: list[bool] = []
_DOING = {
    "watch": _watch,
    "environment": _set_environment,
    "include_path": _add_include_path,
    "header": _declare,
    "declare": _declare,
    "line": _process_line,
    "macro": _process_line,
    "library": _load_library,
}


def declare_numba(input_types: Any, return_type: Any, name: str, function: Any) -> None:
    """What ``ROOT.Numba.Declare(input_types, return_type, name)`` does with ``function``."""
    import ROOT

    ROOT.Numba.Declare(input_types, return_type, name)(function)
