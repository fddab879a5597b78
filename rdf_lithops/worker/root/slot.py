"""A slot: a fork of the parent (see ``parent``) or of another slot, that serves one lease after the other.

It loads one payload and compiles graphs, and keeps both. Where several tasks of this machine ask for a new graph at once,
the first slot compiles it before it runs anything, and is forked for the others while its hands are empty: no file open,
no credentials in place, one thread.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import select
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, cast

from ...compiled.compiling import compiling_quickly
from ...files import access, snapshot_parts
from ...fold import partials
from ...frame import ranges as adapter
from ...processes import warm, wire
from ...processes.beats import Counter, die_with_parent
from ...travels import sealed
from ...travels.facts import Began
from .. import faults, libraries, payload, together
from ..messages import Request
from . import execute, graphs
from .initialisation import initialise
from .leases import step_path

__all__ = ["control_pair", "counter_path", "own_folder", "serve"]

ADOPTION_LIMIT_S = 5.0
IDLE_S = 0.1  # then nobody waits, and there is time for notes
MOST_LOG_BYTES = 2**20  # of what one call has printed
LARGE_BYTES = 64 * 2**20  # of a result: the C library would keep as much again for what never comes

Answer = tuple[dict[str, Any], list[bytes]]


def control_pair() -> tuple[socket.socket, socket.socket]:
    """The two ends, the parent's and the slot's, of a control socket: packets, so that no two words run together."""
    return socket.socketpair(type=socket.SOCK_SEQPACKET)


def counter_path(log: str) -> str:
    """Where a slot with this log counts entries."""
    return log.removesuffix(".log") + ".count"


def own_folder(folder: str, kind: str, pid: int) -> str:
    """Where a slot keeps its files of one kind (credentials, output); its parent removes it when it dies."""
    return os.path.join(folder, kind, str(pid))


def serve(control: socket.socket, folder: str, log: str) -> None:
    """Serve one lease after the other until the parent closes ``control``."""
    slot = _Slot(folder)
    slot.begin(control, log)
    while True:
        if slot.has_run and not select.select([slot.control], [], [], IDLE_S)[0]:
            with compiling_quickly():
                graphs.settle_notes()
            graphs.settle_clones()
        _, descriptors, _, _ = socket.recv_fds(slot.control, 8, 1)  # a slot that is spoiled gets none any more
        if not descriptors:
            return
        slot.serve(Connection(descriptors[0]))


class _ClientGone(Exception):
    """The task that asked has gone away: nobody is there to be answered."""


@contextlib.contextmanager
def _talking() -> Iterator[None]:
    """Errors in this block are those of the socket, and not of the work: the task at its other end is gone."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise _ClientGone from error


def _asked_of(client: Connection[Any, Any]) -> Iterator[bytes]:
    """What the task has to be folded, one by one; small ones come several at a time; each is dropped once it is taken."""
    while True:
        with _talking():
            wire.send(client, {"event": "next"})
            batch = deque(wire.receive(client)[1])
        while batch:
            yield batch.popleft()


def _has_one_thread() -> bool:  # decision 73
    """Whether this process has one thread, once those have ended that end when it forks, as NumPy's of OpenBLAS do."""
    if _threads() > 1:
        with contextlib.suppress(OSError):  # no memory, or too many processes
            between = os.fork()
            if not between:
                os._exit(0)
            os.waitpid(between, 0)
    return _threads() == 1


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


class _Slot:
    """This process: the payload that it has loaded and the graphs that it has compiled, for its whole life."""

    control: socket.socket
    log: str
    counter: Counter

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.parent = os.getppid()
        self.loaded = ""
        self.compiled: set[str] = set()
        self.spoiled = False  # the payload was loaded in part, or written to: what is here now is nobody's
        self.has_run = False  # and not what it was started for is still to come
        self.compilation = (0.0, 0.0)  # when the last graph was compiled ahead: from, until (perf_counter)

    def begin(self, control: socket.socket, log: str) -> None:
        """Listen to ``control``, print to ``log``, and count into a counter of our own from now on."""
        self.control, self.log = control, log
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        self.counter = Counter(counter_path(log))
        graphs.current.counter = self.counter

    def serve(self, client: Connection[Any, Any]) -> None:
        """Serve one lease; a twin that is forked on the way returns without having touched the client."""
        log_start = os.path.getsize(self.log)
        self.counter.set(0)
        self.counter.begin_range(None)
        has_past = bool(self.compiled)
        with client:
            try:
                with _talking():
                    wire.send(client, {"event": "slot", "pid": os.getpid(), "counter": self.counter.path})
                    asked, blobs = wire.receive(client)
                message = cast(Request, asked)
                secret = blobs.pop(0) if message["has_credentials"] else None
                initialisation, *blobs = blobs
                if self._is_twin_after_compiling(message, initialisation, blobs):
                    return
                reply, reply_blobs = self._answer(client, message, initialisation, blobs, secret)
            except _ClientGone:
                self._say_done()
                return
            except payload.PayloadFailure as failure:
                self.spoiled = True
                reply, reply_blobs = {"reply": "payload", "what": failure.what, "why": failure.why}, []
            except Exception as error:
                why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                reply, reply_blobs = {"reply": "error", "why": why, "traceback": traceback.format_exc()}, []
            sys.stdout.flush()
            is_broken = self._is_broken(log_start)
            self.spoiled = self.spoiled or is_broken
            if has_past and reply["reply"] == "ok" and (graphs.current.is_not_compiled or is_broken):  # decision 335
                self.spoiled, reply, reply_blobs = True, {"reply": "again"}, []
            if reply["reply"] != "ok":
                reply["log_tail"] = warm.log_tail(self.log, log_start)
            self._say_done()
            try:
                for arriving in faults.deliveries(reply_blobs):
                    wire.send(client, reply, *arriving)
            except OSError:
                return
            if sum(map(len, reply_blobs)) > LARGE_BYTES:
                arriving, reply_blobs = [], []
                execute.give_back_memory()

    def _is_broken(self, since: int) -> bool:
        """Whether Cling has said, behind that place in the log, that it could not link code: from then on it fails in other
        graphs, too, as it does in local ROOT, where somebody starts a new program."""
        if os.path.getsize(self.log) <= since:
            return False
        with open(self.log, "rb") as log:
            log.seek(since)
            return b"Failed to materialize symbols" in log.read(MOST_LOG_BYTES)

    def _say_done(self) -> None:
        with open("/proc/self/statm") as statm:
            resident_mib = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        self.control.send(f"done {math.inf if self.spoiled else resident_mib:.1f}".encode())

    def _answer(
        self,
        client: Connection[Any, Any],
        message: Request,
        initialisation: bytes,
        blobs: list[bytes],
        secret: bytes | None,
    ) -> Answer:
        """Run what ``message`` asks for; errors of the user's graph are part of the answer, others are raised: ours, and
        PayloadFailure."""
        started = time.perf_counter()
        graphs.current.is_not_compiled = False
        with (
            sealed.installed(secret, own_folder(self.folder, sealed.FOLDER, os.getpid())),
            execute.working_folder(message["cwd"], message.get("umask")),
        ):
            self._load(message, initialisation)
            if message["op"] == "compile":  # which was done, or could not be
                return {"reply": "ok"}, []
            if message["op"] == "fold":
                if "faults" in message:
                    faults.strike_fold(message["faults"], message["attempt"])
                what = message["orders"], message["began"], initialise()
                return {"reply": "ok"}, partials.folds(blobs[0], _asked_of(client), *what)
            output_folder = own_folder(self.folder, snapshot_parts.FOLDER, os.getpid())
            if message["op"] == "merge":
                with access.granted(None, access.Grant.read(message["access"]), ()):
                    return {"reply": "ok", "keys": []}, [
                        execute.merge_files(message["call"], output_folder, message["began"])
                    ]
            return self._run(message, blobs, output_folder, time.perf_counter() - started)

    def _load(self, message: Request, initialisation: bytes) -> None:
        if message.get("library_folders"):
            libraries.load(message["library_root"], message["library_folders"])
        if message["payload"]["sha256"] != self.loaded:
            try:
                payload.load(message["payload"], initialisation, message["payload_folder"], self._note_step)
            except Exception:
                self._note_step("")
                raise
            self._note_step("")  # not if it has ended this process, as sys.exit does
            self.loaded = message["payload"]["sha256"]

    def _note_step(self, what: str) -> None:
        """Have the parent know which step of the user's code has ended this process, if it does."""
        with contextlib.suppress(OSError), open(step_path(self.log), "wb") as step:  # a full disk is no reason
            step.write(what.encode(errors="replace"))

    def _run(self, message: Request, blobs: list[bytes], output_folder: str, payload_s: float) -> Answer:
        """Run the ranges of one graph, or those of several one after the other."""
        began: Began = message["began"]
        times: Began = {**began, "compiled_from": self.compilation[0], "compiled_until": self.compilation[1]}
        works = [message, *message.get("more", ())]
        packed, large = list[bytes](), dict[str, bytes]()
        for work in works:
            if packed:
                times, payload_s = together.later(times), 0.0
            first_id = work.get("first_id", 0)
            self.counter.count_from(first_id, self.counter.entries if packed else 0)
            given = work, blobs[work.get("code", 0)], output_folder, times, payload_s, message.get("faults")
            one, stored = self._run_one(*given)
            packed.append(together.renumbered(one, first_id) if first_id else one)
            large.update(stored)
        self.counter.count_from(0, 0)
        return {"reply": "ok", "keys": list(large)}, [
            packed[0] if len(works) == 1 else together.joined(packed),
            *large.values(),
        ]

    def _run_one(
        self, work: Request, graph: bytes, output_folder: str, times: Began, payload_s: float, script: Any
    ) -> tuple[bytes, dict[str, bytes]]:
        results = execute.Results(**{**work["results"], "outputs": tuple(work["results"]["outputs"])})
        call, dataset, first_id = work["call"], work["dataset"], work.get("first_id", 0)
        what = work["graph_digest"], call, dataset, work["seed"]

        strike = None if script is None else functools.partial(faults.strike_range, script, call, first_id)
        with access.granted(self.folder, access.Grant.read(work["access"]), adapter.files_of(call["ranges"], dataset)):
            done = execute.run_call(graph, *what, results, output_folder, times, payload_s, strike)
        self.compiled.add(work["graph_digest"])
        self.has_run = True
        self.spoiled = self.spoiled or payload.is_written_to()
        return done

    def _is_twin_after_compiling(self, message: Request, initialisation: bytes, blobs: list[bytes]) -> bool:
        """Compile a new graph that others here want too, then be forked as often as the parent wants; whether this process
        is such a fork."""
        if message["op"] not in ("run", "compile"):
            return False
        compiled = False
        try:
            compiled = self._may_fork(message) and self._compile_ahead(message, initialisation, blobs[0])
        finally:  # also where the payload failed, which is the answer: what waits for this slot is told what it meets
            self.control.send(b"compiled" if compiled else b"alone")
        if not compiled:
            return False
        while True:
            word, descriptors, _, _ = socket.recv_fds(self.control, 4096, 1)
            if not word:
                raise EOFError("the parent is gone")
            if word == b"G":
                return False
            if self._fork(socket.socket(fileno=descriptors[0]), word[1:].decode()):
                return True

    def _may_fork(self, message: Request) -> bool:
        """Whether a graph is new, others here want it too, and it is read without connections, which forks would share."""
        if not message["shared"] or message["graph_digest"] in self.compiled or message["has_credentials"]:
            return False
        return not any(map(access.is_remote, adapter.files_of(message["call"]["ranges"], message["dataset"])))

    def _compile_ahead(self, message: Request, initialisation: bytes, graph: bytes) -> bool:
        output_folder = own_folder(self.folder, snapshot_parts.FOLDER, os.getpid())
        with execute.working_folder(message["cwd"], message.get("umask")):
            self._load(message, initialisation)
            began = time.perf_counter()
            if not graphs.compile_ahead(graph, message["graph_digest"], message["call"], message["dataset"], output_folder):
                return False
        self.compilation = began, time.perf_counter()
        self.compiled.add(message["graph_digest"])
        return _has_one_thread()

    def _fork(self, control: socket.socket, log: str) -> bool:
        """Fork a process that has the same parent as this one; True there, False here.

        By way of one that ends at once: its child is then the parent's, which adopts orphans for the moment. What cannot
        be forked or cannot begin ends without a word, which closes ``control``: the parent then does without it.
        """
        with control:
            try:
                between = os.fork()
            except OSError:  # no memory, or too many processes
                return False
            if not between:
                self._begin_as_twin(control, log)
                return True
        os.waitpid(between, 0)
        return False

    def _begin_as_twin(self, control: socket.socket, log: str) -> None:
        """In a fork: fork again and end; there, be a slot of its own. Never returns as a second one of what it was."""
        try:
            if os.fork():
                os._exit(0)
            deadline = time.monotonic() + ADOPTION_LIMIT_S
            while os.getppid() != self.parent and time.monotonic() < deadline:
                time.sleep(0.0005)
            die_with_parent(self.parent)
            self.control.close()
            self.begin(control.dup(), log)
            graphs.forget_graphs()  # they write where the other's files are
            self.control.send(f"born {os.getpid()}".encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
