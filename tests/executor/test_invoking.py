"""What a backend that refuses an invocation said reaches the user, with a next step that fits."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from kubernetes.client.rest import ApiException
from servers import web

from rdf_lithops.executor import invocations
from rdf_lithops.executor.invocations import FAILED_PAUSE_S, InvocationSession, keep_connections
from rdf_lithops.executor.invoking import explain

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
    """An error of any other kind is quoted as it is."""
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
        said = self.headers["X-Amz-Invocation-Type"].encode()
        self.send_response(202)
        self.send_header("x-amzn-requestid", "a-request")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

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


@pytest.fixture(params=["libcurl", "botocore"])
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[InvocationSession]:
    """What Lithops' own session becomes, with libcurl and without."""
    assert invocations.pycurl is not None, "the extra `test` brings it"
    monkeypatch.setattr(invocations, "pycurl", invocations.pycurl if request.param == "libcurl" else None)
    backend = SimpleNamespace(session=URLLib3Session())
    config = {"aws_lambda": {"invoke_pool_threads": THREADS}}
    keep_connections(SimpleNamespace(compute_handler=SimpleNamespace(backend=backend), backend="aws_lambda", config=config))
    yield backend.session
    backend.session.close()


def invocation(url: str) -> Any:
    """As Lithops makes one."""
    return AWSRequest("POST", url, data='{"x": 1}', headers={"X-Amz-Invocation-Type": "Event"}).prepare()


def test_as_many_connections_as_threads(accepting: str, session: InvocationSession) -> None:
    """Whoever invokes round after round in many threads at a time makes a connection for each thread, and no more."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        for _ in range(ROUNDS):
            answers = [threads.submit(session.send, invocation(accepting)) for _ in range(THREADS)]
            assert {(202, "Event")} == {(each.result(60).status_code, each.result().text) for each in answers}
    assert THREADS == len(Accepting.connections)


def test_what_lithops_reads_of_an_answer(accepting: str, session: InvocationSession) -> None:
    """The code, the text, and a header whatever the case of its name."""
    Accepting.together = threading.Barrier(1)
    answer = session.send(invocation(accepting))
    assert (202, "Event", "a-request") == (answer.status_code, answer.text, answer.headers["x-amzn-RequestId"])


def test_nobody_answers(session: InvocationSession) -> None:
    """An error, after a pause: Lithops asks again at once."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    pauses: list[float] = []
    session.pause = pauses.append
    with pytest.raises(BotoCoreError):
        session.send(invocation(address))
    assert [FAILED_PAUSE_S] == pauses


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The address of a server that takes invocations over TLS, and the authority that vouches for it."""
    authority = web.authority(tmp_path)
    certificate, key = authority.sign("localhost", "DNS:localhost")
    monkeypatch.setattr(Accepting, "together", threading.Barrier(1), raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Accepting) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *of: None  # type: ignore[method-assign]  # the handshake that was refused
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}/", authority.certificate
        server.shutdown()
        thread.join(60)


def test_a_server_that_nobody_vouches_for(certified: tuple[str, Path], session: InvocationSession) -> None:
    """Is not told anything: whoever can stand between driver and cloud must not have what is invoked, nor its signature."""
    session.pause = lambda seconds: None
    with pytest.raises(BotoCoreError, match=r"(?i)certificate"):
        session.send(invocation(certified[0]))


def test_whom_to_trust(certified: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """``AWS_CA_BUNDLE`` says so, as for all other requests of boto3."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certified[1]))
    for library in (invocations.pycurl, None):
        with contextlib.closing(InvocationSession(1, library)) as session:
            assert 202 == session.send(invocation(certified[0])).status_code


def test_another_endpoint(accepting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invocations obey AWS_ENDPOINT_URL, as every other request of boto3."""
    Accepting.together = threading.Barrier(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", accepting)
    for library in (invocations.pycurl, None):
        with contextlib.closing(InvocationSession(1, library)) as session:
            assert 202 == session.send(invocation("https://lambda.nowhere.invalid/2015-03-31/functions")).status_code
