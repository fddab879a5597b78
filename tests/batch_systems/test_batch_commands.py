"""The command line on a batch system: the demonstration, a plan and a report, in core-hours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from batch.cluster import Slurm
from conftest import REPOSITORY
from test_batch import configuration
from waiting import until

pytestmark = pytest.mark.slow


def said(folder: Path, *words: str) -> str:
    """What ``rdf-lithops`` prints in a folder; it succeeds."""
    command = [sys.executable, "-W", "ignore", "-m", "rdf_lithops", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, cwd=folder)
    assert 0 == done.returncode, done.stderr[-3000:]
    return done.stdout


def test_the_demonstration(slurm: Slurm, shared: Path, tmp_path: Path) -> None:
    """It runs there by ``--config``, equals local RDataFrame in each bin, and what it took is told in core-hours."""
    config = tmp_path / "my_cluster.yaml"
    config.write_text(json.dumps(configuration(shared)))
    given = ["--config", str(config), "--npartitions", "2"]
    shown = said(tmp_path, "demo", *given, "--events", "20000", "--report", "report.json")
    assert "on slurm" in shown
    assert "equal    entries, cut flow and all 30000 bins" in shown
    for told in (said(tmp_path, "report", "report.json"), said(tmp_path, "plan", *given, "--files", "demo/*.root")):
        assert "core-hours" in told
        assert "USD" not in told
    assert until(lambda: slurm.queue() == [])
