"""Fixtures of the servers, one of each per test session; a test that asks for one that cannot run here is skipped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from servers import daemons
from servers import s3 as s3_server

__all__ = ["s3"]

Server = TypeVar("Server")


@contextlib.contextmanager
def _running(start: Callable[[Path], contextlib.AbstractContextManager[Server]], folder: Path) -> Iterator[Server]:
    """What ``start(folder)`` gives; where programs are missing, skip the test and name the command that brings them."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(start(folder))
        except daemons.ServerMissing as missing:
            pytest.skip(str(missing))
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3]:
    """A running S3 gateway with one user."""
    with _running(s3_server.running, tmp_path_factory.mktemp("s3")) as server:
        yield server
