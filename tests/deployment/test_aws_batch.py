"""Lithops' own AWS Batch back end, unmodified, on moto's control plane; what is submitted there runs as processes."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import lithops
import pytest
import ROOT
import yaml
from aws_batch_standin import OVERRIDES_LIMIT, BatchService
from conftest import REPOSITORY
from lambda_standin import account
from lithops.storage.storage import RUNTIME_META_CACHE
from waiting import until

import rdf_lithops

pytestmark = pytest.mark.slow  # Lithops sleeps for 20 s before it looks a second time what a new runtime has
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "batch.amazonaws.com"}}]}
QUICK = {"beat_s": 0.5, "silence_s": 8.0, "start_s": 10.0, "backoff_s": 0.0}


@pytest.fixture(scope="module")
def service() -> Iterator[BatchService]:
    """AWS with Batch in it, and the variables with which boto3 finds it."""
    with BatchService() as made, account.environment(account.driver_variables(made)):
        made.variables.update(account.worker_variables(made))
        boto3.client("s3").create_bucket(Bucket=account.BUCKET)
        yield made


@pytest.fixture(scope="module")
def config(service: BatchService) -> dict[str, Any]:
    """``configs/aws_batch.yaml``, filled in with what this account has."""
    role = boto3.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    ec2 = boto3.client("ec2")
    made = yaml.safe_load((REPOSITORY / "configs" / "aws_batch.yaml").read_text())
    made["lithops"]["monitoring_interval"] = 0.25
    made["aws"]["region"] = account.REGION
    made["aws_batch"] |= {
        "execution_role": role,
        "job_role": role,
        "service_role": role,  # AWS has one of its own where none is named; moto has not
        "runtime": account.RUNTIME,
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "security_groups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    made["aws_s3"]["storage_bucket"] = account.BUCKET
    return dict(made)


@pytest.fixture(scope="module")
def fexec(config: dict[str, Any]) -> Iterator[lithops.FunctionExecutor]:
    """Lithops' own executor."""
    RUNTIME_META_CACHE.clear()
    with lithops.FunctionExecutor(config=config) as made:
        yield made
        made.compute_handler.backend.clean()


def booked(frame: Any) -> Any:
    """A histogram of entry numbers."""
    return frame.Define("x", "rdfentry_ * 0.01").Histo1D(("h", "", 50, 0, 10), "x")


def test_a_histogram_of_aws_batch(service: BatchService, fexec: Any) -> None:
    """Compute environment, queue and job definition as configured; an array of an element per call; equal to local."""
    expected = booked(ROOT.RDataFrame(1000)).GetValue()
    result = booked(ROOT.RDataFrame(1000, executor=fexec, npartitions=3, options={"ranges_per_call": 1}))
    found = result.GetValue()
    assert [expected.GetBinContent(i) for i in range(52)] == [found.GetBinContent(i) for i in range(52)]
    batch = boto3.client("batch")
    (environment,) = batch.describe_compute_environments()["computeEnvironments"]
    (queue,) = batch.describe_job_queues()["jobQueues"]
    (definition,) = batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    assert ("VALID", "ENABLED") == (environment["status"], environment["state"])
    asked = environment["computeResources"]
    assert ("FARGATE_SPOT", 64) == (asked["type"], asked["maxvCpus"])
    assert environment["computeEnvironmentName"] == queue["computeEnvironmentOrder"][0]["computeEnvironment"]
    wanted = {(item["type"], item["value"]) for item in definition["containerProperties"]["resourceRequirements"]}
    assert {("VCPU", "1"), ("MEMORY", "2048")} == wanted
    actions = [(job.overrides["__LITHOPS_ACTION"], len(job.processes)) for job in service.jobs]
    assert [("get_metadata", 1), ("run_job", 3), ("run_job", 1)] == actions  # the last is the reducer
    assert 3 == len(rdf_lithops.report(result).maps)


def test_more_calls_than_a_submission_can_name(service: BatchService, fexec: Any) -> None:
    """AWS takes 8192 characters of a job, in which Lithops names each call: the error says so, and what to change."""
    frame = ROOT.RDataFrame(10_000, executor=fexec, npartitions=1000, options={**QUICK, "attempts": 1, "ranges_per_call": 1})
    with pytest.raises(rdf_lithops.RunError, match=rf"at most {OVERRIDES_LIMIT}[\s\S]*ranges_per_call"):
        frame.Sum("rdfentry_").GetValue()


def test_an_element_that_is_terminated(service: BatchService, fexec: Any, tmp_path: Any) -> None:
    """What ends without a word, as one of Fargate's Spot does: its call falls silent and runs again; the answer is right."""
    mark = tmp_path / "mark"
    wait = f'{{ std::ofstream("{mark}") << 1; gSystem->Sleep(300000); }}'
    code = f'if (rdfentry_ == 0 && gSystem->AccessPathName("{mark}")) {wait}'
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2, options={**QUICK, "ranges_per_call": 1})
    total = frame.Define("one", f"{code} return 1;").Sum("one")

    def terminate() -> None:
        assert until(mark.exists)
        for process in service.jobs[-1].processes:
            os.killpg(process.pid, signal.SIGKILL)

    thread = threading.Thread(target=terminate)
    thread.start()
    assert 10 == total.GetValue()
    thread.join()
    assert 1 <= rdf_lithops.report(total).repeated
