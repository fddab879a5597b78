"""A plan that cannot fit is refused before anything is invoked, with the change that would fit."""

from __future__ import annotations

import pytest

from rdf_lithops import PlanError
from rdf_lithops.planning.limits import Demand, limits_of, misfits, require_fit

LAMBDA = limits_of("aws_lambda")


@pytest.mark.parametrize(
    ("demand", "what", "change"),
    [
        (Demand(memory_mib=64), "memory", "aws_lambda.runtime_memory to 768"),
        (Demand(memory_mib=10241), "memory", "npartitions"),
        (Demand(duration_s=901), "time", "npartitions"),
        (Demand(tmp_mib=10241), "/tmp", "npartitions"),
        (Demand(payload_bytes=1_000_001), "payload", "DistributeFiles"),
        (Demand(image_bytes=10 * 1000**3 + 1), "image", "rdf-lithops runtime build"),
    ],
)
def test_lambda_refuses(demand: Demand, what: str, change: str) -> None:
    """Each limit of Lambda is known, and one step over it is a misfit with a remedy."""
    (misfit,) = misfits(LAMBDA, demand)
    assert what == misfit.what
    assert change in misfit.change
    assert misfit.change in str(misfit)


def test_at_the_limit_it_fits() -> None:
    """What a backend grants in full may be asked in full."""
    full = Demand(10240, 900, 10240, 1_000_000, 10 * 1000**3, 5000)
    assert [] == misfits(LAMBDA, full)


def test_configured_values_are_limits() -> None:
    """More memory, time or disk than configured no call gets: the remedy is the setting."""
    section = {"runtime_memory": 1769, "runtime_timeout": 120, "ephemeral_storage": 512, "max_workers": 4}
    limits = limits_of("aws_lambda", section)
    found = misfits(limits, Demand(memory_mib=2000, duration_s=121, tmp_mib=600))
    assert [
        "set aws_lambda.runtime_memory to 2000 or more",
        "set aws_lambda.runtime_timeout to 121 or more",
        "set aws_lambda.ephemeral_storage to 600 or more",
    ] == [misfit.change.split(", or ")[0] for misfit in found]
    assert 4 == limits.concurrency


def test_a_setting_beyond_the_backend_grants_no_more() -> None:
    """A configured value above what the backend has is not believed."""
    assert 900 == limits_of("aws_lambda", {"runtime_timeout": 3600}).timeout_max_s


def test_require_fit_names_everything() -> None:
    """One PlanError lists all misfits, and says that nothing was invoked."""
    with pytest.raises(PlanError, match=r"(?s)nothing was invoked.*memory: 20,000 MiB.*time: 1,000 s"):
        require_fit("aws_lambda", Demand(memory_mib=20000, duration_s=1000))
    require_fit("localhost", Demand(memory_mib=20000, duration_s=1000))
    require_fit("somebody_elses_cloud", Demand(memory_mib=20000))


def test_processor_time_goes_with_memory() -> None:
    """1769 MiB are one vCPU on Lambda; elsewhere memory says nothing about it."""
    assert 1.0 == LAMBDA.vcpus(1769)
    assert 3538 == LAMBDA.memory_for(2)
    assert None is limits_of("k8s").vcpus(1769)
