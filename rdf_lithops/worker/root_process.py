"""The warm ROOT process: one clean parent that forks one child per worker slot and payload, and hands leases to them.

    task ──lease──> parent ──the task's socket──> slot (a fork that has loaded one payload and compiled some graphs)

The parent initialises ROOT, compiles a warm-up graph, and then only forks and listens: it never runs user code, so a
slot for another payload starts clean. It watches the socket of every busy slot: when the task at the other end dies,
the slot is killed; when the slot dies, the task is told how, with the tail of the slot's output. Slots die with the
parent. The parent ends when nobody has held or used it for a while, or when its last holder (a driver) is gone.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import fcntl
import functools
import os
import select
import shutil
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from . import access, credentials, execute, faults, output, payload, warm, wire
from . import ranges as adapter
from .beats import Counter, die_with_parent

_KINDS_OF_FILES = (credentials.FOLDER, output.FOLDER)
FIRST_GRAPH_S = 1.0  # a driver that has just started us books its first graph meanwhile: compile that one, not ours


@dataclass
class Slot:
    """A forked ROOT process as its parent sees it; ``client`` is our copy of the socket of the task it works for."""

    pid: int
    control: socket.socket
    payload_digest: str
    log: str
    graphs: set[str] = field(default_factory=set)
    client: Connection[Any, Any] | None = None
    log_start: int = 0
    retired: bool = False


class Parent:
    """Accepts leases and holds in ``folder`` and gives each lease to a slot."""

    def __init__(self, folder: str, idle_limit_s: float, memory_limit_mib: float, owns_folder: bool) -> None:
        self.folder = folder
        self.idle_limit_s = idle_limit_s
        self.memory_limit_mib = memory_limit_mib
        self.owns_folder = owns_folder
        self.slots: dict[int, Slot] = {}
        self.holders: dict[int, Connection[Any, Any]] = {}
        self.waiting: deque[tuple[Connection[Any, Any], str, str]] = deque()
        self.was_held = False
        self.watchers: list[Connection[Any, Any]] = []  # told once that the warm-up is over
        self.warm_as: str | None = None
        self.last_use = time.monotonic()
        self.forks = 0
        for kind in _KINDS_OF_FILES:  # of a parent that was killed
            shutil.rmtree(os.path.join(folder, kind), ignore_errors=True)
        self.listener = wire.listen(folder)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)

    def wait_for_work(self, limit_s: float) -> None:
        """Return when a lease waits, when it is time to end, or after ``limit_s``."""
        deadline = time.monotonic() + limit_s
        while not (self.waiting or self._finished()) and (left_s := deadline - time.monotonic()) > 0:
            self._handle_events(left_s)

    def is_wanted(self) -> bool:
        """Whether a lease waits, or the last holder is gone: then is no time to warm up further."""
        self._handle_events(0)
        return bool(self.waiting) or self._finished()

    def announce_warm(self, root: str) -> None:
        """Tell those who wait for it, now and later, that ROOT (of version ``root``) is up and warm."""
        self.warm_as = root
        while self.watchers:
            with self.watchers.pop() as watcher, contextlib.suppress(OSError):
                wire.send(watcher, {"reply": "warm", "root": root})

    def serve(self) -> None:
        """Serve until idle for too long or until the last holder is gone."""
        while not self._finished():
            while self.waiting:
                self._lease(*self.waiting.popleft())
            self._handle_events(min(self.idle_limit_s, 5.0))

    def _handle_events(self, timeout_s: float) -> None:
        for fd, _ in self.epoll.poll(timeout_s):
            if fd == self.listener.fileno():
                self._accept()
            elif fd in self.holders:
                self._drop_holder(fd)
            else:
                self._slot_event(fd)

    def _finished(self) -> bool:
        if self.was_held and not self.holders:
            return True
        if not os.path.isdir(self.folder):
            return True
        busy = any(slot.client is not None for slot in self.slots.values())
        return not busy and not self.holders and time.monotonic() - self.last_use > self.idle_limit_s

    def _accept(self) -> None:
        plug, _ = self.listener.accept()
        if wire.peer_user(plug) != os.getuid():
            plug.close()
            return
        connection: Connection[Any, Any] = Connection(plug.detach())
        try:
            message, _ = wire.receive(connection)
        except (EOFError, OSError, ValueError):
            connection.close()
            return
        self.last_use = time.monotonic()
        if message["op"] == "hold":
            self.was_held = True
            self.holders[connection.fileno()] = connection
            self.epoll.register(connection.fileno(), select.EPOLLRDHUP | select.EPOLLHUP)
        elif message["op"] == "watch":
            self.watchers.append(connection)
            if self.warm_as is not None:
                self.announce_warm(self.warm_as)
        else:
            self.waiting.append((connection, message["payload"], message["graph"]))

    def _drop_holder(self, fd: int) -> None:
        self.epoll.unregister(fd)
        self.holders.pop(fd).close()

    def _lease(self, client: Connection[Any, Any], payload_digest: str, graph: str) -> None:
        slot = self._idle_slot(payload_digest, graph) or self._fork_slot(payload_digest)
        slot.client, slot.log_start = client, _size(slot.log)
        slot.graphs.add(graph)
        try:
            socket.send_fds(slot.control, [b"L"], [client.fileno()])
        except OSError:  # it died while idle: its end is noticed below, the task gets another one now
            slot.client = None
            self._bury(slot)
            self._lease(client, payload_digest, graph)
            return
        self.epoll.register(client.fileno(), select.EPOLLRDHUP | select.EPOLLHUP)

    @property
    def _idle(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.client is None and not slot.retired]

    def _idle_slot(self, payload_digest: str, graph: str) -> Slot | None:
        fitting = [slot for slot in self._idle if slot.payload_digest == payload_digest]
        return next((slot for slot in fitting if graph in slot.graphs), fitting[0] if fitting else None)

    def _fork_slot(self, payload_digest: str) -> Slot:
        self._evict_idle()
        ours, theirs = socket.socketpair()
        self.forks += 1
        log = os.path.join(self.folder, f"slot-{self.forks}.log")
        pid = os.fork()
        if pid == 0:
            self._become_slot(theirs, log)
        theirs.close()
        slot = Slot(pid, ours, payload_digest, log)
        self.slots[pid] = slot
        self.epoll.register(ours, select.EPOLLIN)
        return slot

    def _evict_idle(self) -> None:
        """Before a new slot: no more idle ones (of other payloads) than cores."""
        for slot in self._idle[: max(0, len(self._idle) + 1 - (os.cpu_count() or 1))]:
            self._retire(slot)

    def _retire(self, slot: Slot) -> None:
        """Let a slot end by itself: it may still be sending the reply of the lease that it has said to be done."""
        slot.retired = True
        with contextlib.suppress(OSError):
            slot.control.shutdown(socket.SHUT_WR)

    def _become_slot(self, control: socket.socket, log: str) -> NoReturn:
        code = 1
        try:
            die_with_parent()
            log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            os.dup2(log_fd, 1)
            os.dup2(log_fd, 2)
            inherited = [*self.holders.values(), *(s.client for s in self.slots.values() if s.client)]
            for connection in inherited:
                connection.close()
            for slot in self.slots.values():
                slot.control.close()
            self.listener.close()
            self.epoll.close()
            serve_slot(control, self.folder, log)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _slot_event(self, fd: int) -> None:
        for slot in list(self.slots.values()):
            if slot.control.fileno() == fd:
                self._read_control(slot)
                return
            if slot.client is not None and slot.client.fileno() == fd:
                self._read_control(slot)  # "done" was sent before the reply: a finished task is not a dead one
                if slot.client is not None:
                    self._kill(slot)
                return
        with contextlib.suppress(OSError):
            self.epoll.unregister(fd)

    def _read_control(self, slot: Slot) -> None:
        try:
            said = slot.control.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._bury(slot)
            return
        self.last_use = time.monotonic()
        self._detach(slot)
        if float(said.split()[-1]) > self.memory_limit_mib:
            self._retire(slot)

    def _detach(self, slot: Slot) -> None:
        if slot.client is not None:
            self.epoll.unregister(slot.client.fileno())
            slot.client.close()
            slot.client = None

    def _kill(self, slot: Slot) -> None:
        self._detach(slot)
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)
        self._bury(slot)

    def _bury(self, slot: Slot) -> None:
        """Reap a slot that ended, and tell the task that it worked for, if any, how it ended."""
        self.epoll.unregister(slot.control)
        slot.control.close()
        del self.slots[slot.pid]
        _, status = os.waitpid(slot.pid, 0)
        for kind in _KINDS_OF_FILES:
            shutil.rmtree(place_of(self.folder, kind, slot.pid), ignore_errors=True)
        if slot.client is not None:
            tail = warm.log_tail(slot.log, slot.log_start)
            with contextlib.suppress(OSError):
                wire.send(slot.client, {"reply": "died", "how": _how(status), "log_tail": tail})
            self._detach(slot)
        for path in (slot.log, _counter_path(slot.log)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def close(self) -> None:
        """Kill the slots and leave nothing behind."""
        for slot in list(self.slots.values()):
            self._kill(slot)
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, wire.SOCKET_NAME))


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"the ROOT process was killed by {signal.Signals(-code).name}"
    return f"the ROOT process exited with code {code}"


def _counter_path(log: str) -> str:
    return log.removesuffix(".log") + ".count"


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def serve_slot(control: socket.socket, folder: str, log: str) -> None:
    """Serve one lease after the other until the parent closes ``control``."""
    loaded: list[str] = []  # the digest of the payload that this process has loaded: one, for its whole life
    counter = Counter(_counter_path(log))
    execute.count_into(counter)
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 8, 1)
        if not descriptors:
            return
        client: Connection[Any, Any] = Connection(descriptors[0])
        log_start = _size(log)
        counter.set(0)
        counter.begin_range(None)
        try:
            wire.send(client, {"event": "slot", "pid": os.getpid(), "counter": counter.path})
            message, blobs = wire.receive(client)
            reply, reply_blobs = _answer(message, blobs, loaded, folder)
        except (EOFError, OSError):
            client.close()
            _say_done(control)
            continue
        except Exception:
            reply, reply_blobs = {"reply": "error", "traceback": traceback.format_exc()}, []
        sys.stdout.flush()
        if reply["reply"] != "ok":
            reply["log_tail"] = warm.log_tail(log, log_start)
        _say_done(control)
        with contextlib.suppress(OSError):
            wire.send(client, reply, *reply_blobs)
        client.close()


def _say_done(control: socket.socket) -> None:
    with open("/proc/self/statm") as statm:
        resident_mib = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    control.send(f"done {resident_mib:.1f}".encode())


def place_of(folder: str, kind: str, pid: int) -> str:
    """Where a slot keeps its files of one kind (credentials, output); its parent removes the place when it dies."""
    return os.path.join(folder, kind, str(pid))


def _answer(
    message: dict[str, Any], blobs: list[bytes], loaded: list[str], folder: str
) -> tuple[dict[str, Any], list[bytes]]:
    """Run what ``message`` asks for; user errors are part of the answer, ours are raised."""
    secret = blobs.pop(0) if message["has_credentials"] else None
    initialisation, *blobs = blobs
    started = time.perf_counter()
    with (
        credentials.installed(secret, place_of(folder, credentials.FOLDER, os.getpid())),
        execute.working_folder(message["cwd"]),
    ):
        try:
            if message["payload"]["sha256"] not in loaded:
                payload.load(message["payload"], initialisation, message["payload_folder"])
                loaded.append(message["payload"]["sha256"])
        except payload.PayloadFailure as failure:
            return {"reply": "payload", "what": failure.what, "why": failure.why}, []
        if message["op"] == "fold":
            faults.strike_fold(message.get("faults"), message["attempt"])
            return {"reply": "ok"}, [execute.fold(blobs[0], blobs[1:], message["order"], message["began"])]
        place = place_of(folder, output.FOLDER, os.getpid())
        if message["op"] == "merge":
            return {"reply": "ok", "keys": []}, [execute.merge_files(message["call"], place, message["began"])]
        payload_s = time.perf_counter() - started
        results = execute.Results(**{**message["results"], "outputs": tuple(message["results"]["outputs"])})
        call, dataset = message["call"], message["dataset"]
        what = message["graph_digest"], call, dataset, message["seed"]
        strike = functools.partial(faults.strike_range, message.get("faults"), call)
        with access.granted(folder, access.Grant.read(message["access"]), adapter.files_of(call["ranges"], dataset)):
            packed, large = execute.run_call(blobs[0], *what, results, place, message["began"], payload_s, strike)
        return {"reply": "ok", "keys": list(large)}, [packed, *large.values()]


@contextlib.contextmanager
def _only_one(folder: str) -> Iterator[bool]:
    """True for the one process that may listen in ``folder``."""
    with open(os.path.join(folder, "root.lock"), "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def main() -> None:
    """``python -m rdf_lithops.worker.root_process FOLDER``: serve FOLDER until idle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder")
    parser.add_argument("--idle_limit_s", type=float, default=300.0)
    parser.add_argument("--memory_limit_mib", type=float, default=3000.0)
    parser.add_argument("--owns_folder", type=int, default=0)
    parser.add_argument("--eager", type=int, default=0, help="warm up at once, and to the end: no work can come before")
    given = parser.parse_args()
    os.umask(0o077)
    faulthandler.enable()
    with _only_one(given.folder) as first:
        if not first:
            return
        parent = Parent(given.folder, given.idle_limit_s, given.memory_limit_mib, bool(given.owns_folder))
        try:
            root = execute.initialise()
            execute.prepare()
            execute.leave_crashes_to_the_kernel()
            parent.wait_for_work(0.0 if given.eager else FIRST_GRAPH_S)
            steps = execute.warm_up()
            while not parent.is_wanted() and next(steps, "done") != "done":
                pass
            parent.announce_warm(root)
            parent.serve()
        finally:
            parent.close()
            sys.stdout.flush()
            os._exit(0)  # ROOT's own tear-down of a process that forked is not worth its risks


if __name__ == "__main__":
    main()
