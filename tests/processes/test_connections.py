"""A forked process does not use its parent's connections: two that write into one get each other's answers."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator

import pytest
import urllib3

from rdf_lithops.processes import inherited_connections


class _WhoAsks(http.server.BaseHTTPRequestHandler):
    """Answers with the port of the connection on which it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server that keeps connections open."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _WhoAsks) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def asked_in_a_child(pool: urllib3.PoolManager, url: str, leave: bool) -> int:
    """On which connection a forked process asks."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if leave:
                inherited_connections.leave_inherited()
            os.write(writing, pool.request("GET", url, retries=False).data)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        answer = answers.read()
    assert 0 == os.waitpid(child, 0)[1]
    return int(answer)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_asks_on_a_connection_of_its_own(url: str) -> None:
    """After leaving the inherited one; without that it asks on its parent's. The parent goes on with its own."""
    with urllib3.PoolManager() as pool:
        ours = int(pool.request("GET", url).data)
        assert ours == asked_in_a_child(pool, url, leave=False)
        assert ours != asked_in_a_child(pool, url, leave=True)
        assert ours == int(pool.request("GET", url).data)
