"""What the tasks of a run have in common: where they run, user's code, credentials, how they ask ROOT, again if it dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..fold.shelf import Shelf
from ..processes import warm
from ..processes.beats import Pulse, key_of
from ..travels import sealed as credentials
from ..travels.libraries import Libraries
from . import libraries, payload
from .messages import Request

__all__ = ["MAX_TRIES", "POISON_CRASHES", "Crashed", "Surroundings"]

MAX_TRIES = 2  # a ROOT process killed from outside is not the range's fault: once more, in a new one
POISON_CRASHES = 3  # but a range in which three of them ended is at fault


@dataclass(frozen=True)
class Surroundings:
    """What both tasks need to know of where they run, and the user's code that they run with.

    ``payload`` is plain; ``initialisation`` the user's function, cloudpickled. ``warm_folder`` is the driver's own meeting
    folder (None, or absent on this machine: one per user); ``warm`` False runs ROOT in the task itself; ``cwd`` and
    ``umask`` are those of the driver; ``settings`` go to a process that is started; ``beats`` says where and how often a
    call says that it lives (see ``beats.Pulse``), or None; ``sealed`` are the run's credentials; ``faults`` is a script for
    tests (see ``faults``); ``libraries`` were compiled where the driver runs.
    """

    cwd: str
    payload: dict[str, Any]
    initialisation: bytes
    umask: int | None = None
    warm: bool = True
    warm_folder: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    beats: dict[str, Any] | None = None
    sealed: credentials.Sealed | None = None
    faults: dict[str, Any] | None = None
    libraries: Libraries | None = None

    def request(
        self,
        graph_digest: str,
        message: Request,
        blobs: list[bytes],
        storage: Any,
        secret: bytes | None = None,
        more: Iterable[bytes] = (),
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Have a warm ROOT process that holds our payload answer ``message``, with the credentials ``secret`` in place.

        It gets ``more`` batch by batch, when it asks for the next.
        """
        folder = warm.folder_for(self.warm_folder)
        asked: Request = {
            **message,
            "cwd": self.cwd,
            "umask": self.umask,
            "payload": self.payload,
            "payload_folder": None,
            "has_credentials": secret is not None,
        }
        lease = {"payload": self.lease_digest(), "graph": graph_digest, "settings": self.settings}
        secrets = [] if secret is None else [secret]
        if self.faults is not None:
            asked["faults"] = self.faults
        with contextlib.closing(Pulse(self.beats, storage)) as pulse, contextlib.ExitStack() as stack:
            if self.libraries is not None or self.payload["bundle"] is not None:
                with pulse.beating():  # while they are fetched
                    if self.libraries is not None:
                        asked["library_root"] = self.libraries["root"]
                        asked["library_folders"] = stack.enter_context(libraries.at_hand(self.libraries, storage, folder))
                    asked["payload_folder"] = stack.enter_context(payload.at_hand(self.payload, storage, folder))
            return _persistent_request(folder, lease, asked, [*secrets, self.initialisation, *blobs], pulse, more)

    def key_of(self, name: str) -> str:
        """Where Lithops keeps an object of the call that this process runs, in its storage."""
        return key_of(self.beats or {}, name)

    def lease_digest(self) -> str:
        """Names what a ROOT process is bound to: a payload, and a set of credentials if there is one."""
        bound = str(self.payload["sha256"])
        return bound if self.sealed is None else f"{bound}:{self.sealed.set_id}"

    def secret(self, key: str | None) -> bytes | None:
        """The credentials of the run, opened with the ``key`` that came with the call; None where it has none."""
        return None if self.sealed is None else credentials.unseal(self.sealed, key)

    def shelved(self, packed: bytes, shelf: Shelf | None, storage: Any) -> bytes:
        """Put a large envelope on the shelf, and say meanwhile that this call lives."""
        if shelf is None or len(packed) < shelf.at_least_bytes:
            return packed
        with self.beating(storage):
            return shelf.put(packed, storage)

    @contextlib.contextmanager
    def beating(self, storage: Any) -> Iterator[None]:
        """While this lasts, say that this call lives, whatever it moves."""
        with contextlib.closing(Pulse(self.beats, storage)) as pulse, pulse.beating():
            yield


class Crashed(Exception):
    """A ROOT process ended while it worked for this call, ``tries`` times; in which range, where that is known."""

    def __init__(self, died: warm.WarmProcessDied, tries: int, range_id: int | None) -> None:
        super().__init__(died, tries, range_id)
        self.died, self.tries, self.range_id = died, tries, range_id


def _persistent_request(
    folder: str, lease: dict[str, Any], message: Request, blobs: list[bytes], pulse: Pulse, more: Iterable[bytes]
) -> tuple[dict[str, Any], list[bytes]]:
    tries = int(message.get("tries", MAX_TRIES))
    for number in range(1, tries + 1):
        try:
            reply, reply_blobs = warm.request(folder, lease, message, blobs, pulse, more)
            if reply["reply"] == "again":  # the graph does not compile after what that process has run
                reply, reply_blobs = warm.request(folder, {**lease, "new": True}, message, blobs, pulse, more)
        except warm.WarmProcessDied as died:
            if number == tries or died.kind != "died" or not os.path.isdir(folder):
                raise Crashed(died, number, pulse.range_id) from died
        else:
            if reply["reply"] == "payload":
                raise payload.PayloadFailure(reply["what"], reply["why"], reply["log_tail"])
            if reply["reply"] == "error":
                raise RuntimeError(reply["why"]) from RuntimeError(reply["traceback"])
            return reply, reply_blobs
    raise AssertionError("the loop above returns or raises")
