"""A site's accounts, kept by Slurm's own daemon before a database: what became of jobs that the controller has forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import lithops
import pytest
from batch import cluster
from servers import daemons
from test_batch import configuration, job, section_of, sleeps
from waiting import until

from rdf_lithops.batch import slurm as slurm_backend
from rdf_lithops.batch.states import ENDED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def standing_accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Slurm]:
    """A Slurm with accounts, which forgets a job two seconds after its end."""
    try:
        with cluster.running(tmp_path_factory.mktemp("accounts"), min_job_age=2, accounting=True) as slurm:
            yield slurm
    except daemons.ServerMissing as missing:
        if os.environ.get("RDF_LITHOPS_ALL_SERVERS"):
            raise
        pytest.skip(str(missing))


@pytest.fixture
def accounts(standing_accounts: cluster.Slurm, monkeypatch: pytest.MonkeyPatch) -> cluster.Slurm:
    """The same, whose commands this process finds."""
    for name, value in standing_accounts.variables.items():
        monkeypatch.setenv(name, value)
    return standing_accounts


ENDS = """case $SLURM_ARRAY_TASK_ID in
0) exit 0 ;;
1) exit 3 ;;
2) exec tail /dev/zero ;;
*) exec sleep 300 ;;
esac"""


def test_what_the_controller_has_forgotten(accounts: cluster.Slurm, tmp_path: Path) -> None:
    """Elements that have left the list are looked up, by one query: how each ended is told as ever."""
    scheduler = slurm_backend.Slurm(section_of(partition="main", memory=200, setup=ENDS))
    made = job(tmp_path, 4)
    scheduler.submit(made)
    assert until(lambda: accounts.queue() == [f"{made.name} 3 RUNNING"])
    scheduler.cancel([made])
    assert until(lambda: accounts.ask("squeue", "--noheader", "--states=all") == "")
    states = scheduler.states([made])
    found = {number: states[made.name, number] for number in range(4)}
    assert {ENDED} == {element.phase for element in found.values()}
    assert ["", "lost", "memory", "lost"] == [found[number].cause for number in range(4)]
    assert "CANCELLED" in found[3].words


def test_an_end_that_was_never_seen(accounts: cluster.Slurm, tmp_path: Path) -> None:
    """A call whose element was cancelled, and forgotten before the next look, is still told what became of it."""
    shared, mark = tmp_path / "shared", tmp_path / "mark"
    shared.mkdir()
    with lithops.FunctionExecutor(config=configuration(shared, poll_s=8)) as fexec:
        futures = fexec.map(sleeps, [(str(mark), 300.0)])
        assert until(mark.exists)
        accounts.ask("scancel", "--state=RUNNING", "--user=" + os.environ.get("USER", "root"))
        with pytest.raises(RuntimeError, match="slurm: CANCELLED"):
            fexec.get_result(futures)
