"""A small HTTP proxy between Lithops and an S3 server that answers some requests with errors, late, or not at all."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FlakyProxy", "running"]

SILENCE_S = 3.0  # of a request that is not answered


@dataclass
class FlakyProxy:
    """``decide(method, path)`` says what becomes of a request: "" passes it on, "500" or "503" is the answer, "silent" keeps
    the connection open and then drops it, "lost" says that the object is not there. ``cut(agent)`` is asked before: whether
    the network of this kind of client is away, and its connections break."""

    decide: Callable[[str, str], str] = lambda method, path: ""
    cut: Callable[[str], bool] = lambda agent: False
    endpoint: str = ""
    struck: list[str] = field(default_factory=list)


def _handler(proxy: FlakyProxy, target: str) -> type[http.server.BaseHTTPRequestHandler]:
    host = urllib.parse.urlsplit(target).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.cut(self.headers.get("User-Agent") or ""):
                proxy.struck.append(f"cut {self.command} {self.path}")
                self.close_connection = True
                return
            what = proxy.decide(self.command, self.path)
            if what:
                proxy.struck.append(f"{what} {self.command} {self.path}")
            if what == "silent":
                time.sleep(SILENCE_S)
                self.close_connection = True
            elif what == "lost":
                self._reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
            elif what:
                self._reply(int(what), f"<Error><Code>Made{what}</Code></Error>".encode())
            else:
                self._pass_on(body)

        def _pass_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(host, timeout=60)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # signed as they are, the proxy's own Host among them
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self._finish(data, answer.getheader("Content-Length"))
            connection.close()

        def _reply(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self._finish(data, None)

        def _finish(self, data: bytes, promised: str | None) -> None:
            self.send_header("Content-Length", promised if self.command == "HEAD" and promised else str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *given: Any) -> None:
            """Say nothing."""

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler._any)
    return Handler


@contextmanager
def running(target: str) -> Iterator[FlakyProxy]:
    """A proxy in front of ``target``, an endpoint's URL."""
    proxy = FlakyProxy()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy, target))
    server.daemon_threads = True
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
