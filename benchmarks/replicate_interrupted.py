"""What becomes of a copy that is interrupted twice: 2 GB to S3, a Ctrl-C, a SIGKILL, the rest, and then one flipped byte.

    python -m benchmarks.replicate_interrupted --megabytes 2048

``rdf-lithops replicate`` itself, as a user runs it. Parts that were sent are counted at the server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from servers import s3

CONFIGURATION = Path(__file__).resolve().parent.parent / "configs" / "localhost.yaml"
MANIFEST = "rdf-lithops-manifest.json"
LIMIT_S = 300.0


class Copy:
    """A copy of the files in ``sources`` to ``target``, by one command that is started again and again."""

    def __init__(self, server: s3.S3, sources: Path, bucket: str, part_mib: int) -> None:
        self.server, self.bucket, self.target = server, bucket, f"s3://{bucket}/copy"
        program = [sys.executable, "-W", "ignore", "-m", "rdf_lithops", "replicate", "--config", str(CONFIGURATION)]
        self.copying = [*program, "--part-mib", str(part_mib), str(sources / "*.bin"), self.target]
        self.checking = [*program, "--check", self.target]
        self.environment = {**os.environ, **server.environment}

    def arrived(self) -> int:
        """Parts that the manifest has."""
        with contextlib.closing(self.server.client()) as client, contextlib.suppress(client.exceptions.NoSuchKey):
            body = client.get_object(Bucket=self.bucket, Key=f"copy/{MANIFEST}")["Body"].read()
            return sum(len(item["parts"]) for item in json.loads(body)["files"])
        return 0

    def sent(self) -> int:
        """Parts that the server took."""
        return sum(
            request.method == "PUT" and "partNumber=" in request.target and request.status == 200
            for request in self.server.requests("copy/")
        )

    @contextlib.contextmanager
    def started(self, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        """The command, in a group of its own as in a terminal; nothing of it is left behind."""
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=self.environment
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def interrupted(self, least: int, how: signal.Signals) -> dict[str, Any]:
        """Start it, and end it by signal ``how`` when ``least`` parts have arrived."""
        began, sent = time.monotonic(), self.sent()
        with self.started(self.copying) as process:
            while self.arrived() < least and process.poll() is None and time.monotonic() - began < LIMIT_S:
                time.sleep(0.2)
            copying_s = time.monotonic() - began
            os.killpg(process.pid, how)
            _, said = process.communicate(timeout=60)
        ended_s = time.monotonic() - began - copying_s
        row = {"step": f"{how.name} when {least} parts had arrived", "wall_s": copying_s, "ended_after_s": ended_s}
        return {
            **row,
            "exit": process.returncode,
            "manifest": self.arrived(),
            "sent": self.sent() - sent,
            "said": said[-200:],
        }

    def finished(self, command: list[str], step: str) -> dict[str, Any]:
        """Run it to its end."""
        began, sent = time.monotonic(), self.sent()
        with self.started(command) as process:
            said, errors = process.communicate(timeout=LIMIT_S)
        row = {"step": step, "wall_s": time.monotonic() - began, "exit": process.returncode, "manifest": self.arrived()}
        return {**row, "sent": self.sent() - sent, "said": (said + errors)[-400:].strip()}

    def flip(self, name: str, position: int) -> None:
        """Change one bit of a copy; its size stays."""
        with contextlib.closing(self.server.client()) as client:
            data = bytearray(client.get_object(Bucket=self.bucket, Key=f"copy/{name}")["Body"].read())
            data[position] ^= 1
            client.put_object(Bucket=self.bucket, Key=f"copy/{name}", Body=bytes(data))


def main() -> None:
    """Print a line of JSON for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--part-mib", type=int, default=32)
    given = parser.parse_args()
    size = given.megabytes * 2**20 // given.files
    parts = given.files * -(-size // (given.part_mib * 2**20))
    with tempfile.TemporaryDirectory() as folder, s3.running(Path(folder) / "s3") as server, server.bucket() as bucket:
        sources = Path(folder) / "sources"
        sources.mkdir()
        for number in range(given.files):
            with open(sources / f"file{number}.bin", "wb") as stream:
                for _ in range(size // 2**20):
                    stream.write(os.urandom(2**20))
        copy = Copy(server, sources, bucket, given.part_mib)
        print(json.dumps({"files": given.files, "bytes": given.files * size, "parts": parts}), flush=True)
        print(json.dumps(copy.interrupted(parts // 4, signal.SIGINT)), flush=True)
        print(json.dumps(copy.interrupted(parts // 2, signal.SIGKILL)), flush=True)
        print(json.dumps(copy.finished(copy.copying, "to the end")), flush=True)
        copy.flip("file3.bin", size // 2 + 7)
        print(json.dumps(copy.finished(copy.checking, "check after a flipped byte")), flush=True)
        print(json.dumps({"sent_in_all": copy.sent(), "parts": parts}))


if __name__ == "__main__":
    main()
