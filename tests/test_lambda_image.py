"""AWS Lambda in containers of the image itself, with Lambda's limits: ``make image``, then ``make test-lambda``.

Where podman cannot run, the same tests run in processes; what a process cannot show (memory, the read-only file system) is
skipped, and the report says which of the two it was.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import lithops
import pytest
import ROOT
from lambda_standin import Places, Service, account
from test_lambda import bins, count

import rdf_lithops

pytestmark = pytest.mark.image
QUOTA = 4
MEMORY_MIB = 1024


@functools.lru_cache(maxsize=1)
def image() -> str | None:
    """The image to test: $RDF_LITHOPS_IMAGE; None where podman does not run it."""
    name = os.environ.get("RDF_LITHOPS_IMAGE")
    if name is None or shutil.which("podman") is None:
        return None
    command = ["podman", "run", "--rm", "--network", "none", "--entrypoint", "/bin/true", name]
    return name if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0 else None


@pytest.fixture(scope="module")
def service(record_testsuite_property: object) -> Iterator[Service]:
    """Lambda with four environments at a time, containers where they can be."""
    record_testsuite_property("environments", image() or "processes")  # type: ignore[operator]
    with Service(Places(image()), quota=QUOTA) as running, account.environment(account.driver_variables(running)):
        running.places.variables.update(account.worker_variables(running))
        yield running
        assert [] == running.failures


@pytest.fixture(scope="module")
def aws(service: Service) -> Iterator[lithops.FunctionExecutor]:
    """Lithops' executor on an account there."""
    role = account.open_account()
    settings = account.config(role, max_workers=QUOTA, runtime_timeout=60, runtime_memory=MEMORY_MIB)
    with account.executor(service, settings) as executor:
        yield executor


def needs_containers() -> None:
    """Skip what processes cannot show."""
    if image() is None:
        pytest.skip("no image, or no podman that runs it: RDF_LITHOPS_IMAGE, make test-lambda")


def test_dimuon_in_containers(aws: lithops.FunctionExecutor) -> None:
    """Eight calls in containers of the image: bin by bin equal to local RDataFrame, cold and warm."""
    needs_containers()
    for _ in range(2):
        frame = _generated(aws, 8)
        assert bins(_generated(None, 8).GetValue()) == bins(frame.GetValue())


def _generated(executor: lithops.FunctionExecutor | None, npartitions: int) -> Any:
    """Muon pairs that need no file: containers share none with the driver."""
    distributed = {} if executor is None else {"executor": executor, "npartitions": npartitions}
    frame = ROOT.RDataFrame(8000, **distributed)
    for name, code in {
        "pt": "ROOT::RVecF{float(10 + rdfentry_ % 37), float(8 + rdfentry_ % 41)}",
        "eta": "ROOT::RVecF{float(rdfentry_ % 5) - 2, float(rdfentry_ % 7) - 3}",
        "phi": "ROOT::RVecF{float(rdfentry_ % 6) - 3, float(rdfentry_ % 3) - 1}",
        "mass": "ROOT::RVecF{0.1057f, 0.1057f}",
    }.items():
        frame = frame.Define(name, code)
    pairs = frame.Define("m", "ROOT::VecOps::InvariantMass(pt, eta, phi, mass)").Filter("m > 1")
    return pairs.Histo1D(("m", "", 300, 0.25, 300.0), "m")


def test_quota_of_four_with_32_calls(aws: lithops.FunctionExecutor, service: Service) -> None:
    """32 calls on a quota of four, with 429 answers among them: the right answer, never more than four at a time."""
    service.script({3: "throttle", 4: "throttle", 9: "throttle", 20: "twice"})
    assert 1000 == count(aws, 32)
    assert 3 == service.throttled
    assert len(service.environments) <= QUOTA + len([i for i in service.invocations if i.error])


def test_container_killed(aws: lithops.FunctionExecutor, service: Service) -> None:
    """A container that dies under its call: Lambda delivers the event again, and the answer is right."""
    service.script({0: "kill"})
    slow = ROOT.RDataFrame(10, executor=aws, npartitions=2).Define("x", "gSystem->Sleep(200); return 1.0;").Sum("x")
    assert 10.0 == slow.GetValue()


def test_out_of_memory(aws: lithops.FunctionExecutor, service: Service) -> None:
    """A call that takes more memory than it has: a clear error, with what to change; the next run is right."""
    needs_containers()
    service.script({})
    code = "static std::vector<std::vector<char>> kept; kept.emplace_back(200000000, 'x'); return double(kept.back()[7]);"
    greedy = ROOT.RDataFrame(40, executor=aws, npartitions=1, options={"attempts": 1}).Define("x", code).Sum("x")
    with pytest.raises(Exception, match=r"(?i)kill|memory") as caught:
        greedy.GetValue()
    assert isinstance(caught.value, rdf_lithops.RunError)
    assert 1000 == count(aws, 2)


def test_past_the_time_limit(aws: lithops.FunctionExecutor, service: Service) -> None:
    """A call that never ends: within the function's time and ours there is a clear error."""
    service.script({})
    options = {"attempts": 1, "deadline_s": 20.0}
    frame = ROOT.RDataFrame(1, executor=aws, npartitions=1, options=options)
    endless = frame.Define("x", "gSystem->Sleep(90000); return 1.0;")
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)time|deadline"):
        endless.Sum("x").GetValue()
    assert time.monotonic() - began < 100
    assert 1000 == count(aws, 2)
