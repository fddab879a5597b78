"""Hand leases to slots: the part of the warm ROOT process (see ``parent``) that listens, forks and buries."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from ...files import snapshot_parts
from ...processes import wire
from ...processes.beats import adopt_orphans, die_with_parent
from ...travels import sealed
from .. import payload
from . import renewal
from .leases import Lease, Slot, Unborn, last_words, log_size, step_path, tell
from .slot import control_pair, counter_path, own_folder, serve

__all__ = ["Parent"]

_KINDS_OF_FILES = (sealed.FOLDER, snapshot_parts.FOLDER)
FIRST_WORD_S = 1  # for the rest of a first message of which some has come
LOOK_S = 1.0  # whether our folder is still there, where nobody holds us: what a task has started in the place of a lost one


class Parent:
    """Accepts leases and holds in ``folder`` and gives each lease to a slot."""

    def __init__(
        self, folder: str, idle_limit_s: float, memory_limit_mib: float, owns_folder: bool = False, lingers: bool = False
    ) -> None:
        self.folder = folder
        self.idle_limit_s = idle_limit_s
        self.memory_limit_mib = memory_limit_mib
        self.owns_folder = owns_folder
        self.lingers = lingers
        self.slots: dict[int, Slot] = {}
        self.holders: dict[int, Connection[Any, Any]] = {}
        self.waiting: deque[Lease] = deque()
        self.unborn: dict[int, Unborn] = {}
        self.was_held = False
        self.newcomers: dict[int, Connection[Any, Any]] = {}  # who have not said yet what they want
        self.watchers: list[Connection[Any, Any]] = []  # told once that the warm-up is over
        self._hints: deque[str] = deque()  # of what the first graph will use
        self.warm_as: str | None = None
        self.last_use = time.monotonic()
        self.forks = 0
        for kind in _KINDS_OF_FILES:  # of a parent that was killed
            shutil.rmtree(os.path.join(folder, kind), ignore_errors=True)
        self.listener = wire.listen(folder)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)

    def hold(self, holder: Connection[Any, Any]) -> None:
        """Live on until ``holder``, and all others, are gone."""
        self.was_held = True
        self.holders[holder.fileno()] = holder
        self.epoll.register(holder.fileno(), select.EPOLLRDHUP | select.EPOLLHUP)

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

    def work_while_idle(self, steps: Generator[None]) -> None:
        """Go through ``steps`` until this process is wanted."""
        with contextlib.closing(steps):
            while not self.is_wanted() and next(steps, "done") != "done":
                pass

    def hints(self) -> Iterator[str]:
        """What a driver has foreseen."""
        while self._hints:
            yield self._hints.popleft()

    def serve(self, foreseen: Callable[[Iterable[str]], Generator[None]]) -> None:
        """Serve until idle for too long or until the last holder is gone; without a slot, do what is ``foreseen``."""
        while not self._finished():
            while self.waiting:
                self._lease(self.waiting.popleft())
            if self._hints and not self.slots:
                self.work_while_idle(foreseen(self.hints()))
            else:
                self._handle_events(min(self.idle_limit_s, LOOK_S))

    def _handle_events(self, timeout_s: float) -> None:
        for fd, _ in self.epoll.poll(timeout_s):
            if fd == self.listener.fileno():
                self._accept()
            elif fd in self.newcomers:
                self.epoll.unregister(fd)
                self._hear(self.newcomers.pop(fd))
            elif fd in self.holders:
                self._drop_holder(fd)
            elif fd in self.unborn:
                self._welcome(self.unborn.pop(fd))
            else:
                self._slot_event(fd)

    def _finished(self) -> bool:
        if self.was_held and not self.holders and not self.lingers:
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
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", FIRST_WORD_S, 0))
        connection: Connection[Any, Any] = Connection(plug.detach())
        if connection.poll(0):
            self._hear(connection)
        else:
            self.newcomers[connection.fileno()] = connection
            self.epoll.register(connection.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def _hear(self, connection: Connection[Any, Any]) -> None:
        """What somebody wants who has begun to speak: whoever stops before that, or in the middle, stops nobody else."""
        try:
            message, _ = wire.receive(connection)
        except (EOFError, OSError, ValueError):
            connection.close()
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as plug:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 0))
        self.last_use = time.monotonic()
        if message["op"] == "hold":
            self.hold(connection)
        elif message["op"] == "hint":
            connection.close()
            self._hints += [] if self.slots else [str(message["hint"])]
        elif message["op"] == "watch":
            self.watchers.append(connection)
            if self.warm_as is not None:
                self.announce_warm(self.warm_as)
        elif message["op"] == "restored":
            self._restored(connection, message["variables"])
        else:
            wanted = message.get("copies", 0), message.get("new", False)
            self.waiting.append(Lease(connection, message["payload"], message["graph"], *wanted))

    def _restored(self, connection: Connection[Any, Any], variables: dict[str, str]) -> None:
        """This process is a copy of a snapshot: all that it forks from now on has a name and randomness of its own."""
        os.environ.update(variables)
        renewal.renew()
        with connection, contextlib.suppress(OSError):
            wire.send(connection, {"reply": "ok"})

    def _drop_holder(self, fd: int) -> None:
        self.epoll.unregister(fd)
        self.holders.pop(fd).close()
        self.last_use = time.monotonic()

    def _lease(self, lease: Lease) -> None:
        fitting = [slot for slot in self.slots.values() if slot.payload_digest == lease.payload_digest]
        idle = [slot for slot in fitting if slot.client is None and not slot.retired]
        idle.sort(key=lambda slot: -slot.done_s)  # those that ended before may be at their notes
        knowing = next((slot for slot in idle if lease.graph in slot.graphs), None)
        compiling = next((slot for slot in fitting if slot.prepares(lease.graph)), None)
        unborn = next((twin for twin in self.unborn.values() if twin.lease is None and twin.suits(lease)), None)
        if lease.new:
            self._assign(self._fork_slot(lease.payload_digest), lease)
        elif lease.copies and (knowing or compiling):
            lease.client.close()
        elif knowing is None and compiling is not None:
            compiling.queue.append(lease)
            tell(lease, compiling.pid, is_others=True)
        elif knowing is None and unborn is not None:
            unborn.lease = lease
        else:
            self._assign(knowing or (idle[0] if idle else self._fork_slot(lease.payload_digest)), lease)

    def _assign(self, slot: Slot, lease: Lease) -> None:
        slot.client, slot.log_start, slot.copies = lease.client, log_size(slot.log), lease.copies
        slot.compiling = "" if lease.graph in slot.graphs else lease.graph
        slot.graphs.add(lease.graph)
        tell(lease, slot.pid, is_others=False)
        try:
            socket.send_fds(slot.control, [b"L"], [lease.client.fileno()])
        except OSError:  # it died while idle: its end is noticed below, the task gets another one now
            slot.client = None
            self._bury(slot)
            self._lease(lease)
            return
        self.epoll.register(lease.client.fileno(), select.EPOLLRDHUP | select.EPOLLHUP)

    def _make_twins(self, slot: Slot) -> None:
        """Have ``slot``, which has compiled and not yet run, fork one twin for each lease in its queue; then it goes on.

        One that runs nothing itself takes the first, and gets twins for those that are still to come.
        """
        kept = slot.queue[: 1 if slot.copies else 0]
        leases: list[Lease | None] = [*slot.queue[len(kept) :]]
        leases += [None] * (slot.copies - 1 - len(leases))
        adopt_orphans(bool(leases or self.unborn))  # before the first can be one
        for lease in leases:
            self._evict_idle()
            ours, theirs = control_pair()
            log = self._next_log()
            with theirs, contextlib.suppress(OSError):  # a slot that died is buried when its own end is seen
                socket.send_fds(slot.control, [b"T" + log.encode()], [theirs.fileno()])
            self.unborn[ours.fileno()] = Unborn(ours, log, slot.payload_digest, lease, frozenset(slot.graphs))
            self.epoll.register(ours, select.EPOLLIN)
        slot.queue, slot.compiling = kept, ""
        with contextlib.suppress(OSError):
            slot.control.send(b"G")

    def _welcome(self, twin: Unborn) -> None:
        """A twin's first word; without one it will not come, and its lease is as it was."""
        self.epoll.unregister(twin.control)
        said = b""
        with contextlib.suppress(OSError):
            said = twin.control.recv(64)
        adopt_orphans(bool(self.unborn))
        if not said:
            twin.control.close()
            self.waiting.extend([twin.lease] if twin.lease else [])
            return
        pid = int(said.split()[1])
        self.slots[pid] = Slot(pid, twin.control, twin.payload_digest, twin.log, set(twin.graphs))
        self.epoll.register(twin.control, select.EPOLLIN)
        if twin.lease is not None:
            self._assign(self.slots[pid], twin.lease)

    def _next_log(self) -> str:
        self.forks += 1
        return os.path.join(self.folder, f"slot-{self.forks}.log")

    def _fork_slot(self, payload_digest: str) -> Slot:
        self._evict_idle()
        ours, theirs = control_pair()
        log = self._next_log()
        pid = os.fork()
        if pid == 0:
            self._become_slot(theirs, log)
        theirs.close()
        slot = Slot(pid, ours, payload_digest, log)
        self.slots[pid] = slot
        self.epoll.register(ours, select.EPOLLIN)
        return slot

    def _evict_idle(self) -> None:
        """Before a new slot: no more idle ones than cores."""
        idle = [slot for slot in self.slots.values() if slot.client is None and not slot.retired]
        for slot in idle[: max(0, len(idle) + 1 - (os.cpu_count() or 1))]:
            self._retire(slot)

    def _retire(self, slot: Slot) -> None:
        """Let a slot end by itself: it may still be sending the reply of the lease that it has said to be done."""
        slot.retired = True
        with contextlib.suppress(OSError):
            slot.control.shutdown(socket.SHUT_WR)

    def _connections(self) -> list[Connection[Any, Any] | socket.socket]:
        """All that this process has open and no slot may keep open."""
        slots, unborn = self.slots.values(), self.unborn.values()
        leases = [*(twin.lease for twin in unborn if twin.lease), *(lease for slot in slots for lease in slot.queue)]
        controls = [*(slot.control for slot in slots), *(twin.control for twin in unborn)]
        clients = [slot.client for slot in slots if slot.client is not None]
        others = [lease.client for lease in (*leases, *self.waiting)]
        return [*self.holders.values(), *self.newcomers.values(), *self.watchers, *clients, *others, *controls]

    def _become_slot(self, control: socket.socket, log: str) -> NoReturn:
        code = 1
        try:
            die_with_parent()
            for connection in self._connections():
                connection.close()
            self.listener.close()
            self.epoll.close()
            serve(control, self.folder, log)
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
        if said == b"compiled":
            self._make_twins(slot)
            return
        self._release_queue(slot)
        if said.startswith(b"done"):
            slot.done_s = self.last_use
            self._detach(slot)
            if float(said.split()[-1]) > self.memory_limit_mib:
                self._retire(slot)

    def _release_queue(self, slot: Slot) -> None:
        """No twins of this one: who has waited is served as if it had not."""
        self.waiting.extend(slot.queue)
        slot.queue, slot.compiling = [], ""

    def _detach(self, slot: Slot) -> None:
        slot.copies = 0
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
        self._release_queue(slot)
        with contextlib.suppress(ProcessLookupError):  # code of the user's may have closed what it did not open
            os.kill(slot.pid, signal.SIGKILL)  # one that has ended, or is ending, ends as it would have
        _, status = os.waitpid(slot.pid, 0)
        for kind in _KINDS_OF_FILES:
            shutil.rmtree(own_folder(self.folder, kind, slot.pid), ignore_errors=True)
        if slot.client is not None:
            with contextlib.suppress(OSError):
                wire.send(slot.client, last_words(slot.log, slot.log_start, status))
            self._detach(slot)
        for path in (slot.log, counter_path(slot.log), step_path(slot.log)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def refuse_all(self, why: str, trace: str) -> None:
        """Answer all who wait, and who knock at this moment, that ROOT is not there."""
        while select.select([self.listener], [], [], 0)[0]:
            self._accept()
        self._handle_events(0)
        for client in (*(lease.client for lease in self.waiting), *self.watchers):
            with client, contextlib.suppress(OSError):
                wire.send(client, {"reply": "error", "why": why, "traceback": trace, "log_tail": ""})

    def close(self) -> None:
        """Kill the slots and leave nothing behind."""
        for slot in list(self.slots.values()):
            self._kill(slot)
        payload.clear(os.path.join(self.folder, "payloads"), 0)
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, wire.SOCKET_NAME))
