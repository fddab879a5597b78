"""Ends what a stand-in has started, once its program is gone, however that ended: what is frozen never ends by itself.

A script of its own session: ``python -I watchdog.py PROCESS STANDIN FOLDER``. What belongs to a stand-in has its name in the
environment, or as a container's label.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time

LABEL = "rdf-lithops-standin"
VARIABLE = "RDF_LITHOPS_STANDIN"
LIMIT_S = 30.0


def main(program: int, standin: str, folder: str) -> None:
    """Wait until ``program`` ends; then end what is of ``standin`` and remove ``folder``."""
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(program)], [], [])
    for process in _processes(standin):
        set_frozen(process, False)  # what is frozen cannot be killed
    _remove_containers(standin)
    deadline = time.monotonic() + LIMIT_S
    while (left := _processes(standin)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def set_frozen(process: int, frozen: bool) -> bool:
    """Freeze, or thaw, all that is in the control group of ``process``, if that is a container's; whether it was done."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/cgroup") as groups:
        for line in groups:
            _, kinds, path = line.strip().split(":", 2)
            if "libpod" not in path or kinds not in ("", "freezer"):
                continue
            name, states = ("freezer/freezer.state", "THAWED FROZEN") if kinds else ("/cgroup.freeze", "0 1")
            folder, _, file = name.partition("/")
            with open(os.path.join("/sys/fs/cgroup", folder, path.lstrip("/"), file), "w") as state:
                state.write(states.split()[frozen])
            return True
    return False


def _remove_containers(standin: str) -> None:
    if shutil.which("podman") is None:
        return
    listing = ["podman", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={standin}"]
    names = subprocess.run(listing, capture_output=True, text=True, timeout=LIMIT_S, check=False).stdout.split()
    if names:
        removal = ["podman", "rm", "--force", "--time", "0", *names]
        subprocess.run(removal, capture_output=True, timeout=LIMIT_S, check=False)


def _processes(standin: str) -> list[int]:
    """Those that have the stand-in's name in their environment and have not ended."""
    mark, found = f"{VARIABLE}={standin}".encode(), []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as variables:
            if mark in variables.read().split(b"\0"):
                found.append(int(name))
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
