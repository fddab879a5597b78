"""Lambda whose environments follow a script: thousands of them at a time, on a machine that can hold two real ones.

A process of its own (``python -m benchmarks.scripted_environments S3_PORT SLOWER``), so that the driver's processor time
is the driver's. The control plane, the role, the registry are the tests' stand-in (tests/lambda_standin), and the objects
lie in a real S3 server. Calls that run ranges are scripted: each waits for as long as a distribution says, and writes
what a real worker wrote in a call that was recorded before, with its own ranges and times in it. All else (reducers,
folds, the calls that are recorded) runs in real environments.

It reads a line of JSON for each command, a ``Script``, and answers with a line; it ends with its standard input.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import json
import os
import pickle
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import psutil
from lambda_standin import Places, Service, account
from lithops.constants import SESSION_ID_ENV
from lithops.storage.utils import StorageNoSuchKeyError

from rdf_lithops.executor.run_folders import RUN_VARIABLE
from rdf_lithops.processes.beats import Pulse, Stopped
from rdf_lithops.travels.envelope import pack, unpack

from .simulation import REDELIVERY_S, Script, life_s
from .slower import Cores

__all__ = ["Scripted"]

SCRIPTED = ("MapTask",)
API_S = 0.03  # from the driver to Lambda's control plane
REAL_AT_A_TIME = 2
FOLDER = "lithops.jobs"
LISTENERS = 512
TICK_S = 0.05  # between two looks of a call whether a beat is due


class Scripted(Service):
    """The stand-in, whose calls that run ranges are scripted once there is a script."""

    def __init__(self, s3_port: int, slower: float, cores: Cores | None) -> None:
        super().__init__(Places(), quota=round(REAL_AT_A_TIME * slower), s3_port=s3_port)
        self.slower, self.cores, self._with_cores = slower, cores, set[str]()
        self.script_of: Script | None = None
        self.dice = random.Random(1)
        self.tally: Counter[str] = Counter()
        self.billed_s = self.worked_s = 0.0
        self.started_at: list[float] = []
        self.ended_at: list[float] = []
        self.listeners = ThreadPoolExecutor(LISTENERS)
        self.lock = threading.Lock()
        self.idle, self.busy = 0, 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def begin(self, script: Script | None) -> None:
        """From now on this script, in new environments."""
        self.script_of, self.idle, self.busy, self.tally = script, 0, 0, Counter()
        self.billed_s = self.worked_s = 0.0
        self.started_at, self.ended_at = [], []
        if script is not None:
            self.dice = random.Random(script.seed)
            self.began_s = time.monotonic()

    def invoke(self, name: str, kind: str, payload: bytes) -> tuple[int, bytes, dict[str, str]]:
        script = self.script_of
        time.sleep(API_S * self.slower)
        event = json.loads(payload) if kind == "Event" and script is not None else {}
        if script is None or event.get("func_name") not in SCRIPTED:
            self.tally["real"] += kind == "Event"
            return super().invoke(name, kind, payload)
        with self._lock:
            fate = self.dice.random()
        if fate < script.throttled:
            self.tally["throttled"] += 1
            return 429, b'{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate Exceeded."}', {}
        deliveries = 2 if fate < script.throttled + script.twice else 1
        for _ in range(deliveries):
            asyncio.run_coroutine_threadsafe(self._live(event, script), self.loop).add_done_callback(self._look_after)
        self.tally["invoked"] += 1
        self.tally["delivered"] += deliveries
        return 202, b"", {"x-amzn-RequestId": os.urandom(8).hex()}

    @contextlib.contextmanager
    def _environment(self, function: Any, invocation: Any) -> Iterator[Any]:
        """A real one: where all is slower it has a core of its own, which is as much slower."""
        with super()._environment(function, invocation) as environment:
            if self.cores is not None and self.script_of is not None and environment is not None:
                self._give_core(self.cores, environment)  # those of the recording have started
            yield environment

    def _give_core(self, cores: Cores, environment: Any) -> None:
        with contextlib.suppress(psutil.Error):  # it died just now
            if environment.id not in self._with_cores:
                self._with_cores.add(environment.id)
                first = psutil.Process(environment.runner.process.pid)
                cores.give(first.pid, *(each.pid for each in first.children(recursive=True)))

    def _look_after(self, done: Any) -> None:
        if done.exception() is not None:
            self.failures.append(repr(done.exception()))

    async def _live(self, event: dict[str, Any], script: Script) -> None:
        """One delivery of an event: wait for an environment, work in it, and die in it perhaps."""
        while self.busy >= self._allowed(script):
            await asyncio.sleep(0.05)
        self.busy += 1
        is_cold = self.idle == 0
        self.idle -= not is_cold
        began = time.time()
        self.started_at.append(began)
        try:
            dies = self.dice.random() < script.killed
            await self._work(event, script, is_cold, dies)
        finally:
            self.busy -= 1
            self.billed_s += time.time() - began
            self.ended_at.append(time.time())
        self.idle += not dies
        if dies:
            self.tally["killed"] += 1
            await asyncio.sleep(REDELIVERY_S / script.faster)
            if self.script_of is script:  # else the run is over
                await self._live(event, dataclasses.replace(script, killed=0.0))

    def _allowed(self, script: Script) -> float:
        ramp = script.ramp_per_s * script.faster * (time.monotonic() - self.began_s)
        return min(script.quota, 1000 + ramp) if script.ramp_per_s else script.quota

    async def _work(self, event: dict[str, Any], script: Script, is_cold: bool, dies: bool) -> None:
        begin_s, loop_s = life_s(script, self.dice, is_cold)
        (call_id,) = event["call_ids"]
        prefix = f"{FOLDER}/{event['job_key']}/{call_id}"
        activation = os.urandom(6).hex()
        began = time.time()
        await asyncio.sleep(begin_s)
        await self.store.get_async(event["func_key"])
        await self._put(f"{prefix}/{activation}.init", b"")
        until = time.time() + loop_s * (self.dice.random() if dies else 1.0)
        if script.listens:
            await self.loop.run_in_executor(self.listeners, self._listen, event, call_id, script, until)
            self.tally["stopped"] += time.time() < until
            return
        beat = 0
        while (left_s := until - time.time()) > 0:
            await asyncio.sleep(min(left_s, script.beat_s / script.faster))
            beat += 1
            if until - time.time() > 0:
                told = {"beat": beat, "entries": 0, "cpu_s": beat * script.beat_s, "host": activation, "pid": 1}
                await self._put(f"{prefix}/beat.json", json.dumps(told).encode())
        if not dies:
            self.worked_s += loop_s
            status = self.recorded.status(event, call_id, activation, began, began + begin_s, loop_s)
            await self._put(f"{prefix}/status.json", status)

    def _listen(self, event: dict[str, Any], call_id: str, script: Script, until: float) -> None:
        """Beat, and ask at each beat whether the call is wanted, until it is not or is done: the worker's own code."""
        settings = {"every_s": script.beat_s / script.faster, "prefix": FOLDER}
        settings |= {"folder_variable": SESSION_ID_ENV, "run_variable": RUN_VARIABLE}
        with self.lock:
            os.environ[SESSION_ID_ENV] = f"{event['job_key']}-{call_id}"
            os.environ[RUN_VARIABLE] = event["extra_env"][RUN_VARIABLE]
            pulse = Pulse(settings, _Objects(self.store))
        with contextlib.suppress(Stopped):
            while time.time() < until:
                pulse.tick()
                time.sleep(TICK_S)

    async def _put(self, key: str, body: bytes) -> None:
        self.tally["PUT"] += 1
        await self.store.put_async(key, body)

    def record(self, *given: Any, **named: Any) -> None:
        """What is asked is not kept: there are too many requests, and the S3 server counts its own."""

    def take_recorded(self) -> bool:
        """Whether a real call has left what scripted ones are to write."""
        for body in reversed(self.uploads):
            with contextlib.suppress(ValueError, TypeError):
                status = json.loads(body)
                if isinstance(status, dict) and status.get("type") == "__end__" and "result" in status:
                    envelope = unpack(pickle.loads(ast.literal_eval(status["result"])))
                    if len(envelope.range_ids) == 1 and "call_s" in envelope.facts:
                        self.recorded = Recorded(status, envelope)
                        return True
        return False


class _Objects:
    """What a worker has for Lithops' storage here."""

    bucket = account.BUCKET

    def __init__(self, store: Any) -> None:
        self._store = store

    def put_object(self, bucket: str, key: str, data: bytes) -> None:
        self._store.put(key, data)

    def get_object(self, bucket: str, key: str) -> bytes:
        try:
            return bytes(self._store.get(key).bytes())
        except FileNotFoundError as error:
            raise StorageNoSuchKeyError(bucket, key) from error


@dataclass(frozen=True)
class Recorded:
    """What a real worker wrote at the end of a call of one range."""

    template: dict[str, Any]
    envelope: Any

    def status(
        self, event: dict[str, Any], call_id: str, activation: str, began: float, function: float, loop_s: float
    ) -> bytes:
        """The same of another call: its name, its range, its times."""
        call = pickle.loads(ast.literal_eval(event["data_byte_strs"][0]))["call"]
        facts = {**self.envelope.facts, "host": activation, "process_at": 0.0, "invoked_at": began, "loop_s": loop_s}
        facts.update(call_s=loop_s, initialise_s=0.0, compile_s=0.0)
        ranges = tuple(plain["id"] for plain in call["ranges"])
        packed = pack(dataclasses.replace(self.envelope, range_ids=ranges, facts=facts, body=bytes(self.envelope.body)))
        now = time.time()
        own = {"call_id": call_id, "job_id": event["job_id"], "executor_id": event["executor_id"]}
        times = {"worker_start_tstamp": began, "worker_end_tstamp": now}
        times |= {"worker_func_start_tstamp": function, "worker_func_end_tstamp": now}
        result = str(pickle.dumps(packed))
        return json.dumps({**self.template, **own, **times, "activation_id": activation, "result": result}).encode()


def main(s3_port: int, slower: float) -> None:
    """Serve until standard input ends; all that is real, and all ways, are so much ``slower``."""
    from obstore.store import S3Store
    from servers.s3 import ACCESS_KEY, REGION, SECRET_KEY

    with contextlib.ExitStack() as stack:
        cores = stack.enter_context(Cores(slower)) if slower > 1.0 else None
        service = stack.enter_context(Scripted(s3_port, slower, cores))
        keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "region": REGION}
        service.store = S3Store(
            account.BUCKET,
            endpoint=f"http://127.0.0.1:{s3_port}",
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
            **keys,
        )
        service.places.variables.update(account.worker_variables(service, (ACCESS_KEY, SECRET_KEY)))
        print(json.dumps({"endpoint": service.endpoint, "s3_endpoint": service.s3_endpoint}), flush=True)
        for line in sys.stdin:
            print(json.dumps(_obey(service, json.loads(line))), flush=True)


def _obey(service: Scripted, command: dict[str, Any]) -> dict[str, Any]:
    if "record" in command:
        return {"recorded": service.take_recorded()}
    told = {
        **service.tally,
        "billed_s": service.billed_s,
        "worked_s": service.worked_s,
        "busy": service.busy,
        "ended_at": service.ended_at if service.script_of is not None and service.script_of.listens else [],
        "started_at": [min(service.started_at, default=0.0), max(service.started_at, default=0.0)],
        "failures": service.failures,
    }
    if "script" in command:
        given = command["script"]
        service.begin(None if given is None else Script(**given))
    return told


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
