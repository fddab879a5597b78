"""Whole programs, run by local ROOT and on Lithops from the same file, only the executor differing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LOCALHOST_CONFIG, REPOSITORY

FOLDER = REPOSITORY / "tests" / "programs"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "where")
QUICK = {"declared_cpp"}  # of which each run of the tests makes sure
TWICE = {"skim"}  # in one folder, as programs are
NEEDS = {"corrections": "correctionlib", "python_functions": "numba"}


def results(program: str, mode: str, folder: Path) -> list[str]:
    """The lines of results that a program prints, run in ``folder``, which is made for the first of several runs."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", str(FOLDER / f"{program}.py"), mode, str(LOCALHOST_CONFIG)]
    path = os.pathsep.join(filter(None, (str(FOLDER), str(REPOSITORY), os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return [line for line in done.stdout.splitlines() if line.startswith("RESULT")]


@pytest.mark.parametrize(
    "program", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PROGRAMS]
)
@pytest.mark.timeout(700)
def test_lithops_equals_local(program: str, tmp_path: Path) -> None:
    """Every result that the program prints is local ROOT's, also when it is run again in its folder."""
    if (needed := NEEDS.get(program)) and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed: pip install {needed}")
    for _ in range(2 if program in TWICE else 1):
        expected = results(program, "local", tmp_path / "local")
        assert len(expected) > 1
        assert expected == results(program, "lithops", tmp_path / "lithops")
