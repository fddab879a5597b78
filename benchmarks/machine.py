"""What a figure depends on beside the code: the machine, and the versions of what ran."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

__all__ = ["core_seconds", "describe"]

_PACKAGES = ("ROOT", "lithops", "dask", "distributed", "pyspark", "numpy", "rdf_lithops")


def describe() -> dict[str, Any]:
    """The machine without its name, the versions, and how busy it was: plain, for a line of JSON."""
    machine = {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
        "has_fixed_libraries": bool(os.environ.get("RDF_LITHOPS_INSTANTIATIONS")),
    }
    versions = {"python": platform.python_version(), "commit": _commit()}
    return {"machine": machine, "versions": versions | {name: _version(name) for name in _PACKAGES}}


def core_seconds() -> dict[int, float]:
    """Seconds that one and the same loop takes on each core that this process may use, the better of two.

    Cores of a shared machine need not be equal. What is cut into equal ranges waits for the slowest, what is handed out as
    it goes (implicit multithreading) does not.
    """
    allowed = os.sched_getaffinity(0)
    try:
        return {core: min(_loop_s(core) for _ in range(2)) for core in sorted(allowed)}
    finally:
        os.sched_setaffinity(0, allowed)


def _loop_s(core: int) -> float:
    os.sched_setaffinity(0, {core})
    began = time.process_time()
    for _ in range(3_000_000):
        pass
    return time.process_time() - began


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of the repository; ends in -dirty when files that it tracks differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, timeout=10.0, check=False)
    return done.stdout.strip() or None
