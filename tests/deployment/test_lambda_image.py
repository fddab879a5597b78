"""What a call on AWS Lambda may meet, in containers of the image itself, with Lambda's limits: ``make test-lambda``.

Where podman cannot run, the same tests run in processes; what a process cannot show (memory, the read-only file system) is
skipped, and the last lines of a run say which of the two it was.
"""

from __future__ import annotations

import time

import lithops
import pytest
import ROOT
from lambda_standin import Service, image
from test_lambda import count

import rdf_lithops

pytestmark = pytest.mark.slow


def needs_containers() -> None:
    """Skip what processes cannot show."""
    if image() is None:
        pytest.skip("no image, or no podman that runs it: RDF_LITHOPS_IMAGE, make test-lambda")


def test_quota_of_four_with_32_calls(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """32 calls on a quota of four, with 429 answers and an event that comes twice: the right answer, four at a time."""
    aws_service.script({3: "throttle", 4: "throttle", 9: "throttle", 20: "twice"})
    assert 1000 == count(aws, 32)
    assert 3 == aws_service.throttled
    assert 1 < aws_service.most_at_a_time <= aws_service.quota


def test_container_killed(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """A container that dies under its call: Lambda delivers the event again, and the answer is right."""
    aws_service.script({0: "kill"})
    slow = ROOT.RDataFrame(10, executor=aws, npartitions=2).Define("x", "gSystem->Sleep(200); return 1.0;").Sum("x")
    assert 10.0 == slow.GetValue()
    assert any("killed" in str(invocation.error) for invocation in aws_service.invocations)


def test_out_of_memory(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """A call that takes more memory than it has: a clear error, with what to change; the next run is right."""
    needs_containers()
    code = "static std::vector<std::vector<char>> kept; kept.emplace_back(200000000, 'x'); return double(kept.back()[7]);"
    greedy = ROOT.RDataFrame(40, executor=aws, npartitions=1, options={"attempts": 1}).Define("x", code).Sum("x")
    with pytest.raises(Exception, match=r"(?i)kill|memory") as caught:
        greedy.GetValue()
    assert isinstance(caught.value, rdf_lithops.RunError)
    assert 1000 == count(aws, 2)


def test_past_the_time_limit(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """A call that never ends: within the function's time and ours there is a clear error."""
    options = {"attempts": 1, "deadline_s": 20.0}
    frame = ROOT.RDataFrame(1, executor=aws, npartitions=1, options=options)
    endless = frame.Define("x", "gSystem->Sleep(90000); return 1.0;")
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)time|deadline"):
        endless.Sum("x").GetValue()
    assert time.monotonic() - began < 100
    assert 1000 == count(aws, 2)
