"""Calls that nobody can kill end soon after the run that wants them: an interrupt, a deadline, a copy that is not needed."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import lithops
import pytest
import ROOT
from kinds import quickly
from lambda_standin import Service
from waiting import until

import rdf_lithops
from rdf_lithops.processes.beats import MISSING, Pulse, Stopped
from rdf_lithops.run.events import CallBegan, Event

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SLEEPS_S = 300.0  # what each call would take: it is cut short, or this test fails


def slow(executor: Any, consumer: Any, **options: Any) -> Any:
    """A sum whose two calls sleep."""
    given = {"ranges_per_call": 1, "beat_s": 0.5, "progress": False, **options}
    frame = ROOT.RDataFrame(2, executor=executor, npartitions=2, options=given)
    frame._headnode.backend.consumers = (consumer,)
    return frame.Define("x", f"gSystem->Sleep({1000 * SLEEPS_S:.0f}); return 1;").Sum("x")


@pytest.mark.parametrize("how", quickly(["interrupt", "deadline"], "interrupt"))
def test_what_is_not_wanted_is_not_paid_for(
    aws: lithops.FunctionExecutor, aws_service: Service, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Ctrl-C, or the deadline: calls that run on Lambda end at their next sign of life, and what they cost is said."""
    begun: set[int] = set()

    def hear(event: Event) -> None:
        if isinstance(event, CallBegan):
            begun.add(event.call_id)
            if how == "interrupt" and len(begun) == 2:
                raise KeyboardInterrupt

    before = len(aws_service.invocations)
    options = {} if how == "interrupt" else {"deadline_s": 20.0}
    expected = KeyboardInterrupt if how == "interrupt" else rdf_lithops.RunError
    with caplog.at_level(logging.WARNING, "rdf_lithops"), pytest.raises(expected):
        slow(aws, hear, **options).GetValue()
    assert re.search(r"[12] of the calls run and are ended at their next sign of life: .* for up to 0.5 s more", caplog.text)
    calls = [each for each in aws_service.invocations[before:] if each.kind == "Event"]
    assert 2 == len(calls)
    assert until(lambda: all(call.ended for call in calls))


class Store:
    """A storage that holds one run's record, or none, or does not answer."""

    bucket = "b"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def put_object(self, bucket: str, key: str, data: bytes) -> None:
        """A beat."""

    def get_object(self, bucket: str, key: str) -> bytes:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()


Missing = type(MISSING, (Exception,), {})


@pytest.mark.parametrize(
    ("answers", "ends"),
    [
        ([{"stopped": []}], False),
        ([{}], False),
        ([{"stopped": ["a-0-M002"]}], False),
        ([{"stopped": ["a-0-M002", "a-0-M001"]}], True),
        ([Missing(), Missing()], True),
        ([Missing(), {"stopped": []}], False),
        ([ConnectionError()], False),
        ([Missing(), ConnectionError()], False),
    ],
)
def test_what_a_call_makes_of_the_record(answers: list[Any], ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends when its run is gone, or has its attempt among those that are stopped, never for want of an answer."""
    monkeypatch.setenv("SESSION", "a-0-M001-00007")
    monkeypatch.setenv("RUN", "runs/r/run.json")
    settings = {"every_s": 0.0, "folder_variable": "SESSION", "prefix": "jobs", "run_variable": "RUN"}
    pulse = Pulse(settings, Store(*answers))
    if ends:
        with pytest.raises(Stopped):
            pulse.tick()
    else:
        pulse.tick()
