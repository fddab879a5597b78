"""The section of a batch back end in Lithops' configuration: read, checked, and filled in with what Lithops wants."""

from __future__ import annotations

import os
import re
from typing import Any

__all__ = ["fill_in", "lines", "memory_mib", "seconds"]

DEFAULTS: dict[str, Any] = {"max_workers": 100, "poll_s": 15, "reduce": "queue"}
OWN = {
    "cpus", "max_workers", "poll_s", "time", "memory", "runtime", "runtime_memory", "runtime_timeout", "runtime_cpu",
    "worker_processes", "folder", "scratch", "python", "container", "container_options", "setup", "options", "user_agent",
    "invoke_pool_threads", "runtime_include_function", "visible", "reduce", "tarball",
}  # fmt: skip


def fill_in(config: dict[str, Any], backend: str, more: set[str]) -> dict[str, Any]:
    """Check the section ``backend``, of which ``more`` names its own settings, and fill it in; returns it.

    Raises ValueError for what is not a setting, or has no sense.
    """
    section: dict[str, Any] = config.get(backend) or {}
    config[backend] = section
    unknown = sorted(set(section) - OWN - more)
    if unknown:
        raise ValueError(
            f"unknown settings in section {backend}: {', '.join(unknown)}; known are {', '.join(sorted(OWN | more))}"
        )
    for name, value in DEFAULTS.items():
        section.setdefault(name, value)
    if section["reduce"] not in ("queue", "here"):
        raise ValueError(f"{backend}.reduce is queue or here, got {section['reduce']!r}")
    section["runtime_timeout"] = seconds(section.get("time", section.get("runtime_timeout", 1800)))
    section["runtime_memory"] = memory_mib(section.get("memory", section.get("runtime_memory", 2048)))
    section["worker_processes"] = int(section.get("worker_processes", section.get("cpus", 1)))
    section["cpus"] = section["runtime_cpu"] = int(section.get("cpus", section["worker_processes"]))
    if min(section["cpus"], section["worker_processes"], section["max_workers"]) < 1:
        raise ValueError(f"{backend}: cpus, worker_processes and max_workers are 1 or more")
    section["setup"], section["options"] = lines(section.get("setup")), lines(section.get("options"))
    section["folder"] = _folder(config, backend, section)
    if section.get("tarball"):
        section["tarball"] = _tarball(section, backend)
    shared = (config.get("shared_folder") or {}).get("path")
    section["visible"] = [section["folder"], *([os.path.abspath(os.path.expanduser(str(shared)))] if shared else [])]
    return section


def _folder(config: dict[str, Any], backend: str, section: dict[str, Any]) -> str:
    """Where submissions lie: as configured, beside the objects of a shared folder, or in the home."""
    shared = (config.get("shared_folder") or {}).get("path")
    given = section.get("folder") or (os.path.join(str(shared), "submissions") if shared else f"~/.lithops/{backend}")
    return os.path.abspath(os.path.expandvars(os.path.expanduser(str(given))))


def _tarball(section: dict[str, Any], backend: str) -> str:
    path = os.path.abspath(os.path.expandvars(os.path.expanduser(str(section["tarball"]))))
    if section.get("container"):
        raise ValueError(f"{backend}: container or tarball, not both: either brings Python and its packages")
    if not os.path.isfile(path) and not os.environ.get("LITHOPS_WORKER"):
        raise ValueError(f"{backend}.tarball: there is no file {path}; it lies where this machine and all nodes see it")
    return path


def lines(given: Any) -> list[str]:
    """A string of lines, or a list of them."""
    return given.splitlines() if isinstance(given, str) else [str(line) for line in given or ()]


def seconds(given: Any) -> int:
    """Seconds of ``1800``, ``"30:00"``, ``"2:00:00"``, ``"1-0:00:00"``, ``"45 min"``, ``"90 s"``."""
    text = str(given).strip()
    if isinstance(given, (int, float)):
        return int(given)
    if match := re.fullmatch(r"([\d.]+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)", text):
        return round(float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2][0]])
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        raise ValueError(f"expected a time as 1800 (seconds), 30:00, 2:00:00, 1-00:00:00 or '30 min', got {given!r}")
    days, hours, minutes, rest = (int(field or 0) for field in match.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + rest


def memory_mib(given: Any) -> int:
    """MiB of ``2048``, ``"2G"``, ``"2000M"``, ``"2 GiB"``."""
    match = re.fullmatch(r"([\d.]+)\s*([kKMGT]?)(i?B)?", str(given).strip())
    if match is None:
        raise ValueError(f"expected a memory as 2048 (MiB) or 2G, got {given!r}")
    return max(1, round(float(match[1]) * {"": 1.0, "k": 2**-10, "K": 2**-10, "M": 1.0, "G": 2**10, "T": 2**20}[match[2]]))
