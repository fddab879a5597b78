"""The objects that Lithops calls. They hold plain Python and bytes: unpickling them needs no ROOT."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import traceback
from collections import Counter as Multiset
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import execute, payload, warm
from .beats import Counter, Pulse
from .envelope import Envelope, EnvelopeError, pack, unpack
from .shelf import Shelf, bundle, size_of, take_down

__all__ = ["FoldTask", "MapTask", "ReduceTask"]

MAX_TRIES = 2  # a ROOT process killed from outside is not the range's fault: once more, in a new one


@dataclass(frozen=True)
class Surroundings:
    """What both tasks need to know of where they run, and the user's code that they run with.

    ``payload`` is plain; ``initialisation`` the user's function, cloudpickled. ``warm_folder`` is the driver's own meeting
    folder (None, or absent on this machine: one per user); ``warm`` False runs ROOT in the task itself; ``cwd`` is the
    driver's working folder; ``settings`` go to a process that is started; ``beats`` says where and
    how often a call says that it lives (see ``beats.Pulse``), or None.
    """

    cwd: str
    payload: dict[str, Any]
    initialisation: bytes
    warm: bool = True
    warm_folder: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    beats: dict[str, Any] | None = None

    def request(
        self, graph_digest: str, message: dict[str, Any], blobs: list[bytes], storage: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Have a warm ROOT process that holds our payload answer ``message``."""
        folder = warm.folder_for(self.warm_folder)
        message = {
            **message,
            "cwd": self.cwd,
            "payload": self.payload,
            "payload_folder": payload.unpack(self.payload, storage, folder),
        }
        lease = {"payload": self.payload["sha256"], "graph": graph_digest, "settings": self.settings}
        pulse = Pulse(self.beats, storage)
        return _persistent_request(folder, lease, message, [self.initialisation, *blobs], pulse)


@dataclass(frozen=True)
class MapTask:
    """Run the ranges of one call and fold them: ``{"id", "ranges"}`` in, a packed envelope out. Never raises.

    A large partial goes to the ``shelf``, if there is one.
    ``graph`` is DistRDF's (mapper, reducer), cloudpickled and unpickled by the ROOT process alone; ``graph_digest``
    names it among the graphs that a process has compiled; ``dataset`` is plain.
    """

    graph: bytes
    graph_digest: str
    dataset: dict[str, Any]
    seed: int
    surroundings: Surroundings
    shelf: Shelf | None = None

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        range_ids = tuple(plain["id"] for plain in call["ranges"])
        try:
            partial = self._run(call, storage)
            return partial if self.shelf is None else self.shelf.put(partial, storage)
        except payload.PayloadFailure as failure:
            error: dict[str, Any] = {
                "kind": "payload",
                "type": "PayloadFailure",
                "message": str(failure),
                "what": failure.what,
            }
            error["log_tail"] = failure.log_tail
        except warm.WarmProcessDied as died:
            error = {"kind": "died", "type": "WarmProcessDied", "message": died.how, "log_tail": died.log_tail}
        except Exception as problem:
            error = {"kind": "worker", "type": type(problem).__name__, "message": str(problem)}
            error["traceback"] = traceback.format_exc()
        error.update(call_id=call["id"], range_ids=list(range_ids))
        return pack(Envelope(range_ids, None, "", error=error))

    def _run(self, call: dict[str, Any], storage: Any) -> bytes:
        if self.surroundings.warm:
            try:
                return self._run_warm(call, storage)
            except warm.WarmProcessUnavailable as reason:
                print(f"rdf_lithops: ROOT runs in the task itself: {reason}")  # noqa: T201  # the task's own log
        return self._run_here(call, storage)

    def _run_warm(self, call: dict[str, Any], storage: Any) -> bytes:
        message = {
            "op": "run",
            "call": call,
            "graph_digest": self.graph_digest,
            "dataset": self.dataset,
            "seed": self.seed,
        }
        _, blobs = self.surroundings.request(self.graph_digest, message, [self.graph], storage)
        return blobs[0]

    def _run_here(self, call: dict[str, Any], storage: Any) -> bytes:
        """Without a warm process: the answer is the same, the start-up of ROOT is paid by this task."""
        code = self.surroundings
        execute.initialise()
        with execute.working_folder(code.cwd), tempfile.TemporaryDirectory() as folder:
            payload.load(code.payload, code.initialisation, payload.unpack(code.payload, storage, folder))
            with _beating(Pulse(code.beats, storage), os.path.join(folder, "count")):
                return execute.run_call(self.graph, self.graph_digest, call, self.dataset, self.seed)


@dataclass(frozen=True)
class ReduceTask:
    """Fold partials in range order with ROOT's reducer: packed envelopes in, one out. Never raises.

    ``reducer`` is cloudpickled; ``range_ids`` are all that the plan has: a shortfall is an error that names them;
    ``kept`` are packed partials of earlier attempts, to be folded with those of this one. More than ``fold_partials`` of
    them, or than ``fold_bytes`` in all, are not folded here but handed on together, for a round of ``FoldTask``.
    """

    reducer: bytes
    range_ids: tuple[int, ...]
    surroundings: Surroundings
    kept: tuple[bytes, ...] = ()
    fold_partials: int = 2**31
    fold_bytes: int = 2**63

    def __call__(self, results: list[bytes], storage: Any = None) -> bytes:
        """``results`` is every map's output; ``storage`` is filled in by Lithops, which recognises the name."""
        try:
            return self._fold(results, storage)
        except Exception as problem:
            error: dict[str, Any] = {"kind": "fold", "type": type(problem).__name__, "message": str(problem)}
            error.update(traceback=traceback.format_exc(), range_ids=list(self.range_ids))
            return pack(Envelope(self.range_ids, None, "", error=error))

    def _fold(self, results: list[bytes], storage: Any) -> bytes:
        partials: dict[tuple[int, ...], bytes] = {}
        fold_bytes = 0
        for data in [*self.kept, *results]:
            envelope = unpack(data)
            if envelope.error is not None:
                return data
            if partials.setdefault(envelope.range_ids, data) is data:  # one that was delivered twice counts once
                fold_bytes += size_of(envelope)
        check_each_range_once(self.range_ids, list(partials))
        if len(partials) > 2 and (len(partials) > self.fold_partials or fold_bytes > self.fold_bytes):
            return bundle(list(partials.values()))
        return _fold_here(self.reducer, self.surroundings, list(partials.values()), storage)


@dataclass(frozen=True)
class FoldTask:
    """Fold one group of partials, in a round of the tree: ``{"id", "ranges", "partials"}`` in, a packed envelope out.

    Never raises. What it folded goes to the ``shelf`` again, if it is large.
    """

    reducer: bytes
    surroundings: Surroundings
    shelf: Shelf | None = None
    dataset: dict[str, Any] = field(default_factory=dict)  # a plan's task has one; here no range is read

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        range_ids = tuple(plain["id"] for plain in call["ranges"])
        try:
            partial = _fold_here(self.reducer, self.surroundings, call["partials"], storage)
            return partial if self.shelf is None else self.shelf.put(partial, storage)
        except Exception as problem:
            error: dict[str, Any] = {"kind": "fold", "type": type(problem).__name__, "message": str(problem)}
            error.update(traceback=traceback.format_exc(), range_ids=list(range_ids), call_id=call["id"])
            return pack(Envelope(range_ids, None, "", error=error))


def _fold_here(reducer: bytes, surroundings: Surroundings, partials: list[bytes], storage: Any) -> bytes:
    """Take ``partials`` down from the shelf and fold them in a warm ROOT process, or in this one."""
    blobs = take_down(partials, storage)
    if len(blobs) == 1:
        return blobs[0]
    if surroundings.warm:
        with contextlib.suppress(warm.WarmProcessUnavailable):
            return surroundings.request("", {"op": "fold"}, [reducer, *blobs], storage)[1][0]
    return execute.fold(reducer, blobs)


def check_each_range_once(expected: tuple[int, ...], folded: list[tuple[int, ...]]) -> None:
    """Raise EnvelopeError, naming the ranges, unless the partials' range ids are ``expected``, each one once."""
    counts = Multiset(range_id for range_ids in folded for range_id in range_ids)
    missing = sorted(set(expected) - set(counts))
    doubled = sorted(range_id for range_id, count in counts.items() if count > 1)
    unknown = sorted(set(counts) - set(expected))
    if missing or doubled or unknown:
        raise EnvelopeError(f"expected each range once; missing {missing}, more than once {doubled}, unknown {unknown}")


@contextlib.contextmanager
def _beating(pulse: Pulse, path: str) -> Iterator[None]:
    """Beat from a thread while this process itself runs ROOT, which lets other threads run during the event loop."""
    over = threading.Event()
    pulse.meet(os.getpid(), path)

    def beat() -> None:
        while not over.wait(pulse.every_s):
            pulse.tick()

    thread = threading.Thread(target=beat, daemon=True)
    execute.count_into(Counter(path))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        execute.count_into(None)


def _persistent_request(
    folder: str, lease: dict[str, Any], message: dict[str, Any], blobs: list[bytes], pulse: Pulse
) -> tuple[dict[str, Any], list[bytes]]:
    for attempt in range(1, MAX_TRIES + 1):
        try:
            reply, reply_blobs = warm.request(folder, lease, message, blobs, pulse)
        except warm.WarmProcessDied:
            if attempt == MAX_TRIES or not os.path.isdir(folder):
                raise
        else:
            if reply["reply"] == "payload":
                raise payload.PayloadFailure(reply["what"], reply["why"], reply["log_tail"])
            if reply["reply"] == "error":
                raise RuntimeError(reply["traceback"])
            return reply, reply_blobs
    raise AssertionError("the loop above returns or raises")
