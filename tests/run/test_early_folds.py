"""Folds that begin while the last calls run: the same tree whatever becomes of them."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import copies
import inline
import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG
from copies import Clock, Life, Told, failing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import until

from rdf_lithops.errors import RunError
from rdf_lithops.fold.order import SMALL_S, FoldLimits, fold_order
from rdf_lithops.fold.shelf import Shelf, bundle, unbundle
from rdf_lithops.options import Options
from rdf_lithops.planning.cost import Offer, Speeds
from rdf_lithops.planning.limits import limits_of
from rdf_lithops.planning.outlook import Outlook
from rdf_lithops.planning.plans import Plan
from rdf_lithops.run import early_folds, fold_rounds, interrupts, outcomes, running, watch
from rdf_lithops.run.books import CallEnd
from rdf_lithops.run.events import CallEnded, Event, FoldRoundEnded, RunEnded
from rdf_lithops.travels.envelope import Envelope, pack, unpack
from rdf_lithops.travels.facts import Facts
from rdf_lithops.worker.fold_task import FoldTask, ReduceTask

CALLS = 12
GROUPS = range(CALLS, CALLS + 4)  # the calls of the first round: four groups of three
AT_ONCE = 8  # that one call folds: three sums and a group of three partials, or two of each
FLAT = b"((0 1 2) (3 4 5) (6 7 8) (9 10 11))"
TREE = b"(((0 1 2) (3 4 5)) ((6 7 8) (9 10 11)))"


def text_sum(packed: Sequence[bytes], groups: Sequence[tuple[int, ...]]) -> bytes:
    """A fold that needs no ROOT: what it folds, in order and in brackets."""
    envelopes = list(map(unpack, packed))
    order: Any = fold_order(envelopes, groups)

    def said(branch: Any) -> str:
        return bytes(envelopes[branch].body).decode() if isinstance(branch, int) else f"({' '.join(map(said, branch))})"

    range_ids = tuple(sorted({range_id for each in envelopes for range_id in each.range_ids}))
    return pack(Envelope(range_ids, sum(each.entries or 0 for each in envelopes), "6", said(order).encode()))


class TextRound(FoldTask):
    """A call of a round."""

    def __call__(self, call: dict[str, Any], storage: Any = None) -> bytes:
        return text_sum(call["partials"], self.groups)


class TextReduce(ReduceTask):
    """A reducer that hands on what is too much for it."""

    def __call__(self, results: list[bytes], storage: Any = None) -> bytes:
        began: Any = {"process": 0, "process_at": 0.0, "invoked_at": 0.0}
        packed = self.gathered([*self.kept, *results], began, lambda group: text_sum(unbundle(group), self.groups))
        return packed if isinstance(packed, bytes) else text_sum(packed, self.groups)


class Held(copies._Scripted):
    """An attempt whose reducer is held back, and given what the driver has."""

    @property
    def holds_reducer(self) -> bool:  # type: ignore[override]
        return self.complete_s is None

    def maps_delivered(self, partials: Mapping[int, Sequence[bytes]], more: Sequence[bytes] = ()) -> None:
        if self.complete_s is None:
            self.complete_s = self._after_s
            self.handed = [each for some in partials.values() for each in some] + list(more)

    def reduce_end(self) -> CallEnd | None:
        return None if self.complete_s is None else CallEnd(self.part.reduce_task(self.handed))


class Fates(dict[tuple[int, int], Life]):
    """Of calls by their id, where an attempt is not named: ``maps``; and of folds that begin early, ``folds``."""

    def __init__(self, maps: Sequence[float], folds: Mapping[int, Life]) -> None:
        self.maps, self.folds, self.begun = maps, folds, set[int]()

    def get(self, known: tuple[int, int], default: Any = None) -> Any:
        call_id, _ = known
        if 0 <= call_id < CALLS:
            return Life(ends_s=self.maps[call_id])
        first = call_id not in self.begun  # a second copy goes well
        self.begun.add(call_id)
        return self.folds.get(call_id, Life()) if first else Life()


class Submitted(Told):
    """What was submitted, with reducers that are held back."""

    kind: ClassVar[type[Held]] = Held

    def submit(self, part: Plan) -> Held:
        self.attempts.append([item["call"]["id"] for item in part.iterdata])
        return self.kind(part, self, len(self.attempts))


def run(
    monkeypatch: pytest.MonkeyPatch,
    maps: Sequence[float],
    folds: Mapping[int, Life],
    most: int = 3,
    deadline_s: float | None = None,
    **changes: Any,
) -> tuple[outcomes.Outcome, Submitted]:
    """A run of twelve calls of which ``most`` are folded by one, and all that was submitted for it."""
    clock = Clock()
    for module in (running, watch, early_folds):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(fold_rounds, "FoldTask", TextRound)
    plan = inline.text_plan(CALLS, beat_s=1.0)
    reduce = TextReduce(
        b"",
        tuple(range(CALLS)),
        plan.map_task.surroundings,
        groups=tuple((call,) for call in range(CALLS)),
        limits=FoldLimits(partials=most),
    )
    plan = dataclasses.replace(
        plan, reduce_task=reduce, map_task=dataclasses.replace(plan.map_task, shelf=Shelf("run", 2**20)), **changes
    )
    told = Submitted(clock, Fates(maps, folds))
    options = Options(silence_s=20.0, progress=False, deadline_s=deadline_s)
    outcome = running.run(told.submit, plan, options, (told.events.append,))
    assert sorted(told.forgotten) == list(range(1, len(told.attempts) + 1)), "each submission is forgotten once"
    return outcome, told


def test_groups_begin_while_calls_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four groups are folded before the last call has ended; the round begins the fourth alone."""
    outcome, told = run(monkeypatch, [1.0] * 9 + [1.0, 1.0, 30.0], {})
    assert TREE == bytes(outcome.envelope.body)
    assert [list(range(CALLS)), [12, 13, 14], [15]] == told.attempts[:3]
    first = next(event for event in told.events if isinstance(event, FoldRoundEnded))
    assert [12, 13, 14, 15] == sorted(event.call_id for event in first.events if isinstance(event, CallEnded))
    assert 4 == first.calls


@pytest.mark.parametrize(
    ("backend", "early"), [("aws_lambda", [[12, 13, 14], [15], [16]]), ("slurm", [[12, 13, 14], [15, 16]])]
)
def test_few_jobs_in_a_queue(monkeypatch: pytest.MonkeyPatch, backend: str, early: list[list[int]]) -> None:
    """Where each submission waits its turn in a queue, groups of which few are ready wait for others; elsewhere whatever is
    ready begins."""
    outlook = Outlook(Offer(backend), limits_of(backend), Speeds(), None, CALLS, None, 3, None, None, (6,))
    maps = [1.0] * 6 + [4.0, 4.0, 8.0, 8.0, 30.0, 30.0]
    outcome, told = run(monkeypatch, maps, {}, most=2, outlook=outlook)
    assert CALLS == outcome.envelope.entries
    assert [list(range(CALLS)), *early, [17]] == told.attempts[: len(early) + 2]


def test_a_fold_that_is_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was begun early, and takes long, is not begun again: the reducer of the round is held back for it."""
    outcome, told = run(monkeypatch, [1.0] * 11 + [5.0], {13: Life(ends_s=60.0)})
    assert TREE == bytes(outcome.envelope.body)
    assert [list(range(CALLS)), [12, 13, 14], [15], [16, 17]] == told.attempts


@pytest.mark.parametrize(
    "life",
    [
        failing("fold", 13),
        Life(ends_s=1.0, end=CallEnd(why="killed", kind="killed")),
        Life(ends_s=None, silent_s=2.0),
        Life(ends_s=None, lost_s=3.0),
    ],
    ids=["fails", "killed", "silent", "lost"],
)
def test_a_fold_that_comes_to_nothing_is_made_again(monkeypatch: pytest.MonkeyPatch, life: Life) -> None:
    """The round makes it again, and it alone, with the same tree."""
    outcome, told = run(monkeypatch, [1.0] * 11 + [5.0], {13: life})
    assert TREE == bytes(outcome.envelope.body)
    assert [2, 1, 1] == [sum(group in attempt for attempt in told.attempts[:5]) for group in (13, 12, 14)]


def test_the_reducer_folds_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where little is left when the last call has ended there is no round: the reducer gets three sums, and the partials of
    the fourth group; the early folds are told of."""
    outcome, told = run(monkeypatch, [1.0] * 11 + [30.0], {}, most=AT_ONCE)
    assert FLAT == bytes(outcome.envelope.body)
    assert [list(range(CALLS)), [12, 13, 14]] == told.attempts
    (folds,) = (event for event in told.events if isinstance(event, FoldRoundEnded))
    ended = sorted(event.call_id for event in folds.events if isinstance(event, CallEnded))
    assert (0, [12, 13, 14]) == (folds.number, ended)


def has_ended(events: list[Event], call_id: int) -> bool:
    """Whether the driver has told that a call ended."""
    return any(isinstance(event, CallEnded) and event.call_id == call_id for event in events)


def test_a_submission_that_takes_long_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While early folds are submitted the driver goes on to hear of the calls, here until the last one has ended."""
    submit, heard = Submitted.submit, list[bool]()

    def slow(self: Submitted, part: Plan) -> Held:
        if 12 in (item["call"]["id"] for item in part.iterdata):
            heard.append(until(functools.partial(has_ended, self.events, CALLS - 1), 10.0))
        return submit(self, part)

    monkeypatch.setattr(Submitted, "submit", slow)
    outcome, told = run(monkeypatch, [1.0] * 11 + [30.0], {})
    assert TREE == bytes(outcome.envelope.body)
    assert [list(range(CALLS)), [12, 13, 14], [15]] == told.attempts[:3]
    assert heard == [True]


def test_a_submission_without_end_is_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the run, what is being submitted then hears of it, as if it had been interrupted itself."""
    submit, called_off = Submitted.submit, list[bool]()

    def endless(self: Submitted, part: Plan) -> Held:
        if 12 in (item["call"]["id"] for item in part.iterdata):
            called_off.append(False)
            until(interrupts.check, 20.0)  # as a submission does while the network is away
        return submit(self, part)

    def check() -> None:
        try:
            checked()
        except KeyboardInterrupt:
            called_off[0] = True
            raise

    checked = interrupts.check
    monkeypatch.setattr(interrupts, "check", check)
    monkeypatch.setattr(Submitted, "submit", endless)
    with pytest.raises(RunError, match="no result after the deadline"):
        run(monkeypatch, [1.0] * 11 + [1e9], {}, deadline_s=50.0)
    assert called_off == [True]


@pytest.mark.parametrize("life", [failing("fold", 13), Life(ends_s=60.0), Life(ends_s=None, lost_s=3.0)])
def test_the_reducer_folds_what_did_not_come(monkeypatch: pytest.MonkeyPatch, life: Life) -> None:
    """It waits for no early fold that failed or takes long, where it may fold as much itself."""
    outcome, told = run(monkeypatch, [1.0] * 11 + [5.0], {13: life}, most=AT_ONCE)
    assert FLAT == bytes(outcome.envelope.body)
    assert [list(range(CALLS)), [12, 13, 14]] == told.attempts


@pytest.mark.parametrize(("ends_s", "rounds"), [(5.0, 0), (60.0, 1)], ids=["in a moment", "later"])
def test_folds_that_run_are_awaited(monkeypatch: pytest.MonkeyPatch, ends_s: float, rounds: int) -> None:
    """Where a reducer could end the tree if early folds had ended, those that run when the last call ends are waited for
    and no round begins; for a few seconds, after which a round takes them over."""
    folds = {group: Life(ends_s=ends_s) for group in (12, 13, 14)}
    outcome, told = run(monkeypatch, [1.0] * 11 + [5.0], folds, most=AT_ONCE)
    assert FLAT == bytes(outcome.envelope.body)
    assert [[12, 13, 14], *[[15]] * rounds] == told.attempts[1:]


@pytest.mark.parametrize("why", ["large", "parts"])
def test_sums_that_are_of_no_use_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Those that do not go by way of the driver, and those of a tree in which a call came in parts: a round takes the folds
    over at once."""
    halves = [pack(Envelope((11,), count, "6", b"half", half=(half,))) for half, count in ((0, 1), (1, 0))]

    class InParts(Fates):
        def get(self, known: tuple[int, int], default: Any = None) -> Any:
            life = super().get(known, default)
            is_cut = why == "parts" and known[0] == 11
            return dataclasses.replace(life, end=CallEnd(bundle(halves, Facts()))) if is_cut else life

    begun: dict[int, float] = {}  # when each submission was

    class Noted(Held):
        def __init__(self, part: Plan, run: Told, number: int) -> None:
            super().__init__(part, run, number)
            begun[number] = self.began_s

    if why == "large":
        monkeypatch.setattr(early_folds, "HANDED_BYTES", 0)
    monkeypatch.setattr(Submitted, "kind", Noted)
    monkeypatch.setattr(sys.modules[__name__], "Fates", InParts)
    outcome, told = run(monkeypatch, [1.0] * 11 + [5.0], {group: Life(ends_s=20.0) for group in (12, 13, 14)}, most=AT_ONCE)
    assert CALLS == outcome.envelope.entries
    assert [[12, 13, 14], [15]] == told.attempts[1:3]
    assert begun[3] < copies.BEGAN_S + 6.0


def test_they_are_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """While folds are waited for it is their submission that says when to look, and not the calls', which have all ended."""

    class Ended(Held):
        @property
        def poll_s(self) -> float:  # type: ignore[override]
            has_nothing_to_tell = self.number == 1 and len(self.told) == CALLS and self.complete_s is None
            return 10.0 if has_nothing_to_tell else copies.TICK_S

    monkeypatch.setattr(Submitted, "kind", Ended)
    _, told = run(monkeypatch, [1.0] * 11 + [4.0], {group: Life(ends_s=5.0) for group in (12, 13, 14)}, most=AT_ONCE)
    assert [[12, 13, 14]] == told.attempts[1:]
    assert told.clock.now_s < copies.BEGAN_S + 10.0


def test_what_takes_the_reducer_long_is_begun_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would fold more slowly than a job begins when the last call has ended, without a round."""
    monkeypatch.setattr(early_folds, "JOB_S", 5.5 * SMALL_S)
    outcome, told = run(monkeypatch, [1.0] * 11 + [30.0], {}, most=AT_ONCE)
    assert FLAT == bytes(outcome.envelope.body)
    assert [list(range(CALLS)), [12, 13, 14], [15]] == told.attempts
    (folds,) = (event for event in told.events if isinstance(event, FoldRoundEnded))
    assert (0, 4) == (folds.number, folds.calls)


def test_a_reducer_that_dies_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was given is folded by the next attempt, with the same tree."""

    class Dying(Held):
        def reduce_end(self) -> CallEnd | None:
            is_first = self.complete_s is not None and any(unpack(each).inner for each in self.handed)
            return CallEnd(why="killed", kind="killed") if is_first else super().reduce_end()

    monkeypatch.setattr(Submitted, "kind", Dying)
    outcome, _ = run(monkeypatch, [1.0] * 11 + [30.0], {}, most=AT_ONCE)
    assert FLAT == bytes(outcome.envelope.body)
    assert outcome.attempts > 1


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_tree_is_the_same_whatever_becomes_of_them(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    """However calls and early folds end, what is folded, in which order, is what a run without early folds folds."""
    fates = st.sampled_from(
        [Life(), Life(ends_s=7.0), failing("fold", 0), Life(ends_s=None, silent_s=2.0), Life(ends_s=90.0)]
    )
    maps = data.draw(st.lists(st.floats(0.1, 20.0), min_size=CALLS, max_size=CALLS))
    folds = data.draw(st.dictionaries(st.sampled_from(GROUPS), fates))
    most = data.draw(st.sampled_from([3, AT_ONCE, 11]))
    outcome, told = run(monkeypatch, maps, folds, most)
    assert (TREE if most == 3 else FLAT) == bytes(outcome.envelope.body)
    for group in GROUPS if most == 3 else ():
        if folds.get(group, Life()).end is None and folds.get(group, Life()).ends_s is not None:
            assert 1 == sum(group in attempt for attempt in told.attempts)


def test_what_cannot_be_tidied_up_does_not_hide_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage falls silent when the early folds are over: the run has its result, and says that it has ended."""

    class Stuck(Held):
        def forget(self) -> None:
            super().forget()
            if 12 in self.calls:
                raise RunError("Lithops' storage has not answered for 60 s")

    monkeypatch.setattr(Submitted, "kind", Stuck)
    outcome, told = run(monkeypatch, [1.0] * 11 + [30.0], {})
    assert TREE == bytes(outcome.envelope.body)
    assert isinstance(told.events[-1], RunEnded)
    assert told.events[-1].error is None


def test_none_where_one_reducer_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one reducer folds all, no fold begins before it."""
    outcome, told = run(monkeypatch, [1.0] * 11 + [30.0], {}, most=CALLS)
    assert b"(0 1 2 3 4 5 6 7 8 9 10 11)" == bytes(outcome.envelope.body)
    assert [list(range(CALLS))] == told.attempts


@pytest.mark.slow
@pytest.mark.parametrize(("most", "number"), [(3, 1), (AT_ONCE, 0)], ids=["round", "at once"])
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_on_lambda(aws: Any, monkeypatch: pytest.MonkeyPatch, most: int, number: int) -> None:
    """On Lambda folds have begun when the last call ends, and the bits are those of the tree on this machine; where little
    is left no round follows."""
    monkeypatch.setattr(early_folds, "EVERY_S", 0.2)
    code = "if (rdfentry_ == 119) gSystem->Sleep({}); return 1.0 / (1 + rdfentry_);"

    def sums(executor: Any, sleep_ms: int) -> tuple[float, list[Event]]:
        options = {"ranges_per_call": 1, "fold_partials": most, "beat_s": 0.5, "backups": False}
        frame = ROOT.RDataFrame(120, executor=executor, npartitions=CALLS, options=options)
        events: list[Event] = []
        frame._headnode.backend.consumers = (events.append,)
        return frame.Define("x", code.format(sleep_ms)).Sum("x").GetValue(), events

    before = aws.storage.list_keys(aws.storage.bucket, "")
    there, events = sums(aws, 6000)
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG), log_level=None) as own:
        here, _ = sums(own, 0)
    assert here.hex() == there.hex()
    first = next(event for event in events if isinstance(event, FoldRoundEnded))
    began = [event.status["worker_start_tstamp"] for event in first.events if isinstance(event, CallEnded)]
    assert (number, 4 if number else 3) == (first.number, len(began))
    assert min(began) < max(event.status["worker_end_tstamp"] for event in events if isinstance(event, CallEnded))
    left = aws.storage.list_keys(aws.storage.bucket, "")
    assert [] == [key for key in left if key not in before and ("-M" in key or "-R" in key or "/runs/" in key)]
