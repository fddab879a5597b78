"""What belongs to a program's runs: its processes, told by their temporary folder, and what lies in the storage."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any

import lithops
import psutil

from rdf_lithops.executor import leftovers, library_store

__all__ = ["descendants", "executor", "left_in_storage", "left_on_disk", "name", "of"]


def executor(version: int, workers: int = 2) -> lithops.FunctionExecutor:
    """A localhost executor of that version of Lithops' backend."""
    config = {
        "lithops": {"backend": "localhost", "storage": "localhost"},
        "localhost": {"version": version, "worker_processes": workers},
    }
    return lithops.FunctionExecutor(config=config, log_level=None)


def descendants() -> list[psutil.Process]:
    """All living processes that share this program's temporary folder, without the program itself and its parents."""
    ours = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    return [process for process in of(tempfile.gettempdir()) if process.pid not in ours]


def of(folder: str) -> list[psutil.Process]:
    """All living processes whose temporary folder this is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def name(process: psutil.Process) -> str:
    """What a process is, in the words of its command line, and how deep it lies below the first of that command."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        known = [word for word in words if word.startswith("rdf_lithops.") or word.endswith(".py")]
        same = [parent for parent in process.parents() if parent.cmdline() == words]
        return f"{' '.join(known) or ' '.join(words[:4])} (depth {len(same)}, {process.pid})"
    return str(process)


def left_in_storage(fexec: Any) -> list[str]:
    """Objects that a run which is over should have taken with it; the functions and a record stay until the executor ends,
    what Lithops knows of a runtime and this machine's instantiation libraries for good."""
    keys = fexec.storage.list_keys(fexec.storage.bucket)
    kept = (f"{library_store.LIBRARIES_PREFIX}/", f"{leftovers.EXECUTORS_PREFIX}/")
    return [key for key in keys if not key.endswith((".func.pickle", ".meta.json")) and not key.startswith(kept)]


def left_on_disk(folder: str | None = None) -> list[str]:
    """Files of runs below the temporary folder, without Lithops' package, caches and logs."""
    everything = (os.path.join(top, name) for top, _, names in os.walk(folder or tempfile.gettempdir()) for name in names)
    return [path for path in everything if "rdf_lithops" in path or "lithops.jobs" in path]
