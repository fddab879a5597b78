"""A storage that answers with errors, late or without one object, between Lithops and a real S3 server: the run recovers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flaky_proxy
import lithops
import pytest
import ROOT
from chaos import family

from rdf_lithops.executor import registry
from rdf_lithops.options import Options
from rdf_lithops.run.events import AttemptBegan, Event, RunBegan

pytestmark = [
    pytest.mark.slow,
    # Lithops never closes the S3 clients that it makes; those of the executor before are collected in the middle of a test
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]
BUCKET = "lithops"
DRIVER = "driver"
OUTAGE_S = float(os.environ.get("OUTAGE_S", "12"))  # 600: a laptop that loses its network for ten minutes


@pytest.fixture(scope="module")
def proxy(s3: Any) -> Iterator[flaky_proxy.FlakyProxy]:
    """The proxy, before a server with Lithops' bucket in it."""
    with contextlib.closing(s3.client()) as client:
        client.create_bucket(Bucket=BUCKET)
    with flaky_proxy.running(s3.endpoint) as running:
        yield running


@pytest.fixture(scope="module", params=["localhost", "as if elsewhere"])
def own(request: pytest.FixtureRequest, s3: Any, proxy: flaky_proxy.FlakyProxy) -> Iterator[lithops.FunctionExecutor]:
    """Calls on this machine, storage behind the proxy; submitted and watched as on localhost, or as on a far backend."""
    keys = {"access_key_id": s3.access_key, "secret_access_key": s3.secret_key}
    config = {
        "lithops": {"backend": "localhost", "storage": "minio"},
        "localhost": {"version": 1},
        "minio": {"storage_bucket": BUCKET, "endpoint": proxy.endpoint, **keys},
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_SDK_UA_APP_ID", DRIVER)  # of this process's client, and not of its calls'
        executor = lithops.FunctionExecutor(config=config, log_level=None)
    with executor:
        registry.session_for(executor, Options()).local = request.param == "localhost"
        yield executor


class Striker:
    """Decides for a proxy: ``what`` becomes of the first ``times`` requests of a method whose path has ``words`` in it."""

    def __init__(self, what: str, method: str, words: str, times: int) -> None:
        self.what, self.method, self.words, self.left = what, method, words, times
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> str:
        with self._lock:
            if self.left and method == self.method and self.words in path:
                self.left -= 1
                return self.what
        return ""


FAULTS: dict[str, Callable[[], Striker]] = {
    "500 to statuses": lambda: Striker("500", "GET", "status.json", 8),
    "503 to what workers write": lambda: Striker("503", "PUT", "status.json", 2),
    "503 to listings": lambda: Striker("503", "GET", "list-type", 6),
    "silence to a status": lambda: Striker("silent", "GET", "status.json", 1),
    "an upload refused": lambda: Striker("503", "PUT", "aggdata", 7),
    "the input lost for the first workers": lambda: Striker("lost", "GET", "aggdata", 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_flaky_storage(own: lithops.FunctionExecutor, proxy: flaky_proxy.FlakyProxy, fault: str) -> None:
    """The answer has the bits of the run before, the fault did strike, and nothing of the run stays in the storage."""

    def query() -> float:
        options = Options(ranges_per_call=1, beat_s=0.5, backoff_s=0.1, start_s=10.0)
        frame = ROOT.RDataFrame(40, executor=own, npartitions=4, options=options)
        return float(frame.Define("x", "1.0 / (3.0 + rdfentry_)").Sum("x").GetValue())

    proxy.decide = lambda method, path: ""
    expected = query()
    proxy.struck.clear()
    proxy.decide = FAULTS[fault]()
    assert expected == query()
    assert proxy.struck
    until = time.monotonic() + 10  # what was cancelled is swept a second time
    while (left := family.left_in_storage(own)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [] == left


def is_driver(agent: str) -> bool:
    """Whether a request is the driver's: workers ask through boto3, and without its name."""
    return DRIVER in agent or "boto" not in agent.lower()


@pytest.mark.parametrize("own", ["as if elsewhere"], indirect=True)
@pytest.mark.parametrize("when", ["while calls run", "before they are submitted"])
def test_a_network_that_is_away(own: lithops.FunctionExecutor, proxy: flaky_proxy.FlakyProxy, when: str) -> None:
    """The driver's network is away and its calls work on: no call begins twice, and the bits are those of a quiet run."""
    lasting = Outage(proxy, OUTAGE_S)
    begun: list[int] = []

    def hear(event: Event) -> None:
        if isinstance(event, AttemptBegan):
            begun.extend(event.call_ids)
        if isinstance(event, AttemptBegan if when == "while calls run" else RunBegan):
            lasting.begin()

    def query(sleep_ms: int, *consumers: Any) -> float:
        options = Options(ranges_per_call=1, beat_s=0.5, silence_s=3.0, start_s=8.0, backoff_s=0.1)
        frame = ROOT.RDataFrame(40, executor=own, npartitions=4, options=options)
        frame._headnode.backend.consumers = consumers
        return float(frame.Define("x", f"gSystem->Sleep({sleep_ms}); return 1.0 / (3.0 + rdfentry_);").Sum("x").GetValue())

    proxy.decide = lambda method, path: ""
    expected = query(0)
    proxy.struck.clear()
    assert expected == query(150, hear)
    assert len(proxy.struck) > 5
    assert [0, 1, 2, 3] == sorted(begun)
    until = time.monotonic() + 10
    while (left := family.left_in_storage(own)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [] == left


class Outage:
    """The network of the driver is away for a while, once."""

    def __init__(self, proxy: flaky_proxy.FlakyProxy, lasts_s: float) -> None:
        self.proxy, self.lasts_s = proxy, lasts_s

    def begin(self) -> None:
        """From now on; not a second time."""
        until_s, self.lasts_s = time.monotonic() + self.lasts_s, 0.0
        if until_s > time.monotonic():
            self.proxy.cut = lambda agent: is_driver(agent) and time.monotonic() < until_s
