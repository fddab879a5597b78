"""Lithops' copy of its own package for the localhost back end is made by the first program, and used by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import WITHOUT_ROOT
from kinds import quickly

LIMIT_S = 120
PROGRAM = f"""
import lithops, rdf_lithops
with lithops.FunctionExecutor(config={WITHOUT_ROOT}, log_level=None) as executor:
    print(executor.call_async(lambda x: x + 1, 41).result())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The copy that a first program has made, in a folder for temporary files of its own."""
    run(tmp_path)
    (made,) = tmp_path.glob("lithops-*/lithops")
    return made


def run(folder: Path) -> str:
    """What a new program with that folder for temporary files prints: the result of a function that Lithops has run."""
    given = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    return subprocess.run(command, check=True, env=given, timeout=LIMIT_S, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
def test_a_second_program_copies_nothing(copy: Path) -> None:
    """The second program finds the first one's copy and lets it stand; Lithops works with it."""
    before = copy.stat()
    assert run(copy.parent.parent) == "42"
    assert (copy.stat().st_ino, copy.stat().st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


@pytest.mark.parametrize("harm", quickly(["a file less", "a newer file", "another user's"], "another user's"))
def test_a_copy_that_is_not_lithops_own_is_made_anew(copy: Path, harm: str) -> None:
    """A copy that lacks a file, has a newer one, or belongs to somebody else is replaced by the package."""
    before = copy.stat().st_ino
    if harm == "a file less":
        (copy / "version.py").unlink()
    elif harm == "a newer file":
        (copy / "version.py").write_text("__version__ = 'another'")
    else:
        if os.getuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(copy, 65534, -1)
    assert run(copy.parent.parent) == "42"
    assert copy.stat().st_ino != before
    assert "another" not in (copy / "version.py").read_text()
