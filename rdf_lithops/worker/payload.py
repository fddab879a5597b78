"""Bring the user's code into a ROOT process: unpack the bundle once per machine, load it once per process."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import tarfile
import tempfile
from typing import Any

__all__ = ["FILES_VARIABLE", "PayloadFailure", "load", "unpack"]

FILES_VARIABLE = "RDF_LITHOPS_FILES"  # where distributed files lie, for user code in Python and C++


class PayloadFailure(Exception):
    """A header, library, piece of C++ or initialisation of the user that does not load here: which, and why."""

    def __init__(self, what: str, why: str, log_tail: str = "") -> None:
        super().__init__(what, why, log_tail)
        self.what = what
        self.why = why
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def unpack(payload: dict[str, Any], storage: Any, folder: str) -> str | None:
    """Fetch and unpack the bundle of ``payload`` below ``folder`` unless it is there; returns its folder or None.

    ``storage`` is Lithops' Storage, or anything with ``get_object(bucket, key) -> bytes``. The digest is checked
    before anything is unpacked; the folder appears complete or not at all.
    """
    bundle = payload["bundle"]
    if bundle is None:
        return None
    target = os.path.join(folder, "payloads", bundle["sha256"])
    if os.path.isdir(target):
        return target
    data = storage.get_object(bundle["bucket"], bundle["key"])
    if hashlib.sha256(data).hexdigest() != bundle["sha256"]:
        raise PayloadFailure(f"payload {bundle['key']}", "its SHA-256 is not the one that the driver wrote: damaged")
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    staging = tempfile.mkdtemp(dir=os.path.dirname(target))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(staging, filter="data")
        try:
            os.rename(staging, target)
        except OSError:
            if not os.path.isdir(target):  # else another task of this machine was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def load(payload: dict[str, Any], initialisation: bytes, folder: str | None) -> None:
    """Load headers, libraries, C++ and ``initialize`` into this process, in that order, each one checked."""
    import ROOT

    place = folder or ""
    if folder is not None:
        os.environ[FILES_VARIABLE] = os.path.join(folder, "files")
    for header in payload["headers"]:
        ROOT.gInterpreter.AddIncludePath(f"-I{os.path.dirname(os.path.join(place, header['path']))}")  # ROOT quotes it
    for header in payload["headers"]:
        if not ROOT.gInterpreter.Declare(f'#include "{os.path.join(place, header["path"])}"'):
            raise PayloadFailure(f"header {header['name']}", "it does not compile; the log's tail says why")
    for library in payload["libraries"]:
        path = os.path.join(place, library["path"])
        ROOT.gSystem.AddDynamicPath(os.path.dirname(path))
        if ROOT.gSystem.Load(path) < 0:
            why = "ROOT cannot load it: not a shared library for this machine, or it needs one that is not here"
            raise PayloadFailure(f"shared library {library['name']}", why)
    for code in payload["code"]:
        if not ROOT.gInterpreter.Declare(code):
            raise PayloadFailure("C++ code given to DistributeCppCode", f"it does not compile:\n{code}")
    try:
        pickle.loads(initialisation)()
    except Exception as error:
        raise PayloadFailure("the function given to initialize", f"{type(error).__name__}: {error}") from error
