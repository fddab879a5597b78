"""What would run, as a value that can be read, printed and driven by hand before anything is invoked. Pure: no ROOT, no
Lithops."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from .credentials import KINDS
from .errors import PlanError
from .layout import even_edges
from .outlook import Outlook
from .worker import ranges as adapter
from .worker.task import FoldTask, MapTask, MergeTask, ReduceTask

__all__ = ["Options", "Plan", "entries_of", "files_of", "pack_calls", "read_bytes_of", "work_of"]


# option, types (the first one is named in errors), exclusive lower bound, whether None is an error
_BOUNDS: tuple[tuple[str, tuple[type, ...], int | None, bool], ...] = (
    ("seed", (int,), None, True),
    ("attempts", (int,), 0, True),
    ("ranges_per_call", (int,), 0, False),
    ("survey", (bool,), None, False),
    ("warm", (bool,), None, True),
    ("deadline_s", (float, int), 0, False),
    ("progress", (bool,), None, False),
    ("idle_limit_s", (float, int), 0, True),
    ("memory_limit_mib", (float, int), 0, True),
    ("overwrite", (bool,), None, True),
    ("arrays_mib", (float, int), -1, True),
    ("file_mib", (float, int), 0, False),
    ("beat_s", (float, int), 0, False),
    ("target_s", (float, int), 0, False),
    ("budget_usd", (float, int), 0, False),
    ("usd_per_gb_s", (float, int), None, False),
    ("fold_partials", (int,), 1, True),
    ("fold_mib", (float, int), 0, False),
    ("cache_limit_mib", (float, int), 0, True),
    ("silence_s", (float, int), 0, False),
    ("start_s", (float, int), 0, True),
    ("stall_s", (float, int), 0, True),
    ("backoff_s", (float, int), -1, True),
    ("backups", (bool,), None, False),
    ("keep_failed", (str,), None, False),
    ("faults", (dict,), None, False),
    ("live_picture", (str,), None, False),
)


@dataclass(frozen=True)
class Options:
    """How a run is to go; every field has a default.

    ``seed`` of the random streams: range *i* seeds ``gRandom`` from (seed, i), so a result does not depend on which
    worker ran it. ``attempts``: how often a call that was killed or lost is tried before the run is an error; a failure
    of the user's own graph or data is not tried again. ``ranges_per_call``: ranges that one Lithops call runs and folds
    (None: as many as make one call per worker). ``survey``: read the files' layout, so that ranges end where clusters do
    and have about the same work (None: unless the files are small and the calls free). ``warm``: keep ROOT running
    between calls. ``deadline_s``: a run that takes longer is an error (None: the executor's own limit). ``progress``:
    show how far the run is (True: a bar, or lines where there is no terminal; None: the same, but lines go to the log;
    False: nothing). ``idle_limit_s``: how long a warm ROOT process that nobody holds waits for work.
    ``memory_limit_mib``: a ROOT process that has grown larger is replaced before its next call. ``beat_s``: how often a
    call says that it lives and how many entries it has done, by an object in Lithops' storage (None: 0.5 s on localhost,
    10 s elsewhere). ``silence_s``: a call that has not said so for this long is run again (None: 20 times ``beat_s``, at
    least 10 s); ``start_s``: so are calls that nobody began in a time in which no call began or ended; ``stall_s``: so
    is a call whose ROOT process did nothing, no entry and no CPU time. ``backoff_s``: pause before the second attempt,
    doubled before each later one. ``backups``: when most calls are done and the rest takes more than twice as long, run
    a second copy of the rest (None: not on localhost). ``faults``: a script for tests, see ``worker.faults``.
    ``keep_failed``: a folder for ranges that failed, so that the command replay can run them. ``live_picture``: a file
    that ROOT's LiveVisualize rewrites with each partial that arrives; its ending says the format (None: no file).
    ``credentials``: the kinds that workers are given (krb5, x509, token, sss, s3; none of them where the workers have a
    role of their own); None: those that the run's URLs may need. ``overwrite``: a Snapshot may replace a dataset of its
    name. ``arrays_mib``: columns of a call's AsNumpy that are larger than this go to the driver through Lithops'
    storage, past the reducer. ``file_mib``: merge a Snapshot's parts into files of about this size by a second
    ``map_reduce`` (None: leave one per range). ``cache_limit_mib``: how much of what was read from remote files a worker
    keeps on its disk, for later ranges and queries. ``target_s``: the least that a call should work, which sets the
    number of calls where ``npartitions`` does not (None: 10 s where calls are paid; where they are free every worker
    gets one). ``budget_usd``: a run that could cost more is an error before it begins, and calls are ended before they
    cost more. ``usd_per_gb_s``: your price, instead of the table's. ``fold_partials`` and ``fold_mib``: how many
    partials, and how much of them, one call folds; more are folded by a tree of calls (None: a fifth of the memory of a
    call).
    """

    seed: int = 1
    attempts: int = 3
    ranges_per_call: int | None = None
    survey: bool | None = None
    warm: bool = True
    deadline_s: float | None = None
    progress: bool | None = None
    idle_limit_s: float = 300.0
    memory_limit_mib: float = 3000.0
    beat_s: float | None = None
    cache_limit_mib: float = 1024.0
    credentials: tuple[str, ...] | None = None
    overwrite: bool = False
    arrays_mib: float = 8.0
    file_mib: float | None = None
    silence_s: float | None = None
    start_s: float = 600.0
    stall_s: float = 600.0
    backoff_s: float = 0.25
    backups: bool | None = None
    keep_failed: str | None = None
    faults: dict[str, Any] | None = field(default=None, repr=False)
    live_picture: str | None = None
    target_s: float | None = None
    budget_usd: float | None = None
    usd_per_gb_s: float | None = None
    fold_partials: int = 256
    fold_mib: float | None = None

    def __post_init__(self) -> None:
        for name, kinds, least, needed in _BOUNDS:
            value = getattr(self, name)
            if value is None and not needed:
                continue
            fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            if not fits or (least is not None and not value > least):
                bound = "" if least is None else f" greater than {least}"
                raise PlanError(f"options.{name} must be {kinds[0].__name__}{bound}, got {value!r}")
        if self.credentials is not None:
            _check_kinds(self.credentials)

    @classmethod
    def read(cls, given: Options | dict[str, Any] | None) -> Options:
        """Accept an Options, a dictionary of its fields, or None; anything else is a TypeError that says so."""
        if given is None:
            return cls()
        if isinstance(given, cls):
            return given
        if not isinstance(given, dict):
            raise TypeError(f"options must be rdf_lithops.Options or a dictionary of its fields, got {type(given).__name__}")
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise TypeError(f"unknown options {unknown}; known are {known}")
        return cls(**given)


@dataclass(frozen=True)
class Plan:
    """The calls of one run and what they would execute.

    Drive it by hand with any executor::

        futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
        plan.deliver(fexec.get_result(futures))

    Where the data needs credentials and the calls run elsewhere, add ``extra_env=plan.extra_env``: it holds the key of this
    run, and travels with the calls and not through the storage. ``iterdata`` are plain dictionaries ``{"call": {"id",
    "ranges"}}``, one per Lithops call, dumpable as JSON.
    """

    iterdata: list[dict[str, Any]]
    map_task: MapTask | MergeTask | FoldTask
    reduce_task: ReduceTask
    deliver: Callable[[bytes], None] = field(repr=False, compare=False)
    extra_env: dict[str, str] = field(default_factory=dict, repr=False)
    outlook: Outlook | None = field(default=None, compare=False)

    @property
    def calls(self) -> int:
        """Lithops calls of the map stage."""
        return len(self.iterdata)

    @property
    def ranges(self) -> int:
        """Ranges in all calls."""
        return len(self._plain_ranges())

    @property
    def entries(self) -> int | None:
        """Entries in all calls; None where they were not counted beforehand."""
        return _sum(entries_of(plain) for plain in self._plain_ranges())

    @property
    def read_bytes(self) -> int | None:
        """Compressed bytes, in files, of the columns that the graph reads; None where they were not counted beforehand."""
        return _sum(read_bytes_of(plain) for plain in self._plain_ranges())

    def _plain_ranges(self) -> list[dict[str, Any]]:
        return [plain for item in self.iterdata for plain in item["call"]["ranges"]]

    def validate(self) -> None:
        """Raise PlanError, naming every problem, if this cannot fit into what the executor grants, or costs too much."""
        if self.outlook is not None:
            self.outlook.validate()

    def to_json(self) -> str:
        """What the printed plan says, and all calls, for machines."""
        facts = {} if self.outlook is None else self.outlook.as_plain()
        counts = {"calls": self.calls, "ranges": self.ranges, "entries": self.entries, "read_bytes": self.read_bytes}
        return json.dumps({"format": 1, **counts, **facts, "iterdata": self.iterdata}, allow_nan=False)

    def __str__(self) -> str:
        folds = (1,) if self.outlook is None else self.outlook.fold
        shape = " to ".join(map(str, folds)) + (" reduce calls" if folds != (1,) else " reduce call")
        lines = [f"plan: {self.ranges} ranges in {self.calls} calls, then {shape}"]
        if self.entries is not None:
            size = "" if not self.read_bytes else f" in {self.read_bytes / 1e6:,.1f} MB of compressed columns"
            lines.append(f"  reads     {self.entries:,} entries{size}")
        lines += [] if self.outlook is None else [f"  {line}" for line in self.outlook.lines()]
        for item in self.iterdata:
            inner = "; ".join(adapter.describe(plain, self.map_task.dataset) for plain in item["call"]["ranges"][:3])
            more = len(item["call"]["ranges"]) - 3
            lines.append(f"  call {item['call']['id']}: {inner}" + (f"; {more} more" if more > 0 else ""))
            if item["call"]["id"] == 9 and self.calls > 10:
                lines.append(f"  … and {self.calls - 10} more calls")
                break
        return "\n".join(lines)


def _check_kinds(given: object) -> None:
    if not isinstance(given, (list, tuple)) or not set(given) <= set(KINDS):
        raise PlanError(f"options.credentials must be a tuple of some of {', '.join(KINDS)}, got {given!r}")


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def entries_of(plain: dict[str, Any]) -> int | None:
    """Entries of a range, if they are known beforehand."""
    if plain["kind"] == "entries":
        return int(plain["end"] - plain["start"])
    return plain.get("entries")


def read_bytes_of(plain: dict[str, Any]) -> int | None:
    """Compressed bytes that a range reads, if they are known beforehand."""
    return 0 if plain["kind"] == "entries" else plain.get("read_bytes")


def files_of(plain: dict[str, Any]) -> int:
    """Files that a range opens."""
    return int(plain["last_file"] - plain["first_file"]) if plain["kind"] == "files" else len(plain.get("files") or ())


def work_of(item: dict[str, Any]) -> tuple[int, int, int] | None:
    """Entries, bytes and files of a call, if they are known beforehand."""
    ranges = item["call"]["ranges"]
    entries, read_bytes = _sum(map(entries_of, ranges)), _sum(map(read_bytes_of, ranges))
    return None if entries is None or read_bytes is None else (entries, read_bytes, sum(map(files_of, ranges)))


def pack_calls(
    plain_ranges: list[dict[str, Any]], workers: int, ranges_per_call: int | None, loads: list[float] | None = None
) -> list[dict[str, Any]]:
    """Put ranges, in order, into calls of ``ranges_per_call``, or evenly into one call per worker; as Lithops iterdata.

    Evenly is by ``loads`` where they are given, else by number.
    """
    if ranges_per_call is not None:
        edges = [*range(0, len(plain_ranges), ranges_per_call), len(plain_ranges)]
    elif loads is not None:
        edges = even_edges(loads, workers)
    else:
        count = min(len(plain_ranges), max(1, workers))
        edges = [len(plain_ranges) * i // count for i in range(count + 1)]
    pairs = itertools.pairwise(edges)
    return [{"call": {"id": i, "ranges": plain_ranges[start:end]}} for i, (start, end) in enumerate(pairs)]
