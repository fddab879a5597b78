"""The stand-in for AWS Lambda leaves nothing behind, however its program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from conftest import REPOSITORY
from lambda_standin import image
from waiting import until

LIMIT_S = 60.0
HANDLER = """
import os, subprocess, sys

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)

def handler(event, context):
    return "ready"
"""
PROGRAM = """
import sys, time
from lambda_standin import Function, Places, Service

image, volume = sys.argv[1] or None, sys.argv[2]
places = Places(image, handler="sleeper.handler", variables={{"PYTHONPATH": volume, "MARK": {mark!r}}}, volume=volume)
with Service(places) as service:
    service.function = lambda name: Function(name, "arn", 256, 30.0, 64, {{}})
    print(service.invoke("sleeper", "RequestResponse", b"{{}}")[1].decode(), service.folder, flush=True)
    time.sleep({limit_s})
"""


def marked(mark: str) -> list[psutil.Process]:
    """Processes that have ``mark`` in their environment; what runs in a container is among them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_nothing_outlives_a_killed_program(tmp_path: Path) -> None:
    """When its program is killed, the stand-in's frozen environments end, with processes in sessions of their own."""
    mark = os.urandom(8).hex()
    (tmp_path / "sleeper.py").write_text(HANDLER)
    tmp_path.chmod(0o755)  # a container's user is not ours
    program = PROGRAM.format(mark=mark, limit_s=LIMIT_S)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    command = [sys.executable, "-W", "ignore", "-c", program, image() or "", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        answer, _, folder = running.stdout.readline().strip().partition(" ")
        assert '"ready"' == answer
        assert until(lambda: len(marked(mark)) == 2)
        running.send_signal(signal.SIGKILL)
    assert until(lambda: not marked(mark) and not Path(folder).exists())
