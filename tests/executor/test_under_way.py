"""Calls on Lambda outlive their driver: the same program, started again, waits for them and begins none of them twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import REPOSITORY
from lambda_standin import Service, Standing, account, image
from waiting import until

from rdf_lithops.executor import run_folders

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

LIMIT_S = 120.0
PROGRAM = """
import json, os, sys, types, ROOT, rdf_lithops
from lambda_standin import account
from rdf_lithops.executor import clearing

clearing.BATCH = 1  # whatever nobody reads any more is deleted at once
endpoint, settings = sys.argv[1], json.loads(sys.argv[2])
options = {"resume": True, "ranges_per_call": 1, "beat_s": 0.5, "progress": False}
with account.executor(types.SimpleNamespace(endpoint=endpoint), settings) as executor:
    frame = ROOT.RDataFrame(4, executor=executor, npartitions=4, options=options)
    here = os.getcwd()
    begun = f'std::ofstream("{here}/begun", std::ios::app) << rdfentry_ << std::endl;'
    slow = f'if (rdfentry_ == 1) while (gSystem->AccessPathName("{here}/go")) gSystem->Sleep(20);'
    total = frame.Define("x", f"{begun} {slow} return 1.0 / (3.0 + rdfentry_);").Sum("x").GetValue()
    print("total", total.hex(), flush=True)
"""


def started(folder: Path, standing: Standing) -> subprocess.Popen[str]:
    """The program, in a process of its own."""
    given = standing.executor.config
    role = given["aws_lambda"]["execution_role"]
    settings = account.config(role, max_workers=8, runtime=account.RUNTIME, runtime_timeout=60)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "program.py", standing.service.endpoint, json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begun(folder: Path) -> list[int]:
    """The entries that were begun, in order."""
    path = folder / "begun"
    return sorted(int(line) for line in path.read_text().split()) if path.exists() else []


def ended(storage: Any) -> set[str]:
    """Where calls have written down how they ended."""
    keys = storage.list_keys(storage.bucket, "lithops.jobs/")
    return {key for key in keys if "-M" in key and key.endswith("/status.json")}


@pytest.mark.slow
@pytest.mark.skipif(image() is not None, reason="the calls look for a file of this machine")
def test_calls_under_way_are_waited_for(tmp_path: Path, standing_lambda: Standing, aws_service: Service) -> None:
    """SIGKILL of the driver while a call on Lambda works, and the program again while it does still: that call is waited
    for, none is begun twice, and nothing of either run stays in the bucket."""
    (tmp_path / "program.py").write_text(PROGRAM)
    storage = standing_lambda.executor.storage
    others = ended(storage)  # of calls that nobody could stop, until their executor ends
    runs = storage.list_keys(storage.bucket, "rdf_lithops/runs/")  # of drivers that other tests have killed
    first = started(tmp_path, standing_lambda)
    try:
        assert until(lambda: len(ended(storage) - others) == 3)
        assert until(lambda: begun(tmp_path) == [0, 1, 2, 3])
    finally:
        first.kill()
        first.communicate(timeout=LIMIT_S)
    before = len(aws_service.invocations)
    second = started(tmp_path, standing_lambda)
    try:
        assert second.stderr is not None
        said = next(line for line in second.stderr if "taken up" in line)
        assert "3 of 4 calls are taken up" in said
        assert "and 1 that are under way still are waited for" in said
        (tmp_path / "go").touch()
        out, err = second.communicate(timeout=LIMIT_S)
    finally:
        second.kill()
        second.communicate(timeout=LIMIT_S)
    assert 0 == second.returncode, err
    assert "total" in out
    expected = sum(1.0 / (3.0 + entry) for entry in range(4))
    assert float.fromhex(out.split()[1]) == pytest.approx(expected, rel=1e-12)
    assert [0, 1, 2, 3] == begun(tmp_path)
    assert 2 == sum(each.kind == "Event" for each in aws_service.invocations[before:])  # the fold, and its reducer
    assert runs == storage.list_keys(storage.bucket, "rdf_lithops/runs/")


def test_many_calls_are_tidied_up_beside_what_goes_on(
    standing_lambda: Standing, aws_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects of calls that a driver could take up are deleted when the answer is there, of many calls beside what follows,
    and at the latest when the executor ends."""
    monkeypatch.setattr(run_folders, "MANY_CALLS", 1)
    role = standing_lambda.executor.config["aws_lambda"]["execution_role"]
    settings = account.config(role, max_workers=8, runtime=account.RUNTIME, runtime_timeout=60)
    with account.executor(types.SimpleNamespace(endpoint=aws_service.endpoint), settings) as executor:  # type: ignore[arg-type]
        storage, own = executor.storage, f"lithops.jobs/{executor.executor_id}"
        frame = ROOT.RDataFrame(4, executor=executor, npartitions=2, options={"ranges_per_call": 1, "progress": False})
        assert 4 == frame.Count().GetValue()
        assert until(lambda: not [key for key in storage.list_keys(storage.bucket, f"{own}-") if "-M" in key])
        assert 4 == frame.Count().GetValue()
    assert [] == storage.list_keys(storage.bucket, own)
    assert [] == storage.list_keys(storage.bucket, "rdf_lithops/executors/" + executor.executor_id)
