"""Fixtures of Lambda: one for all tests of a session, in containers with Ceph's gateway behind S3 or in processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import lithops
import pytest

from .account import driver_variables, environment
from .environment import Places
from .service import Service
from .standing import Standing, image, standing

__all__ = ["aws", "aws_service", "standing_lambda"]

QUOTA = 4
QUOTA_OF_PROCESSES = 2  # each starts a ROOT of its own, in every `make test`
ASKED_FOR = 32
CONTAINER_MEMORY_MIB = 1024
CONTAINER_LIMIT_S = 150  # four that start at once on a busy machine of two cores took more than one minute


@pytest.fixture(scope="session")
def standing_lambda(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Lambda with fewer environments than Lithops asks for at a time; AWS is there only for tests that ask for ``aws``."""
    elsewhere = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    folder = tmp_path_factory.mktemp("volume")
    folder.chmod(0o755)  # the containers' user is not ours
    places = Places(image(), volume=str(folder))
    if image() is None:
        with standing(places, quota=QUOTA_OF_PROCESSES, max_workers=ASKED_FOR) as made, environment(elsewhere):
            yield made
    else:
        given = {"runtime_memory": CONTAINER_MEMORY_MIB, "max_workers": ASKED_FOR, "runtime_timeout": CONTAINER_LIMIT_S}
        gateway = request.getfixturevalue("s3")
        with standing(places, quota=QUOTA, s3=gateway, **given) as made, environment(elsewhere):
            yield made


@pytest.fixture
def aws_service(standing_lambda: Standing) -> Iterator[Service]:
    """Lambda itself, and where it is in the environment; what a test scripts ends with the test."""
    with environment(driver_variables(standing_lambda.service)):
        yield standing_lambda.service
    standing_lambda.service.script({})


@pytest.fixture
def aws(standing_lambda: Standing, aws_service: Service) -> lithops.FunctionExecutor:
    """Lithops' executor on an account there."""
    return standing_lambda.executor
