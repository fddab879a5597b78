"""AWS' front with Batch in it: jobs that moto has taken run here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import lithops
from conftest import REPOSITORY
from lambda_standin.environment import Places
from lambda_standin.service import Service

OVERRIDES_LIMIT = 8192  # characters of containerOverrides, as AWS has it
ENTRY_POINT = Path(lithops.__file__).parent / "serverless/backends/aws_batch/entry_point.py"


@dataclass
class Job:
    """One job: what was submitted, and a process for each element."""

    name: str
    body: dict[str, Any]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def overrides(self) -> dict[str, str]:
        """The variables of its container."""
        return {item["name"]: item["value"] for item in self.body["containerOverrides"]["environment"]}


class BatchService(Service):
    """The services of AWS; ``jobs`` are those that were submitted, in order. ``variables`` are what a role gives a job."""

    def __init__(self) -> None:
        super().__init__(Places(None))
        self.jobs: list[Job] = []
        self.variables: dict[str, str] = {}
        self._jobs_lock = threading.Lock()

    def forward(self, port: int, request: Any, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """See there; a job is refused, or run, on its way."""
        if request.path.endswith(("/createcomputeenvironment", "/createjobqueue")):
            body = json.dumps({"state": "ENABLED", **json.loads(body)}).encode()  # AWS' default, which moto does not have
            request.headers.replace_header("Content-Length", str(len(body)))
        if not request.path.endswith("/submitjob"):
            return super().forward(port, request, body)
        asked = json.loads(body)
        length = len(json.dumps(asked.get("containerOverrides", {}), separators=(",", ":")))
        if length > OVERRIDES_LIMIT:
            message = f"Container Overrides length must be at most {OVERRIDES_LIMIT}"
            return 400, json.dumps({"message": message}).encode(), {"x-amzn-ErrorType": "ClientException"}
        answer = super().forward(port, request, body)
        if answer[0] == 200:
            self._run(Job(asked["jobName"], asked))
        return answer

    def _run(self, job: Job) -> None:
        size = int(job.body.get("arrayProperties", {}).get("size", 0))
        with self._jobs_lock:
            self.jobs.append(job)
            for index in range(size or 1):
                job.processes.append(self._start(job, index if size else None))

    def _start(self, job: Job, index: int | None) -> subprocess.Popen[bytes]:
        folder = self.folder / f"job-{len(self.jobs)}-{index or 0}"
        folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "EXTRA_CLING_ARGS")}
        search = os.pathsep.join([str(REPOSITORY), *filter(None, map(str, sys.path))])
        own = {"TMPDIR": str(folder), "HOME": str(folder), "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}
        element = {} if index is None else {"AWS_BATCH_JOB_ARRAY_INDEX": str(index)}
        with open(self.folder / "jobs.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", ENTRY_POINT],
                env={**kept, **own, **self.variables, **job.overrides, **element},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in [process for job in self.jobs for process in job.processes]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for folder in self.folder.glob("job-*"):
            shutil.rmtree(folder, ignore_errors=True)
        super().__exit__(kind, error, trace)
