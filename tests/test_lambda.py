"""AWS Lambda for real: Lithops' own backend, the real runtime client, the image's entry point; only Amazon is missing.

Here environments are processes; ``make test-lambda`` runs the same in containers of the image (test_lambda_image.py).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
import zlib
from collections.abc import Iterator
from typing import Any

import lithops
import pytest
import ROOT
from conftest import REPOSITORY
from lambda_standin import Places, Service, account, actions

import rdf_lithops
from rdf_lithops import policies

pytestmark = pytest.mark.aws

QUOTA = 2
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Lambda with few environments at a time."""
    with Service(Places(), quota=QUOTA) as running, account.environment(account.driver_variables(running)):
        running.places.variables.update(account.worker_variables(running))
        yield running
        assert [] == running.failures


@pytest.fixture(scope="module")
def aws(service: Service) -> Iterator[lithops.FunctionExecutor]:
    """Lithops' executor on an account there."""
    role = account.open_account()
    with account.executor(service, account.config(role, max_workers=QUOTA, runtime_timeout=60)) as executor:
        yield executor


def dimuon(path: str, executor: lithops.FunctionExecutor | None = None, npartitions: int = 8) -> Any:
    """The spectrum of two opposite muons, locally without an executor."""
    distributed = {} if executor is None else {"executor": executor, "npartitions": npartitions}
    frame = ROOT.RDataFrame("Events", path, **distributed)
    pairs = frame.Filter("nMuon == 2").Filter("Muon_charge[0] != Muon_charge[1]")
    masses = pairs.Define("mass", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return masses.Histo1D(("mass", "", 300, 0.25, 300.0), "mass")


@pytest.fixture(scope="module")
def muons(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small file of muon pairs."""
    from rdf_lithops import demo

    (path,) = demo.make_sample(str(tmp_path_factory.mktemp("muons")), events=4000)[:1]
    return path


def bins(histogram: Any) -> list[float]:
    """All bin contents and errors, under- and overflow included."""
    edges = range(histogram.GetNbinsX() + 2)
    return [histogram.GetEntries(), *(histogram.GetBinContent(i) for i in edges), *(histogram.GetBinError(i) for i in edges)]


def test_dimuon_equals_local(aws: lithops.FunctionExecutor, service: Service, muons: str) -> None:
    """Bin by bin equal to local RDataFrame, cold and warm; ROOT starts once per environment, before its first event."""
    expected = bins(dimuon(muons).GetValue())
    assert expected == bins(dimuon(muons, aws).GetValue())
    environments = {invocation.environment for invocation in service.invocations}
    assert len(environments) <= QUOTA
    before = len(service.invocations)
    assert expected == bins(dimuon(muons, aws).GetValue())
    later = service.invocations[before:]
    assert not any(invocation.cold for invocation in later)
    assert environments >= {invocation.environment for invocation in later}


def count(executor: lithops.FunctionExecutor, npartitions: int) -> int:
    """The cheapest query there is."""
    options = {"ranges_per_call": 1, "deadline_s": LIMIT_S}
    frame = ROOT.RDataFrame(1000, executor=executor, npartitions=npartitions, options=options)
    return int(frame.Count().GetValue())


def test_throttled_and_delivered_twice(aws: lithops.FunctionExecutor, service: Service) -> None:
    """429 answers are asked again; an event that AWS delivers twice counts once."""
    service.script({0: "throttle", 1: "twice", 2: "throttle", 5: "throttle"})
    assert 1000 == count(aws, 8)
    assert 3 == service.throttled


def test_environment_killed(aws: lithops.FunctionExecutor, service: Service) -> None:
    """An environment that dies under its call is replaced; the answer is right."""
    service.script({0: "kill"})
    slow = ROOT.RDataFrame(10, executor=aws, npartitions=2).Define("x", "gSystem->Sleep(100); return 1.0;").Sum("x")
    assert 10.0 == slow.GetValue()
    assert any(invocation.error for invocation in service.invocations)


def test_the_report_counts_what_lambda_counts(aws: lithops.FunctionExecutor, service: Service) -> None:
    """Calls of a report are Lambda's invocations, and the time in which workers had them is theirs, within 15 %."""
    count(aws, 2)  # environments are there
    before = len(service.invocations)
    slow = ROOT.RDataFrame(80, executor=aws, npartitions=4, options={"ranges_per_call": 1})
    total = slow.Define("x", "gSystem->Sleep(100); return 1.0;").Sum("x")
    assert 80 == total.GetValue()
    report, invocations = rdf_lithops.report(total), service.invocations[before:]
    assert len(invocations) == len(report.calls) == 5
    counted_s = sum(invocation.ended - invocation.started for invocation in invocations)
    assert counted_s == pytest.approx(sum(call.worker_s for call in report.calls), rel=0.15)
    assert sum(report.path.values()) == pytest.approx(report.wall_s)


def test_refused_invocations_are_an_error(aws: lithops.FunctionExecutor, service: Service) -> None:
    """An invocation that the account may not make ends the run soon, in an error with the backend's words and the remedy."""
    service.script(dict.fromkeys(range(100), "refuse"))
    began = time.monotonic()
    with pytest.raises(Exception, match="not authorized") as caught:
        count(aws, 4)
    assert "rdf-lithops check" in str(caught.value)
    assert isinstance(caught.value, rdf_lithops.RunError)
    assert time.monotonic() - began < 60
    service.script({})
    assert 1000 == count(aws, 2)


def policy(name: str) -> dict[str, Any]:
    """One of the policies in configs/iam, for the account of these tests."""
    text = (REPOSITORY / "configs" / "iam" / f"{name}.json").read_text()
    for placeholder, value in {"BUCKET": account.BUCKET, "ACCOUNT": actions.ACCOUNT, "REGION": actions.REGION}.items():
        text = text.replace(placeholder, value)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(("name", "keys"), [("driver-policy", account.DRIVER_KEYS), ("worker-policy", account.WORKER_KEYS)])
def test_calls_stay_within_the_policies(aws: lithops.FunctionExecutor, service: Service, name: str, keys: Any) -> None:
    """Everything that a run asks of AWS, as driver and as worker, is allowed by the policies that we ship."""
    before = len(service.requests)
    assert 1000 == count(aws, 3)
    document = policy(name)
    asked = {actions.needed(request) for request in service.requests[before:] if request.access_key == keys[0]} - {None}
    assert asked
    refused = {item for item in asked if not policies.allows([document], *item)}
    assert set() == refused


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
    aws: lithops.FunctionExecutor, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the bucket, the messages to Lambda, the logs there nor ours hold a secret that the driver or a worker has."""
    marked = "MARKED-" + os.urandom(8).hex()
    for variable in ("SOME_PASSWORD", "BEARER_TOKEN", "S3_SECRET_KEY"):
        monkeypatch.setenv(variable, marked)
    secrets = [marked.encode(), account.DRIVER_KEYS[1].encode(), account.WORKER_KEYS[1].encode()]
    service.uploads.clear()
    before = len(service.invocations)
    with caplog.at_level(logging.DEBUG):
        assert 1000 == count(aws, 3)
    places = {
        "bucket": b"".join(service.uploads + [readable(body) for body in service.uploads]),
        "messages": b"".join(invocation.payload for invocation in service.invocations[before:]),
        "logs there": service.logs().encode(),
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
