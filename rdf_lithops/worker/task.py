"""The objects that Lithops calls. They hold plain Python and bytes: unpickling them needs no ROOT."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..files import access, snapshot_parts
from ..fold import partials
from ..fold.order import FoldLimits, check_each_range_once, flat, fold_order, one_fold_s
from ..fold.shelf import Shelf, Shelved, bundle, shelf_of, size_of
from ..frame import ranges as adapter
from ..processes import warm
from ..processes.beats import STATUS_NAME, Counter, Pulse, Stalled, Stopped, key_of
from ..processes.inherited_connections import leave_inherited
from ..processes.seconds import began_here, whereabouts
from ..travels import sealed as credentials
from ..travels.envelope import Envelope, pack, unpack
from ..travels.facts import Began, Facts
from . import faults, payload
from .messages import Request
from .root import execute, graphs
from .root.initialisation import initialise

__all__ = [
    "POISON_CRASHES",
    "CallTask",
    "FoldTask",
    "MapTask",
    "MergeTask",
    "ReduceTask",
    "Surroundings",
    "fold_failure",
    "fold_here",
    "shelved",
]

MAX_TRIES = 2  # a ROOT process killed from outside is not the range's fault: once more, in a new one
HANDED_ON_BYTES = 64 * 2**20
POISON_CRASHES = 3  # but a range in which three of them ended is at fault


@dataclass(frozen=True)
class Surroundings:
    """What both tasks need to know of where they run, and the user's code that they run with.

    ``payload`` is plain; ``initialisation`` the user's function, cloudpickled. ``warm_folder`` is the driver's own meeting
    folder (None, or absent on this machine: one per user); ``warm`` False runs ROOT in the task itself; ``cwd`` and
    ``umask`` are those of the driver; ``settings`` go to a process that is started; ``beats`` says where and how often a
    call says that it lives (see ``beats.Pulse``), or None; ``sealed`` are the run's credentials; ``faults`` is a script for
    tests (see ``faults``).
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

        It gets ``more`` one by one, when it asks for the next.
        """
        folder = warm.folder_for(self.warm_folder)
        asked: Request = {
            **message,
            "cwd": self.cwd,
            "umask": self.umask,
            "payload": self.payload,
            "has_credentials": secret is not None,
        }
        lease = {"payload": self.lease_digest(), "graph": graph_digest, "settings": self.settings}
        secrets = [] if secret is None else [secret]
        if self.faults is not None:
            asked["faults"] = self.faults
        pulsing, unpacked = contextlib.closing(Pulse(self.beats, storage)), payload.at_hand(self.payload, storage, folder)
        with pulsing as pulse, unpacked as place:
            asked["payload_folder"] = place
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


class CallTask:
    """What runs one call: ``{"id", "ranges"}`` in, a packed envelope out. Never raises."""

    surroundings: Surroundings
    shelf: Shelf | None = None
    dataset: dict[str, Any]

    def dataset_of(self, plain: dict[str, Any]) -> dict[str, Any]:
        """What the ranges of the graph of ``plain`` share."""
        return self.dataset

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        key = credentials.take_key()
        range_ids = tuple(plain["id"] for plain in call["ranges"])
        began = began_here()
        try:
            garbage = faults.strike_task(self.surroundings.faults, call, storage, self.surroundings.key_of(STATUS_NAME))
            if garbage is not None:
                return garbage
            return self._stored(self._run(call, began, storage, self.surroundings.secret(key)), storage)
        except credentials.CredentialsUnreadable as problem:
            error: dict[str, Any] = {"kind": "credentials", "type": type(problem).__name__, "message": str(problem)}
        except payload.PayloadFailure as failure:
            error = {"kind": "payload", "type": "PayloadFailure", "message": str(failure), "what": failure.what}
            error["log_tail"] = failure.log_tail
        except _Crashed as crashed:
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
        return shelved(packed, self.shelf, self.surroundings, storage)

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
        strike = functools.partial(faults.strike_range, self.surroundings.faults, call)
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


@dataclass(frozen=True)
class ReduceTask:
    """Fold partials in range order with ROOT's reducer: packed envelopes in, one out. Never raises.

    ``reducer`` is cloudpickled; ``range_ids`` are all that the plan has: a shortfall is an error that names them;
    ``kept`` are packed partials of earlier attempts, to be folded with those of this one; ``groups`` the range ids of each
    call of the plan (none: the calls are those whose partials come). What is more than the ``limits`` say is not folded here
    but handed on together, for a round of ``FoldTask``. A large result goes to the shelf on which its partials lay.
    """

    reducer: bytes
    range_ids: tuple[int, ...]
    surroundings: Surroundings
    kept: tuple[bytes, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    attempt: int = 1
    limits: FoldLimits = field(default_factory=FoldLimits)

    def __call__(self, results: list[bytes], storage: Any = None) -> bytes:
        """``results`` is every map's output; ``storage`` is filled in by Lithops, which recognises the name."""
        credentials.take_key()  # nothing is read or written here: it is not needed
        began = began_here()
        try:
            status_key = self.surroundings.key_of(STATUS_NAME)
            garbage = faults.strike_reduce(self.surroundings.faults, self.attempt, storage, status_key)
            return self._fold(results, storage, began) if garbage is None else garbage
        except Exception as problem:
            return fold_failure(problem, self.range_ids)

    def _fold(self, results: list[bytes], storage: Any, began: Began) -> bytes:
        packed = self.gathered([*self.kept, *results], began)
        if isinstance(packed, bytes):
            return packed
        folded = fold_here(self.reducer, self.surroundings, packed, self.groups, self.attempt, storage, began)
        return shelved(folded, shelf_of(map(unpack, packed)), self.surroundings, storage)

    def gathered(self, results: list[bytes], began: Began) -> bytes | list[bytes]:
        """The partials among ``results``, each once; or what comes of them without a fold: a failure, or all of them
        together where they are too much for one call. Raises EnvelopeError unless each range is there once."""
        arrived: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Envelope, bytes]] = {}
        for data in results:
            envelope = unpack(data)
            if envelope.error is not None:
                return data
            # a partial that was delivered twice counts once
            arrived.setdefault((envelope.range_ids, envelope.piece), (envelope, data))
        envelopes = [envelope for envelope, _ in arrived.values()]
        check_each_range_once(self.range_ids, envelopes)
        packed = [data for _, data in arrived.values()]
        return bundle(packed, whereabouts(began)) if self._ask_for_a_tree(envelopes) else packed

    def _ask_for_a_tree(self, envelopes: list[Envelope]) -> bool:
        """Whether it is too much for one call; what lies in no storage would go by way of the driver, and not for speed."""
        all_bytes, here_bytes = sum(map(size_of, envelopes)), sum(len(envelope.body) for envelope in envelopes)
        results = max(len(envelope.pickles) for envelope in envelopes)
        one_s = one_fold_s(results, all_bytes / len(envelopes)) if here_bytes <= HANDED_ON_BYTES else 0.0
        return self.limits.ask_for_a_tree(len(envelopes), all_bytes, one_s)


@dataclass(frozen=True)
class FoldTask:
    """Fold one group of partials, in a round of the tree: ``{"id", "ranges", "partials"}`` in, a packed envelope out.

    Never raises. ``groups`` as in ReduceTask. What it folded goes to the ``shelf`` again, if it is large.
    """

    reducer: bytes
    surroundings: Surroundings
    shelf: Shelf | None = None
    groups: tuple[tuple[int, ...], ...] = ()

    def dataset_of(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Nothing: no range is read here."""
        return {}

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        """``storage`` is filled in by Lithops, which recognises the name."""
        credentials.take_key()  # no file is read here: it is not needed
        began = began_here()
        range_ids = tuple(plain["id"] for plain in call["ranges"])
        try:
            given = call["partials"], self.groups, call.get("attempt", 1)
            partial = fold_here(self.reducer, self.surroundings, *given, storage, began)
            return shelved(partial, self.shelf, self.surroundings, storage)
        except Exception as problem:
            kind = "memory" if isinstance(problem, MemoryError) else "fold"
            error: dict[str, Any] = {"kind": kind, "type": type(problem).__name__, "message": str(problem)}
            if isinstance(problem, _Crashed):
                error.update(message=f"{problem.died.how}, in the fold", log_tail=problem.died.log_tail)
            error.update(traceback=traceback.format_exc(), range_ids=list(range_ids), call_id=call["id"])
            return pack(Envelope(range_ids, None, "", error=error))


def fold_failure(problem: Exception, range_ids: tuple[int, ...]) -> bytes:
    """The envelope of a fold that was not to be had, to be made while ``problem`` is handled."""
    error: dict[str, Any] = {"kind": "fold", "type": type(problem).__name__, "message": str(problem)}
    if isinstance(problem, _Crashed):
        error.update(message=f"{problem.died.how}, in the fold", log_tail=problem.died.log_tail)
    error.update(traceback=traceback.format_exc(), range_ids=list(range_ids))
    return pack(Envelope(range_ids, None, "", error=error))


def shelved(packed: bytes, shelf: Shelf | None, surroundings: Surroundings, storage: Any) -> bytes:
    """Put a large envelope on the shelf, and say meanwhile that this call lives."""
    if shelf is None or len(packed) < shelf.at_least_bytes:
        return packed
    with contextlib.closing(Pulse(surroundings.beats, storage)) as pulse, pulse.beating():
        return shelf.put(packed, storage)


def fold_here(
    reducer: bytes,
    surroundings: Surroundings,
    packed: list[bytes],
    groups: tuple[tuple[int, ...], ...],
    attempt: int,
    storage: Any,
    began: Began,
) -> bytes:
    """Take partials down from the shelf and fold them in a warm ROOT process, or in this one."""
    order = fold_order([unpack(each) for each in packed], groups)
    taken = Shelved([packed[position] for position in flat(order)], storage)
    if len(taken) == 1:
        alone = unpack(next(iter(taken)))
        facts: Facts = {"calls": alone.facts.get("calls", [alone.facts]), **whereabouts(began)}
        return pack(dataclasses.replace(alone, facts=facts))
    if surroundings.warm:
        with contextlib.suppress(warm.WarmProcessUnavailable):
            message: Request = {"op": "fold", "orders": [order], "attempt": attempt, "began": began}
            return surroundings.request("", message, [reducer], storage, more=taken)[1][0]
    return partials.fold(reducer, taken, order, began, initialise())


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


class _Crashed(Exception):
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
        except warm.WarmProcessDied as died:
            if number == tries or died.kind != "died" or not os.path.isdir(folder):
                raise _Crashed(died, number, pulse.range_id) from died
        else:
            if reply["reply"] == "payload":
                raise payload.PayloadFailure(reply["what"], reply["why"], reply["log_tail"])
            if reply["reply"] == "error":
                raise RuntimeError(reply["why"]) from RuntimeError(reply["traceback"])
            return reply, reply_blobs
    raise AssertionError("the loop above returns or raises")
