"""What happens in a run reaches its consumers as frozen values, in order, with the entries done while a loop still runs."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG
from kinds import quickly

import rdf_lithops
from rdf_lithops.options import Options
from rdf_lithops.run.events import (
    AttemptBegan,
    CallEnded,
    CallFailed,
    CallProgressed,
    Event,
    ReduceEnded,
    RunBegan,
    RunEnded,
)

OPTIONS: dict[str, Any] = {"ranges_per_call": 1, "beat_s": 0.1}


def listen(frame: Any) -> list[Event]:
    """The events of all runs of ``frame``, filled as they happen."""
    heard: list[Event] = []
    frame._headnode.backend.consumers = (heard.append,)
    return heard


def kinds(events: list[Event], *wanted: type) -> list[Any]:
    """The events of some kinds, in order."""
    return [event for event in events if isinstance(event, wanted)]


def test_a_run_is_told_from_its_plan_to_its_end(fexec: lithops.FunctionExecutor) -> None:
    """Begin, attempt, each call once with Lithops' figures and the partial's facts, the fold, the end: in this order."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=3, options=Options(**OPTIONS))
    heard = listen(frame)
    assert 100 == frame.Count().GetValue()
    first, second, *_, last = heard
    assert isinstance(first, RunBegan) and 3 == first.plan.calls
    assert isinstance(second, AttemptBegan) and (0, 1, 2) == second.call_ids
    assert isinstance(last, RunEnded) and (1, None) == (last.attempts, last.error)
    ended = kinds(heard, CallEnded)
    assert [0, 1, 2] == sorted(event.call_id for event in ended)
    assert 100 == sum(event.entries for event in ended)
    assert all(event.status["worker_end_tstamp"] >= event.status["worker_start_tstamp"] > 0 for event in ended)
    assert all(event.facts["loop_s"] > 0 for event in ended)
    assert 1 == len(kinds(heard, ReduceEnded))
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(heard))
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.run_id = "another"  # type: ignore[misc]


@pytest.mark.parametrize("warm", quickly([True, False], True))
def test_entries_are_told_while_the_loop_runs(warm: bool) -> None:
    """Beats of a running call count its entries within a range, and the CPU time of the process that works for it."""
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) as own:
        options = Options(**OPTIONS, warm=warm)
        frame = ROOT.RDataFrame(160, executor=own, npartitions=1, options=options)
        heard = listen(frame)
        frame.Define("x", "gSystem->Sleep(15); return 1;").Sum("x").GetValue()
    progressed = kinds(heard, CallProgressed)
    counted = [event.entries for event in progressed]
    assert sorted(counted) == counted
    assert len({entries for entries in counted if 0 < entries < 160}) >= 3
    assert progressed[-1].cpu_s > 0


def test_a_failure_is_told_with_its_reason(fexec: lithops.FunctionExecutor) -> None:
    """A failed call says of what kind and why, and the end of the run carries its first line."""
    frame = ROOT.RDataFrame(2, executor=fexec, npartitions=1, options=Options(**OPTIONS))
    heard = listen(frame)
    with pytest.raises(rdf_lithops.RangeError):
        frame.Define("x", 'throw std::runtime_error("on purpose"); return 1;').Sum("x").GetValue()
    (failed,) = kinds(heard, CallFailed)
    assert failed.final and "range" == failed.kind and "on purpose" in failed.why
    assert isinstance(heard[-1], RunEnded) and heard[-1].error
