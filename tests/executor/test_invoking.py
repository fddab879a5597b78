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
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from kubernetes.client.rest import ApiException
from lithops.serverless.backends.aws_lambda.aws_lambda import AWSLambdaBackend
from servers import web

from rdf_lithops.executor import invocations
from rdf_lithops.executor.invocations import FAILED_PAUSE_S, LibcurlInvoke, RoomySession, keep_connections
from rdf_lithops.executor.invoking import PatientInvoke, explain

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
    taken: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []  # path, headers, body
    together: ClassVar[threading.Barrier]

    def setup(self) -> None:
        """A connection was made."""
        self.connections.append(self.client_address)
        super().setup()

    def do_POST(self) -> None:
        """Accept it when the others of its round are here too."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.together.wait(60)
        self.taken.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        said = b"no such function" if "gone" in self.path else b""
        self.send_response(404 if "gone" in self.path else 429 if "many" in self.path else 202)
        self.send_header("x-amzn-requestid", "a-request")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *told: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(server: http.server.ThreadingHTTPServer) -> Iterator[int]:
    """A server that takes invocations, one at a time is a round; its port."""
    Accepting.connections.clear()
    Accepting.taken.clear()
    Accepting.together = threading.Barrier(1)
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(60)


@pytest.fixture
def accepting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that takes invocations, and is where this machine's go."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Accepting)
    server.request_queue_size = THREADS
    with serving(server) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        yield


class Backend:
    """What Lithops' own ``invoke`` knows of AWS Lambda."""

    host, region, user_agent = "lambda.nowhere.invalid", "eu-west-3", "lithops/3.8.0"
    invoke = AWSLambdaBackend.invoke

    def __init__(self, name: str = "function", token: str | None = None) -> None:
        self.session, self.name = URLLib3Session(), name
        self.credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)

    def _format_function_name(self, *named: object) -> str:
        return self.name


def invoking(backend: Backend) -> Any:
    """``backend``, as an executor has it."""
    config = {"aws_lambda": {"invoke_pool_threads": THREADS}}
    executor = SimpleNamespace(compute_handler=SimpleNamespace(backend=backend), backend="aws_lambda", config=config)
    keep_connections(executor, backend)
    return backend


def invoke(backend: Any) -> Any:
    """One invocation, as Lithops asks for it."""
    return backend.invoke("runtime", 1769, {"call_ids": ["00000"]})


@pytest.fixture(params=["libcurl", "botocore"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With libcurl, and without."""
    assert invocations.pycurl is not None, "the extra `test` brings it"
    monkeypatch.setattr(invocations, "pycurl", invocations.pycurl if request.param == "libcurl" else None)
    assert isinstance(invoking(Backend()).invoke, LibcurlInvoke) is (request.param == "libcurl")
    return str(request.param)


def test_as_many_connections_as_threads(accepting: None, library: str) -> None:
    """Whoever invokes round after round in many threads at a time makes a connection for each thread, and no more."""
    backend, Accepting.together = invoking(Backend()), threading.Barrier(THREADS)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        for _ in range(ROUNDS):
            answers = [threads.submit(invoke, backend) for _ in range(THREADS)]
            assert {"a-request"} == {each.result(60) for each in answers}
    assert THREADS == len(Accepting.connections)


def test_what_lambda_is_told(accepting: None, library: str) -> None:
    """The function's path, that nobody waits for the answer, who asks, and the calls."""
    assert "a-request" == invoke(invoking(Backend()))
    ((path, headers, body),) = Accepting.taken
    assert "/2015-03-31/functions/function/invocations" == path
    assert ("Event", "lithops/3.8.0") == (headers["x-amz-invocation-type"], headers["user-agent"])
    assert {"call_ids": ["00000"]} == json.loads(body)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("name", ["lithops-worker-ab12_1769MB", "function%3Asnapshot"])
def test_libcurl_signs_as_botocore_does(accepting: None, name: str, token: str | None) -> None:
    """What AWS computes of a request is what botocore computes of it; also for an alias, and with a session's token."""
    backend = invoking(Backend(name, token))
    invoke(backend)
    ((path, headers, body),) = Accepting.taken
    said = headers["authorization"]
    signed = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "x-amz-date", "x-amz-invocation-type", *(["x-amz-security-token"] if token else [])} <= {*signed}
    request = AWSRequest("POST", f"http://{headers['host']}{path}", data=body)
    for header in signed:
        request.headers[header] = headers[header]
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(backend.credentials, "lambda", "eu-west-3")
    canonical = auth.canonical_request(request)
    assert said.endswith(f"Signature={auth.signature(auth.string_to_sign(request, canonical), request)}")
    assert f"Credential=AKIDEXAMPLE/{auth.credential_scope(request)}" in said


@pytest.mark.parametrize(("name", "said"), [("gone", "runtime deploy"), ("many", "lower max_workers")])
def test_what_lambda_refuses(accepting: None, library: str, name: str, said: str) -> None:
    """A function that is not there, and too many calls at a time: what to do about it."""
    refused: list[str] = []
    patient = PatientInvoke(
        lambda payload: invoke(invoking(Backend(name))), lambda payload, why: refused.append(why), 0.0, lambda seconds: None
    )
    patient({})
    (why,) = refused
    assert said in why


def test_nobody_answers(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again after a pause, until somebody does."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = "127.0.0.1", closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address[0]}:{address[1]}")
    pauses: list[float] = []
    backend = invoking(Backend())
    with contextlib.ExitStack() as later:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                later.enter_context(serving(http.server.ThreadingHTTPServer(address, Accepting)))

        (backend.invoke if library == "libcurl" else backend.session).pause = pause
        assert "a-request" == invoke(backend)
    assert [FAILED_PAUSE_S] * 2 == pauses


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server that takes invocations over TLS, where this machine's go; the certificate of who vouches for it."""
    authority = web.authority(tmp_path)
    certificate, key = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Accepting)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *of: None  # type: ignore[method-assign]  # the handshake that was refused
    with serving(server) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{port}")
        yield authority.certificate


def test_a_server_that_nobody_vouches_for(certified: Path, library: str) -> None:
    """Is not told anything: whoever can stand between driver and cloud must not have what is invoked, nor its signature."""
    backend = invoking(Backend())
    with pytest.raises(BotoCoreError, match=r"(?i)certificate"):
        if library == "libcurl":
            invoke(backend)
        else:  # whose errors Lithops' own ``invoke`` drops, to ask again
            backend.session.pause = lambda seconds: None
            backend.session.send(AWSRequest("POST", "https://lambda.nowhere.invalid/", data="{}").prepare())
    assert [] == Accepting.taken


def test_whom_to_trust(certified: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``AWS_CA_BUNDLE`` says so, as for all other requests of boto3."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certified))
    assert "a-request" == invoke(invoking(Backend()))


def test_a_libcurl_that_signs_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one, or one without signing, is not used."""
    for library in (SimpleNamespace(AWS_SIGV4=1, version_info=lambda: (0, "8.14.1", 0x080E01)), SimpleNamespace()):
        monkeypatch.setattr(invocations, "pycurl", library)
        assert isinstance(invoking(Backend()).session, RoomySession)
