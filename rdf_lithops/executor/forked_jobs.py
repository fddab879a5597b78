"""Jobs of Lithops' localhost back end as forks of the preloaded Python, which the driver asks for by itself.

Lithops starts its interpreter for each job, twice a query; ours, ``launcher``, would only hand the command on. What stands
in the place of the process that Lithops would have started has what Lithops uses of a ``subprocess.Popen``.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..processes import wire
from ..processes.beats import is_stopped
from ..worker.start import prefork

__all__ = ["ForkedJob", "run_by_forks"]

BEGIN_LIMIT_S = 5.0
LISTEN_LIMIT_S = 0.1
LOOK_S = 0.5


def run_by_forks(environment: Any, folder: str) -> None:  # decision 381
    """Have the back end's ``environment`` (Lithops 3.8, version 1) run jobs as forks of the preloaded Python in ``folder``;
    where that one does not listen, as before."""
    start: Callable[[str, list[str]], Any] = environment._start_job_process

    def start_or_fork(job_key: str, command: list[str]) -> Any:
        with environment.jobs_lock:
            if job_key not in environment.stopped_jobs:
                with contextlib.suppress(OSError):
                    environment.jobs[job_key] = job = ForkedJob(folder, command[1:])
                    return job
        return start(job_key, command)

    environment._start_job_process = start_or_fork


class ForkedJob:
    """A command that a fork of the preloaded Python runs: its script and arguments, in this process's folder and
    environment. Raises OSError where none can be had."""

    def __init__(self, folder: str, command: Sequence[str]) -> None:
        self.args = list(command)
        self.returncode: int | None = None  # as Popen has it: minus the signal that ended it
        self._lock = threading.Lock()
        self._plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._pipes: list[int] = []
        ends: list[int] = []
        try:
            self._connect(folder)
            for _ in ("stdout", "stderr"):
                reading, writing = os.pipe()
                self._pipes.append(reading)
                ends.append(writing)
            ends.insert(0, os.open(os.devnull, os.O_RDONLY))
            self._ask(command, ends)
            what, number = self._said()
            if what != prefork.BEGUN:
                raise ConnectionError("the preloaded Python has forked nothing")
        except BaseException as problem:
            if isinstance(problem, TimeoutError):
                self._end_if_stopped()
            self._plug.close()
            self._close_pipes()
            raise
        finally:
            for end in ends:
                os.close(end)
        self.pid = number

    def _end_if_stopped(self) -> None:  # decision 419
        """End a preloaded Python that somebody has stopped: each job would wait for it, and be run twice if it went on."""
        forking = wire.peer_process(self._plug)
        if forking and is_stopped(forking):
            with contextlib.suppress(ProcessLookupError):
                os.kill(forking, signal.SIGKILL)

    def _connect(self, folder: str) -> None:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # a socket's name has 107 characters at most
        until = time.monotonic() + LISTEN_LIMIT_S
        try:
            self._plug.settimeout(BEGIN_LIMIT_S)
            while True:
                try:
                    return self._plug.connect(f"/proc/self/fd/{here}/{prefork.SOCKET_NAME}")
                except ConnectionRefusedError:  # it has its name, and listens in a moment
                    if time.monotonic() > until:
                        raise
                time.sleep(0.002)
        finally:
            os.close(here)

    def _ask(self, command: Sequence[str], streams: Sequence[int]) -> None:
        variables = [f"{name}={value}" for name, value in os.environ.items()]
        message = b"\0".join(map(os.fsencode, [os.getcwd(), str(len(command)), *command, *variables]))
        socket.send_fds(self._plug, [struct.pack("!I", len(message))], list(streams))
        self._plug.sendall(message)

    def _said(self) -> tuple[bytes, int]:
        """What is said of the child next; that it was killed where nothing more is said: it ends with whoever forked it."""
        said = self._plug.recv(struct.calcsize(prefork.FORMAT), socket.MSG_WAITALL)
        if len(said) < struct.calcsize(prefork.FORMAT):
            return prefork.ENDED, -signal.SIGKILL
        what, number = struct.unpack(prefork.FORMAT, said)
        return what, number

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        with self._lock:
            if self.returncode is None and _readable([self._plug.fileno()], 0.0):
                self.returncode = self._said()[1]
                self._plug.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """The same, within ``timeout`` seconds; without, when it has ended."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < until:
            with contextlib.suppress(ValueError):  # another thread has seen it end, and closed what is looked at
                _readable([self._plug.fileno()], min(LOOK_S, until - time.monotonic()))
        return self.returncode

    def communicate(self) -> tuple[bytes, bytes]:
        """What it has printed to standard output and to standard error, once it has ended."""
        printed: dict[int, list[bytes]] = {pipe: [] for pipe in self._pipes}
        there = list(self._pipes)
        while there:
            for pipe in _readable(there, None):
                data = os.read(pipe, 2**16)
                printed[pipe].append(data)
                if not data:
                    there.remove(pipe)
        self._close_pipes()
        self.wait()
        output, errors = (b"".join(parts) for parts in printed.values())
        return output, errors

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes = []


def _readable(descriptors: Sequence[int], limit_s: float | None) -> list[int]:
    """Those that can be read, or have ended, within so many seconds (None: without a limit). Unlike select.select, of
    descriptors of any number: a driver may have thousands of files open."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(None if limit_s is None else max(0.0, 1000 * limit_s))]
