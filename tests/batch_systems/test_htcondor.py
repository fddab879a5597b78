"""HTCondor: descriptions as its own library reads them, and its commands against a recorder that answers as documented.

It was not run on a pool: none can be had here.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_batch import job
from waiting import until

from rdf_lithops.batch import htcondor
from rdf_lithops.batch.commands import BatchError, SchedulerBusy
from rdf_lithops.batch.states import ENDED, RUNNING, WAITING, Element


def section_of(**given: Any) -> dict[str, Any]:
    """A section of the configuration, filled in."""
    config = {"lithops": {}, "htcondor": dict(given), "shared_folder": {"path": "/shared"}}
    htcondor.load_config(config)
    return config["htcondor"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"memory": "3G", "time": "2:00:00", "cpus": 2},
        {"accounting_group": "group_u_CMS.u_zh", "requirements": '(OpSysAndVer =?= "AlmaLinux9")', "max_workers": 3},
        {"options": ['+JobFlavour = "longlunch"', "rank = Mips"], "container": "/cvmfs/images/root.sif"},
    ],
)
def test_descriptions_are_read_by_htcondor(given: dict[str, Any], tmp_path: Path) -> None:
    """Its own library takes each, queues an element for each call, and finds in it what was configured."""
    library = pytest.importorskip("htcondor2", reason="pip install htcondor")
    classads = pytest.importorskip("classad2")
    section, made = section_of(**given), job(tmp_path, 5)
    submit = library.Submit(htcondor.description(section, made))
    assert 5 == int(submit.getQArgs())
    read = {name: submit.expand(name) for name in submit.keys()}  # noqa: SIM118  # as its library has it
    expected = {
        "universe": "vanilla",
        "executable": f"{made.folder}/element.sh",
        "arguments": "0",
        "output": "0-0.log",
        "error": "0-0.log",
        "batch_name": made.name,
        "request_memory": str(section["runtime_memory"]),
        "request_cpus": str(section["cpus"]),
        "allowed_execute_duration": str(section["runtime_timeout"]),
        "should_transfer_files": "NO",
        **{name: value for name, value in given.items() if name in ("accounting_group", "requirements")},
        **({"max_materialize": "3"} if "max_workers" in given else {}),
        **({"MY.JobFlavour": '"longlunch"', "rank": "Mips"} if "options" in given else {}),
    }
    assert expected.items() <= read.items()
    if "requirements" in given:
        assert "OpSysAndVer" in str(classads.ExprTree(read["requirements"]))


def test_numbers_of_states_are_htcondors() -> None:
    """Those that its own library has."""
    states = pytest.importorskip("htcondor2", reason="pip install htcondor").JobStatus
    known = htcondor.IDLE, htcondor.RUNS, htcondor.REMOVED, htcondor.COMPLETED, htcondor.HELD
    assert known == (states.IDLE, states.RUNNING, states.REMOVED, states.COMPLETED, states.HELD)


@pytest.mark.parametrize(
    ("attributes", "phase", "cause", "words"),
    [
        ({"JobStatus": 1}, WAITING, "", "idle"),
        ({"JobStatus": 2, "RemoteHost": "slot1@n1"}, RUNNING, "", ""),
        ({"JobStatus": 6}, RUNNING, "", ""),
        ({"JobStatus": 7}, RUNNING, "", ""),
        ({"JobStatus": 4, "ExitCode": 0, "LastRemoteHost": "slot1@n1"}, ENDED, "", "ended on slot1@n1 with 0"),
        ({"JobStatus": 4, "ExitCode": 1}, ENDED, "lost", "ended with 1"),
        ({"JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9}, ENDED, "lost", "by signal 9"),
        ({"JobStatus": 3, "RemoveReason": "via condor_rm (by user me)"}, ENDED, "lost", "via condor_rm"),
        ({"JobStatus": 5, "HoldReasonCode": 34, "HoldReason": "memory usage exceeded"}, ENDED, "memory", "memory usage"),
        (
            {"JobStatus": 5, "HoldReasonCode": 47, "HoldReason": "exceeded allowed execute duration"},
            ENDED,
            "time",
            "duration",
        ),
        ({"JobStatus": 5, "HoldReasonCode": 7, "HoldReason": "cannot open output"}, ENDED, "lost", "cannot open output"),
    ],
)
def test_states_of_htcondor(attributes: dict[str, Any], phase: str, cause: str, words: str) -> None:
    """Idle is not lost, and an end says what of; a job that is held will not go on by itself."""
    found = htcondor.element_of(attributes)
    assert (phase, cause) == (found.phase, found.cause)
    assert words in found.words


RECORDER = """
    #!{python}
    import json, os, sys
    name = os.path.basename(sys.argv[0])
    with open("{folder}/transcript.jsonl", "a") as stream:
        stream.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
    with open("{folder}/answers.json") as stream:
        answer = json.load(stream)[name]
    sys.stdout.write(answer.get("stdout", ""))
    sys.stderr.write(answer.get("stderr", ""))
    sys.exit(answer.get("code", 0))
"""
COMMANDS = ("condor_submit", "condor_q", "condor_history", "condor_rm")


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Stands on PATH for HTCondor's commands. Called with answers by name, it gives those; returns what was asked so far."""
    folder = tmp_path / "condor"
    folder.mkdir()
    program = textwrap.dedent(RECORDER).lstrip().format(python=sys.executable, folder=folder)
    for name in COMMANDS:
        (folder / name).write_text(program)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def answer(**answers: dict[str, Any]) -> list[list[str]]:
        if answers:
            (folder / "answers.json").write_text(json.dumps({**{name: {} for name in COMMANDS}, **answers}))
        transcript = folder / "transcript.jsonl"
        return [json.loads(line) for line in transcript.read_text().splitlines()] if transcript.exists() else []

    answer()
    return answer


def test_transcript_of_a_job(recorder: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    """Submitted once, polled by one query for all elements, those that left the queue looked up once, removed by name."""
    scheduler, made = htcondor.HTCondor(section_of(setup="source /cvmfs/view.sh")), job(tmp_path, 3)
    left = [
        {"ClusterId": 12, "ProcId": 0, "JobStatus": 2, "RemoteHost": "n1"},
        {"ClusterId": 12, "ProcId": 1, "JobStatus": 1},
    ]
    gone = [{"ClusterId": 12, "ProcId": 2, "JobStatus": 4, "ExitCode": 0, "LastRemoteHost": "n2"}]
    recorder(
        condor_submit={"stdout": "12.0 - 12.2\n"},
        condor_q={"stdout": json.dumps(left)},
        condor_history={"stdout": json.dumps(gone)},
        condor_rm={"stdout": "All jobs matching constraint have been marked for removal\n"},
    )
    scheduler.submit(made)
    states = scheduler.states([made])
    scheduler.cancel([made])
    assert [RUNNING, WAITING, ENDED] == [states[made.name, number].phase for number in range(3)]
    attributes = ["-json", "-attributes", ",".join(htcondor.ATTRIBUTES)]
    assert recorder() == [
        ["condor_submit", "-terse", f"{made.folder}/submit.sub"],
        ["condor_q", "12", *attributes],
        ["condor_history", "12", *attributes],
        ["condor_rm", "-constraint", f'JobBatchName == "{made.name}"'],
    ]
    script = Path(made.folder, "element.sh").read_text()
    assert "secret-of-the-call" not in script + Path(made.folder, "submit.sub").read_text()
    assert 0o600 == Path(made.folder, "variables.sh").stat().st_mode & 0o777
    assert script.index(". ") < script.index("source /cvmfs/view.sh") < script.index("-m rdf_lithops.batch.element")


def test_nothing_to_remove_is_no_error(recorder: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    """condor_rm of jobs that are gone fails, and that is what was wanted; a schedd that does not answer is an error."""
    scheduler, made = htcondor.HTCondor(section_of()), job(tmp_path, 1)
    recorder(condor_rm={"code": 1, "stderr": "Couldn't find/remove all jobs matching constraint (JobBatchName == x)\n"})
    scheduler.cancel([made])
    recorder(condor_rm={"code": 1, "stderr": "Error: unable to connect to schedd\n"})
    with pytest.raises(SchedulerBusy, match="unable to connect"):
        scheduler.cancel([made])


def test_a_refusal_is_told(recorder: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    """What condor_submit says is the error."""
    recorder(condor_submit={"code": 1, "stderr": "ERROR: accounting_group is required on this pool\n"})
    with pytest.raises(BatchError, match="accounting_group is required"):
        htcondor.HTCondor(section_of()).submit(job(tmp_path, 1))


@pytest.mark.slow
def test_elements_run_as_the_description_says(recorder: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    """The script that HTCondor would start, started here with an element's number, runs that call of Lithops' payload."""
    import lithops

    shared = tmp_path / "shared"
    config = {
        "lithops": {"backend": "htcondor", "storage": "shared_folder", "log_level": "WARNING", "data_cleaner": False},
        "htcondor": {"poll_s": 0.2},
        "shared_folder": {"path": str(shared)},
    }
    recorder(condor_submit={"stdout": "7.0 - 7.1\n"}, condor_q={"stdout": "[]"}, condor_history={"stdout": "[]"})
    with lithops.FunctionExecutor(config=config) as fexec:
        futures = fexec.map(double, [1, 2], extra_env={"KEY": "of the call"})
        (folder,) = (shared / "submissions").iterdir()
        codes = [os.waitstatus_to_exitcode(os.system(f"cd {folder} && ./element.sh {number}")) for number in range(2)]
        assert [0, 0] == codes
        assert [(2, "of the call"), (4, "of the call")] == fexec.get_result(futures)
    assert until(lambda: not list((shared / "submissions").iterdir()))
    assert "condor_rm" in [command for command, *_ in recorder()]


def double(x: int) -> tuple[int, str]:
    """A call."""
    return 2 * x, os.environ["KEY"]


def test_shared_words() -> None:
    """Both schedulers speak of elements in the same words."""
    assert Element(WAITING, words="idle") == htcondor.element_of({"JobStatus": 1})
