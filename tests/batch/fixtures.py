"""One Slurm per test session; a test that asks for it where it cannot run is skipped.

With the variable RDF_LITHOPS_ALL_SERVERS it fails instead: set where it was just installed, as by ``make test-batch``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import daemons

from batch import cluster

__all__ = ["shared", "slurm", "standing_slurm"]


@pytest.fixture(scope="session")
def standing_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Slurm]:
    try:
        with cluster.running(tmp_path_factory.mktemp("slurm")) as slurm:
            yield slurm
    except daemons.ServerMissing as missing:
        if os.environ.get("RDF_LITHOPS_ALL_SERVERS"):
            raise
        pytest.skip(str(missing))


@pytest.fixture
def slurm(standing_slurm: cluster.Slurm, monkeypatch: pytest.MonkeyPatch) -> cluster.Slurm:
    """A Slurm of two nodes, whose commands this process finds; nothing of another test waits or runs in it."""
    for name, value in standing_slurm.variables.items():
        monkeypatch.setenv(name, value)
    assert [] == standing_slurm.queue()
    return standing_slurm


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that driver and nodes see."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder
