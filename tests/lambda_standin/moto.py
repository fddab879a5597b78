"""moto's server, which has the control plane of Lambda."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import watchdog

__all__ = ["asked", "server"]

START_LIMIT_S = 60.0
# moto finds the service that is asked in the credential's scope
LAMBDA_SCOPE = {"Authorization": "AWS4-HMAC-SHA256 Credential=standin/20260101/us-east-1/lambda/aws4_request"}


@contextmanager
def server(folder: Path, standin: str) -> Iterator[int]:
    """The port at which it listens while this lasts; its log is in ``folder``, and it belongs to the stand-in of that
    name."""
    port = _free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    variables = {**os.environ, watchdog.VARIABLE: standin}
    with open(folder / "moto.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=variables)
        try:
            _wait_for(port)
            _configure(port, {"lambda": {"use_docker": False}, "batch": {"use_docker": False}})
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def asked(port: int, path: str) -> Any:
    """What moto says to a GET of ``path``; OSError where it refuses."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=LAMBDA_SCOPE)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _configure(port: int, values: dict[str, Any]) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/config", json.dumps(values).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30):
        pass


def _free_port() -> int:
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return int(plug.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {START_LIMIT_S} s")
