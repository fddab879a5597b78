"""One execution environment: a runtime API of its own, and behind it the real runtime client in a container or a process."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .answering import Answering
from .snapshots import Restored, Snapshot
from .watchdog import LABEL, VARIABLE, set_frozen

HANDLER = "rdf_lithops.worker.start.lambda_handler.handler"
LAMBDA_USER = "993:990"


@dataclass(frozen=True)
class Function:
    """What was deployed, as the control plane tells it."""

    name: str
    arn: str
    memory_mib: int
    timeout_s: float
    tmp_mib: int
    variables: dict[str, str]
    version: str = "$LATEST"


@dataclass(frozen=True)
class Places:
    """Where environments run: ``image`` in containers of it, None in processes of this Python.

    ``variables`` are those of every environment: the role's keys, the endpoints. ``vcpus`` is the most that one gets;
    ``volume`` a folder of this machine that all can use under its own name, as Lambda mounts a file system (EFS). ``core``
    is the only one on which processes run, where there are no containers to limit them.
    """

    image: str | None = None
    handler: str = HANDLER
    variables: dict[str, str] = field(default_factory=dict)
    vcpus: float = 1.0
    volume: str | None = None
    core: int | None = None

    @property
    def pinned(self) -> list[str]:
        """What a command begins with that runs on ``core`` alone."""
        return [] if self.core is None else ["taskset", "--cpu-list", str(self.core)]


@dataclass(frozen=True)
class Answer:
    """How an event ended in its environment: ``error`` None, or Lambda's name for what went wrong."""

    body: bytes
    error: str | None = None


class _RuntimeApi(Answering):
    """The four requests of Lambda's runtime API."""

    environment: Environment

    def do_GET(self) -> None:
        self.environment.note_ready()
        request_id, event, deadline_ms = self.environment.next_event()
        function = self.environment.function
        self.answer(
            200,
            event,
            {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": function.arn,
                "Content-Type": "application/json",
            },
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(202, b"", {})
        kind = self.path.rsplit("/", 1)[-1]
        self.environment.note_answer(Answer(body, None if kind == "response" else "Unhandled"))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of ours."""


class Environment:
    """Started cold, or as a copy of a ``snapshot``.

    ``run`` gives it one event at a time; ``freeze`` stops it in between; ``kill`` ends it.
    """

    def __init__(
        self, function: Function, places: Places, folder: Path, standin: str, snapshot: Snapshot | None = None
    ) -> None:
        self.function, self.places, self.standin = function, places, standin
        self.id = uuid.uuid4().hex[:8]
        self.folder = folder / self.id
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self.events: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.ready = threading.Event()
        self.began = time.time()
        self.init_s = 0.0
        self.frozen = False
        handler = type("Handler", (_RuntimeApi,), {"environment": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.runner: _Container | _Process | Restored
        if snapshot is not None:
            self.runner = Restored(self, snapshot)
        else:
            self.runner = (_Container if places.image else _Process)(self)

    # -- the runtime API's side

    def note_ready(self) -> None:
        """The runtime client asks for its first event: initialisation is over."""
        if not self.ready.is_set():
            self.init_s = time.time() - self.began
            self.ready.set()

    def next_event(self) -> tuple[str, bytes, int]:
        """The next event for the runtime client, however long it takes to come."""
        return self.events.get()

    def note_answer(self, answer: Answer) -> None:
        """What the handler returned or raised."""
        self.answers.put(answer)

    @property
    def container_s(self) -> float:
        """From the order to start it to its first process; the first part of ``init_s``."""
        return self.runner.started_at() - self.began

    # -- the service's side

    def run(self, request_id: str, event: bytes) -> Answer:
        """Have the environment, thawed, work on ``event``, within the function's time; then it may be dead (``alive``)."""
        deadline = time.time() + self.function.timeout_s + (0 if self.ready.is_set() else 30)
        self.events.put((request_id, event, int(deadline * 1000)))
        while time.time() < deadline:
            if self.ready.is_set() and deadline > time.time() + self.function.timeout_s:
                deadline = time.time() + self.function.timeout_s  # the clock of a cold call starts after initialisation
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=0.1)
            if not self.runner.alive():
                how = self.runner.how()
                return Answer(json.dumps({"errorType": "Runtime.ExitError", "errorMessage": how}).encode(), how)
        self.kill()
        message = f"{request_id} Task timed out after {self.function.timeout_s:.2f} seconds"
        return Answer(json.dumps({"errorMessage": message}).encode(), "Timeout")

    def alive(self) -> bool:
        """Whether it can take another event."""
        return self.runner.alive()

    def freeze(self) -> None:
        """Between two events nothing in it runs, as on Lambda."""
        self.frozen = True
        self.runner.freeze()

    def thaw(self) -> None:
        """Let it run again."""
        if self.frozen:
            self.frozen = False
            self.runner.thaw()

    def kill(self) -> None:
        """End it, at once."""
        self.runner.kill()

    def close(self) -> None:
        """End it and what served it."""
        self.kill()
        self.server.shutdown()
        self.server.server_close()

    def variables(self) -> dict[str, str]:
        """The environment variables that Lambda sets, and the function's own."""
        address, port = self.server.server_address[:2]
        return {
            "AWS_LAMBDA_RUNTIME_API": f"{address}:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": self.function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.function.memory_mib),
            "AWS_LAMBDA_FUNCTION_VERSION": self.function.version,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self.id,
            "_HANDLER": self.places.handler,
            "LAMBDA_TASK_ROOT": "/opt/rdf_lithops",
            VARIABLE: self.standin,
            **self.places.variables,
            **self.function.variables,
        }


def _started_at(process: int) -> float:
    """When a process was started, in Unix seconds, as exactly as the kernel knows it: 0.01 s."""
    with open(f"/proc/{process}/stat") as stat, open("/proc/uptime") as uptime:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
        return time.time() - float(uptime.read().split()[0]) + ticks / os.sysconf("SC_CLK_TCK")


class _Container:
    """The image under podman, with what Lambda grants: memory, a read-only file system, /tmp, no privileges, no shared
    memory."""

    def __init__(self, environment: Environment) -> None:
        function = environment.function
        self.name = f"rdf-lithops-standin-{environment.id}"
        variables = [f"--env={name}={value}" for name, value in environment.variables().items()]
        volume = environment.places.volume
        self.log = open(environment.log, "wb")  # noqa: SIM115  # closed in kill
        self.process = subprocess.Popen(
            [
                *("podman", "run", "--rm", "--name", self.name, "--network", "host"),
                *("--label", f"{LABEL}={environment.standin}"),
                *("--read-only", "--read-only-tmpfs=false", "--security-opt", "no-new-privileges"),
                *("--tmpfs", f"/tmp:rw,size={function.tmp_mib}m,mode=1777", "--user", LAMBDA_USER, "--cap-drop", "all"),
                *("--memory", f"{function.memory_mib}m", "--memory-swap", f"{function.memory_mib}m"),
                *("--cpus", f"{min(environment.places.vcpus, function.memory_mib / 1769):.2f}"),
                *([f"--volume={volume}:{volume}"] if volume else []),
                *(*variables, str(environment.places.image), environment.places.handler),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.first = 0  # the container's first process, once it is known

    def started_at(self) -> float:
        """When the container's first process was started, in Unix seconds."""
        return _started_at(self._first())

    def _first(self) -> int:
        if not self.first:
            asked = ["podman", "inspect", "--format", "{{.State.Pid}}", self.name]
            said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
            self.first = int(said) if said.isdigit() else 0  # 0 if it has just died
        return self.first

    def alive(self) -> bool:
        return self.process.poll() is None

    def how(self) -> str:
        code = self.process.wait(timeout=30)
        return "Runtime exited with error: signal: killed" if code in (137, -9) else f"Runtime exited with status {code}"

    def freeze(self) -> None:
        """By ``podman pause`` where it must be: it takes 0.1 s, as long as all else between two events."""
        if not set_frozen(self._first(), True):
            self._podman("pause")

    def thaw(self) -> None:
        if not set_frozen(self._first(), False):
            self._podman("unpause")

    def kill(self) -> None:
        if self.alive():
            set_frozen(self.first, False)  # what is frozen cannot be killed
            self._podman("kill", "--signal", "KILL")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.log.close()

    def _podman(self, *verb: str) -> None:
        subprocess.run(["podman", *verb, self.name], capture_output=True, timeout=60, check=False)


class _Process:
    """The runtime client in a process of this Python, with a /tmp of its own; memory is not limited."""

    def __init__(self, environment: Environment) -> None:
        self.tmp = tempfile.mkdtemp(prefix="tmp-", dir=environment.folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LITHOPS", "PYTHON"))}
        variables = {
            **kept,
            **environment.variables(),
            "TMPDIR": self.tmp,
            "HOME": self.tmp,
            "PYTHONSAFEPATH": "1",
            "RDF_LITHOPS_WORKER": "1",
        }
        self.log = open(environment.log, "wb")  # noqa: SIM115  # closed in kill
        self.process = subprocess.Popen(
            [*environment.places.pinned, sys.executable, "-W", "ignore", "-m", "awslambdaric", environment.places.handler],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=self.tmp,
            env=variables,
            start_new_session=True,
        )
        self.stopped: list[psutil.Process] = []

    def started_at(self) -> float:
        """When the process was started, in Unix seconds."""
        return _started_at(self.process.pid)

    def alive(self) -> bool:
        return self.process.poll() is None

    def how(self) -> str:
        code = self.process.wait(timeout=30)
        return "Runtime exited with error: signal: killed" if code == -9 else f"Runtime exited with status {code}"

    def freeze(self) -> None:
        self.stopped = self._tree()
        self._signal(self.stopped, signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(self.stopped, signal.SIGCONT)

    def kill(self) -> None:
        tree = self._tree()
        self._signal(tree, signal.SIGKILL)
        psutil.wait_procs(tree, timeout=20)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.log.close()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def _tree(self) -> list[psutil.Process]:
        """The process and all below it; what outlived its parent is known by its working folder."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid == self.process.pid or process.environ().get("TMPDIR") == self.tmp:
                    found[process.pid] = process
        return list(found.values())

    @staticmethod
    def _signal(processes: list[psutil.Process], number: int) -> None:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
