"""A run whose driver was killed is taken up by its name: in the program, or by ``rdf-lithops resume RUN -- PROGRAM``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chaos import family
from chaos.killed_drivers import files_of
from conftest import CAPTURED, LOCALHOST_CONFIG
from test_resuming import ALL, LIMIT_S, data, kill_with_partials, run, start, told, words

__all__ = ["data"]  # a fixture
pytestmark = pytest.mark.slow


@pytest.fixture
def killed(data: Path) -> str:
    """The name of a run of four calls of which three have delivered; nobody sees what its C++ answers."""
    kill_with_partials(data, MY_DEFAULT="")
    (found,) = told(data, "resume", "--json")["runs"]
    return str(found["name"]).removeprefix("run ")


def refused(folder: Path, **given: str) -> str:
    """What the program says that is refused."""
    (folder / "begun").unlink(missing_ok=True)
    program = start(folder, **given)
    _, err = program.communicate(timeout=LIMIT_S)
    assert program.returncode
    assert not (folder / "begun").exists(), "something was invoked"
    return err.partition("PlanError")[2]


def resumed(folder: Path, *given: str, cut: str = "0.5") -> subprocess.CompletedProcess[str]:
    """``rdf-lithops resume`` with the program."""
    (folder / "begun").unlink(missing_ok=True)
    own = [sys.executable, "-m", "rdf_lithops", "resume", "--config", str(LOCALHOST_CONFIG), *given, "--"]
    variables = {"TMPDIR": str(folder / "tmp"), "MY_DEFAULT": ""}
    return subprocess.run([*own, *words(folder, cut)], env={**os.environ, **variables}, cwd=folder, **CAPTURED)


def computed(folder: Path) -> set[int]:
    return {int(line) for line in (folder / "begun").read_text().split()}


def test_the_program_names_it(data: Path, killed: str) -> None:
    """``rdf_lithops.resume(run)``: what is not the same, or not there, is an error before anything is invoked; else what is
    there is taken up, although nobody sees what the C++ answers."""
    assert "options.seed" in refused(data, seed="2", MY_DEFAULT="", MY_LITHOPS_RUN=killed)
    assert "what is computed" in refused(data, cut="0.75", MY_DEFAULT="", MY_LITHOPS_RUN=killed)
    assert "the storage has no such run" in refused(data, MY_DEFAULT="", MY_LITHOPS_RUN="1795000000-0123456789ab")
    _, again, _ = run(data, MY_DEFAULT="", MY_LITHOPS_RUN=killed)
    assert {750} == again
    assert [] == family.left_on_disk(str(data / "tmp"))


def test_the_command_starts_the_program(data: Path, killed: str) -> None:
    """``rdf-lithops resume RUN -- PROGRAM``: another query passes, and it is said that nobody took it up; the same does."""
    done = resumed(data, killed, cut="0.75")
    assert 3 == done.returncode, done
    assert ALL == computed(data)
    assert f"no query of it was the same as run {killed}" in done.stderr
    done = resumed(data, f"run {killed}")
    assert 0 == done.returncode, done
    assert {750} == computed(data)
    assert [] == family.left_on_disk(str(data / "tmp"))
    done = resumed(data, killed)
    assert 1 == done.returncode
    assert f"there is no run {killed}" in done.stderr


def test_of_another_machine_the_user_says_that_it_is_dead(data: Path, killed: str) -> None:
    """A run whose driver ran elsewhere is taken up by nobody who does not say that this driver is dead."""
    (record,) = files_of(data / "tmp", "run.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "host": "elsewhere"}))
    (found,) = told(data, "resume", "--json")["runs"]
    assert "elsewhere" == found["host"]
    assert "its driver ran on elsewhere" in refused(data, MY_DEFAULT="", MY_LITHOPS_RUN=killed)
    done = resumed(data, killed)
    assert 1 == done.returncode
    assert "--dead" in done.stderr
    done = resumed(data, "--dead", killed)
    assert 0 == done.returncode, done
    assert {750} == computed(data)
    assert [] == family.left_on_disk(str(data / "tmp"))
