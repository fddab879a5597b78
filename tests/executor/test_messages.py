"""How the driver hears of calls on Lambda's stand-in: by Lithops' messages, with moto's SQS, or by looking."""

from __future__ import annotations

import types
from collections import Counter
from typing import Any

import pytest
import ROOT
from lambda_standin import Service, Standing, account

from rdf_lithops.executor import listings, registry, submission
from rdf_lithops.executor.looks import Looks
from rdf_lithops.executor.objects import S3Objects
from rdf_lithops.executor.submission import LithopsSubmission

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

CALLS, SLEEP_MS = 4, 3000
BEAT_S = 600.0  # half of it passes between two looks where messages come: longer than the test may take


def settings(standing: Standing, **lithops: str) -> dict[str, Any]:
    role = standing.executor.config["aws_lambda"]["execution_role"]
    given = account.config(role, max_workers=8, runtime=account.RUNTIME, runtime_timeout=60)
    return {**given, "lithops": {**given["lithops"], **lithops}, "aws_sqs": {"region": account.REGION}}


def total(executor: Any, sleep_ms: int, beat_s: float = BEAT_S) -> float:
    options = {"ranges_per_call": 1, "progress": False, "beat_s": beat_s}
    frame = ROOT.RDataFrame(CALLS, executor=executor, npartitions=CALLS, options=options)
    frame = frame.Define("x", f"gSystem->Sleep({sleep_ms}); return 1.0 / (3.0 + rdfentry_);")
    return float(frame.Sum("x").GetValue())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the driver asks the storage whether a call has ended, and how often it looks: a repeated call is a
    submission of its own, and has a first look."""
    counted: Counter[str] = Counter()
    end, look = Looks.end, LithopsSubmission._look

    def look_and_count(self: LithopsSubmission) -> Any:
        counted["later looks" if self._next_look_s else "first looks"] += 1
        return look(self)

    monkeypatch.setattr(LithopsSubmission, "_look", look_and_count)

    def end_and_count(self: Looks, future: Any) -> Any:
        counted["asked"] += 1
        return end(self, future)

    monkeypatch.setattr(Looks, "end", end_and_count)
    return counted


@pytest.mark.slow
def test_a_message_wakes_the_driver(standing_lambda: Standing, aws_service: Service, asked: Counter[str]) -> None:
    """With ``monitoring: aws_sqs`` answers are the same, and the driver hardly asks for what has not ended: it is told. What
    the user runs beside it is told as ever."""
    expected = sum(1.0 / (3.0 + entry) for entry in range(CALLS))
    at = types.SimpleNamespace(endpoint=aws_service.endpoint)
    with account.executor(at, settings(standing_lambda)) as executor:
        assert expected == pytest.approx(total(executor, 0), rel=1e-12)
        asked.clear()
        total(executor, SLEEP_MS)
        without = Counter(asked)
    with account.executor(at, settings(standing_lambda, monitoring="aws_sqs")) as executor:
        assert expected == pytest.approx(total(executor, 0), rel=1e-12)
        session = registry.session_of(executor)
        assert session is not None
        assert session.messages.arrive
        asked.clear()
        assert expected == pytest.approx(total(executor, SLEEP_MS), rel=1e-12)
        assert asked["asked"] <= 2 * (CALLS + 1) < without["asked"], (asked, without)
        assert asked["first looks"] > 0 == asked["later looks"] < without["later looks"], (asked, without)
        assert [4, 9] == executor.get_result(executor.map(lambda x: x * x, [2, 3], include_modules=None))


@pytest.mark.slow
def test_a_message_before_its_status(
    standing_lambda: Standing, aws_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lithops sends the message first: where the status is not there yet, it is asked for again, the reducer's too."""
    end, early = Looks.end, set[tuple[str, str]]()

    def not_yet(self: Looks, future: Any) -> Any:
        given = end(self, future)
        if given is None or (future.job_key, future.call_id) in early:
            return given
        early.add((future.job_key, future.call_id))
        return None

    at = types.SimpleNamespace(endpoint=aws_service.endpoint)
    with account.executor(at, settings(standing_lambda, monitoring="aws_sqs")) as executor:
        total(executor, 0)  # once messages have arrived, the storage is looked at rarely
        monkeypatch.setattr(Looks, "end", not_yet)
        assert total(executor, 100) == pytest.approx(sum(1.0 / (3.0 + entry) for entry in range(CALLS)), rel=1e-12)
    assert len(early) > CALLS


@pytest.mark.slow
def test_a_look_is_at_some_of_the_calls_and_now_and_then_at_all(
    standing_lambda: Standing, aws_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many calls on S3 one stretch is listed until the first call ends, and all once in a beat; the answer stays."""
    lists, looked, look, between = list[int](), list[int](), LithopsSubmission._look, S3Objects.between

    def look_and_count(self: LithopsSubmission) -> Any:
        lists.clear()
        found = look(self)
        if len(self._open) == CALLS:
            looked.append(len(lists))
        return found

    def between_and_count(self: S3Objects, folder: str, first: str, last: str) -> dict[str, object]:
        lists.append(1)
        return between(self, folder, first, last)

    monkeypatch.setattr(LithopsSubmission, "_look", look_and_count)
    monkeypatch.setattr(S3Objects, "between", between_and_count)
    monkeypatch.setattr(listings, "STRETCH", 1)
    monkeypatch.setattr(submission, "READS_FOR_A_LIST", 0)
    at = types.SimpleNamespace(endpoint=aws_service.endpoint)
    with account.executor(at, settings(standing_lambda)) as executor:
        total(executor, 0)
        looked.clear()
        assert total(executor, SLEEP_MS, beat_s=1.0) == pytest.approx(sum(1.0 / (3.0 + e) for e in range(CALLS)), rel=1e-12)
    assert {1, CALLS} <= set(looked), looked
    assert looked.count(1) < len(looked) - 1, looked
