"""A storage that answers with errors, late or without one object, between Lithops and a real S3 server: the run recovers."""

from __future__ import annotations

import contextlib
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

pytestmark = [
    pytest.mark.slow,
    # Lithops never closes the S3 clients that it makes; those of the executor before are collected in the middle of a test
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]
BUCKET = "lithops"


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
    with lithops.FunctionExecutor(config=config, log_level=None) as executor:
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
