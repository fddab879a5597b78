"""What a backend that refuses an invocation said reaches the user, with a next step that fits."""

from __future__ import annotations

import concurrent.futures
import http.server
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import ClassVar

import pytest
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from kubernetes.client.rest import ApiException

from rdf_lithops.executor.invoking import explain
from rdf_lithops.executor.lithops_patches import keep_connections

THREADS, ROUNDS = 24, 4


class Answer:
    """What Kubernetes' client makes an error of."""

    status, reason = 403, "Forbidden"
    data = json.dumps({"kind": "Status", "message": "exceeded quota: pods, requested: 2, used: 9, limited: 10"}).encode()

    headers: ClassVar[dict[str, str]] = {f"Header-{number}": "longer than what is shown of an error" for number in range(20)}


def test_the_reason_is_not_lost_behind_headers() -> None:
    """Kubernetes' client prints the headers of an answer first: the message at the end of its body is what counts."""
    said = explain(ApiException(http_resp=Answer()))
    assert "exceeded quota: pods, requested: 2, used: 9, limited: 10" in said
    assert "lower max_workers" in said
    assert "credentials" not in said


def test_another_error_is_quoted() -> None:
    """As it is."""
    assert "Invalid account" in explain(RuntimeError("sbatch: Invalid account or account/partition combination"))


class Accepting(http.server.BaseHTTPRequestHandler):
    """Takes invocations, and counts the connections on which they come; all of a round are under way at once."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[list[object]] = []
    together: ClassVar[threading.Barrier]

    def setup(self) -> None:
        """A connection was made."""
        self.connections.append(self.client_address)
        super().setup()

    def do_POST(self) -> None:
        """Accept it when the others of its round are here too."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.together.wait(60)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *told: object) -> None:
        """Say nothing."""


@pytest.fixture
def accepting() -> Iterator[str]:
    """The address of a server that takes invocations."""
    Accepting.connections.clear()
    Accepting.together = threading.Barrier(THREADS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Accepting) as server:
        server.request_queue_size = THREADS
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(60)


def test_as_many_connections_as_threads(accepting: str) -> None:
    """Whoever invokes round after round in many threads at a time makes a connection for each thread, and no more."""
    session = URLLib3Session()
    handler = SimpleNamespace(backend=SimpleNamespace(session=session))
    keep_connections(
        SimpleNamespace(
            compute_handler=handler, backend="aws_lambda", config={"aws_lambda": {"invoke_pool_threads": THREADS}}
        )
    )

    def invoke(number: int) -> int:
        return int(session.send(AWSRequest("POST", accepting, data=b"{}").prepare()).status_code)

    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        answers = [answer for _ in range(ROUNDS) for answer in threads.map(invoke, range(THREADS))]
    session.close()
    assert [202] * THREADS * ROUNDS == answers
    assert THREADS == len(Accepting.connections)
