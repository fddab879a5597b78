"""What the warm ROOT process knows of its slots, and of the tasks that ask for one.

A graph that several tasks ask for at once is compiled by the first slot alone: the others' leases wait until it says so,
and get twins of it. The talk is over a slot's control socket, in packets:

    parent  L + the task's socket      serve this lease
    slot    alone | compiled           its graph: whoever else wants it compiles it too | is ready, and did not run yet
    parent  T path + a control socket  (after compiled) fork a twin, which logs to path
    parent  G                          (after the last T) go on
    twin    born PID                   first packet on its own control socket
    slot    done MIB                   the lease is done; resident memory

A driver may ask for a graph before its calls do (``copies`` of it, one for each call that will come at a time). The slot
that compiles it then runs nothing: as many twins as are still needed are forked from it, and wait for the calls.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from ...processes import warm, wire

__all__ = ["Lease", "Slot", "Unborn", "last_words", "log_size", "step_path", "tell"]

OF_ITS_OWN = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}  # what code does to itself


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
    done_s: float = 0.0  # when it had done its last lease (time.monotonic)
    copies: int = 0  # of the lease that it has now
    compiling: str = ""  # the graph of its lease, until it has said whether others may have twins of it
    queue: list[Lease] = field(default_factory=list)  # who waits for that

    def prepares(self, graph: str) -> bool:
        """Whether it is about to have compiled ``graph`` without running it, or to say that it cannot."""
        return bool(graph) and (self.compiling == graph or (self.copies > 0 and graph in self.graphs))


class Lease(NamedTuple):
    """What a task asks for: a slot with this payload, if possible one that has compiled this graph ("" for none).

    ``copies``: it asks to compile alone, for as many tasks that will come. ``new``: a slot that has run nothing.
    """

    client: Connection[Any, Any]
    payload_digest: str
    graph: str
    copies: int = 0
    new: bool = False


@dataclass
class Unborn:
    """A twin that a slot was told to fork: our end of its control socket, its log, and whom it is for, if known."""

    control: socket.socket
    log: str
    payload_digest: str
    lease: Lease | None
    graphs: frozenset[str]

    def suits(self, lease: Lease) -> bool:
        """Whether it is what ``lease`` asks for."""
        return self.payload_digest == lease.payload_digest and lease.graph in self.graphs


def tell(lease: Lease, pid: int, is_others: bool) -> None:  # decision 421
    """Have a task watch the slot ``pid``, which has not spoken yet, or compiles for others what this task waits for."""
    with contextlib.suppress(OSError):  # the task is gone, which is noticed elsewhere
        wire.send(lease.client, {"event": "slot", "pid": pid, "counter": "", "is_others": is_others})


def log_size(path: str) -> int:
    """How many bytes a slot has printed so far."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def step_path(log: str) -> str:
    """Where a slot with this log says which step of the user's code it is at, while it loads that."""
    return log.removesuffix(".log") + ".step"


def last_words(log: str, log_start: int, status: int) -> dict[str, str]:  # decision 420
    """What the task is told whose slot has ended, by what ``waitpid`` said of it: a step of the user's code that has ended
    it will do so again, everywhere."""
    code, tail = os.waitstatus_to_exitcode(status), warm.log_tail(log, log_start)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    with contextlib.suppress(OSError), open(step_path(log), "rb") as step:
        if (what := step.read().decode()) and (code >= 0 or -code in OF_ITS_OWN) and "bad_alloc" not in tail:
            return {"reply": "payload", "what": what, "why": f"it ended the worker's ROOT process: {how}", "log_tail": tail}
    return {"reply": "died", "how": f"the ROOT process {'was ' * (code < 0)}{how}", "log_tail": tail}
