"""The objects that Lithops calls for ranges. They hold plain Python and bytes: unpickling them needs no ROOT."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..files import access, snapshot_parts
from ..fold.shelf import Shelf
from ..frame import ranges as adapter
from ..processes import warm
from ..processes.beats import STATUS_NAME, Counter, Pulse, Stalled, Stopped
from ..processes.inherited_connections import leave_inherited
from ..processes.seconds import began_here
from ..travels import sealed as credentials
from ..travels.envelope import Envelope, pack
from ..travels.facts import Began
from . import faults, libraries, payload
from .messages import Request
from .root import execute, graphs
from .root.initialisation import initialise
from .surroundings import MAX_TRIES, Crashed, Surroundings

__all__ = ["CallTask", "MapTask", "MergeTask"]


class CallTask:
    """What runs one call: ``{"id", "ranges"}`` in, a packed envelope out. Never raises."""

    surroundings: Surroundings
    shelf: Shelf | None = None
    dataset: dict[str, Any]

    def dataset_of(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What the ranges of the graph of ``fields`` share."""
        return self.dataset

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        key = credentials.take_key()
        range_ids = tuple(fields["id"] for fields in call["ranges"])
        began = began_here()
        try:
            if (script := self.surroundings.faults) is not None:
                garbage = faults.strike_task(script, call, storage, self.surroundings.key_of(STATUS_NAME))
                if garbage is not None:
                    return garbage
            return self._stored(self._run(call, began, storage, self.surroundings.secret(key)), storage)
        except credentials.CredentialsUnreadable as problem:
            error: dict[str, Any] = {"kind": "credentials", "type": type(problem).__name__, "message": str(problem)}
        except payload.PayloadFailure as failure:
            error = {"kind": "payload", "type": "PayloadFailure", "message": str(failure), "what": failure.what}
            error["log_tail"] = failure.log_tail
        except Crashed as crashed:
            error = {"kind": crashed.died.kind, "type": "WarmProcessDied", "message": crashed.died.how}
            error.update(log_tail=crashed.died.log_tail, crashes=crashed.tries)
            if crashed.range_id is not None:
                error["range_ids"] = [crashed.range_id]
        except Exception as problem:
            kind = "memory" if isinstance(problem, MemoryError) else "worker"
            error = {"kind": kind, "type": type(problem).__name__, "message": str(problem) or type(problem).__name__}
            error["traceback"] = traceback.format_exc()
        error = {"call_id": call["id"], "range_ids": list(range_ids), **error}
        return pack(Envelope(range_ids, None, "", error=error))

    def _stored(self, packed: bytes, storage: Any) -> bytes:
        """What is handed back: a large partial lies on the shelf."""
        return self.surroundings.shelved(packed, self.shelf, storage)

    def _message(self, call: dict[str, Any], began: Began) -> tuple[str, Request, list[bytes]]:
        """The digest of the graph that a ROOT process is asked to run, the request, and its blobs."""
        raise NotImplementedError

    def _work(self, call: dict[str, Any], folder: str, began: Began, payload_s: float) -> tuple[bytes, dict[str, bytes]]:
        """The same in this process, with ROOT up: the envelope, and what is to be stored. ``folder`` is private."""
        raise NotImplementedError

    def _run(self, call: dict[str, Any], began: Began, storage: Any, secret: bytes | None) -> bytes:
        if self.surroundings.warm:
            try:
                return self._run_warm(call, began, storage, secret)
            except warm.WarmProcessUnavailable as reason:
                print(f"rdf_lithops: ROOT runs in the task itself: {reason}")  # noqa: T201  # the task's own log
        return self._run_here(call, began, storage, secret)

    def _run_warm(self, call: dict[str, Any], began: Began, storage: Any, secret: bytes | None) -> bytes:
        digest, message, blobs = self._message(call, began)
        reply, (packed, *large) = self.surroundings.request(digest, message, blobs, storage, secret)
        if large:
            with self.surroundings.beating(storage):
                _store(storage, dict(zip(reply["keys"], large, strict=True)))
        return packed

    def _run_here(self, call: dict[str, Any], began: Began, storage: Any, secret: bytes | None) -> bytes:
        """Without a warm process: the answer is the same, the start-up of ROOT is paid by this task."""
        code = self.surroundings
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            pulse = stack.enter_context(contextlib.closing(Pulse(code.beats, storage)))
            stack.enter_context(_beating(pulse, folder))
            stack.enter_context(execute.working_folder(code.cwd, code.umask))
            stack.enter_context(credentials.installed(secret, os.path.join(folder, credentials.FOLDER)))
            initialise()
            started = time.perf_counter()
            if code.libraries is not None:
                compiled = stack.enter_context(libraries.at_hand(code.libraries, storage, folder))
                libraries.load(code.libraries["root"], compiled)
            payload.load(
                code.payload, code.initialisation, stack.enter_context(payload.at_hand(code.payload, storage, folder))
            )
            payload_s = time.perf_counter() - started
            packed, blobs = self._work(call, os.path.join(folder, snapshot_parts.FOLDER), began, payload_s)
            _store(storage, blobs)
            return packed


@dataclass(frozen=True)
class MapTask(CallTask):
    """Run the ranges of one call and fold them.

    ``graph`` is DistRDF's (mapper, reducer), cloudpickled and unpickled by the ROOT process alone; ``graph_digest``
    names it among the graphs that a process has compiled; ``dataset`` is plain; ``results`` says where large results go;
    ``access`` the fields of an access.Grant. A large partial goes to the ``shelf``, if there is one. ``shared``: calls of
    this run come to one machine at the same time.
    """

    graph: bytes
    graph_digest: str
    dataset: dict[str, Any]
    seed: int
    surroundings: Surroundings
    results: execute.Results = field(default_factory=execute.Results)
    access: access.GrantFields = field(default_factory=access.GrantFields, repr=False)
    shelf: Shelf | None = None
    shared: bool = False

    def _message(self, call: dict[str, Any], began: Began) -> tuple[str, Request, list[bytes]]:
        message: Request = {
            "op": "run",
            "call": call,
            "graph_digest": self.graph_digest,
            "dataset": self.dataset,
            "seed": self.seed,
            "results": dataclasses.asdict(self.results),
            "began": began,
            "access": self.access,
            "shared": self.shared,
            "tries": call.get("tries", MAX_TRIES),
        }
        return self.graph_digest, message, [self.graph]

    def _work(self, call: dict[str, Any], folder: str, began: Began, payload_s: float) -> tuple[bytes, dict[str, bytes]]:
        what = self.graph, self.graph_digest, call, self.dataset, self.seed
        script = self.surroundings.faults
        strike = None if script is None else functools.partial(faults.strike_range, script, call, 0)
        grant, names = access.Grant.read(self.access), adapter.files_of(call["ranges"], self.dataset)
        with access.granted(os.path.dirname(folder), grant, names):
            return execute.run_call(*what, self.results, folder, began, payload_s, strike)


@dataclass(frozen=True)
class MergeTask(CallTask):
    """Merge parts of a Snapshot into larger files: a range is one, with the keys id, tree, sources and target.

    ``access``: as in MapTask.
    """

    surroundings: Surroundings
    dataset: dict[str, Any] = field(default_factory=dict)
    access: access.GrantFields = field(default_factory=access.GrantFields, repr=False)

    def _message(self, call: dict[str, Any], began: Began) -> tuple[str, Request, list[bytes]]:
        tries = call.get("tries", MAX_TRIES)
        return "", {"op": "merge", "call": call, "access": self.access, "began": began, "tries": tries}, []

    def _work(self, call: dict[str, Any], folder: str, began: Began, payload_s: float) -> tuple[bytes, dict[str, bytes]]:
        with access.granted(None, access.Grant.read(self.access), ()):
            return execute.merge_files(call, folder, began), {}


def _store(storage: Any, blobs: dict[str, bytes]) -> None:
    """Put large results into Lithops' storage, from where the driver takes them."""
    for key, blob in blobs.items():
        storage.put_object(storage.bucket, key, blob)


@contextlib.contextmanager
def _beating(pulse: Pulse, folder: str) -> Iterator[None]:
    """Have a child of this process beat while the process itself runs ROOT, which holds Python's lock while it compiles.

    The child ends this process if it stands still: nobody else would. It is forked before ROOT is there.
    """
    parent, counter = os.getpid(), Counter(os.path.join(folder, "count"))
    pulse.meet(parent, counter.path)
    child = os.fork()
    if child == 0:
        _beat_until_orphaned(pulse, parent)
    graphs.current.counter = counter
    try:
        yield
    finally:
        graphs.current.counter = None
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _beat_until_orphaned(pulse: Pulse, parent: int) -> NoReturn:
    try:
        leave_inherited()  # the parent puts results where this one puts beats, at the same time
        while os.getppid() == parent:
            pulse.tick()
            time.sleep(pulse.every_s)
    except (Stalled, Stopped) as stalled:
        print(f"rdf_lithops: {stalled}", flush=True)  # noqa: T201  # the task's own log
        os.kill(parent, signal.SIGKILL)
    finally:
        os._exit(0)
