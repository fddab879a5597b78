"""The benchmarks are programs of today's package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import CAPTURED

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_benchmark_can_be_imported() -> None:
    """No module of the benchmarks asks this package, or the tests' stand-ins, for a name that is not there."""
    modules = [f"benchmarks.{path.stem}" for path in sorted((REPOSITORY / "benchmarks").glob("*.py")) if path.stem[0] != "_"]
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)\nprint('all')"
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
    given = {**CAPTURED, "env": {**os.environ, "PYTHONPATH": paths}}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], **given)
    assert (0, "all") == (done.returncode, done.stdout.strip().rpartition("\n")[2]), done.stderr
    assert len(modules) > 20
