"""What a run did, as values: one per call, one for the run. What is shown of them is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..planning.cost import Bill

__all__ = ["CALL_PARTS", "MEANINGS", "RUN_PARTS", "Bill", "Call", "RunRecord", "Share"]

# The parts of a run's wall time, in the order of its critical path: the driver, the call that ended last, the reducer.
MEANINGS = {
    "prepare": "the driver makes ranges of the dataset and packs graph and payload",
    "retries": "attempts before the last one, whose calls did not all deliver",
    "submit": "the driver hands the calls to Lithops",
    "queue": "a submitted call waits for a worker",
    "cold start": "a new worker process starts; in a warm one, Lithops loads the function",
    "initialisation": "the task finds or starts its ROOT process and loads the payload there",
    "graph": "the computation graph is built, or cloned from one that ran",
    "compilation": "what was booked is compiled just in time",
    "open": "the range's files are opened and their layout is read",
    "read": "ROOT waits for bytes of files",
    "decompression": "baskets are decompressed",
    "loop": "the event loop, without reading and decompression",
    "merge": "results of a call's ranges are merged",
    "serialise": "results are pickled and checked, a Snapshot's file is put in its place",
    "upload": "the call's result and status are written to the storage",
    "reduce": "partials are fetched and folded in range order, from the end of the last call on",
    "wait": "the call is over, and the driver has not seen it yet",
    "files": "a run of its own merges a Snapshot's files into larger ones",
    "deliver": "the driver reads the merged result and fills what was booked",
    "other": "what no clock above covers",
}
RUN_PARTS = tuple(MEANINGS)
CALL_PARTS = tuple(
    name for name in RUN_PARTS if name not in ("prepare", "retries", "submit", "reduce", "files", "deliver")
)  # of one call, from its submission to the moment at which the driver saw its end


@dataclass(frozen=True)
class Call:
    """One invocation. Times are Unix seconds on the driver's clock, ``parts`` seconds that add up to its time.

    ``stage`` is "map", "reduce" or "files" (which merges files of a Snapshot); ``outcome`` is "ok" or the kind of failure,
    which ``why`` explains; ``host`` and ``pid`` say which ROOT process ran it. ``submitted_at`` to ``seen_at`` is its time
    for the driver, ``began_at`` to ``ended_at`` that in which a worker had it (and was billed); both are 0.0 if no worker
    told. ``cold``: its worker started for it; ``restored``: as a copy of a snapshot. ``clock_shift_s`` was added to the
    worker's times because they did not fit between the driver's. ``read_bytes`` is what ROOT read, from wherever;
    ``fetched_bytes`` what servers of S3 and http sent in ``fetches`` requests: less where it was there already, more where
    gaps were bridged. ``library_actions`` and ``cling_actions`` are how many kinds of actions of a graph that was new there
    came from instantiation libraries, and how many Cling compiled.
    """

    stage: str
    call_id: int
    attempt: int
    outcome: str = "ok"
    why: str = ""
    host: str = ""
    pid: int = 0
    ranges: int = 0
    entries: int | None = None
    submitted_at: float = 0.0
    began_at: float = 0.0
    ended_at: float = 0.0
    seen_at: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    cold: bool = False
    restored: bool = False
    read_bytes: int = 0
    fetched_bytes: int = 0
    fetches: int = 0
    result_bytes: int = 0
    peak_memory_mib: float = 0.0
    library_actions: int = 0
    cling_actions: int = 0
    clock_shift_s: float = 0.0

    @property
    def time_s(self) -> float:
        """Seconds from the submission until the driver saw the end."""
        return self.seen_at - self.submitted_at

    @property
    def worker_s(self) -> float:
        """Seconds in which a worker had the call."""
        return self.ended_at - self.began_at

    @property
    def entries_per_s(self) -> float | None:
        """Entries per second of the worker's time; None where they are not counted."""
        return None if self.entries is None or self.worker_s <= 0 else self.entries / self.worker_s


@dataclass(frozen=True)
class Share:
    """What one graph had of a run of several: ``units`` are what its calls would be, were it alone, each with its seconds by
    part. ``error`` is the first line of what it failed with."""

    graph: int
    units: tuple[Call, ...]
    ranges: int = 0
    error: str | None = None

    @property
    def entries(self) -> int | None:
        """Entries that were processed; None where a source does not count them."""
        counts = [unit.entries for unit in self.units]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def seconds(self) -> float:
        """Of all its units together, in the processes that ran them."""
        return sum(sum(unit.parts.values()) for unit in self.units)


@dataclass(frozen=True)
class RunRecord:
    """One run: what ran, where the time went, what it cost.

    ``path`` are the parts of ``wall_s`` along the critical path and add up to it; ``totals`` are the parts of all map calls
    together. ``survey_bytes`` is what the driver fetched of remote files in ``survey_fetches`` requests: versions, headers,
    layouts. ``graphs`` are the shares of those that ran together, none for one that ran alone.
    """

    run_id: str
    place: str
    began_at: float
    wall_s: float
    attempts: int
    calls: tuple[Call, ...]
    path: dict[str, float]
    bill: Bill = field(default_factory=Bill)
    memory_mib: int | None = None
    workers: int | None = None
    backups: int = 0
    repeated: int = 0
    survey_bytes: int = 0
    survey_fetches: int = 0
    skipped_files: tuple[str, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()
    graphs: tuple[Share, ...] = ()

    @property
    def maps(self) -> tuple[Call, ...]:
        """The map calls that delivered a partial."""
        return tuple(call for call in self.calls if call.stage == "map" and call.outcome == "ok")

    @property
    def entries(self) -> int | None:
        """Entries that were processed; None where a source does not count them."""
        counts = [call.entries for call in self.maps]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def read_bytes(self) -> int:
        """Bytes that ROOT read in all calls."""
        return sum(call.read_bytes for call in self.calls)

    @property
    def fetched_bytes(self) -> int:
        """Bytes of files that servers of S3 and http sent for this run: to its driver and its calls, those that failed and
        told of it included."""
        return self.survey_bytes + sum(call.fetched_bytes for call in self.calls)

    @property
    def fetches(self) -> int:
        """The number of requests for ``fetched_bytes``."""
        return self.survey_fetches + sum(call.fetches for call in self.calls)

    @property
    def totals(self) -> dict[str, float]:
        """Seconds of all map calls by part."""
        return {name: sum(call.parts.get(name, 0.0) for call in self.maps) for name in CALL_PARTS}
