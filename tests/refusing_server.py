"""An http server of files, in a process of its own, that refuses some ranges of them, as it is told while it runs."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Refusing", "running"]

RULES = "rules.json"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Refusing:
    """What lies in ``folder`` is at ``url``."""

    folder: Path
    url: str

    def refuse(self, name: str, start: int, end: int, status: int) -> None:
        """From now on answer requests that touch bytes [start, end) of file ``name``, but for one byte, with ``status``."""
        path = self.folder / RULES
        rules = json.loads(path.read_text()) if path.exists() else {}
        written = path.with_suffix(".new")
        written.write_text(json.dumps({**rules, name: [start, end, status]}))
        written.rename(path)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *given: Any, folder: Path) -> None:
        self.folder = folder
        super().__init__(*given)

    def do_GET(self) -> None:
        """The bytes that are asked for, or what the rules say."""
        name = self.path.strip("/")
        data = (self.folder / name).read_bytes() if (self.folder / name).is_file() else None
        if data is None:
            return self._reply(404, b"")
        first, last = (_RANGE.match(self.headers.get("Range") or "") or _RANGE.fullmatch("bytes=0-")).groups()  # type: ignore[union-attr]
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last) + 1 if first and last else len(data), len(data))
        rules = self.folder / RULES
        begin, stop, status = json.loads(rules.read_text()).get(name, [0, 0, 0]) if rules.exists() else [0, 0, 0]
        if end - start > 1 and start < stop and begin < end:
            return self._reply(status, b"")
        where = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        return self._reply(206, data[start:end], **where)

    do_HEAD = do_GET

    def _reply(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for field, value in {"ETag": '"one"', "Accept-Ranges": "bytes", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(field, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *given: Any) -> None:
        """Say nothing."""


@contextmanager
def running(folder: Path) -> Iterator[Refusing]:
    """A server of ``folder``. A thread of this process would not do: ROOT holds Python's lock while it reads."""
    with subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Refusing(folder, f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


def main() -> None:
    """``python refusing_server.py FOLDER``: print the port and serve."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, folder=Path(sys.argv[1]))) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)  # what the parent reads
        server.serve_forever()


if __name__ == "__main__":
    main()
