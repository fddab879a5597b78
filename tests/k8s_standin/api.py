"""The API server: what Lithops' client asks, and no more. Anything else is an error that the test sees."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from k8s_standin.cluster import ADDRESS, Cluster, Job, Pod

WATCH_S = 0.05


def _job(job: Job) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": job.body["metadata"],
        "spec": _spec(job),
        "status": job.status(),
    }


def _spec(job: Job) -> dict[str, Any]:
    return {"template": job.body["spec"]["template"]}


def _pod(pod: Pod) -> dict[str, Any]:
    metadata = {"name": pod.name, "labels": {"job-name": pod.job}, "resourceVersion": "1"}
    spec = {"containers": [{"name": "lithops", "image": pod.image}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": pod.phase, **({"podIP": ADDRESS} if pod.process else {"containerStatuses": [_waits(pod)]})},
    }


def _waits(pod: Pod) -> dict[str, Any]:
    """Of a container that cannot begin: why."""
    state = {"waiting": {"reason": pod.reason, "message": f'Back-off pulling image "{pod.image}"'}}
    told = {"ready": False, "restartCount": 0, "image": pod.image, "imageID": ""}
    return {"name": "lithops", **told, "state": state}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, *given: Any) -> None:
        """Not on the test's terminal."""

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, reason: str, message: str) -> None:
        self._answer(status, {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/jobs"):
            return self._refuse(404, "NotFound", self.path)
        wanted, there = (
            int(body["spec"].get("parallelism", 1)),
            len([p for p in self.cluster.pods() if p.phase == "Running"]),
        )
        if wanted + there > self.cluster.quota:
            return self._refuse(
                403, "Forbidden", f"exceeded quota: pods, requested: {wanted}, limited: {self.cluster.quota}"
            )
        if body["metadata"]["name"] in self.cluster.jobs:
            return self._refuse(409, "AlreadyExists", body["metadata"]["name"])
        return self._answer(201, _job(self.cluster.create(body)))

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.partition("?")[0].rpartition("/")[2]
        if "/jobs/" not in self.path or name not in self.cluster.jobs:
            return self._refuse(404, "NotFound", self.path)
        self.cluster.delete(name)
        return self._answer(200, {"kind": "Status", "status": "Success"})

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        given = dict(urllib.parse.parse_qsl(query))
        if not path.endswith(("/jobs", "/pods")):
            return self._refuse(404, "NotFound", self.path)
        if given.get("watch"):
            return self._watch(path, given)
        kind = "JobList" if path.endswith("/jobs") else "PodList"
        return self._answer(200, {"kind": kind, "apiVersion": "v1", "metadata": {}, "items": list(self._items(path, given))})

    def _items(self, path: str, given: dict[str, str]) -> Iterator[dict[str, Any]]:
        with self.cluster.lock:
            jobs = list(self.cluster.jobs.values())
        if path.endswith("/jobs"):
            wanted = given.get("fieldSelector", "").removeprefix("metadata.name=")
            yield from (_job(job) for job in jobs if not wanted or job.name == wanted)
        else:
            wanted = given.get("labelSelector", "").removeprefix("job-name=")
            phase = given.get("fieldSelector", "").removeprefix("status.phase=")
            pods = [pod for job in jobs if job.name == (wanted or job.name) for pod in job.pods]
            yield from (_pod(pod) for pod in pods if pod.phase == (phase or pod.phase))

    def _watch(self, path: str, given: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")  # else the client reads to the end before it looks at the first
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        deadline, seen = time.monotonic() + float(given.get("timeoutSeconds", 60)), ""
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                for item in self._items(path, given):
                    line = json.dumps({"type": "MODIFIED", "object": item})
                    if line != seen:
                        seen = line
                        self._chunk(line.encode() + b"\n")
                time.sleep(WATCH_S)
            self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


CONFIGURATION = """
apiVersion: v1
kind: Config
clusters: [{{name: standin, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: tester, user: {{}}}}]
contexts: [{{name: standin, context: {{cluster: standin, user: tester, namespace: default}}}}]
current-context: standin
"""


@contextlib.contextmanager
def running(folder: Path, python_path: str) -> Iterator[tuple[Cluster, Path]]:
    """A cluster, and the file with which clients find it, until the block ends."""
    cluster = Cluster(folder, python_path)
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    configuration = folder / "kubeconfig"
    configuration.write_text(CONFIGURATION.format(port=server.server_port))
    try:
        yield cluster, configuration
    finally:
        cluster.close()
        server.shutdown()
        thread.join()
        server.server_close()
