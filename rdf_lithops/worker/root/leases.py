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

import os
import signal
import socket
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

__all__ = ["Lease", "Slot", "Unborn", "how_it_ended"]


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


def how_it_ended(status: int) -> str:
    """The end of a slot in words, from what ``waitpid`` said of it."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"the ROOT process was killed by {signal.Signals(-code).name}"
    return f"the ROOT process exited with code {code}"
