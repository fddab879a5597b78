"""How invocations go to AWS Lambda: a connection for each thread, signed and sent by libcurl where that is installed.

Lithops invokes in up to twice ``invoke_pool_threads`` threads, over a session of botocore's that keeps ten connections. Most
of the driver's processor time for an invocation is Python's own signing and HTTP, of which libcurl takes a fifth (pycurl
comes with ``pip install rdf_lithops[aws]``).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import threading
import time
import urllib.parse
from types import ModuleType
from typing import Any

from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.httpsession import URLLib3Session, get_cert_path

pycurl: Any = None
with contextlib.suppress(ImportError):
    pycurl = importlib.import_module("pycurl")

__all__ = ["LibcurlInvoke", "RoomySession", "keep_connections"]

INVOKING = 2  # threads that invoke at most, for each that `invoke_pool_threads` says
SIGNS_RIGHT = 0x081100  # libcurl 8.17; before 8.15 it signed names of aliases as AWS does not
CONNECT_S, ANSWER_S = 10.0, 60.0  # how long to wait for a connection, and for an answer, which is botocore's own
FAILED_PAUSE_S = 0.5  # Lithops asks again at once, and for ever, where nobody answers
REQUEST_ID = b"x-amzn-requestid"
NOT_TRUSTED = ("E_PEER_FAILED_VERIFICATION", "E_SSL_CACERT_BADFILE", "E_SSL_CERTPROBLEM", "E_URL_MALFORMAT")


class RoomySession(URLLib3Session):  # type: ignore[misc]  # botocore has no types
    """Botocore's session with a connection for each of ``threads``: to ``AWS_ENDPOINT_URL_LAMBDA`` or ``AWS_ENDPOINT_URL``
    where one is set, as all other requests of boto3 go there; ``AWS_CA_BUNDLE`` says whom to trust."""

    pause = staticmethod(time.sleep)

    def __init__(self, threads: int) -> None:
        super().__init__(verify=_trusted(), max_pool_connections=threads)
        self._endpoint = _endpoint()

    def send(self, request: Any) -> Any:
        """The response to a prepared request. One to which nobody answers is an error after a pause."""
        request.url = _at(self._endpoint, request.url)
        try:
            return super().send(request)
        except BotoCoreError:
            self.pause(FAILED_PAUSE_S)
            raise


class LibcurlInvoke:  # decision 392
    """Stands in for Lithops' ``invoke`` of AWS Lambda, and is asked as it is; where from and whom to trust as above.

    ``backend`` is Lithops', or what says another name of its function. An invocation to which nobody answers is sent again
    after a pause, for ever, as Lithops does; who is not to be trusted is told nothing, and is an error.
    """

    pause = staticmethod(time.sleep)

    def __init__(self, backend: Any, libcurl: ModuleType) -> None:
        self._backend, self._libcurl, self._own = backend, libcurl, threading.local()
        self._trusted, self._endpoint = _trusted(), _endpoint()
        self._final = {getattr(libcurl, name) for name in NOT_TRUSTED if hasattr(libcurl, name)}

    def __call__(self, runtime_name: str, runtime_memory: int, payload: dict[str, Any]) -> str:
        """The name that Lambda gives the invocation of ``payload``; RuntimeError, with what Lambda said, if it refuses."""
        name = self._backend._format_function_name(runtime_name, runtime_memory)
        url = _at(self._endpoint, f"https://{self._backend.host}/2015-03-31/functions/{name}/invocations")
        body = json.dumps(payload, default=str).encode()
        while True:
            try:
                code, head, said = self._sent(url, body)
                break
            except self._libcurl.error as problem:
                if problem.args[0] in self._final:
                    raise HTTPClientError(error=problem) from problem
                self.pause(FAILED_PAUSE_S)
        if code == 202:
            return _request_id(head)
        text = said.decode(errors="replace")
        raise RuntimeError(f"Lithops Runtime: {runtime_name} not deployed" if code == 404 else f"Error {code}: {text}")

    def _sent(self, url: str, body: bytes) -> tuple[int, list[bytes], bytes]:
        """Code, header lines and body of what came back. Raises libcurl's error where nothing did."""
        libcurl, handle, now = self._libcurl, self._handle(), self._backend.credentials.get_frozen_credentials()
        head, said = list[bytes](), io.BytesIO()
        token = [f"X-Amz-Security-Token: {now.token}"] if now.token else []
        handle.setopt(libcurl.URL, url)
        handle.setopt(libcurl.USERNAME, now.access_key)
        handle.setopt(libcurl.PASSWORD, now.secret_key)
        handle.setopt(libcurl.POSTFIELDS, body)
        handle.setopt(libcurl.HTTPHEADER, ["Expect:", "X-Amz-Invocation-Type: Event", *token])
        handle.setopt(libcurl.HEADERFUNCTION, head.append)
        handle.setopt(libcurl.WRITEDATA, said)
        handle.perform()
        return handle.getinfo(libcurl.RESPONSE_CODE), head, said.getvalue()

    def _handle(self) -> Any:
        """This thread's, which keeps its connection."""
        handle = getattr(self._own, "handle", None)
        if handle is None:
            libcurl = self._libcurl
            handle = self._own.handle = libcurl.Curl()
            handle.setopt(libcurl.NOSIGNAL, 1)  # in threads
            handle.setopt(libcurl.PROXY, "")  # as botocore's session has none
            handle.setopt(libcurl.CAINFO, self._trusted)
            handle.setopt(libcurl.USERAGENT, self._backend.user_agent)
            handle.setopt(libcurl.AWS_SIGV4, f"aws:amz:{self._backend.region}:lambda")
            handle.setopt(libcurl.CONNECTTIMEOUT_MS, round(1000 * CONNECT_S))
            handle.setopt(libcurl.TIMEOUT_MS, round(1000 * ANSWER_S))
        return handle


def keep_connections(executor: Any, backend: Any) -> None:
    """Have ``executor`` invoke so, if it invokes over botocore's session; else nothing. ``backend`` as in LibcurlInvoke."""
    own: Any = getattr(executor.compute_handler, "backend", None)
    if not isinstance(getattr(own, "session", None), URLLib3Session):
        return
    if pycurl is not None and hasattr(pycurl, "AWS_SIGV4") and pycurl.version_info()[2] >= SIGNS_RIGHT:
        own.invoke = LibcurlInvoke(backend, pycurl)
    else:
        own.session = RoomySession(INVOKING * executor.config[executor.backend]["invoke_pool_threads"])


def _trusted() -> str:
    return str(get_cert_path(os.environ.get("AWS_CA_BUNDLE") or True))


def _endpoint() -> str:
    """Where the environment has invocations go, or nothing."""
    return os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or os.environ.get("AWS_ENDPOINT_URL", "")


def _at(endpoint: str, url: str) -> str:
    """``url``, at ``endpoint`` if there is one."""
    if not endpoint:
        return url
    host = urllib.parse.urlsplit(endpoint)
    return urllib.parse.urlsplit(url)._replace(scheme=host.scheme, netloc=host.netloc).geturl()


def _request_id(lines: list[bytes]) -> str:
    """Of the last response in ``lines``: one may be preceded by others, as "100 Continue"."""
    found = ""
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == REQUEST_ID:
            found = value.strip().decode("latin-1")
    return found
