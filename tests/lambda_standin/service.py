"""AWS Lambda as a service: events are delivered to environments within a quota, with faults as a test wants them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import front, moto, watchdog
from .environment import Answer, Environment, Function, Places
from .front import Request
from .versions import Versions

EVENT_DELIVERIES = 3  # Lambda delivers an event that failed twice more
REDELIVERY_S = 0.2  # a minute on Lambda


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
        self._moto = contextlib.ExitStack()
        self.moto_port = self._moto.enter_context(moto.server(self.folder, self.id))
        self.s3_port = self._s3_port or self.moto_port
        self._front, self._objects = front.serve(self, front.Front), front.serve(self, front.Objects)
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
        self._moto.close()
        self._folder.cleanup()
        self._guard.kill()
        self._guard.wait(timeout=20)

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

    def record(self, service: str, request: front.Front, body: bytes = b"") -> None:
        """Keep what was asked, and by whom."""
        self.requests.append(front.recorded(service, request, body))

    def forward(self, port: int, request: front.Front, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Pass a request on unchanged, and what came back."""
        return front.passed_on(port, request, body)

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
            found = moto.asked(self.moto_port, f"/2015-03-31/functions/{name}")["Configuration"]
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
