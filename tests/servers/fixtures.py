"""Fixtures of the servers, one of each per test session; a test that asks for one that cannot run here is skipped.

With the variable RDF_LITHOPS_ALL_SERVERS it fails instead: set where they were just installed, as by ``make test-data``.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from servers import daemons
from servers import s3 as s3_server
from servers import web as web_server
from servers import xrootd as xrootd_server

__all__ = ["s3", "web", "xrootd"]

Server = TypeVar("Server")


@contextlib.contextmanager
def _running(start: Callable[[Path], contextlib.AbstractContextManager[Server]], folder: Path) -> Iterator[Server]:
    """What ``start(folder)`` gives; where programs are missing, skip or fail the test, and name the remedy."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(start(folder))
        except daemons.ServerMissing as missing:
            if os.environ.get("RDF_LITHOPS_ALL_SERVERS"):
                raise
            pytest.skip(str(missing))
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3]:
    """A running S3 gateway with one user."""
    with _running(s3_server.running, tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[web_server.Web]:
    """A running nginx, over http and https."""
    with _running(web_server.running, tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture(scope="session")
def xrootd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], xrootd_server.XRootD]]:
    """Running XRootD servers by kind (anonymous, http, sss, krb5, gsi), each started when it is first asked for."""
    running: dict[str, xrootd_server.XRootD] = {}
    with contextlib.ExitStack() as stack:

        def server(kind: str) -> xrootd_server.XRootD:
            if kind not in running:
                folder = tmp_path_factory.mktemp(f"xrootd-{kind}") / "server"
                start = functools.partial(xrootd_server.running, kind=kind)
                running[kind] = stack.enter_context(_running(start, folder))
            return running[kind]

        yield server
