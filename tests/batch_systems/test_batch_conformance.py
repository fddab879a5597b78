"""The operations of RDataFrame on a real Slurm: those checks of the conformance suite that need no executor of their own.

Not among them: what depends on where DistRDF itself would cut, as ranges are cut by load here. They run in an allocation,
where later queries find ROOT up; that arrays of jobs give the same is in ``test_batch``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import lithops
import pytest
import test_conformance
from batch.cluster import Slurm
from dataset_kinds import SOURCES
from test_batch import configuration
from test_conformance import (  # noqa: F401  # they are collected here, too
    oracle,
    test_actions_that_root_cannot_clone,
    test_default_branches,
    test_friends_of_a_tree,
)
from test_life_of_results import (  # noqa: F401
    test_arrays_of_all_columns_of_a_selection,
    test_instant_arrays,
    test_snapshot_returns_a_distributed_frame,
)

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
    for name, value in kept.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.mark.parametrize("group", ["cloned", "not cloned"])
@pytest.mark.parametrize("name", SOURCES)
def test_every_operation(name: str, group: str, files: Any, fexec: Any, oracle: Any, tmp_path: Any) -> None:  # noqa: F811
    """All operations on one source, in seven ranges and one query, give local RDataFrame's results."""
    test_conformance.test_every_operation_equals_local(name, group, 7, files, fexec, oracle, tmp_path)
