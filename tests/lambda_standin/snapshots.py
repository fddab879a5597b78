"""SnapStart on this machine: a version is initialised once, frozen, and each new environment is a copy of it.

    publish-version ──> Snapshot: the runtime client starts, its hooks run, every process of it freezes
    a cold call     ──> Restored: each of them is copied (inside/copying.py), hooks run, the first event is asked for

CRIU, which would do the same from outside, does not start on kernels as new as this machine's in Debian 12's version. What
this cannot show: how long Amazon takes to restore, from disks and a network; clocks that stood still; another machine's
processor. Needs the rights of root, for namespaces of processes and mounts.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .watchdog import VARIABLE

if TYPE_CHECKING:
    from .environment import Environment, Function, Places

__all__ = ["Restored", "Snapshot", "can_snapshot"]

INSIDE = Path(__file__).with_name("inside")
FREEZE = signal.SIGRTMIN + 9
LIMIT_S = 120.0  # initialisation may take longer before a snapshot than before an event
TOKEN = "token-of-the-stand-in"


def can_snapshot() -> bool:
    """Whether this machine lets us make namespaces."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode == 0


@dataclass
class _Frozen:
    """A process that waits for orders, and how many sockets it shares with its neighbour."""

    process: int
    orders: socket.socket
    pairs: int = 0


class _Keys(http.server.BaseHTTPRequestHandler):
    """The role's keys, which restored environments ask for: those in variables would be the snapshot's."""

    keys: dict[str, str]

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization") == TOKEN
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        key, secret = self.keys.get("AWS_ACCESS_KEY_ID"), self.keys.get("AWS_SECRET_ACCESS_KEY")
        body = json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, "Token": "", "Expiration": ends}).encode()
        self.send_response(200 if given else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Snapshot:
    """A version of ``function`` that was initialised and is frozen. Raises RuntimeError for what no snapshot can hold."""

    def __init__(self, function: Function, places: Places, folder: Path, standin: str) -> None:
        self.function, self.places, self.standin = function, places, standin
        self.folder = Path(tempfile.mkdtemp(prefix="snapshot-", dir=folder))
        self.files = self.folder / "tmp"
        self.files.mkdir()
        self.log = self.folder / "log"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / "orders"))
        self._listener.listen(16)
        self._keys = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Keys", (_Keys,), {"keys": places.variables}))
        threading.Thread(target=self._keys.serve_forever, daemon=True).start()
        self._lock = threading.Lock()
        began = time.time()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*places.pinned, sys.executable, "-W", "ignore", str(INSIDE / "runtime.py"), places.handler],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.files,
                env=self._variables(),
                start_new_session=True,
            )
        try:
            self.frozen = [self._accepted()]
            self.init_s = time.time() - began
            for process in self._others():
                os.kill(process, FREEZE)
                self.frozen.append(self._accepted())
        except BaseException:
            self.close()
            raise

    def _variables(self) -> dict[str, str]:
        """What an environment has when its snapshot is taken: no name of a log, no keys, and the network's address later."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LITHOPS", "PYTHON"))}
        role = {name: value for name, value in self.places.variables.items() if not name.endswith(("KEY_ID", "ACCESS_KEY"))}
        address, port = self._keys.server_address[:2]
        return {
            **kept,
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",  # of nobody
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_FUNCTION_NAME": self.function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.function.memory_mib),
            "AWS_LAMBDA_FUNCTION_VERSION": self.function.version,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address!s}:{port}/keys",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
            "_HANDLER": self.places.handler,
            "LAMBDA_TASK_ROOT": "/opt/rdf_lithops",
            VARIABLE: self.standin,
            **role,
            **self.function.variables,
            "TMPDIR": str(self.files),
            "HOME": str(self.files),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(INSIDE), role.get("PYTHONPATH")])),
            "OPENBLAS_NUM_THREADS": "1",  # its threads would not be copied
            "RDF_LITHOPS_STANDIN_ORDERS": str(self.folder / "orders"),
            "RDF_LITHOPS_WORKER": "1",
        }

    def _accepted(self) -> _Frozen:
        """The next process that is frozen."""
        deadline = time.monotonic() + LIMIT_S
        while not select.select([self._listener], [], [], 0.05)[0]:
            if self.process.poll() is not None:
                raise RuntimeError(f"initialisation ended with status {self.process.returncode}: {self._tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"initialisation did not end within {LIMIT_S} s: {self._tail()}")
        orders, _ = self._listener.accept()
        hello = json.loads(orders.recv(65536))
        if hello["threads"] != 1 or hello["connections"]:
            orders.close()
            raise RuntimeError(f"a snapshot cannot hold what process {hello['pid']} has: {hello}")
        return _Frozen(int(hello["pid"]), orders)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def _others(self) -> list[int]:
        """The processes that the runtime client has started, and they, and that live."""
        mark, found = f"TMPDIR={self.files}".encode(), []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as variables:
                if mark in variables.read().split(b"\0") and int(name) != self.process.pid:
                    found.append(int(name))
        return found

    def copies(self, namespace: str, files: str, log: int, variables: dict[str, str]) -> list[int]:
        """Copy all processes; their ids as this machine has them, the runtime client's first.

        What two of them have in common is one pair of sockets: between the runtime client and the ROOT process that it
        holds.
        """
        pair = socket.socketpair() if len(self.frozen) == 2 else ()
        order = {"namespace": namespace, "files": files, "seen_as": str(self.files), "variables": variables}
        made = []
        with self._lock, contextlib.ExitStack() as stack:
            for end in pair:
                stack.enter_context(end)
            ready, told = os.pipe()
            stack.callback(os.close, ready)
            stack.callback(os.close, told)
            for position, each in reversed(
                [*enumerate(self.frozen)]
            ):  # whom the runtime client looks for is there before it
                shared = [pair[position].fileno()] if pair else []
                socket.send_fds(each.orders, [json.dumps(order).encode()], [log, told, *shared])
                made.insert(0, int(json.loads(each.orders.recv(65536))["copy"]))
                if not select.select([ready], [], [], LIMIT_S)[0]:
                    raise RuntimeError("a copy did not come up")
                os.read(ready, 1)
        return made

    def close(self) -> None:
        """End what is frozen."""
        for process in [*self._others(), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait(timeout=20)
        self._keys.shutdown()
        self._keys.server_close()
        self._listener.close()
        for each in getattr(self, "frozen", ()):
            each.orders.close()


class Restored:
    """The runner of an environment that is a copy of a snapshot."""

    def __init__(self, environment: Environment, snapshot: Snapshot) -> None:
        self.files = environment.folder / "tmp"
        shutil.copytree(snapshot.files, self.files, symlinks=True, ignore=_sockets)
        self.log = open(environment.log, "wb")  # noqa: SIM115  # closed in kill
        self.began = time.time()
        self.first = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            env={**os.environ, VARIABLE: environment.standin},
            start_new_session=True,
        )
        self.namespace = self._namespace()
        variables = {"AWS_LAMBDA_RUNTIME_API": environment.variables()["AWS_LAMBDA_RUNTIME_API"]}
        path = f"/proc/{self.first.pid}/ns/pid_for_children"
        self.process, *_ = snapshot.copies(path, str(self.files), self.log.fileno(), variables)
        self.watch = os.pidfd_open(self.process)

    def _namespace(self) -> str:
        """The new namespace's name, once it is there and has a first process."""
        own, deadline = os.readlink("/proc/self/ns/pid"), time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                found = os.readlink(f"/proc/{self.first.pid}/ns/pid_for_children")
                with open(f"/proc/{self.first.pid}/task/{self.first.pid}/children") as children:
                    if found != own and children.read().strip():
                        return found
            time.sleep(0.002)
        raise RuntimeError("no namespace of processes was made")

    def started_at(self) -> float:
        """When the copy was ordered, in Unix seconds: there is no container to wait for."""
        return self.began

    def alive(self) -> bool:
        return not select.select([self.watch], [], [], 0)[0]

    def how(self) -> str:
        return "Runtime exited with error: signal: killed"

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """To all processes of the namespace; ``sleep`` may sleep on."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{name}/ns/pid") == self.namespace:
                    os.kill(int(name), number)

    def kill(self) -> None:
        """End the first process of the namespace, with which all others end."""
        self.first.kill()
        self.first.wait(timeout=20)
        select.select([self.watch], [], [], 20)
        if not self.log.closed:
            self.log.close()
            os.close(self.watch)
            self.watch = os.open(os.devnull, os.O_RDONLY)  # which is readable: dead
        shutil.rmtree(self.files, ignore_errors=True)


def _sockets(folder: str, names: list[str]) -> list[str]:
    """What is made anew, and not copied."""
    return [name for name in names if (Path(folder) / name).is_socket()]
