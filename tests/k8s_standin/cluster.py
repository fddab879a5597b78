"""Jobs and pods: a pod is a process of this machine that runs what its container's command says, with its limits.

What is as in Kubernetes: a job's pods start side by side (``parallelism``); when one fails, the job has failed and its
others are ended (``backoffLimit: 0``); a job ends after ``activeDeadlineSeconds``, and its pods are deleted; a pod has a
disk of its own, which goes with it, and is killed for its memory by the kernel where its groups can be set. What is not:
images (the driver's own Python stands for them), networks (all pods have this machine's address), namespaces, security
contexts, garbage collection.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lithops

ENTRY_POINT = "/lithops/lithopsentry.py"  # where Lithops' images have it
GROUPS = Path("/sys/fs/cgroup/memory")
ADDRESS = "127.0.0.1"  # of all pods
ALIVE = ("Pending", "Running")
LOOK_S = 0.05
_numbers = itertools.count()


def mebibytes(text: str) -> int:
    """Of a quantity in Mi or Gi."""
    return int(float(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]])


@dataclass
class Pod:
    """One process of a job, None while its image is missing; ``phase`` and ``reason`` are Kubernetes' own words."""

    name: str
    job: str
    image: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    group: Path | None = None
    phase: str = "Pending"
    reason: str = ""

    def end(self, reason: str) -> None:
        """Kill all of it."""
        self.reason = self.reason or reason
        if self.process is None:
            self.phase = "Failed"
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _members(self) -> list[int]:
        with contextlib.suppress(OSError):
            if self.group is not None:
                return [int(line) for line in (self.group / "cgroup.procs").read_text().split()]
        return []

    def look(self) -> None:
        """Take down how it ended, if it did, and clean up after it."""
        if self.phase != "Running" or self.process is None or self.process.poll() is None:
            return
        if self.group is not None and "oom_kill 0" not in (self.group / "memory.oom_control").read_text():
            self.reason = self.reason or "OOMKilled"
        self.phase = "Succeeded" if self.process.returncode == 0 and not self.reason else "Failed"
        self.end("Error" if self.phase == "Failed" else "Completed")
        self._remove()

    def _remove(self) -> None:
        deadline = time.monotonic() + 10
        while self._members() and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.group is not None:
            with contextlib.suppress(OSError):
                self.group.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Job:
    """A job as it was posted, and its pods."""

    body: dict[str, Any]
    began_s: float
    pods: list[Pod] = field(default_factory=list)
    failed: str = ""

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    def status(self) -> dict[str, Any]:
        """What Lithops looks at."""
        done = bool(self.pods) and all(pod.phase == "Succeeded" for pod in self.pods)
        found: dict[str, Any] = {"active": sum(pod.phase in ALIVE for pod in self.pods)}
        if self.failed:
            found.update(failed=1, conditions=[{"type": "Failed", "status": "True", "reason": self.failed}])
        elif done:
            found.update(succeeded=len(self.pods), completionTime="2026-01-01T00:00:00Z")
        return found


class Cluster:
    """All jobs, and a thread that looks after them. ``quota`` is how many pods there may be, ``missing`` whether nobody has
    their image: they stay pending until somebody has. Limits of time pass ``hurry`` times as fast as they say."""

    def __init__(self, folder: Path, python_path: str) -> None:
        self.folder, self.python_path = folder, python_path
        self.jobs: dict[str, Job] = {}
        self.ended: list[tuple[str, str, str]] = []  # job, phase and reason of pods that have ended
        self.quota = 100
        self.missing = False
        self.hurry = 1.0
        self.lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="k8s stand-in", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all pods."""
        self._over.set()
        self._thread.join()
        for name in list(self.jobs):
            self.delete(name)

    def pods(self) -> list[Pod]:
        """Of all jobs."""
        with self.lock:
            return [pod for job in self.jobs.values() for pod in job.pods]

    def create(self, body: dict[str, Any]) -> Job:
        """Start a job's pods."""
        with self.lock:
            job = self.jobs[body["metadata"]["name"]] = Job(body, time.monotonic())
            for _ in range(int(body["spec"].get("parallelism", 1))):
                image = body["spec"]["template"]["spec"]["containers"][0]["image"]
                job.pods.append(Pod(f"{job.name}-{next(_numbers)}", job.name, image, self.folder))
                self._start(job, job.pods[-1])
            return job

    def delete(self, name: str) -> None:
        """End a job and its pods."""
        with self.lock:
            job = self.jobs.pop(name)
        for pod in job.pods:
            self._take_away(pod, "Deleted")

    def _take_away(self, pod: Pod, reason: str) -> None:
        pod.end(reason)
        if pod.process is not None:
            pod.process.wait()
        self._note(pod)

    def _start(self, job: Job, pod: Pod) -> None:
        if self.missing:
            pod.reason = "ImagePullBackOff"
            return
        container = job.body["spec"]["template"]["spec"]["containers"][0]
        folder = pod.folder = Path(tempfile.mkdtemp(prefix="pod-", dir=self.folder))
        variables = {item["name"]: ADDRESS if "valueFrom" in item else item.get("value") or "" for item in container["env"]}
        words = [str(word) for word in container["args"]]
        words = [variables.get(word[2:-1], word) if word.startswith("$(") else word for word in words]
        entry = str(Path(lithops.__file__).parent / "serverless/backends/k8s/entry_point.py")
        command = [sys.executable, *(entry if word == ENTRY_POINT else word for word in words)]
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "EXTRA_CLING_ARGS")}
        environment = {**kept, **variables, "TMPDIR": str(folder), "HOME": str(folder), "PYTHONPATH": self.python_path}
        group = pod.group = self._group(pod.name, mebibytes(container["resources"]["limits"]["memory"]))
        if group is not None:
            command = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command]
        with open(self.folder / "pods.log", "ab") as log:
            environment["PYTHONSAFEPATH"] = "1"
            pod.process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pod.phase, pod.reason = "Running", ""

    @staticmethod
    def _group(name: str, limit_mib: int) -> Path | None:
        group = GROUPS / f"k8s-standin-{os.getpid()}-{name}"
        try:
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(limit_mib * 2**20))
        except OSError:
            return None
        return group

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            with self.lock:
                for job in self.jobs.values():
                    self._look_at(job)

    def _look_at(self, job: Job) -> None:
        runs = any(pod.phase in ALIVE for pod in job.pods)
        limit_s = float(job.body["spec"]["activeDeadlineSeconds"]) / self.hurry
        if runs and not job.failed and time.monotonic() - job.began_s > limit_s:
            job.failed = "DeadlineExceeded"
        for pod in job.pods:
            if pod.phase == "Pending" and not job.failed:
                self._start(job, pod)
            before = pod.phase
            pod.look()
            if pod.phase != before:
                self._note(pod)
            if pod.phase == "Failed" and not job.failed:
                job.failed = "BackoffLimitExceeded"
        if job.failed:
            for pod in job.pods:
                if pod.phase in ALIVE:
                    self._take_away(pod, job.failed)
                    job.pods = [other for other in job.pods if other is not pod]

    def _note(self, pod: Pod) -> None:
        pod.look()
        if pod.reason:
            self.ended.append((pod.job, pod.phase, pod.reason))
