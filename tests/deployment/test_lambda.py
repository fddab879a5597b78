"""AWS Lambda for real: Lithops' own backend, the real runtime client, the image's entry point; only Amazon is missing.

Environments are processes in ``make test``, which runs some of these, and containers of the image in ``make test-lambda``,
which runs them all and has Ceph's gateway as the storage; the last lines of a run say which of the two it was.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
import zlib
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from conftest import REPOSITORY
from lambda_standin import Service, Standing, account, actions

import rdf_lithops
from rdf_lithops import demo
from rdf_lithops.deployment import policies
from rdf_lithops.run.events import BackupStarted, Event, FilesMerged

LIMIT_S = 120.0


@pytest.fixture(scope="module")
def muons(standing_lambda: Standing) -> list[str]:
    """Small files of muon pairs that all environments can read: one for each call."""
    return demo.make_sample(str(standing_lambda.service.places.volume), files=8, events=8000)


def dimuon(paths: list[str], executor: lithops.FunctionExecutor | None = None, calls: int = 8) -> Any:
    """The spectrum of two opposite muons, locally without an executor."""
    distributed = {} if executor is None else {"executor": executor, "npartitions": calls, "options": {"ranges_per_call": 1}}
    frame = ROOT.RDataFrame("Events", paths, **distributed)
    pairs = frame.Filter("nMuon == 2").Filter("Muon_charge[0] != Muon_charge[1]")
    masses = pairs.Define("mass", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return masses.Histo1D(("mass", "", 300, 0.25, 300.0), "mass")


def bins(histogram: Any) -> list[float]:
    """All bin contents and errors, under- and overflow included."""
    edges = range(histogram.GetNbinsX() + 2)
    return [histogram.GetEntries(), *(histogram.GetBinContent(i) for i in edges), *(histogram.GetBinError(i) for i in edges)]


def test_dimuon_equals_local(aws: lithops.FunctionExecutor, aws_service: Service, muons: list[str]) -> None:
    """Bin by bin equal to local RDataFrame, cold and warm; ROOT starts once per environment, before its first event."""
    expected = bins(dimuon(muons).GetValue())
    before = len(aws_service.invocations)
    assert expected == bins(dimuon(muons, aws).GetValue())
    first = aws_service.invocations[before:]
    assert 8 + 1 == sum(invocation.kind == "Event" for invocation in first)  # and the reducer
    known = {invocation.environment for invocation in aws_service.invocations}
    assert len(known) <= aws_service.quota
    before = len(aws_service.invocations)
    assert expected == bins(dimuon(muons, aws).GetValue())
    later = aws_service.invocations[before:]
    assert not any(invocation.cold for invocation in later)
    assert known >= {invocation.environment for invocation in later}


def count(executor: lithops.FunctionExecutor, npartitions: int) -> int:
    """The cheapest query there is."""
    options = {"ranges_per_call": 1, "deadline_s": LIMIT_S}
    frame = ROOT.RDataFrame(1000, executor=executor, npartitions=npartitions, options=options)
    return int(frame.Count().GetValue())


def test_throttled_and_delivered_twice(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """429 answers are asked again; an event that AWS delivers twice counts once."""
    aws_service.script({0: "throttle", 1: "twice", 2: "throttle", 5: "throttle"})
    assert 1000 == count(aws, 8)
    assert 3 == aws_service.throttled


@pytest.mark.slow
def test_environment_killed(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """An environment that dies under its call is replaced; the answer is right."""
    aws_service.script({0: "kill"})
    slow = ROOT.RDataFrame(10, executor=aws, npartitions=2).Define("x", "gSystem->Sleep(100); return 1.0;").Sum("x")
    assert 10.0 == slow.GetValue()
    assert any(invocation.error for invocation in aws_service.invocations)


@pytest.mark.slow
def test_the_report_counts_what_lambda_counts(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """Calls of a report are Lambda's invocations, and the time in which workers had them is theirs, within 15 %."""
    count(aws, 2)  # environments are there
    before = len(aws_service.invocations)
    slow = ROOT.RDataFrame(80, executor=aws, npartitions=4, options={"ranges_per_call": 1})
    total = slow.Define("x", "gSystem->Sleep(100); return 1.0;").Sum("x")
    assert 80 == total.GetValue()
    report, invocations = rdf_lithops.report(total), aws_service.invocations[before:]
    assert len(invocations) == len(report.calls) == 5
    assert aws_service.billed_s(invocations) == pytest.approx(sum(call.worker_s for call in report.calls), rel=0.15)
    assert sum(report.path.values()) == pytest.approx(report.wall_s)


def test_calls_that_wait_are_not_asked_after(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """Beats are read of calls that have written one: of thousands that wait for a worker each look would be a request."""
    before = len(aws_service.requests)
    options = {"ranges_per_call": 1, "beat_s": 0.2}
    slow = ROOT.RDataFrame(12, executor=aws, npartitions=6, options=options).Define("x", "gSystem->Sleep(400); return 1.0;")
    assert 12.0 == slow.Sum("x").GetValue()
    beats = [request for request in aws_service.requests[before:] if request.path.endswith("/beat.json")]
    assert {"GET", "PUT"} == {request.method for request in beats}
    written: set[str] = set()
    for request in beats:
        written |= {request.path} if request.method == "PUT" else set()
        assert request.path in written


@pytest.mark.slow
def test_refused_invocations_are_an_error(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """An invocation that the account may not make ends the run soon, in an error with the backend's words and the remedy."""
    aws_service.script(dict.fromkeys(range(100), "refuse"))
    began = time.monotonic()
    with pytest.raises(Exception, match="not authorized") as caught:
        count(aws, 4)
    assert "rdf-lithops check" in str(caught.value)
    assert isinstance(caught.value, rdf_lithops.RunError)
    assert time.monotonic() - began < 60
    aws_service.script({})
    assert 1000 == count(aws, 2)


def policy(name: str) -> dict[str, Any]:
    """One of the policies in configs/iam, for the account of these tests."""
    text = (REPOSITORY / "configs" / "iam" / f"{name}.json").read_text()
    for placeholder, value in {"BUCKET": account.BUCKET, "ACCOUNT": actions.ACCOUNT, "REGION": actions.REGION}.items():
        text = text.replace(placeholder, value)
    found: dict[str, Any] = json.loads(text)
    return found


def test_calls_stay_within_the_policies(aws: lithops.FunctionExecutor, aws_service: Service, muons: list[str]) -> None:
    """Everything that a run asks of AWS, as driver and as worker, is allowed by the policies that we ship."""
    before = len(aws_service.requests)
    dimuon(muons, aws, calls=2).GetValue()
    for name, keys in {"driver-policy": account.DRIVER_KEYS, "worker-policy": account.WORKER_KEYS}.items():
        requests = [request for request in aws_service.requests[before:] if request.access_key == keys[0]]
        asked = {actions.needed(request) for request in requests} - {None}
        assert asked
        assert set() == {item for item in asked if not policies.allows([policy(name)], *item)}


def test_a_plan_that_cannot_fit_invokes_nothing(standing_lambda: Standing, aws_service: Service) -> None:
    """A call needs more memory than the function has: refused when planned, with the setting that would do."""
    settings = account.config(standing_lambda.executor.config["aws_lambda"]["execution_role"], runtime_memory=256)
    with account.executor(aws_service, settings) as small:
        before = len(aws_service.invocations)
        with pytest.raises(rdf_lithops.PlanError, match=r"(?s)nothing was invoked.*aws_lambda\.runtime_memory to \d+"):
            count(small, 2)
        assert before == len(aws_service.invocations)


def test_the_policies_allow_little() -> None:
    """No policy that we ship has a wildcard in an action, or allows on all resources what can be allowed on one."""
    for name in ("driver-policy", "worker-policy"):
        assert [] == policies.too_wide([policy(name)], account.BUCKET)
    granted = {
        action
        for statement in policy("worker-policy")["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if action.startswith("s3:")
    }
    assert {action for action, _ in policies.WORKER_NEEDS} == granted


def test_no_secret_leaves(
    aws: lithops.FunctionExecutor, aws_service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the bucket, the messages to Lambda, the logs there nor ours hold a secret that the driver or a worker has."""
    marked = "MARKED-" + os.urandom(8).hex()
    for variable in ("SOME_PASSWORD", "BEARER_TOKEN", "S3_SECRET_KEY"):
        monkeypatch.setenv(variable, marked)
    secrets = [marked.encode(), account.DRIVER_KEYS[1].encode(), account.WORKER_KEYS[1].encode()]
    aws_service.uploads.clear()
    before = len(aws_service.invocations)
    with caplog.at_level(logging.DEBUG):
        assert 1000 == count(aws, 3)
    places = {
        "bucket": b"".join(aws_service.uploads + [readable(body) for body in aws_service.uploads]),
        "messages": b"".join(invocation.payload for invocation in aws_service.invocations[before:]),
        "logs there": aws_service.logs().encode(),
        "logs here": caplog.text.encode(),
    }
    assert all(places.values())
    assert [] == [(place, secret) for place, held in places.items() for secret in secrets if secret in held]
    assert b"lithops" in places["bucket"]  # what is searched is what was written


def readable(body: bytes) -> bytes:
    """What Lithops packs inside a status object: the call's log."""
    try:
        return zlib.decompress(base64.b64decode(json.loads(body)["logs"]))
    except (ValueError, KeyError, TypeError):
        return b""


@pytest.mark.slow
def test_a_budget_pays_for_backups_and_merging(
    aws: lithops.FunctionExecutor, aws_service: Service, standing_lambda: Standing, tmp_path: Path
) -> None:
    """A budget holds for backups and merging, too; one that pays for nothing invokes nothing."""
    shared = Path(str(standing_lambda.service.places.volume))
    shared.chmod(0o1777)  # containers have another user
    mark = shared / f"{tmp_path.name}-slept"
    late = f"""
        if (rdfentry_ == 15 && gSystem->AccessPathName("{mark}")) {{ std::ofstream("{mark}") << 1; gSystem->Sleep(40000); }}
        return int(rdfentry_);
    """
    heard: list[Event] = []

    def snapshot(budget_usd: float) -> Any:
        options = {"budget_usd": budget_usd, "usd_per_gb_s": 1e-3, "file_mib": 100.0, "backups": True, "beat_s": 0.5}
        frame = ROOT.RDataFrame(16, executor=aws, npartitions=8, options={**options, "ranges_per_call": 1, "attempts": 2})
        frame._headnode.backend.consumers = (heard.append,)
        lazy = ROOT.RDF.RSnapshotOptions()
        lazy.fLazy = True
        return frame.Define("x", late).Snapshot("t", str(shared / f"{tmp_path.name}.root"), ["x"], lazy)

    before = len(aws_service.invocations)
    with pytest.raises(rdf_lithops.PlanError, match=r"budget: 0\.01 USD for 2 attempts of 12 calls"):
        snapshot(0.01).GetValue()
    assert before == len(aws_service.invocations)
    budget_usd = 2.0
    written = snapshot(budget_usd).GetValue()
    names = [str(name) for name in shared.glob(f"{tmp_path.name}*.root")]
    assert (1, sum(range(16))) == (len(names), ROOT.RDataFrame("t", names).Sum("x").GetValue())
    assert any(isinstance(event, BackupStarted) for event in heard)
    assert any(isinstance(event, FilesMerged) for event in heard)
    until = time.monotonic() + LIMIT_S
    while any(not each.ended for each in aws_service.invocations[before:]):  # the one that was late has a limit
        assert time.monotonic() < until
        time.sleep(0.1)
    memory_gb = aws.config["aws_lambda"]["runtime_memory"] / 1024
    assert 0 < aws_service.billed_s(aws_service.invocations[before:]) * memory_gb * 1e-3 <= budget_usd
    del written
