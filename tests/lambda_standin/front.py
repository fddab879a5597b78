"""The stand-in's addresses: at one Lambda's control plane is asked, at another objects are."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import threading
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answering import Answering

if TYPE_CHECKING:
    from .service import Service

__all__ = ["Front", "Objects", "Request", "Server", "passed_on", "recorded", "serve"]

HOP_BY_HOP = {"content-length", "transfer-encoding", "connection", "date", "server"}


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


class Front(Answering):
    """Has ``service`` record and answer one request to a service of AWS, or pass it on to moto."""

    service: Service

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

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle


class Objects(Front):
    """Objects go to the S3 server, byte by byte as they were signed."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.service.record("s3", self)
        if body:
            self.service.uploads.append(body)
        self.answer(*self.service.forward(self.service.s3_port, self, body))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle


class Server(http.server.ThreadingHTTPServer):
    """One address, with a thread for each request."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""


def serve(service: Service, front: type[Front]) -> Server:
    """A new address, at which ``service`` is asked as ``front`` says."""
    server = Server(("127.0.0.1", 0), type("Front", (front,), {"service": service}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def recorded(service: str, request: Front, body: bytes) -> Request:
    """What was asked and by whom; of the body what is a form, as IAM and STS have it."""
    authorization = request.headers.get("Authorization") or ""
    credential = re.search(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", authorization)
    path, _, query = request.path.partition("?")
    return Request(
        service or (credential[2] if credential else ""),
        request.command,
        path,
        query,
        request.headers.get("X-Amz-Target") or "",
        credential[1] if credential else "",
        dict(request.headers.items()),
        body.decode() if "x-www-form" in (request.headers.get("Content-Type") or "") else "",
    )


def passed_on(port: int, request: Front, body: bytes) -> tuple[int, bytes, dict[str, str]]:
    """What the server at ``port`` answers to the same request."""
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
