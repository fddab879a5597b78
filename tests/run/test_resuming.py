"""A program whose driver was killed, started again with ``resume``, takes up what is there, and nothing of another's."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG

LIMIT_S = 90.0
PROGRAM = """
import os, sys, lithops, ROOT, rdf_lithops, pathlib
cut, here, data = sys.argv[2], os.getcwd(), sys.argv[3]
ROOT.gInterpreter.Declare(pathlib.Path("code.C").read_text())
options = {"resume": True, "ranges_per_call": 1, "survey": False, "seed": int(sys.argv[4])}
with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    frame = ROOT.RDataFrame("t", data, executor=fexec, npartitions=4, options=options)
    mark = f'gSystem->Exec(TString::Format("echo %llu >> {here}/begun", rdfentry_)); '
    slow = f'if (rdfentry_ == 750) while (gSystem->AccessPathName("{here}/go")) gSystem->Sleep(20); '
    body = f'if (rdfentry_ % 250 == 0) {{ {mark} }} {slow} return scaled(x) + {cut};'
    total = frame.Define("y", body).Sum("y").GetValue()
    print("total", total.hex(), flush=True)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data.root", 1.0)
    (tmp_path / "code.C").write_text("double scaled(double x) { return x * 0.1; }")
    return tmp_path


def write(path: Path, factor: float) -> None:
    """A file of 1000 entries, in clusters of 250."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fAutoFlush = 250
    ROOT.RDataFrame(1000).Define("x", f"rdfentry_ * {factor}").Snapshot("t", str(path), "", options)


def start(folder: Path, cut: str = "0.5", seed: str = "1", **variables: str) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(PROGRAM)
    (folder / "tmp").mkdir(exist_ok=True)
    given = [str(LOCALHOST_CONFIG), cut, str(folder / "data.root"), seed]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "program.py", *given],
        env={**os.environ, **variables, "TMPDIR": str(folder / "tmp")},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_with_three_partials(folder: Path) -> None:
    """A run of four calls of which three have delivered, whose driver is killed then."""
    driver = start(folder)
    until = time.monotonic() + LIMIT_S
    try:
        while len(partials(folder)) < 3:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        driver.kill()
        driver.communicate(timeout=LIMIT_S)
    (folder / "go").touch()


def partials(folder: Path) -> list[Path]:
    return [path for path in (folder / "tmp").rglob("partials/*") if "rdf_lithops/runs" in str(path)]


def total(folder: Path, cut: str = "0.5", seed: str = "1", **variables: str) -> tuple[str, set[int]]:
    """The bits of the answer, and the first entries of ranges that were computed for it."""
    (folder / "go").touch()
    (folder / "begun").unlink(missing_ok=True)
    out, err = start(folder, cut, seed, **variables).communicate(timeout=LIMIT_S)
    found = [line for line in out.splitlines() if line.startswith("total ")]
    assert found, err
    return found[0], {int(line) for line in (folder / "begun").read_text().split()}


ALL = {0, 250, 500, 750}


def test_what_is_there_is_not_computed_again(data: Path) -> None:
    """SIGKILL of the driver, and the program again: the bits of an undisturbed run, from the missing range, nothing left."""
    kill_with_three_partials(data)
    resumed, computed = total(data)
    assert {750} == computed
    assert not partials(data)
    undisturbed, computed = total(data)
    assert ALL == computed
    assert undisturbed == resumed


@pytest.mark.slow
@pytest.mark.parametrize("what", ["graph", "seed", "data", "code", "environment"])
def test_what_is_not_the_same_is_computed_anew(data: Path, what: str) -> None:
    """Another expression, another option, a file written again, another environment: no partial of before is used."""
    kill_with_three_partials(data)
    if what == "data":
        write(data / "data.root", 2.0)
    if what == "code":
        (data / "code.C").write_text("double scaled(double x) { return x * 0.3; }")
    cut, seed = "0.75" if what == "graph" else "0.5", "2" if what == "seed" else "1"
    variables = {"MY_ANALYSIS": "2"} if what == "environment" else {}
    found, computed = total(data, cut, seed, **variables)
    assert ALL == computed
    x = np.arange(1000) * (2.0 if what == "data" else 1.0)
    expected = np.sum(x * (0.3 if what == "code" else 0.1) + float(cut))
    assert float.fromhex(found.split()[1]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_killed_at_any_moment(data: Path, number: int) -> None:
    """SIGKILL of the driver at a random moment, and the program again: the bits of an undisturbed run, from what was not
    there (of a run that lacked its fold alone, one call more), and nothing left of either."""
    undisturbed, _ = total(data)
    driver = start(data)
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.communicate(timeout=random.Random(number).uniform(1.0, 8.0))
    driver.kill()
    driver.communicate(timeout=LIMIT_S)
    there = {250 * int(path.name.partition("-")[0]) for path in partials(data)}
    resumed, computed = total(data)
    assert undisturbed == resumed
    assert computed <= (ALL - there or {750})
    assert not partials(data)
