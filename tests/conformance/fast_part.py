"""The fast part of the conformance suite, for modules that run it elsewhere: they import all of it, and give a ``fexec``.

All kinds of source, both groups of operations, and as many ranges as a default run has on this machine.
"""

from __future__ import annotations

from typing import Any

import pytest
import test_conformance
from test_conformance import (
    oracle,
    test_a_column_that_the_first_file_of_a_range_lacks,
    test_actions_that_root_cannot_clone,
    test_default_branches,
    test_friends_of_a_tree,
)
from test_life_of_results import (
    test_arrays_of_all_columns_of_a_selection,
    test_instant_arrays,
    test_snapshot_returns_a_distributed_frame,
)

__all__ = [
    "oracle",
    "test_a_column_that_the_first_file_of_a_range_lacks",
    "test_actions_that_root_cannot_clone",
    "test_arrays_of_all_columns_of_a_selection",
    "test_default_branches",
    "test_every_operation",
    "test_friends_of_a_tree",
    "test_instant_arrays",
    "test_snapshot_returns_a_distributed_frame",
]


@pytest.mark.parametrize(
    ("name", "group", "npartitions"), [case.values for case in test_conformance.cases() if not case.marks]
)
def test_every_operation(
    name: str, group: str, npartitions: int, files: Any, fexec: Any, oracle: Any, tmp_path: Any
) -> None:  # a fixture of this name is imported above, and by whoever imports this
    """All operations on one source and number of ranges, in one query, give local RDataFrame's results."""
    test_conformance.test_every_operation_equals_local(name, group, npartitions, files, fexec, oracle, tmp_path)
