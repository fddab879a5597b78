"""The batch back ends: what is asked of Slurm, what its answers mean, and runs on a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from batch.cluster import Slurm
from conftest import CAPTURED, REPOSITORY
from waiting import until

import rdf_lithops
from rdf_lithops.batch import commands, settings, shared_folder, submission
from rdf_lithops.batch import slurm as slurm_backend
from rdf_lithops.batch.states import ENDED, RUNNING, WAITING
from rdf_lithops.deployment.check import check


def configuration(shared: Path, **section: Any) -> dict[str, Any]:
    """A Lithops configuration for the Slurm of the tests."""
    given = {"partition": "main", "time": "5:00", "memory": 1200, "poll_s": 0.5, **section}
    lithops_section = {"backend": "slurm", "storage": "shared_folder", "data_cleaner": False, "data_limit": False}
    return {
        "lithops": {**lithops_section, "log_level": "WARNING"},
        "slurm": given,
        "shared_folder": {"path": str(shared)},
    }


@pytest.fixture
def executor(slurm: Slurm, shared: Path) -> Iterator[Callable[..., lithops.FunctionExecutor]]:
    """Makes executors on Slurm; afterwards nothing is left in the queue, and of their files nothing but Lithops' own."""
    made: list[lithops.FunctionExecutor] = []

    def make(**section: Any) -> lithops.FunctionExecutor:
        made.append(lithops.FunctionExecutor(config=configuration(shared, **section)))
        return made[-1]

    yield make
    for one in made:
        one.__exit__(None, None, None)
    assert until(lambda: slurm.queue() == [])
    assert [] == files_below(shared / "submissions")


def files_below(folder: Path) -> list[Path]:
    """All files, at any depth."""
    return [path for path in folder.rglob("*") if path.is_file()]


def section_of(**given: Any) -> dict[str, Any]:
    """A section of the configuration, filled in."""
    config = {"lithops": {}, "slurm": dict(given), "shared_folder": {"path": "/shared"}}
    slurm_backend.load_config(config)
    return config["slurm"]


def job(tmp_path: Path, calls: int, **more: Any) -> submission.Submission:
    """A job of Lithops, written down."""
    payload = {
        "executor_id": "e-0",
        "job_id": "M000",
        "job_key": "e-0-M000",
        "call_ids": [f"{number:05d}" for number in range(calls)],
        "chunksize": 1,
        "extra_env": {"KEY": "secret-of-the-call"},
        **more,
    }
    return submission.Submission.of(str(tmp_path / "submissions"), payload)


# -- settings and words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [("30:00", 1800), ("2:00:00", 7200), ("1-00:00:00", 86400), ("30 min", 1800), ("90 s", 90), (600, 600), ("2h", 7200)],
)
def test_times_as_people_write_them(given: Any, expected: int) -> None:
    """Slurm's notations, and plain words; a number is seconds, as Lithops has it."""
    assert expected == settings.seconds(given)
    filled = section_of(time=given)
    assert expected == filled["runtime_timeout"]
    assert filled == section_of(**filled)  # a program that runs there may read it again


@pytest.mark.parametrize(("given", "expected"), [(2048, 2048), ("2G", 2048), ("2 GiB", 2048), ("1500M", 1500)])
def test_memory_as_people_write_it(given: Any, expected: int) -> None:
    """Memory is a number of MiB, or has a unit."""
    assert expected == section_of(memory=given)["runtime_memory"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"time": "soon"}, "soon"), ({"memory": "much"}, "much"), ({"cpus": 0}, "cpus"), ({"queue": 1}, "queue")],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    """What is no setting, or has no sense, is refused with its name before anything is submitted."""
    with pytest.raises(ValueError, match=said):
        section_of(**wrong)


def test_the_script_says_what_was_configured(tmp_path: Path) -> None:
    """One directive for each setting, the set-up before Python, the site's own options, an element for each index."""
    section = section_of(
        partition="long", account="cms", time="2:00:00", memory="3G", cpus=2, max_workers=3,
        setup="module load root\nsource /cvmfs/view.sh", options=["--constraint=el9"],
    )  # fmt: skip
    text = slurm_backend.script(section, job(tmp_path, 8), 0, 8)
    lines = text.splitlines()
    wanted = {"partition=long", "account=cms", "time=120", "mem=3072M", "cpus-per-task=2", "array=0-7%3", "constraint=el9"}
    assert {f"#SBATCH --{one}" for one in wanted} <= set(lines)
    assert lines.index("module load root") < lines.index("source /cvmfs/view.sh") < len(lines) - 1
    assert lines[-1].startswith(f"exec {sys.executable} -m rdf_lithops.batch.element {tmp_path}")
    assert 0 == subprocess.run(["bash", "-n"], input=text, text=True).returncode


def test_a_container_is_a_command_line(tmp_path: Path) -> None:
    """With an image, Python and its packages are the image's; it sees the shared folder."""
    section = section_of(container="/cvmfs/images/root.sif", container_options=["--cleanenv"])
    text = slurm_backend.script(section, job(tmp_path, 1), 0, 1)
    last = text.splitlines()[-1]
    assert last.startswith("exec apptainer exec --bind /shared/submissions --bind /shared --cleanenv ")
    assert "/cvmfs/images/root.sif python3 -m rdf_lithops.batch.element" in last
    assert f'PYTHONPATH="{REPOSITORY}' not in text


def test_variables_of_calls_do_not_lie_in_the_folder(tmp_path: Path) -> None:
    """They may be keys; the folder is this user's alone, too."""
    made = job(tmp_path, 2)
    assert {"KEY": "secret-of-the-call"} == made.variables
    assert all(b"secret-of-the-call" not in path.read_bytes() for path in files_below(tmp_path))
    assert {0o700, 0o600} == {path.stat().st_mode & 0o777 for path in [Path(made.folder), *files_below(tmp_path)]}


@pytest.mark.parametrize(
    ("state", "reason", "phase", "cause"),
    [
        ("PENDING", "Priority", WAITING, ""),
        ("PENDING", "QOSMaxJobsPerUserLimit", WAITING, ""),
        ("CONFIGURING", "None", WAITING, ""),
        ("RUNNING", "None", RUNNING, ""),
        ("COMPLETING", "None", RUNNING, ""),
        ("COMPLETED", "None", ENDED, ""),
        ("CANCELLED by 0", "None", ENDED, "lost"),
        ("CANCELLED+", "None", ENDED, "lost"),
        ("FAILED", "NonZeroExitCode", ENDED, "lost"),
        ("FAILED", "OutOfMemory", ENDED, "memory"),
        ("OUT_OF_MEMORY", "OutOfMemory", ENDED, "memory"),
        ("TIMEOUT", "TimeLimit", ENDED, "time"),
        ("DEADLINE", "DeadLine", ENDED, "time"),
        ("PREEMPTED", "None", ENDED, "lost"),
        ("NODE_FAIL", "NodeDown", ENDED, "lost"),
        ("SOMETHING_NEW", "None", ENDED, "lost"),
    ],
)
def test_states_of_slurm(state: str, reason: str, phase: str, cause: str) -> None:
    """Waiting is not lost, and an end says what of."""
    element = slurm_backend.element_of(state, reason, "n1")
    assert (phase, cause) == (element.phase, element.cause)
    if phase == ENDED:
        assert state.split()[0].rstrip("+") in element.words
        assert "n1" in element.words


def test_no_scheduler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without its commands, the error names what is missing."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(commands.BatchError, match="sbatch is not on PATH"):
        commands.run(["sbatch"])


@pytest.mark.parametrize("first", ["lithops", "rdf_lithops.batch"])
def test_lithops_knows_the_back_ends(first: str, tmp_path: Path) -> None:
    """Whichever is imported first; nothing else of Lithops is other than it was, and ROOT is not needed."""
    program = f"""
        import sys
        sys.modules["ROOT"] = None
        import {first}
        import rdf_lithops.batch, lithops
        from lithops.config import default_config
        from lithops.constants import SERVERLESS_BACKENDS
        print(SERVERLESS_BACKENDS[-2:], len(SERVERLESS_BACKENDS) == len(set(SERVERLESS_BACKENDS)))
        for backend in ("slurm", "htcondor"):
            chosen = {{"backend": backend, "storage": "shared_folder"}}
            found = default_config(config_data={{"lithops": chosen, "shared_folder": {{"path": "{tmp_path}"}}}})
            print(found["lithops"]["mode"], found[backend]["runtime_timeout"])
        rdf_lithops.batch.register()
        print(sum("batch.registry" in type(finder).__module__ for finder in sys.meta_path))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], **CAPTURED)
    assert "('slurm', 'htcondor') True\nserverless 1800\nserverless 1800\n1" == done.stdout.strip(), done.stderr


# -- the shared folder ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(shared: Path) -> shared_folder.SharedFolder:
    """A storage in a folder."""
    made = shared_folder.SharedFolder({"path": str(shared)})
    made.create_bucket("b")
    return made


def test_objects_of_a_shared_folder(store: shared_folder.SharedFolder) -> None:
    """Written, read in whole and in part, listed by prefix, deleted with the folders that they leave empty."""
    store.put_object("b", "jobs/a-1/x", b"0123456789")
    store.put_object("b", "jobs/a-1/y", "text")
    store.put_object("b", "jobs/a-10/x", b"")
    assert b"0123456789" == store.get_object("b", "jobs/a-1/x")
    assert b"234" == store.get_object("b", "jobs/a-1/x", extra_get_args={"Range": "bytes=2-4"})
    assert b"text" == store.get_object("b", "jobs/a-1/y", stream=True).read()
    assert {"content-length": "10"} == store.head_object("b", "jobs/a-1/x")
    assert ["jobs/a-1/x", "jobs/a-1/y"] == store.list_keys("b", "jobs/a-1/")
    assert ["jobs/a-1/x", "jobs/a-1/y", "jobs/a-10/x"] == store.list_keys("b", "jobs/a-1")
    assert [{"Key": "jobs/a-1/x", "Size": 10}] == store.list_objects("b", "jobs/a-1/x")
    assert [] == store.list_keys("b", "other/")
    store.delete_objects("b", ["jobs/a-1/x", "jobs/a-1/y", "jobs/a-10/x", "never"])
    assert [] == list((Path(store.root) / "b").iterdir())
    with pytest.raises(lithops.storage.utils.StorageNoSuchKeyError):
        store.get_object("b", "jobs/a-1/x")
    with pytest.raises(ValueError, match="below the bucket"):
        store.put_object("b", "../../x", b"")


def test_nobody_reads_half_an_object(store: shared_folder.SharedFolder) -> None:
    """While it is written again and again, and its folder removed under it, an object is whole or not there."""
    contents = {bytes([number]) * 100_000 for number in range(4)}
    over = threading.Event()
    wrong: list[bytes] = []

    def read() -> None:
        while not over.is_set():
            try:
                found = store.get_object("b", "deep/x")
            except lithops.storage.utils.StorageNoSuchKeyError:
                continue
            if found not in contents:
                wrong.append(found[:10])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            store.put_object("b", "deep/x", content)
        store.delete_object("b", "deep/x")
    over.set()
    reader.join()
    assert [] == wrong


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_histogram_of_slurm(executor: Callable[..., lithops.FunctionExecutor], files: Any) -> None:
    """Equal to local RDataFrame bin by bin, and the report says what took how long, without a price in USD."""

    def booked(frame: Any) -> Any:
        return frame.Define("y", "x * x").Histo1D(("h", "", 50, 0, 100), "y")

    expected = booked(ROOT.RDataFrame(1000).Define("x", "rdfentry_ * 0.01")).GetValue()
    frame = ROOT.RDataFrame(1000, executor=executor(), npartitions=2)
    result = booked(frame.Define("x", "rdfentry_ * 0.01"))
    plan = rdf_lithops.plan(result)
    assert "core-hours" in str(plan)
    assert "USD" not in str(plan)
    found = result.GetValue()
    assert [expected.GetBinContent(i) for i in range(52)] == [found.GetBinContent(i) for i in range(52)]
    report = rdf_lithops.report(result)
    assert "slurm" in str(report)
    assert "core-hours" in str(report)


@pytest.mark.slow
def test_any_lithops_program(executor: Callable[..., lithops.FunctionExecutor]) -> None:
    """A plain map on it: each call is an element on a node; more calls than an array may have become several arrays."""
    fexec = executor(array_limit=2, max_workers=2)
    futures = fexec.map(where, range(5), extra_env={"KEY": "of the call"})
    found = fexec.get_result(futures)
    assert [0, 1, 4, 9, 16] == [square for square, _, _ in found]
    assert {"n1", "n2"} >= {node for _, node, _ in found}
    assert {"of the call"} == {key for _, _, key in found}


@pytest.mark.slow
def test_reducers_need_not_wait(slurm: Slurm, executor: Callable[..., lithops.FunctionExecutor]) -> None:
    """With ``reduce: here`` what folds the results runs on this machine, and maps still do not."""
    fexec = executor(reduce="here")
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=2).Define("node", 'int(!getenv("SLURM_JOB_ID"))')
    total, here = frame.Sum("rdfentry_"), frame.Sum("node")
    assert (4950, 0) == (total.GetValue(), here.GetValue())
    futures = fexec.map_reduce(square_of, [1, 2], job_of)
    assert (5, None) == fexec.get_result(futures)


def square_of(x: int) -> int:
    """A map."""
    return x * x


def job_of(results: list[int]) -> tuple[int, str | None]:
    """A reducer that says in which of Slurm's jobs it runs."""
    return sum(results), os.environ.get("SLURM_JOB_ID")


def where(x: int) -> tuple[int, str, str]:
    """Where a call runs, and what it was given."""
    return x * x, os.environ["SLURMD_NODENAME"], os.environ["KEY"]


def sleeps(mark: str, seconds: float = 300.0) -> str:
    """A call that says that it has begun, and takes its time unless it has been there before."""
    if Path(mark).exists():
        return "again"
    Path(mark).touch()
    time.sleep(seconds)
    return "late"


@pytest.mark.slow
def test_a_cancelled_element_is_an_exception(
    slurm: Slurm, executor: Callable[..., lithops.FunctionExecutor], tmp_path: Path
) -> None:
    """Whoever waits for a call that somebody cancelled is told so, in Slurm's words; the other calls go on."""
    fexec = executor()
    marks = [str(tmp_path / name) for name in "ab"]
    futures = fexec.map(sleeps, [(marks[0], 300.0), (marks[1], 0.0)])
    assert until(lambda: all(map(os.path.exists, marks)))
    assert until(lambda: len(slurm.queue()) == 1)  # the other one has ended
    name = slurm.queue()[0].split()[0]
    slurm.ask("scancel", f"--name={name}", "--state=RUNNING")
    with pytest.raises(RuntimeError, match=r"slurm: CANCELLED.* on n[12]: somebody cancelled it"):
        fexec.get_result(futures[0])
    assert ["late"] == fexec.get_result(futures[1:])


# -- is it ready ------------------------------------------------------------------------------------------------------


def checked(tmp_path: Path, shared: Path, **section: Any) -> dict[str, tuple[str, str]]:
    """What ``rdf-lithops check`` finds: level and message by name."""
    path = tmp_path / "config.json"  # YAML, too
    path.write_text(json.dumps(configuration(shared, **section)))
    return {finding.name: (finding.level, finding.message) for finding in check(str(path))}


def test_check_asks_the_scheduler_and_a_node(slurm: Slurm, shared: Path, tmp_path: Path) -> None:
    """All is well; the job on a node tells its versions. What could not run is named before anything does."""
    found = checked(tmp_path, shared)
    assert {"ok", "note"} >= {level for level, _ in found.values()}
    assert "ROOT" in found["node"][1]
    wrong = checked(tmp_path, shared, time="5:00:00", memory="90G")
    assert ("wrong", "wrong", "wrong") == (wrong["time"][0], wrong["memory"][0], wrong["job"][0])
    assert "node" not in wrong
    assert "no partition nowhere" in checked(tmp_path, shared, partition="nowhere")["partition"][1]
    other = checked(tmp_path, shared, setup="unset PYTHONPATH", python=sys.executable.replace(".venv", "nowhere"))
    assert "wrong" == other["node"][0]
    assert until(lambda: slurm.queue() == [])  # the probes are on their way out


def test_check_without_a_scheduler(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a submit host, that is what is said."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "wrong" == checked(tmp_path, shared)["commands"][0]
