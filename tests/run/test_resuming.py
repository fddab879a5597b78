"""A program whose driver was killed, started again with ``resume``, takes up what is there, and nothing of another's."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ROOT
from chaos import family
from chaos.killed_drivers import Drivers, ended_well, files_of, kill_at_random, stop_at_random
from conftest import CAPTURED, LOCALHOST_CONFIG

LIMIT_S = 90.0
PROGRAM = """
import os, sys, lithops, ROOT, rdf_lithops, pathlib
cut, here, data = sys.argv[2], os.getcwd(), sys.argv[3]
ROOT.gInterpreter.Declare(pathlib.Path("code.C").read_text())
options = {"ranges_per_call": 1, "survey": False, "seed": int(sys.argv[4])}
options |= {} if "MY_DEFAULT" in os.environ else {"resume": True}
if "MY_LITHOPS_RUN" in os.environ:
    rdf_lithops.resume(os.environ["MY_LITHOPS_RUN"])
with lithops.FunctionExecutor(config_file=sys.argv[1], log_level=None) as fexec:
    frame = ROOT.RDataFrame("t", data, executor=fexec, npartitions=4, options=options)
    mark = f'gSystem->Exec(TString::Format("echo %llu >> {here}/begun", rdfentry_)); '
    slow = f'if (rdfentry_ == 750) while (gSystem->AccessPathName("{here}/go")) gSystem->Sleep(20); '
    body = f'if (rdfentry_ % 250 == 0) {{ {mark} }} {slow} return scaled(x) + {cut};'
    if os.path.exists("dies"):  # when it has heard of the end of each call
        ended = iter(range(4))
        def hear(event):
            if type(event).__name__ == "CallEnded" and next(ended) == 3:
                os.kill(os.getpid(), 9)
        frame._headnode.backend.consumers = (hear,)
    total = frame.Define("y", body).Sum("y").GetValue()
    print("total", total.hex(), flush=True)
    if "MY_WAIT" in os.environ:
        input()
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


def words(folder: Path, cut: str = "0.5", seed: str = "1") -> list[str]:
    """The command that starts the program."""
    (folder / "program.py").write_text(PROGRAM)
    given = [str(LOCALHOST_CONFIG), cut, str(folder / "data.root"), seed]
    return [sys.executable, "-W", "ignore", "program.py", *given]


def start(folder: Path, cut: str = "0.5", seed: str = "1", **variables: str) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        words(folder, cut, seed),
        env={**os.environ, **variables, "TMPDIR": str(folder / "tmp")},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_with_partials(folder: Path, **variables: str) -> None:
    """A run of four calls of which three have delivered, whose driver is killed then."""
    (folder / "go").unlink(missing_ok=True)
    driver = start(folder, **variables)
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


def kill_before_the_fold(folder: Path) -> None:
    """A run of four calls of which all have delivered, whose driver is killed before there is a reducer."""
    (folder / "go").touch()
    (folder / "dies").touch()
    driver = start(folder)
    driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == -signal.SIGKILL
    (folder / "dies").unlink()


def partials(folder: Path) -> list[Path]:
    """The statuses of calls that have delivered."""
    found = files_of(folder / "tmp", "status.json")
    return [path for path in found if "-M" in path.parts[-3] and ended_well(path)]


def total(folder: Path, cut: str = "0.5", seed: str = "1", **variables: str) -> tuple[str, set[int]]:
    """The bits of the answer, and the first entries of ranges that were computed for it."""
    return run(folder, cut, seed, **variables)[:2]


def run(folder: Path, cut: str = "0.5", seed: str = "1", **variables: str) -> tuple[str, set[int], str]:
    """The same, and what the program wrote on standard error."""
    (folder / "go").touch()
    (folder / "begun").unlink(missing_ok=True)
    out, err = start(folder, cut, seed, **variables).communicate(timeout=LIMIT_S)
    found = [line for line in out.splitlines() if line.startswith("total ")]
    assert found, err
    begun = (folder / "begun").read_text().split() if (folder / "begun").exists() else []
    return found[0], {int(line) for line in begun}, err


ALL = {0, 250, 500, 750}


def test_what_is_there_is_not_computed_again(data: Path) -> None:
    """SIGKILL of the driver, and the program again: the bits of an undisturbed run, from the missing range, nothing left."""
    kill_with_partials(data)
    resumed, computed = total(data)
    assert {750} == computed
    assert not partials(data)
    undisturbed, computed = total(data)
    assert ALL == computed
    assert undisturbed == resumed


@pytest.mark.slow
def test_what_reaches_out_is_not_taken_up_by_itself(data: Path) -> None:
    """By default nothing is taken up of a run whose C++ asks for what nobody sees here: it is said what that is, and how the
    user can say that it answers as before."""
    kill_with_partials(data, MY_DEFAULT="")
    _, computed, said = run(data, MY_DEFAULT="")
    assert ALL == computed
    assert re.search("not taken up by itself, .*: gSystem in an expression of Define.*rdf-lithops resume [0-9]+-", said), (
        said
    )


SAID = {
    "seed": "what run .* has left, whose driver was killed, is not taken up, as .* not the same: .*options.seed",
    "data": "not taken up, as this is not the same: file .*data.root",
    "code": "not taken up, as this is not the same: the C\\+\\+, headers",
    "environment": "not taken up, as this is not the same: environment variable MY_ANALYSIS$",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["graph", "seed", "data", "code", "environment"])
def test_what_is_not_the_same_is_computed_anew(data: Path, what: str) -> None:
    """Another expression, another option, a file written again, another environment: no partial of before is used, and it
    is said what is different."""
    kill_with_partials(data)
    if what == "data":
        write(data / "data.root", 2.0)
    if what == "code":
        (data / "code.C").write_text("double scaled(double x) { return x * 0.3; }")
    cut, seed = "0.75" if what == "graph" else "0.5", "2" if what == "seed" else "1"
    variables = {"MY_ANALYSIS": "2"} if what == "environment" else {}
    found, computed, said = run(data, cut, seed, **variables)
    assert ALL == computed
    assert what == "graph" or re.search(SAID[what], said), said  # another query computes something else, too
    x = np.arange(1000) * (2.0 if what == "data" else 1.0)
    expected = np.sum(x * (0.3 if what == "code" else 0.1) + float(cut))
    assert float.fromhex(found.split()[1]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.slow
def test_a_run_that_lacks_its_fold_alone(data: Path) -> None:
    """SIGKILL when all partials are there: none is computed again, not even to have a reducer; the bits are the same."""
    undisturbed, _ = total(data)
    kill_before_the_fold(data)
    assert 4 == len(partials(data))
    resumed, computed = total(data)
    assert set() == computed
    assert undisturbed == resumed
    assert not partials(data)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_stopped_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL, and SIGSTOP for longer than calls may be silent, at random moments of a run: the bits of an undisturbed run,
    nothing computed twice, nothing left (``make killed`` has twenty of each kind, and stops for a minute)."""
    drivers, dice = Drivers(tmp_path), random.Random(1)
    expected, run_s = drivers.bits(), drivers.run_s()
    assert 0 == kill_at_random(drivers, 4, dice, expected, run_s)
    assert 0 == stop_at_random(drivers, 1, 12.0, dice, expected, run_s)


@pytest.mark.slow
def test_runs_that_go_on_are_listed(data: Path) -> None:
    """``rdf-lithops resume`` and ``gc`` tell of a run whose driver was killed: what it has, and how it goes on."""
    kill_with_partials(data)
    (run,) = told(data, "resume", "--json")["runs"]
    assert {"partials": 3, "calls": 4, "script": str(data / "program.py"), "folder": str(data)}.items() <= run.items()
    assert run["bytes"] > 100
    words = told(data, "resume")
    assert re.search(
        rf"^run .*, 0 minutes old: 3 of 4 partials, 0.0 MiB\n +start again: cd {data} && python program.py", words
    )
    (found,) = [each for each in told(data, "gc", "--json", "--older-than", "0")["leftovers"] if each["resumable"]]
    assert run["name"] == found["name"]
    told(data, "gc", "--older-than", "0", "--remove")
    assert [] == told(data, "resume", "--json")["runs"]


@pytest.mark.slow
def test_what_is_left_between_runs_is_named(data: Path) -> None:
    """A driver that is killed when its run is delivered, and its executor open, leaves functions: ``gc`` finds them."""
    (data / "go").touch()
    driver = start(data, MY_WAIT="")
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline().startswith("total ")
    finally:
        driver.kill()
        driver.communicate(timeout=LIMIT_S)
    assert family.left_on_disk(str(data / "tmp"))
    (found,) = [each for each in told(data, "gc", "--json", "--older-than", "0")["leftovers"] if each["objects"]]
    assert found["name"].startswith("executor ")
    told(data, "gc", "--older-than", "0", "--remove")
    assert [] == family.left_on_disk(str(data / "tmp"))


def told(folder: Path, *words: str) -> Any:
    """What the command line says of that program's storage."""
    command = [sys.executable, "-m", "rdf_lithops", *words, "--config", str(LOCALHOST_CONFIG)]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder / "tmp")}, **CAPTURED)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout
