"""AWS Lambda for real: Lithops' own backend, the real runtime client, the image's entry point; only Amazon is missing.

Here environments are processes; ``make test-lambda`` runs the same in containers of the image (test_lambda_image.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import datasets
import lithops
import pytest
import ROOT
from lambda_standin import Places, Service, account


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Lambda with four environments at a time, and an account on it."""
    with Service(Places(), quota=4) as running, account.environment(account.driver_variables(running)):
        running.places.variables.update(account.worker_variables(running))
        yield running


@pytest.fixture(scope="module")
def aws(service: Service) -> Iterator[lithops.FunctionExecutor]:
    """Lithops' executor on it."""
    role = account.open_account()
    with account.executor(service, account.config(role, max_workers=4)) as executor:
        yield executor


def test_dimuon_equals_local(aws: lithops.FunctionExecutor, service: Service, files: datasets.Datasets) -> None:
    """The same histogram, bin by bin, through Lithops' Lambda backend; ROOT was up before the first event."""
    frame = ROOT.RDataFrame(1000, executor=aws, npartitions=8)
    total = frame.Define("x", "double(rdfentry_)").Sum("x")
    assert 499500.0 == total.GetValue()
