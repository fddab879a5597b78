"""A handler of HTTP requests that says nothing of them, and does not mind a client that has gone."""

from __future__ import annotations

import contextlib
import http.server
from typing import Any

__all__ = ["Answering"]


class Answering(http.server.BaseHTTPRequestHandler):
    """What the stand-in's services have in common."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait 40 ms

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what matters is kept elsewhere."""

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send one response; a client that has gone is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self.command != "HEAD" or "content-length" not in {name.lower() for name in headers}:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
