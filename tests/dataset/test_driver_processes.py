"""Whether the driver of a run still lives: what it left is removed only where that is certain."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from rdf_lithops.dataset import driver_processes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"pid_began": 1.0}, True),  # the machine's clock was set meanwhile
        ({"pid_began": -1000.0}, False),  # another process has the number now
        ({"host": "elsewhere"}, None),
        ({"pids": "pid:[1]"}, None),  # of another container of the same name
    ],
)
def test_a_driver_that_runs(change: dict[str, Any], expected: bool | None) -> None:
    """It lives, also after a clock was set; nothing is said of another machine's, or another container's."""
    described = driver_processes.describe()
    changed = {**described, **change}
    if "pid_began" in change:
        changed["pid_began"] = described["pid_began"] + change["pid_began"]
    assert expected is driver_processes.lives(changed)


def test_a_driver_that_has_ended() -> None:
    """It does not live, whoever described it: a record of before knows no containers."""
    program = "import json; from rdf_lithops.dataset import driver_processes; print(json.dumps(driver_processes.describe()))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout
    described = json.loads(said)
    assert driver_processes.lives(described) is False
    del described["pids"]
    assert driver_processes.lives(described) is False
