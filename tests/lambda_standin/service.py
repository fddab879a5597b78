"""The front: one address for Lambda's control plane and invocations, another for objects; it records what is asked."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import watchdog
from .environment import Answer, Environment, Function, Places
from .versions import Versions

EVENT_DELIVERIES = 3  # Lambda delivers an event that failed twice more
REDELIVERY_S = 0.2  # a minute on Lambda
START_LIMIT_S = 60.0
HOP_BY_HOP = {"content-length", "transfer-encoding", "connection", "date", "server"}


@dataclass
class Invocation:
    """One delivery of one event: what came of it, and when (seconds since the epoch)."""

    ordinal: int
    request_id: str
    kind: str
    environment: str = ""
    cold: bool = False
    began: float = 0.0
    started: float = 0.0
    container_s: float = 0.0  # of a cold one, the first part of init_s
    init_s: float = 0.0
    ended: float = 0.0
    error: str | None = None
    payload: bytes = b""


@dataclass(frozen=True)
class Request:
    """One request to a service of AWS, as recorded: by whom (access key), and what."""

    service: str
    method: str
    path: str
    query: str
    target: str
    access_key: str
    headers: dict[str, str]
    body: str = ""


class _Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait 40 ms
    service: Service

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are recorded."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match = re.fullmatch(r"/2015-03-31/functions/([^/?]+)/invocations", self.path.split("?")[0])
        self.service.record("lambda" if match else "", self, body)
        if self.path.startswith("/2016-08-19/account-settings"):  # which moto does not have
            self.answer(200, json.dumps({"AccountLimit": {"ConcurrentExecutions": self.service.quota}}).encode(), {})
            return
        if "AWSPriceListService" in (self.headers.get("X-Amz-Target") or ""):  # nor this
            self.answer(*self.service.price_list(body))
            return
        if match is None:
            status, said, headers = self.service.forward(self.service.moto_port, self, body)
            self.answer(status, self.service.completed((self.command, self.path, body), said), headers)
            return
        kind = self.headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        qualifier = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("Qualifier", [])
        self.answer(*self.service.invoke(":".join([urllib.parse.unquote(match[1]), *qualifier]), kind, body))

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send one response; a client that has gone is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self.command != "HEAD" or "content-length" not in {name.lower() for name in headers}:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle


class _Objects(_Front):
    """Objects go to the S3 server, byte by byte as they were signed."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.service.record("s3", self)
        if body:
            self.service.uploads.append(body)
        self.answer(*self.service.forward(self.service.s3_port, self, body))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""


class Service:
    """A context: between its ends, ``endpoint`` is AWS and ``s3_endpoint`` its S3.

    ``quota`` environments run at a time. ``faults`` maps the ordinal of an invocation request (from 0, in order of arrival)
    to what happens to it: ``throttle`` (429, once), ``refuse`` (403), ``kill`` (its environment dies while it works),
    ``twice`` (the event is delivered two times). ``s3_port``: an S3 server's on this machine; None for moto's.
    """

    def __init__(
        self, places: Places, quota: int = 1000, faults: dict[int, str] | None = None, s3_port: int | None = None
    ) -> None:
        self.places, self.quota, self.faults = places, quota, faults or {}
        self._s3_port = s3_port
        self.invocations: list[Invocation] = []
        self.requests: list[Request] = []
        self.uploads: list[bytes] = []
        self.products: list[dict[str, Any]] | None = None  # of AWS' price list; None: nobody may read it
        self.failures: list[str] = []  # of the stand-in itself
        self.throttled = 0
        self._idle: dict[tuple[str, str], list[Environment]] = {}
        self.versions = Versions(places)
        self.environments: list[Environment] = []
        self._busy = self.most_at_a_time = 0
        self._requests_seen = 0
        self._lock = threading.Condition()
        self._events: deque[Callable[[], None]] = deque()
        self._open = True

    # -- life

    def __enter__(self) -> Service:
        self._folder = tempfile.TemporaryDirectory(prefix="lambda-standin-")
        self.folder = Path(self._folder.name)
        self.id = uuid.uuid4().hex
        guard = [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid()), self.id, str(self.folder)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.DEVNULL, start_new_session=True)
        self.moto_port = _free_port()
        self.s3_port = self._s3_port or self.moto_port
        log = open(self.folder / "moto.log", "wb")
        self._log = log
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.moto_port)]
        variables = {**os.environ, watchdog.VARIABLE: self.id}
        self._moto = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=variables)
        _wait_for_port(self.moto_port)
        _post(self.moto_port, "/moto-api/config", {"lambda": {"use_docker": False}, "batch": {"use_docker": False}})
        self._front = self._serve(_Front)
        self._objects = self._serve(_Objects)
        self.endpoint = f"http://127.0.0.1:{self._front.server_address[1]}"
        self.s3_endpoint = f"http://127.0.0.1:{self._objects.server_address[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        with self._lock:
            environments = list(self.environments)
            self._lock.notify_all()
        for environment in environments:
            environment.close()
        self.versions.close()
        for server in (self._front, self._objects):
            server.shutdown()
            server.server_close()
        self._moto.terminate()
        self._moto.wait(timeout=20)
        self._log.close()
        self._folder.cleanup()
        self._guard.kill()
        self._guard.wait(timeout=20)

    def _serve(self, front: type[_Front]) -> _Server:
        server = _Server(("127.0.0.1", 0), type("Front", (front,), {"service": self}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def script(self, faults: dict[int, str]) -> None:
        """From now on these faults; ordinals count from the next invocation request."""
        with self._lock:
            self.faults, self._requests_seen, self.throttled, self.most_at_a_time = faults, 0, 0, 0

    def retire(self) -> None:
        """End the idle environments: the next call starts cold, with the variables of then."""
        with self._lock:
            idle = [environment for kept in self._idle.values() for environment in kept]
            self._idle.clear()
        for environment in idle:
            environment.kill()

    # -- what the front asks

    def record(self, service: str, request: _Front, body: bytes = b"") -> None:
        """Keep what was asked and by whom; of the body what is a form, as IAM and STS have it."""
        authorization = request.headers.get("Authorization") or ""
        credential = re.search(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", authorization)
        path, _, query = request.path.partition("?")
        self.requests.append(
            Request(
                service or (credential[2] if credential else ""),
                request.command,
                path,
                query,
                request.headers.get("X-Amz-Target") or "",
                credential[1] if credential else "",
                dict(request.headers.items()),
                body.decode() if "x-www-form" in (request.headers.get("Content-Type") or "") else "",
            )
        )

    def forward(self, port: int, request: _Front, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Pass a request on unchanged, and what came back."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            answer = response.read()
            dropped = HOP_BY_HOP - ({"content-length"} if request.command == "HEAD" else set())
            headers = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
            return response.status, answer, headers
        finally:
            connection.close()

    def price_list(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """AWS' price list: the products whose attributes are those that are asked for."""
        if self.products is None:
            refused = {
                "__type": "AccessDeniedException",
                "Message": "User is not authorized to perform: pricing:GetProducts",
            }
            return 400, json.dumps(refused).encode(), {"Content-Type": "application/x-amz-json-1.1"}
        wanted = {each["Field"]: each["Value"] for each in json.loads(body)["Filters"]}
        found = [each for each in self.products if wanted.items() <= each["product"]["attributes"].items()]
        answer = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(each) for each in found]}
        return 200, json.dumps(answer).encode(), {"Content-Type": "application/x-amz-json-1.1"}

    def invoke(self, name: str, kind: str, payload: bytes) -> tuple[int, bytes, dict[str, str]]:
        """An invocation request: answered at once for an event, with the result for RequestResponse."""
        fault = ""
        if kind == "Event":
            with self._lock:
                fault = self.faults.get(self._requests_seen, "")
                self._requests_seen += 1
        if fault == "throttle":
            self.throttled += 1
            return 429, b'{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate Exceeded."}', {}
        if fault == "refuse":
            return 403, b'{"Message":"User is not authorized to perform: lambda:InvokeFunction"}', {}
        function = self.function(name)
        if function is None:
            return 404, json.dumps({"Type": "User", "Message": f"Function not found: {name}"}).encode(), {}
        request_id = str(uuid.uuid4())
        if kind == "Event":
            for _ in range(2 if fault == "twice" else 1):
                arguments = (function, request_id, payload, fault == "kill")
                threading.Thread(target=self._deliver_event, args=arguments, daemon=True).start()
            return 202, b"", {"x-amzn-RequestId": request_id}
        answer = self._deliver(function, request_id, kind, payload, False)
        return 200, answer.body, {"X-Amz-Function-Error": "Unhandled"} if answer.error else {}

    def function(self, name: str) -> Function | None:
        """What the control plane knows of a function."""
        try:
            found = _get(self.moto_port, f"/2015-03-31/functions/{name}")["Configuration"]
        except OSError:
            return None
        return Function(
            found["FunctionName"],
            found["FunctionArn"],
            int(found["MemorySize"]),
            float(found["Timeout"]),
            int(found.get("EphemeralStorage", {}).get("Size", 512)),
            dict(found.get("Environment", {}).get("Variables", {})),
            str(found["Version"]),
        )

    def completed(self, asked: tuple[str, str, bytes], answer: bytes) -> bytes:
        """The control plane's answer, with what moto does not know of."""
        return self.versions.told(asked, answer, self.function, (self.folder, self.id))

    # -- deliveries

    def _deliver_event(self, function: Function, request_id: str, payload: bytes, kill: bool) -> None:
        try:
            self._deliver_until_done(function, request_id, payload, kill)
        except Exception:  # in a thread that nobody waits for
            self.failures.append(traceback.format_exc())

    def _deliver_until_done(self, function: Function, request_id: str, payload: bytes, kill: bool) -> None:
        for delivery in range(EVENT_DELIVERIES):
            answer = self._deliver(function, request_id, "Event", payload, kill and delivery == 0)
            if answer.error is None or not self._open:
                return
            time.sleep(REDELIVERY_S)

    @staticmethod
    def billed_s(invocations: Sequence[Invocation]) -> float:
        """Seconds that Lambda bills for these, unrounded: the initialisation of an image is part of them, the start of its
        container is not."""
        return sum(invocation.ended - invocation.started - invocation.container_s for invocation in invocations)

    def _deliver(self, function: Function, request_id: str, kind: str, payload: bytes, kill: bool) -> Answer:
        with self._lock:
            invocation = Invocation(len(self.invocations), request_id, kind, began=time.time(), payload=payload)
            self.invocations.append(invocation)
        with self._environment(function, invocation) as environment:
            if environment is None:
                return Answer(b"{}", "closed")
            environment.thaw()
            invocation.started = time.time()
            if kill:
                threading.Thread(target=self._kill_soon, args=(environment,), daemon=True).start()
            answer = environment.run(request_id, payload)
            invocation.ended, invocation.error, invocation.init_s = time.time(), answer.error, environment.init_s
            if invocation.cold and environment.runner.alive():
                invocation.container_s = environment.container_s
            return answer

    def _kill_soon(self, environment: Environment) -> None:
        """Once it works on its event: dead."""
        environment.ready.wait(30)
        time.sleep(0.2)
        environment.kill()

    @contextlib.contextmanager
    def _environment(self, function: Function, invocation: Invocation) -> Iterator[Environment | None]:
        """An idle environment of ``function`` or a new one, as soon as the quota allows."""
        with self._lock:
            while self._busy >= self.quota and self._open:
                self._lock.wait()  # thousands may: one is woken for each that ends
            if not self._open:
                yield None
                return
            self._busy += 1
            self.most_at_a_time = max(self.most_at_a_time, self._busy)
            idle = self._idle.setdefault((function.name, function.version), [])
            environment = idle.pop() if idle else None
            invocation.cold = environment is None
        if environment is None:
            snapshot = self.versions.snapshot_of(function)
            environment = Environment(function, self.places, self.folder, self.id, snapshot)
            self.environments.append(environment)
        invocation.environment = environment.id
        try:
            yield environment
        finally:
            reusable = environment.alive() and self._open
            if reusable:
                environment.freeze()
            with self._lock:
                if reusable:
                    idle.append(environment)
                self._busy -= 1
                self._lock.notify()

    def logs(self) -> str:
        """All that the environments printed."""
        return "\n".join(environment.log.read_text(errors="replace") for environment in self.environments)


def _free_port() -> int:
    import socket

    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return int(plug.getsockname()[1])


def _wait_for_port(port: int) -> None:
    import socket

    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {START_LIMIT_S} s")


# moto finds the service that is asked in the credential's scope
LAMBDA_SCOPE = {"Authorization": "AWS4-HMAC-SHA256 Credential=standin/20260101/us-east-1/lambda/aws4_request"}


def _get(port: int, path: str) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=LAMBDA_SCOPE)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _post(port: int, path: str, value: Any) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(value).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30):
        pass
