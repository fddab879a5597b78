"""Environment variables that a program sets are there for the code that reads them on workers, as locally."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG

from rdf_lithops.graph import environment

NAME = "RDF_TEST_SCALE"
READ = f'const char *value = std::getenv("{NAME}"); return value ? std::atof(value) : -1.0;'


@pytest.fixture(autouse=True)
def not_set() -> Iterator[None]:
    """The variable is not there afterwards."""
    yield
    os.environ.pop(NAME, None)


def total(**given: Any) -> float:
    """What C++ reads, entry by entry."""
    return float(ROOT.RDataFrame(4, **given).Define("x", READ).Sum("x").GetValue())


def test_a_variable_that_changes(fexec: Any) -> None:
    """Set, changed, set by ROOT's function, removed between two queries: workers read what the driver reads."""
    ours: dict[str, Any] = {"executor": fexec, "npartitions": 2}
    assert -4 == total() == total(**ours)
    os.environ[NAME] = "2.5"
    assert 10 == total() == total(**ours)
    ROOT.gSystem.Setenv(NAME, "3")
    assert 12 == total() == total(**ours)
    ROOT.gSystem.Unsetenv(NAME)
    assert -4 == total() == total(**ours)


def test_a_variable_that_was_there_when_processes_began() -> None:
    """What a process of this machine has inherited is not there any more once the program has removed it."""
    os.environ[NAME] = "5"
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG), log_level=None) as own:
        assert 20 == total(executor=own)
        os.environ[NAME] = "6"
        assert 24 == total(executor=own)
        del os.environ[NAME]
        assert -4 == total() == total(executor=own)


def test_python_on_workers(fexec: Any) -> None:
    """What is given to ``initialize`` finds them too, and has the last word."""
    os.environ[NAME] = "7"

    def set_another() -> None:
        os.environ[f"{NAME}_TWICE"] = str(2 * int(os.environ[NAME]))

    ROOT.RDF.Distributed.initialize(set_another)
    try:
        frame = ROOT.RDataFrame(4, executor=fexec).Define("x", f'std::atof(std::getenv("{NAME}_TWICE"))')
        assert 56 == frame.Sum("x").GetValue()
    finally:
        ROOT.RDF.Distributed.initialize(lambda: None)
        del os.environ[NAME]


def test_the_option_turns_it_off(fexec: Any) -> None:
    """Without ``declared`` they stay on the driver, as do those that were there before the program."""
    assert -4 == total(executor=fexec)  # its processes are up: they inherit what is there when they start
    os.environ[NAME] = "2"
    assert -4 == total(executor=fexec, options={"declared": False})


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
        "PYTEST_CURRENT_TEST",
        "AWS_SECRET_ACCESS_KEY",
        "MY_TOKEN",
        "dbpassword",
        "https_proxy",
    ],
)
def test_what_stays_on_the_driver(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What belongs to a machine or a tool, or may be a secret, does not travel in the open."""
    before = environment.changed()
    monkeypatch.setenv(name, "something else")
    monkeypatch.setenv("A_DATABASE", "postgres://me:word@host/db")
    monkeypatch.setenv("A_FILE", "https://host/file?sig=abc")
    assert before == environment.changed()
    monkeypatch.setenv("SOMETHING_OF_THE_PROGRAM", "here")
    assert "SOMETHING_OF_THE_PROGRAM" in environment.changed()[0].text
