"""One ``map_reduce`` of Lithops: submitted, looked at, cancelled, forgotten."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from lithops.wait import ALL_COMPLETED

from ..errors import RunError, SubmissionError
from ..options import Options
from ..planning.plans import Plan
from ..processes.beats import BEAT_NAME
from ..run import interrupts
from ..run.books import CallEnd
from ..travels.arrived import HANDED_BYTES, Arrived
from .clearing import Clearing
from .gate import Gate
from .listings import INIT_ENDING, Listing
from .localhost import LocalJobs
from .looks import LONGEST_S, OUTAGE_PATIENCE_S, Looks, pause_s, rest_s
from .pods import Pods
from .reads import Reads
from .registry import bring_up
from .run_folders import RunFolder, call_off, record
from .session import Session
from .turns import Turns

__all__ = ["LithopsSubmission", "submit"]

logger = logging.getLogger(__name__)

LOCAL_POLL_S, LONGEST_LOCAL_POLL_S = 0.004, 0.05
POLL_SHARE = 0.001  # of the time since the submission: a long run is asked less often how it is
READS_FOR_A_LIST, READ_S = 8, 0.15e-3  # of statuses, which cost about as much; and of the processor, for each
TOLD_POLL_S = 0.05  # where messages tell what has ended, as this asks nobody
AWAY_S = 1.0  # between two looks whether the network is there again
CLEARED_BYTES = HANDED_BYTES / 2  # another copy of a call may be a little larger, and its partial be handed on
MOST_BEATS = 128  # that are read at a time; of the others it is known that they have beaten


def submit(session: Session, plan: Plan, options: Options, run_folder: RunFolder) -> LithopsSubmission:
    """Start ``plan`` through the executor's ``map_reduce``; raises SubmissionError where trying again may help.

    ``map_reduce`` itself waits until the reducer should start, so it runs in a thread, and its wait is ours (see ``Gate``).
    What was submitted when it fails in the middle, or when the user interrupts it, is stopped and deleted.
    """
    given = {"include_modules": None, "timeout": _call_limit_s(plan, options), "extra_env": plan.extra_env}
    functions = plan.map_task, plan.iterdata, plan.reduce_task
    before = set(run_folder.job_keys)

    def prepare() -> None:
        session.check_open()
        session.jobs.sweep()
        record(session, run_folder, [item["call"]["id"] for item in plan.iterdata])

    try:
        if session.local:
            bring_up(session, options)
            session.processes.await_preloaded()
        interrupts.check()
        session.check_open()
        session.jobs.check_free()
        gate, pods = Gate(session, prepare), Pods(session.executor, options.start_s)
        limits_s = {} if options.deadline_s is None else {"deadline_s": options.deadline_s}
        map_reduce = functools.partial(session.executor.map_reduce, *functions, spawn_reducer=ALL_COMPLETED, **given)
        maps = gate.start(map_reduce, limits_s, pods.check)
        return LithopsSubmission(session, plan, run_folder, maps, gate, pods)
    except BaseException as error:
        session.jobs.withdraw(set(run_folder.job_keys) - before, error)
        if isinstance(error, Exception) and _may_pass(error):
            _await_answer(run_folder, options)
            raise SubmissionError(f"Lithops could not submit the calls: {type(error).__name__}: {error}") from error
        if type(error) is Exception or isinstance(error, OSError):  # Lithops raises nothing more precise; a disk is full
            what, ready = f"Lithops could not submit the calls: {error}", "is all there that it needs? rdf-lithops check"
            raise RunError(what, next_command=ready) from error
        raise


def _may_pass(error: BaseException) -> bool:
    """Whether an error is that of a service or a network that did not answer as it should."""
    homes = ("botocore", "boto3", "obstore", "urllib3", "requests", "google", "azure", "redis", "ibm_botocore", "kubernetes")
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in homes


def _await_answer(run_folder: RunFolder, options: Options) -> None:
    """Wait until the storage answers, whatever it says: while the network is away every attempt would be in vain."""
    until_s = time.monotonic() + min(OUTAGE_PATIENCE_S, options.deadline_s or math.inf)
    while time.monotonic() < until_s:
        interrupts.check()
        with contextlib.suppress(Exception):  # of the storage's own kind
            run_folder.storage.list_keys(run_folder.storage.bucket, f"{run_folder.prefix}/")
            return
        time.sleep(AWAY_S)


def _call_limit_s(plan: Plan, options: Options) -> float | None:
    """After how long Lithops ends a call; None leaves it to the executor's configuration."""
    return min((limit for limit in (plan.call_limit_s, options.deadline_s) if limit is not None), default=None)


def _is_fold(plan: Plan) -> bool:
    """Whether its calls fold partials, which nobody takes up."""
    return "partials" in plan.iterdata[0]["call"]


def _expected_s(plan: Plan) -> float:
    """How long the longest call of a plan is expected to take; 0 where that is a guess, or for folds, which are short."""
    if plan.outlook is None or not plan.outlook.speeds.is_measured or _is_fold(plan):
        return 0.0
    return max(plan.outlook.calls_s or (0.0,))


class LithopsSubmission:
    """One ``map_reduce`` under way; see ``attempts.Submission`` for what each method promises."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        run_folder: RunFolder,
        maps: list[Any],
        gate: Gate,
        pods: Pods,
    ) -> None:
        self.session, self._run_folder, self.maps, self._gate = session, run_folder, maps, gate
        self._pods, self._is_fold = pods, _is_fold(plan)
        self._outlook, self._began_s, self._changed_s = plan.outlook, time.monotonic(), time.monotonic()
        self._expected_s = 0.0 if session.local else _expected_s(plan)  # this machine is asked as often whatever is expected
        beats = plan.map_task.surroundings.beats
        self._beat_s = 0.0 if beats is None else float(beats["every_s"])
        self._open = {future.call_id: future for future in maps}
        self._positions = {future.call_id: position for position, future in enumerate(maps)}
        self._local_jobs = LocalJobs(session.executor.compute_handler) if session.local else None
        self._looks = Looks(session)
        self._listing = self._looks.listing(self.job_key, self._open, session.workers())
        self._clearing = None if session.local else Clearing(session.jobs.objects)
        self._turns = None if session.local else Turns(session.executor, len(maps))
        self._seen, self._reads = Listing(), Reads(self._looks)
        self._next_look_s, self._listed_s = 0.0, -math.inf
        self._beats_known: dict[str, object] = {}  # of a call: what its last one has changed
        self._beats_read: dict[str, int] = {}  # and in which turn it was read
        self._listened, self._ask_reducer_s = 0, 0.0
        self._told: set[str] = set()  # calls that have ended as a message says: Lithops writes their statuses after it
        self._is_reducer_told = False

    @property
    def poll_s(self) -> float:
        if self.session.local:
            return min(LONGEST_LOCAL_POLL_S, max(LOCAL_POLL_S, POLL_SHARE * (time.monotonic() - self._began_s)))
        own = getattr(self.session.executor.storage.storage_handler, "poll_s", None)  # a folder may be asked more often
        pause = float(own or self._pause_s())
        return min(pause, TOLD_POLL_S) if self.session.messages.arrive else pause

    def _pause_s(self) -> float:
        now_s, expected_s = time.monotonic(), self._expected_s if self._open else 0.0  # what is left to come is the fold
        return pause_s(now_s - self._began_s, expected_s, now_s - self._changed_s)

    @property
    def is_deaf(self) -> bool:
        return self._looks.is_deaf

    @property
    def job_key(self) -> str:
        return str(self.maps[0].job_key)

    @property
    def reduce(self) -> Any:
        """The reducer's future; None while its job is not submitted."""
        return None if self._gate.futures is None else self._gate.futures[-1]

    def map_ends(self) -> dict[int, CallEnd]:
        if not self._seen.begun:
            self._pods.check()
        if self._local_jobs is not None:
            with self.session.lock:
                self._local_jobs.nudge()
        ended_calls = self._look() if self.session.local or time.monotonic() >= self._next_look_s else set()
        self._told = self._open.keys() & self._told.union(self.session.messages.ended(self.job_key))
        self._reads.begin({call: self._open[call] for call in sorted(self._open.keys() & (ended_calls | self._told))})
        ended = self._reads.arrived()
        for call, end in ended.items():
            del self._open[call]
            if self._clearing is not None and self._is_read_by_nobody_else(end):
                self._clearing.add(self._of_no_use(call))
        if self._turns is not None:
            self._turns.give_back(ended)
        if ended:
            self._changed_s = time.monotonic()
        return {self._positions[call]: end for call, end in ended.items()}

    def _is_read_by_nobody_else(self, end: CallEnd) -> bool:
        """Whether the reducer is handed what a call gave."""
        is_small = end.data is not None and len(end.data) <= CLEARED_BYTES
        return is_small and self.holds_reducer

    def _of_no_use(self, call: str) -> list[str]:
        """A call's objects that nobody asks for any more: not how it ended, where the next driver may take it up."""
        names, resumes = self._seen.names.get(call, []), self._run_folder.resumes is not None and not self._is_fold
        return [name for name in names if name.endswith((INIT_ENDING, BEAT_NAME))] if resumes else names

    def _look(self) -> Set[str]:
        """Calls that may have ended: few that are left are asked after one by one, and listed only to hear who lives. While
        none has ended, only some of many are looked at, but all now and then, to hear who lives."""  # decision 395
        now_s = time.monotonic()
        if self.session.local:
            self._seen = self._listing.look(self._open, self._is_over())
            return self._seen.ended
        left = self._open.keys() - self._reads.under_way
        if not left:
            return left
        is_many = len(left) > READS_FOR_A_LIST * self._listing.lists(left)
        is_ending, listed_s_ago = len(self._open) < len(self.maps), now_s - self._listed_s
        if is_many and not is_ending and listed_s_ago < self._beat_s:
            self._seen = self._seen.and_then(self._listing.glance(left))
            cost_s, ended = self._seen.cost_s, self._seen.ended
        elif is_many or listed_s_ago > self._beat_s / 2:
            self._seen, self._listed_s = self._seen.and_then(self._listing.look(left)), now_s
            cost_s, ended = self._seen.cost_s, self._seen.ended
        else:
            cost_s, ended = len(left) * READ_S, left
        rest = rest_s(cost_s, now_s - self._began_s, is_ending)
        if self.session.messages.arrive:  # then a look is for those who fall silent, and for a message that was lost
            rest = max(rest, self._beat_s / 2, self._pause_s())
        self._next_look_s = now_s + rest
        return ended

    def begun(self) -> set[int]:
        return self._those_in(self._seen.begun)

    def beats(self) -> dict[int, dict[str, Any]]:
        """Those that have beaten since the last time: a few are read, of the others it is said that they have."""
        seen, known = self._seen.beaten, self._beats_known
        new = [call for call in seen if call in self._open and (seen[call] is None or seen[call] != known.get(call))]
        new.sort(key=lambda call: self._beats_read.get(call, 0))
        must = [call for call in new[MOST_BEATS:] if seen[call] is None]
        read = [*new[:MOST_BEATS], *must]
        told: dict[str, dict[str, Any]] = {call: {"beat": seen[call]} for call in new}
        self._listened += 1
        for call, beat in zip(read, self._looks.beats([self._open[call] for call in read]), strict=True):
            self._beats_read[call] = self._listened
            told[call] = beat or {"beat": seen[call]}
        known.update({call: seen[call] for call in new})
        return {self._positions[call]: beat for call, beat in told.items() if beat["beat"] is not None}

    def given_up(self, positions: Iterable[int]) -> None:
        if self._turns is not None:
            self._turns.give_back(self.maps[position].call_id for position in positions)

    def lost(self) -> set[int]:
        return self._those_in(self._open) if self._is_over() else set()

    def _is_over(self) -> bool:
        """Whether nothing runs the calls any more, as far as this machine can tell."""
        return self._local_jobs is not None and self._local_jobs.is_over(self.job_key)

    def queued(self) -> set[int]:
        # what tells which calls of a job wait in a queue, where the back end is one of ours (batch)
        waiting = getattr(getattr(self.session.executor.compute_handler, "backend", None), "waiting", None)
        return set() if waiting is None else self._those_in(waiting(self.job_key))

    def _those_in(self, calls: Iterable[str]) -> set[int]:
        return {self._positions[call] for call in calls if call in self._open}

    @property
    def holds_reducer(self) -> bool:
        return self._gate.futures is None

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        fetched = [future for position, future in enumerate(self.maps) if position not in partials]
        given = [*itertools.chain.from_iterable(partials.values()), *more]
        named = self.maps[0].executor_id, self.maps[0].job_id
        self._changed_s = time.monotonic()
        self._gate.open([*fetched, *(Arrived(*named, f"given-{n}", each) for n, each in enumerate(given))])

    def reduce_end(self) -> CallEnd | None:
        self.session.check_open()  # a run in another thread ends with its executor
        if self._gate.error is not None:
            return CallEnd(why=f"the reducer could not be submitted: {self._gate.error!r}")
        if self.reduce is None:
            return None
        now_s, messages = time.monotonic(), self.session.messages
        self._is_reducer_told |= bool(messages.ended(str(self.reduce.job_key)))
        if messages.arrive and now_s < self._ask_reducer_s and not self._is_reducer_told:
            return None
        self._ask_reducer_s = now_s + max(LONGEST_S, self._beat_s / 2)
        return self._looks.end(self.reduce)

    def reduce_beat(self) -> int | None:
        if self.reduce is None:
            return None
        call = self.reduce.call_id
        seen = self._looks.listing(self.reduce.job_key, [call], 1).look([call])
        if not seen.begun:
            return None
        beat = self._looks.beat(self.reduce) if seen.beaten else None
        return 0 if beat is None else int(beat["beat"])

    def reduce_lost(self) -> bool:
        return self.reduce is not None and self._local_jobs is not None and self._local_jobs.is_over(self.reduce.job_key)

    def cancel(self, error: BaseException) -> None:
        self._gate.abandon()
        if not self.session.local and (self._open or self.reduce is not None):
            self._call_off()
        self.session.jobs.stop({future.job_key for future in self._submitted}, error)

    def _call_off(self) -> None:
        """Have the calls end that nobody can kill, and say what they cost meanwhile."""
        running = len(self._seen.begun & self._open.keys())
        with contextlib.suppress(Exception):  # of a storage that does not answer: the run's end takes its record away
            call_off(self.session, self._run_folder, {future.job_key for future in self._submitted})
        if running:
            usd_per_s = self._outlook and self._outlook.usd_per_s
            usd = f", {running * self._beat_s * usd_per_s:.2g} USD at most" if usd_per_s else ""
            given = running, self._beat_s, usd
            logger.warning(
                "%d of the calls run and are ended at their next sign of life: they are billed for up to %g s more%s", *given
            )

    def forget(self) -> None:
        self._looks.close()
        if self._clearing is not None:
            self._clearing.close()
        submitted = self._submitted
        kept = [self.job_key] if self._run_folder.resumes is not None and not self._is_fold else []
        self.session.jobs.forget(submitted, {future.job_key for future in submitted}, kept)
        if len(submitted) == len(self.maps):  # the reducer was never submitted
            before, _, number = self.job_key.rpartition("-M")
            self.session.jobs.discard(f"{before}-R{number}")

    @property
    def _submitted(self) -> list[Any]:
        return [*self.maps, *([] if self.reduce is None else [self.reduce])]
