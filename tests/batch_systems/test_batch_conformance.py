"""The operations of RDataFrame on a real Slurm: the conformance suite's fast part.

They run in an allocation, where later queries find ROOT up; that arrays of jobs give the same is in ``test_batch``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import lithops
import pytest
from batch.cluster import Slurm
from fast_part import *  # noqa: F403  # tests that are collected here, too
from test_batch import configuration
from waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fexec(standing_slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An executor in an allocation of one node."""
    kept = {name: os.environ.get(name) for name in standing_slurm.variables}
    os.environ.update(standing_slurm.variables)
    nodes = {"nodes": 1, "minutes": 60, "cpus": 2, "memory_mib": 5000}
    given = {"allocation": nodes, "max_workers": 2, "preload": ["rdf_lithops.worker.together"]}
    with lithops.FunctionExecutor(config=configuration(tmp_path_factory.mktemp("shared"), **given)) as executor:
        yield executor
    assert until(lambda: [] == standing_slurm.queue())  # the nodes are back
    for name, value in kept.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
