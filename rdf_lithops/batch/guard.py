"""Outlive a driver that is killed, and cancel what it left in the queue. A script: ``python -S -I guard.py``.

It reads lines from the driver: ``+ FOLDER COMMAND...`` for a job (what cancels it), ``- FOLDER`` when the job is over,
fields separated by tabs. When the input ends, the driver has: what is left is cancelled, and its folder deleted.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time

PATIENCE_S = 600.0
PAUSE_S = 5.0


def main() -> None:
    """Read until the driver ends, and tidy up after it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    left: dict[str, list[str]] = {}
    for line in sys.stdin:
        verb, folder, *command = line.rstrip("\n").split("\t")
        if verb == "+":
            left[folder] = command
        else:
            left.pop(folder, None)
    deadline = time.monotonic() + PATIENCE_S
    for folder, command in left.items():
        while _failed(command) and time.monotonic() < deadline:  # a controller that is being started again, perhaps
            time.sleep(PAUSE_S)
        shutil.rmtree(folder, ignore_errors=True)


def _failed(command: list[str]) -> bool:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, timeout=60)
        return done.returncode != 0 and b"matching constraint" not in done.stderr  # HTCondor: there is nothing to remove
    return True


if __name__ == "__main__":
    main()
