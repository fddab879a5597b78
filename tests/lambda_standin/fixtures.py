"""Fixtures of Lambda: one for all tests of a session, in containers with Ceph's gateway behind S3 or in processes."""

from __future__ import annotations

from collections.abc import Iterator

import lithops
import pytest

from .environment import Places
from .service import Service
from .standing import Standing, image, standing

__all__ = ["aws", "aws_service", "standing_lambda"]

QUOTA = 4
QUOTA_OF_PROCESSES = 2  # each starts a ROOT of its own, in every `make test`
ASKED_FOR = 32
CONTAINER_MEMORY_MIB = 1024


@pytest.fixture(scope="session")
def standing_lambda(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Lambda with fewer environments than Lithops asks for at a time."""
    folder = tmp_path_factory.mktemp("volume")
    folder.chmod(0o755)  # the containers' user is not ours
    places = Places(image(), volume=str(folder))
    if image() is None:
        with standing(places, quota=QUOTA_OF_PROCESSES, max_workers=ASKED_FOR) as made:
            yield made
    else:
        given = {"runtime_memory": CONTAINER_MEMORY_MIB, "max_workers": ASKED_FOR}
        with standing(places, quota=QUOTA, s3=request.getfixturevalue("s3"), **given) as made:
            yield made


@pytest.fixture
def aws_service(standing_lambda: Standing) -> Iterator[Service]:
    """Lambda itself; what a test scripts ends with the test."""
    yield standing_lambda.service
    standing_lambda.service.script({})


@pytest.fixture
def aws(standing_lambda: Standing, aws_service: Service) -> lithops.FunctionExecutor:
    """Lithops' executor on an account there."""
    return standing_lambda.executor
