"""What a figure depends on beside the code: the machine, and the versions of what ran."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

__all__ = ["describe"]

_PACKAGES = ("ROOT", "lithops", "dask", "distributed", "pyspark", "numpy", "rdf_lithops")


def describe() -> dict[str, Any]:
    """The machine without its name, the versions, and how busy it was: plain, for a line of JSON."""
    machine = {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
    }
    versions = {"python": platform.python_version(), "commit": _commit()}
    return {"machine": machine, "versions": versions | {name: _version(name) for name in _PACKAGES}}


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
