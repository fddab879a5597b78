"""SnapStart: environments that are copies of one snapshot count what others count, and are nobody's twin.

The stand-in's copies have the same memory and process ids as the snapshot, and files and sockets of their own; how it makes
them is in ``lambda_standin.snapshots``. What Amazon alone can show is in docs/lambda.md.
"""

from __future__ import annotations

import concurrent.futures
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import ROOT
from lambda_standin import Places, Standing, account, standing
from lambda_standin.snapshots import can_snapshot

import rdf_lithops
from rdf_lithops.deployment import runtime, snapstart
from rdf_lithops.errors import RuntimeImageError
from rdf_lithops.executor.registry import session_for
from rdf_lithops.planning.cost import Bill, Offer, prices_of
from rdf_lithops.planning.limits import LAMBDA_MEMORY_PER_VCPU_MIB, SNAPSTART_ALIAS, Demand, limits_of, misfits
from rdf_lithops.processes import restored
from rdf_lithops.reporting.experience import Experience
from rdf_lithops.worker.root import initialisation, parent

PROBE = """
import os, random, sys, tempfile, time, uuid
import numpy
from rdf_lithops.worker.start import lambda_handler

def handler(event, context):
    if "probe" not in event:
        return lambda_handler.handler(event, context)
    time.sleep(0.3)  # both copies are at it
    return {
        "pid": os.getpid(),
        "random": random.random(),
        "numpy": numpy.random.random(),
        "name": tempfile.mktemp(),
        "uuid": str(uuid.uuid4()),
        "host": os.environ["RDF_LITHOPS_SANDBOX"],
        "at": time.time(),
        "keys": os.environ.get("AWS_ACCESS_KEY_ID"),
    }
"""
CONNECTED = """
import os, socket
port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
plug = socket.create_connection(("127.0.0.1", port))

def handler(event, context):
    return None
"""
UNIQUE = """
#include <TRandom3.h>
#include <TUUID.h>
double clock_sequence_here() { UChar_t u[16]; TUUID().GetUUID(u); return (u[8] & 0x3f) << 8 | u[9]; }
double seed_of_zero() { TRandom3 one(0); return one.Rndm(); }
"""

needs_namespaces = pytest.mark.skipif(not can_snapshot(), reason="needs the rights of root, for namespaces of processes")


def publish(made: Standing) -> tuple[Any, str]:
    """Deploy as a user does: Lithops' function, and a version of it with a snapshot."""
    backend = made.executor.compute_handler.backend
    made.executor.invoker.select_runtime("M000", None)
    name = backend._format_function_name(account.RUNTIME, 1769)
    snapstart.publish(backend.lambda_client, name)
    return backend.lambda_client, name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Lambda with a published version, two environments at a time."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text(PROBE)
    places = Places(None, handler="probe.handler", variables={"PYTHONPATH": str(folder)})
    with standing(places, quota=2, snapstart=True) as found:
        publish(found)
        yield found


@pytest.fixture
def lambdas(made: Standing) -> Iterator[Standing]:
    """The same without environments: whatever is called is restored."""
    with account.environment(account.driver_variables(made.service)):
        made.service.retire()
        yield made


def spectrum(executor: Any = None, **options: Any) -> Any:
    """A histogram of random numbers and of entry numbers, over two calls."""
    given = (
        {} if executor is None else {"executor": executor, "npartitions": 2, "options": {"ranges_per_call": 1, **options}}
    )
    frame = ROOT.RDataFrame(2000, **given).Define("x", "rdfentry_ * 0.1")
    return frame.Histo1D(("x", "", 50, 0.0, 200.0), "x")


def bins(histogram: Any) -> list[float]:
    """All contents."""
    return [histogram.GetBinContent(i) for i in range(histogram.GetNbinsX() + 2)] + [histogram.GetMean()]


@needs_namespaces
def test_copies_of_a_snapshot_give_the_same_answer(lambdas: Standing) -> None:
    """A query in restored environments equals local RDataFrame, and the report says which workers were restored."""
    booked = spectrum(lambdas.executor)
    before = len(lambdas.service.requests)
    assert bins(spectrum().GetValue()) == bins(booked.GetValue())
    report = rdf_lithops.report(booked)
    assert [True, True] == [call.restored and call.cold for call in report.maps]
    assert 2 == len({call.host for call in report.maps})
    assert "cold starts: 2 workers restored from a snapshot" in str(report)
    asked = [request.path for request in lambdas.service.requests[before:] if request.path.endswith("/invocations")]
    assert 3 == len(asked)
    assert all(path.endswith(f"%3A{SNAPSTART_ALIAS}/invocations") for path in asked)
    again = spectrum(lambdas.executor)
    assert bins(again.GetValue()) == bins(booked.GetValue())
    assert not any(call.restored for call in rdf_lithops.report(again).calls)


@pytest.mark.slow
@needs_namespaces
def test_random_numbers_are_those_of_any_worker(lambdas: Standing) -> None:
    """gRandom in a range is that of (seed, range), restored or not, and twice the same."""

    def drawn() -> list[float]:
        frame = ROOT.RDataFrame(20, executor=lambdas.executor, npartitions=2, options={"ranges_per_call": 1, "seed": 7})
        return list(frame.Define("r", "gRandom->Rndm()").AsNumpy(["r"])["r"])

    restored_ones = drawn()
    assert 20 == len(set(restored_ones))
    assert restored_ones == drawn()
    lambdas.service.retire()
    assert restored_ones == drawn()


@needs_namespaces
def test_copies_are_nobodys_twin(lambdas: Standing) -> None:
    """Two copies that work at the same time have other random numbers, names and UUIDs, the right time, and no keys."""
    client = boto3.client("lambda")
    name = lambdas.executor.compute_handler.backend._format_function_name(account.RUNTIME, 1769)

    def probe(number: int) -> dict[str, Any]:
        given = {"FunctionName": name, "Qualifier": SNAPSTART_ALIAS, "Payload": json.dumps({"probe": number})}
        return dict(json.loads(client.invoke(**given)["Payload"].read()))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one, other = pool.map(probe, (1, 2))
    assert one["pid"] == other["pid"]  # they are copies of one snapshot
    for what in ("random", "numpy", "name", "uuid", "host"):
        assert one[what] != other[what], what
    assert one["at"] == pytest.approx(time.time(), abs=5.0)
    assert one["keys"] is None
    frame = ROOT.RDataFrame(2, executor=lambdas.executor, npartitions=2, options={"ranges_per_call": 1})
    ROOT.RDF.Distributed.DistributeCppCode(UNIQUE)
    columns = frame.Define("sequence", "clock_sequence_here()").Define("seeded", "seed_of_zero()")
    found = columns.AsNumpy(["sequence", "seeded"])
    assert 2 == len(set(found["sequence"]))
    assert 2 == len(set(found["seeded"]))
    assert account.WORKER_KEYS[0] in {request.access_key for request in lambdas.service.requests}


@pytest.mark.slow
@needs_namespaces
def test_an_open_connection_is_in_no_snapshot(tmp_path: Path) -> None:
    """The stand-in takes no snapshot of a process that is connected to elsewhere: so that ours is not, is shown by it."""
    (tmp_path / "connected.py").write_text(CONNECTED)
    places = Places(None, handler="connected.handler", variables={"PYTHONPATH": str(tmp_path)})
    with standing(places, quota=1, snapstart=True) as found:
        backend = found.executor.compute_handler.backend
        role = found.executor.config["aws_lambda"]["execution_role"]
        client, code = backend.lambda_client, {"ImageUri": "1234.dkr.ecr.us-east-1.amazonaws.com/x@sha256:" + "0" * 64}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapstart, "PAUSE_S", 0.05)
            client.create_function(FunctionName="connected", Role=role, Code=code, PackageType="Image", MemorySize=512)
            with pytest.raises(RuntimeImageError, match="a snapshot cannot hold"):
                snapstart.publish(client, "connected")


@pytest.mark.slow
@needs_namespaces
def test_no_snapshot_without_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version in which ROOT does not start fails when it is deployed, in words, and is not kept and paid for."""
    (tmp_path / "ROOT.py").write_text('raise ImportError("no ROOT here")')
    monkeypatch.setattr(snapstart, "PAUSE_S", 0.05)
    places = Places(None, variables={"PYTHONPATH": str(tmp_path)})
    with standing(places, quota=1, snapstart=True) as found:
        backend = found.executor.compute_handler.backend
        role = found.executor.config["aws_lambda"]["execution_role"]
        code = {"ImageUri": "1234.dkr.ecr.us-east-1.amazonaws.com/x@sha256:" + "0" * 64}
        backend.lambda_client.create_function(FunctionName="x", Role=role, Code=code, PackageType="Image", MemorySize=512)
        with pytest.raises(RuntimeImageError, match="in which ROOT is not up"):
            snapstart.publish(backend.lambda_client, "x")


def test_a_lost_root_process_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy in which no ROOT process answers starts one, and has a name and a time nevertheless."""
    for variable in (restored.SANDBOX, restored.RESTORED):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(variable, "0")  # so that it is undone
    started: list[bool] = []
    restored.renew(str(tmp_path), lambda: started.append(True))
    assert [True] == started
    assert restored.restored_at() == pytest.approx(time.time(), abs=5.0)


@needs_namespaces
def test_the_plan_and_check_know_of_the_snapshot(lambdas: Standing) -> None:
    """A plan says what restoring and keeping cost, in words and as JSON; check finds the snapshot, and misses it."""
    new = session_for(lambdas.executor, rdf_lithops.Options())
    new.experience = Experience()  # as a new program has it
    plan = rdf_lithops.plan(spectrum(lambdas.executor))
    assert "with SnapStart" in str(plan)
    assert "2 calls restore a worker and compile, 2.5 s each" in str(plan)
    assert "snapshot  0.00024 USD for each new worker that is restored" in str(plan)
    assert "keeping it 0.22 USD a day, used or not" in str(plan)
    facts = json.loads(plan.to_json())
    del plan  # and what it has put into the storage
    assert facts["snapstart"] is True
    assert 0.2246 == pytest.approx(facts["snapshot_usd_per_day"], rel=1e-3)
    backend = lambdas.executor.compute_handler.backend
    name = backend._format_function_name(account.RUNTIME, 1769)
    (found,) = snapstart.examine(backend.lambda_client, name, "deploy")
    assert ("ok", "snapshot") == (found.level, found.name)
    assert "has no published version" in snapstart.state(backend.lambda_client, "lithops-worker-of-nobody")
    section = lambdas.executor.config["aws_lambda"]
    assert [] == runtime.differences(backend, section)
    assert ["snapstart: True deployed, False configured"] == runtime.differences(backend, {**section, "snapstart": False})


def test_restores_are_billed() -> None:
    """A bill has the restores of a function with SnapStart, and of no other."""
    plain = Offer("aws_lambda", "", False, 10, 2048, 60.0)
    snapped = Offer("aws_lambda", "", False, 10, 2048, 60.0, snapstart=True)
    prices = prices_of(plain)
    without, within = (Bill.of(10.0, 5, offer, prices, starts=4).cost_usd or 0.0 for offer in (plain, snapped))
    assert 4 * 2 * 0.0001397998 == pytest.approx(within - without)


@pytest.mark.parametrize(
    ("memory_mib", "kind", "libraries", "waits"),
    [
        ("1769", "on-demand", {"base"}, False),
        ("3538", "provisioned-concurrency", {"base"}, False),
        ("1769", "snap-start", {"base"}, True),
        ("1024", "on-demand", {"base"}, True),
        ("1769", "on-demand", set(), True),
        (None, None, {"base"}, True),
    ],
)
def test_an_event_waits_for_a_warm_up_that_it_would_pay_for(
    memory_mib: str | None, kind: str | None, libraries: set[str], waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a whole vCPU and libraries the warm-up goes on beside an event's way; a snapshot is to hold all of it."""
    assert parent.WHOLE_VCPU_MIB == LAMBDA_MEMORY_PER_VCPU_MIB
    monkeypatch.setattr(initialisation, "instantiated", libraries)
    for name, value in {"FUNCTION_MEMORY_SIZE": memory_mib, "INITIALIZATION_TYPE": kind}.items():
        if value is None:
            monkeypatch.delenv(f"AWS_LAMBDA_{name}", raising=False)
        else:
            monkeypatch.setenv(f"AWS_LAMBDA_{name}", value)
    assert parent._is_wanted_sooner() is not waits


def test_what_a_snapshot_cannot_have() -> None:
    """Disk above 512 MiB and file systems are refused by check, a plan that needs more disk before it runs."""
    section = {"snapstart": True, "ephemeral_storage": 2048, "efs": [{"mount_path": "/mnt/x"}]}
    assert ["/tmp", "efs"] == [found.name for found in snapstart.misfits(section)]
    assert [] == list(snapstart.misfits({"snapstart": True, "ephemeral_storage": 512}))
    (misfit,) = misfits(limits_of("aws_lambda", section), Demand(tmp_mib=1000.0))
    assert "at most 512 granted" in str(misfit)
    assert "ephemeral_storage" not in str(misfit)
