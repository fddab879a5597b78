"""Lithops' session for invocations on AWS Lambda: a connection for each thread, through libcurl where that is installed.

Lithops invokes in up to twice ``invoke_pool_threads`` threads, over a session of botocore's that keeps ten connections. Half
of the driver's processor time for an invocation is Python's own HTTP, of which libcurl takes a fifth (pycurl comes with
``pip install rdf_lithops[aws]``).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.httpsession import URLLib3Session, get_cert_path

pycurl: Any = None
with contextlib.suppress(ImportError):
    pycurl = importlib.import_module("pycurl")

__all__ = ["InvocationSession", "keep_connections"]

INVOKING = 2  # threads that invoke at most, for each that `invoke_pool_threads` says
CONNECT_S, ANSWER_S = 10.0, 60.0  # how long to wait for a connection, and for an answer, which is botocore's own
FAILED_PAUSE_S = 0.5  # Lithops asks again at once, and for ever, where nobody answers


class InvocationSession(URLLib3Session):  # type: ignore[misc]  # botocore has no types  # decision 392
    """Sends as botocore's session does, whose exceptions it raises, to ``AWS_ENDPOINT_URL_LAMBDA`` or ``AWS_ENDPOINT_URL``
    where one is set, as all other requests of boto3 go there; ``AWS_CA_BUNDLE`` says whom to trust. ``libcurl`` is the
    module pycurl, or None for botocore's way.
    """

    pause = staticmethod(time.sleep)

    def __init__(self, threads: int, libcurl: ModuleType | None) -> None:
        self._trusted = get_cert_path(os.environ.get("AWS_CA_BUNDLE") or True)
        super().__init__(verify=self._trusted, max_pool_connections=threads)
        self._libcurl, self._own = libcurl, threading.local()
        self._endpoint = os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or os.environ.get("AWS_ENDPOINT_URL")

    def send(self, request: Any) -> Any:
        """The response to a prepared request. One to which nobody answers is an error after a pause."""
        if self._endpoint:
            request.url = _elsewhere(request.url, self._endpoint)
        try:
            return super().send(request) if self._libcurl is None else self._sent(self._libcurl, request)
        except BotoCoreError:
            self.pause(FAILED_PAUSE_S)
            raise

    def _sent(self, libcurl: Any, request: Any) -> AWSResponse:
        handle = self._handle(libcurl)
        head, body = list[bytes](), io.BytesIO()
        handle.setopt(libcurl.URL, request.url)
        handle.setopt(libcurl.CUSTOMREQUEST, request.method)
        handle.setopt(libcurl.POSTFIELDS, request.body if isinstance(request.body, bytes) else request.body.encode())
        handle.setopt(
            libcurl.HTTPHEADER, ["Expect:", *(f"{name}: {_text(value)}" for name, value in request.headers.items())]
        )
        handle.setopt(libcurl.HEADERFUNCTION, head.append)
        handle.setopt(libcurl.WRITEDATA, body)
        try:
            handle.perform()
        except libcurl.error as problem:
            raise HTTPClientError(error=problem) from problem
        return AWSResponse(request.url, handle.getinfo(libcurl.RESPONSE_CODE), _headers(head), _Raw(body.getvalue()))

    def _handle(self, libcurl: Any) -> Any:
        """This thread's, which keeps its connection."""
        handle = getattr(self._own, "handle", None)
        if handle is None:
            handle = self._own.handle = libcurl.Curl()
            handle.setopt(libcurl.NOSIGNAL, 1)  # in threads
            handle.setopt(libcurl.PROXY, "")  # as botocore's session has none
            handle.setopt(libcurl.CAINFO, self._trusted)
            handle.setopt(libcurl.CONNECTTIMEOUT_MS, round(1000 * CONNECT_S))
            handle.setopt(libcurl.TIMEOUT_MS, round(1000 * ANSWER_S))
        return handle


class _Raw:
    """A body that has come, as botocore reads one."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        yield self._body


def keep_connections(executor: Any) -> None:
    """Give ``executor`` such a session, if it invokes over botocore's; else nothing."""
    backend: Any = getattr(executor.compute_handler, "backend", None)
    if isinstance(getattr(backend, "session", None), URLLib3Session):
        threads = INVOKING * executor.config[executor.backend]["invoke_pool_threads"]
        backend.session = InvocationSession(threads, pycurl)


def _elsewhere(url: str, endpoint: str) -> str:
    host = urllib.parse.urlsplit(endpoint)
    return urllib.parse.urlsplit(url)._replace(scheme=host.scheme, netloc=host.netloc).geturl()


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _headers(lines: list[bytes]) -> dict[str, str]:
    """Those of the last response in ``lines``: one may be preceded by others, as "100 Continue"."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if line.startswith(b"HTTP/"):
            found = {}
        elif colon:
            found[name.strip()] = value.strip()
    return found
