"""An allocation of Slurm that stays for a session: later jobs begin at once, and find what earlier ones left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from batch.cluster import Slurm
from conftest import REPOSITORY
from test_batch import configuration, executor, sleeps, where  # noqa: F401  # a fixture is among them
from waiting import until

from rdf_lithops.batch import slurm as slurm_backend

Make = Callable[..., lithops.FunctionExecutor]
NODES = {"nodes": 1, "minutes": 10, "cpus": 2, "memory_mib": 3000}


@pytest.mark.parametrize("wrong", [3, "there", {"nodes": 2}, {"minutes": 2}])
def test_a_wrong_allocation_is_refused(wrong: Any) -> None:
    """It is said what one has."""
    config = {"lithops": {}, "slurm": {"allocation": wrong}, "shared_folder": {"path": "/shared"}}
    with pytest.raises(ValueError, match="has nodes and minutes"):
        slurm_backend.load_config(config)


@pytest.mark.slow
def test_jobs_are_steps_of_one_allocation(slurm: Slurm, executor: Make, tmp_path: Path) -> None:  # noqa: F811
    """Two jobs are one job in Slurm; a call that does not end is stopped with its step, and the allocation goes last."""
    left = Path("/tmp") / f"lithops-agent-{os.getuid()}-0-of-one-that-was-killed.sock"
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(left))
    fexec = executor(allocation={**NODES, "nodes": 2})
    for _ in range(2):
        found = fexec.get_result(fexec.map(where, range(5), extra_env={"KEY": "of the call"}))
        assert [0, 1, 4, 9, 16] == [square for square, _, _ in found]
        assert {"n1", "n2"} == {node for _, node, _ in found}
        assert {"of the call"} == {key for _, _, key in found}
        assert 1 == len(slurm.queue())
    assert not left.exists()
    mark = tmp_path / "mark"
    futures = fexec.map(sleeps, [(str(mark), 300.0)])
    assert until(mark.exists)
    fexec.compute_handler.clear({futures[0].job_key})
    assert until(lambda: all("sleeps" not in line for line in slurm.ask("squeue", "--noheader", "--steps").splitlines()))
    assert [4] == [square for square, _, _ in fexec.get_result(fexec.map(where, [2], extra_env={"KEY": "x"}))]


@pytest.mark.slow
def test_root_stays_for_the_allocation(executor: Make) -> None:  # noqa: F811
    """The second query of a session finds ROOT up and its graph compiled, as on this machine, and both are right."""
    fexec = executor(allocation=NODES, preload=["rdf_lithops.worker.together"])

    def query() -> tuple[float, float]:
        frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=2).Define("x", "rdfentry_ * 2.")
        total, parent = frame.Sum("x"), frame.Define("parent", "double(getppid())").Max("parent")
        return total.GetValue(), parent.GetValue()

    first, second = query(), query()
    assert 999000 == first[0]
    assert first == second  # the slots' parent is the same process


@pytest.mark.slow
def test_in_an_allocation_that_is_there(slurm: Slurm, shared: Path) -> None:
    """A program that was started in salloc uses that one, and leaves it to its user."""
    program = f"""
import json, os, lithops, rdf_lithops.batch
def square(x):
    return x * x, os.environ["SLURM_JOB_ID"]
with lithops.FunctionExecutor(config=json.loads('''{_config(shared)}''')) as fexec:
    found = fexec.get_result(fexec.map(square, range(3)))
assert {{job for _, job in found}} == {{os.environ["SLURM_JOB_ID"]}}
print([value for value, _ in found])
"""
    command = ["salloc", "--quiet", "--nodes=1", "--ntasks=2", "--mem=2000", sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert "[0, 1, 4]" == done.stdout.strip(), done.stderr
    assert until(lambda: slurm.queue() == [])
    assert until(lambda: list((shared / "submissions").iterdir()) == [])


def _config(shared: Path) -> str:
    import json

    return json.dumps(configuration(shared, allocation="here"))


@pytest.mark.slow
def test_an_interrupt_while_the_allocation_waits(slurm: Slurm, shared: Path) -> None:
    """Ctrl-C in the queue ends the program at once, and the request for nodes is taken back."""
    import json

    program = f"""
import json, lithops, ROOT, rdf_lithops
with lithops.FunctionExecutor(config=json.loads('''{json.dumps(configuration(shared, allocation=NODES))}''')) as fexec:
    ROOT.RDataFrame(10, executor=fexec, npartitions=2).Sum("rdfentry_").GetValue()
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        driver = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], env=environment, stderr=subprocess.PIPE)
        assert until(lambda: len(slurm.queue()) == 1)
        driver.send_signal(signal.SIGINT)
        _, said = driver.communicate(timeout=30)
        assert b"KeyboardInterrupt" in said
    finally:
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")
    assert until(lambda: slurm.queue() == [])
    assert until(lambda: list((shared / "submissions").iterdir()) == [])


@pytest.mark.slow
def test_a_killed_driver_gives_its_allocation_back(slurm: Slurm, shared: Path, tmp_path: Path) -> None:
    """Nothing of it waits or runs any more."""
    import json

    mark = tmp_path / "mark"
    program = f"""
import json, pathlib, time, lithops, rdf_lithops.batch
def begins(path):
    pathlib.Path(path).touch()
    time.sleep(300)
fexec = lithops.FunctionExecutor(config=json.loads('''{json.dumps(configuration(shared, allocation=NODES))}'''))
fexec.get_result(fexec.map(begins, ["{mark}"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    driver = subprocess.Popen([sys.executable, "-c", program], env=environment)
    assert until(mark.exists)
    driver.kill()
    driver.wait()
    assert until(lambda: slurm.queue() == [])
    assert until(lambda: list((shared / "submissions").iterdir()) == [])
