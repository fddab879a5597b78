"""The command line as a whole: its verbs, its help, its exit codes, its completion."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click.testing
import pytest
from conftest import CAPTURED, REPOSITORY
from scripted import quiet_run, report_of

from rdf_lithops import PlanError
from rdf_lithops.cli import EXIT_CODES, FAILED, main
from rdf_lithops.cli.explain import paragraphs

VERBS = main.list_commands(click.Context(main))


def test_verbs_are_the_modules() -> None:
    """Each public module of the package is a verb, under its name."""
    assert {"completion", "demo", "plan", "report"} <= set(VERBS)
    assert not any(name.startswith("_") for name in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_teaches(verb: str) -> None:
    """Its help opens with a sentence, names its options, and shows how it is called."""
    shown = click.testing.CliRunner().invoke(main, [verb, "--help"])
    assert 0 == shown.exit_code
    assert f"Usage: main {verb}" in shown.output
    assert f"rdf-lithops {verb}" in shown.output, "an example"
    command = main.get_command(click.Context(main), verb)
    assert command is not None and command.short_help and command.short_help.endswith(".")


def verbs_with_json(command: click.Command, path: str) -> list[str]:
    """Verbs below ``command`` that do something, and whether they print JSON."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        inner = ((name, command.get_command(context, name)) for name in command.list_commands(context))
        return [each for name, found in inner if found for each in verbs_with_json(found, f"{path} {name}".strip())]
    return [path] if any("--json" in parameter.opts for parameter in command.params) else [f"{path}: none"]


def test_each_verb_prints_json() -> None:
    """Every verb has --json, but for the one that prints a shell's script."""
    assert ["completion: none"] == [verb for verb in verbs_with_json(main, "") if verb.endswith(": none")]


def test_what_is_explained_is_json_too() -> None:
    """One topic or all of them, and nothing else on standard output."""
    runner = click.testing.CliRunner()
    one = json.loads(runner.invoke(main, ["explain", "lost-ranges", "--json"]).stdout)
    every = json.loads(runner.invoke(main, ["explain", "--json"]).stdout)
    assert ["lost-ranges"] == list(one)
    assert one["lost-ranges"] == every["lost-ranges"]


def test_topics_have_one_paragraph_each() -> None:
    """What is explained under a heading is all that there is of it."""
    text = (REPOSITORY / "rdf_lithops" / "troubleshooting.md").read_text()
    assert len(paragraphs()) == sum(line.startswith("## ") for line in text.splitlines())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be made is an error with a sentence, and no traceback."""
    (tmp_path / "file").touch()
    result = click.testing.CliRunner().invoke(main, ["demo", "--folder", str(tmp_path / "file" / "below")])
    assert FAILED == result.exit_code
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert str(tmp_path / "file") in result.output


def test_help_explains_exit_codes() -> None:
    """The overview lists the verbs and what each exit code means."""
    shown = click.testing.CliRunner().invoke(main, ["--help"]).output
    for verb in VERBS:
        assert f"\n  {verb} " in shown
    for code in EXIT_CODES:
        assert f"\n  {code} " in shown


@pytest.mark.parametrize(("raised", "code"), [(PlanError("no"), 1), (KeyboardInterrupt(), 130), (SystemExit(7), 7)])
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int) -> None:
    """An error of ours is its message and 1, an interruption 130, and a verb's own code is kept."""

    @click.command()
    def verb() -> None:
        raise raised

    monkeypatch.setattr(main, "get_command", lambda context, name: verb)
    done = click.testing.CliRunner().invoke(main, ["plan"])
    assert code == done.exit_code
    assert "Traceback" not in done.output


def test_an_unknown_verb_is_wrong_usage() -> None:
    """Status 2, and the way to the help."""
    done = click.testing.CliRunner().invoke(main, ["nonsense"])
    assert 2 == done.exit_code
    assert "--help" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    """Each shell has a script of its own; that of bash is one that bash accepts."""
    script = click.testing.CliRunner().invoke(main, ["completion", shell]).output
    assert "_RDF_LITHOPS_COMPLETE" in script
    if shell == "bash":
        assert 0 == subprocess.run(["bash", "-n"], input=script, text=True, timeout=20).returncode


def test_completion_completes_without_root() -> None:
    """What bash asks on the tabulator: verbs and options, nothing on standard error, and ROOT stays down."""
    program = (
        "import sys, rdf_lithops.cli as cli\ntry: cli.main(prog_name='rdf-lithops')\nfinally: print('ROOT' in sys.modules)"
    )
    answers = {}
    for words in ("rdf-lithops ", "rdf-lithops demo --no"):
        count = len(words.split(" ")) - 1
        asked = {"_RDF_LITHOPS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **asked}, **CAPTURED)
        assert "" == done.stderr
        answers[words] = done.stdout.split()
    assert {f"plain,{verb}" for verb in VERBS} <= set(answers["rdf-lithops "])
    assert "plain,--no-local" in answers["rdf-lithops demo --no"]
    assert "False" == answers["rdf-lithops "][-1]


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A report in a file."""
    (tmp_path / "run.json").write_text(report_of(quiet_run()).to_json())
    return str(tmp_path / "run.json")


def test_a_saved_report_is_shown(saved: str) -> None:
    """A report is shown as text or as the JSON that it is, from a file or from standard input."""
    runner = click.testing.CliRunner()
    assert f"{report_of(quiet_run())}\n" == runner.invoke(main, ["report", saved]).output
    shown = runner.invoke(main, ["report", "-", "--json"], input=Path(saved).read_text())
    assert "quiet" == json.loads(shown.stdout)["run_id"]


def test_a_saved_report_becomes_a_page_and_a_picture(saved: str, tmp_path: Path) -> None:
    """Both are written, and standard output stays clean for JSON."""
    arguments = ["report", saved, "--html", "run.html", "--plot", "run.png", "--json"]
    shown = click.testing.CliRunner().invoke(main, arguments)
    assert 0 == shown.exit_code, shown.output
    assert "quiet" == json.loads(shown.stdout)["run_id"]
    assert "<svg" in (tmp_path / "run.html").read_text()
    assert b"PNG" == (tmp_path / "run.png").read_bytes()[1:4]


def test_what_is_no_report(tmp_path: Path) -> None:
    """The file is named, and what it should be."""
    (tmp_path / "other.json").write_text("{}")
    done = click.testing.CliRunner().invoke(main, ["report", "other.json"])
    assert 1 == done.exit_code
    assert "other.json is no report that rdf_lithops saved: expected a report of format 1, got None" in done.output


@pytest.mark.slow
def test_the_demo_saves_its_report(tmp_path: Path) -> None:
    """What the first query did, in a file that can be shown."""
    arguments = ["demo", "--events", "1000", "--folder", "made", "--no-local", "--report", "run.json", "--json"]
    done = click.testing.CliRunner().invoke(main, arguments)
    assert 0 == done.exit_code, done.output
    facts = json.loads(done.stdout)
    assert facts["entries"] == facts["cuts"][-1]["passed"] > 0
    assert "entries" in done.stderr
    shown = click.testing.CliRunner().invoke(main, ["report", "run.json"])
    assert "1,000 entries" in shown.output


@pytest.mark.slow
def test_an_interrupted_demo(tmp_path: Path) -> None:
    """Ctrl-C in mid-run: status 130 within a time limit, one line and no traceback.

    It is pressed again if nothing happens: one that meets ROOT while it calls back into Python is lost there.
    """
    command = [sys.executable, "-W", "ignore", "-m", "rdf_lithops", "demo", "--events", "200000", "--npartitions", "2"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **options, env={**os.environ, "TMPDIR": str(tmp_path)}) as program:
        until = time.monotonic() + 60
        while not list(
            tmp_path.glob("lithops-*/storage/rdf_lithops/runs/*/run.json")
        ):  # a run has begun: before, a press is ROOT's to lose
            assert program.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        for _ in range(3):
            os.killpg(program.pid, signal.SIGINT)  # a terminal tells all of its foreground
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(timeout=10)
                break
        _, said = program.communicate(timeout=60)
    assert program.returncode in (130, -signal.SIGINT), said  # which a shell shows as 130, both of them
    assert "interrupted" in said and "Traceback" not in said
