"""The command line as a whole: its verbs, its help, its exit codes, its completion."""

from __future__ import annotations

import os
import subprocess
import sys

import click.testing
import pytest
from conftest import CAPTURED

from rdf_lithops import PlanError
from rdf_lithops.cli import EXIT_CODES, main

VERBS = main.list_commands(click.Context(main))


def test_verbs_are_the_modules() -> None:
    """Each public module of the package is a verb, under its name."""
    assert {"completion", "demo", "plan"} <= set(VERBS)
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
