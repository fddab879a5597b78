"""The interpreter's level of optimisation is the program's, whatever the package compiles in between."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import LOCALHOST_CONFIG
from kinds import quickly

PROGRAM = """
import sys
import lithops
def program():
    with lithops.FunctionExecutor(config_file=sys.argv[1]) as executor:
        frame = ROOT.RDataFrame(10, executor=executor, npartitions=2)
        told()
        print("sum", frame.Define("x", "1.0").Sum("x").GetValue())
    told()
def told():
    ROOT.gInterpreter.ProcessLine(".O")
"""
LEVELS = {
    "of_roots_own": ("", "import ROOT, rdf_lithops", 1),
    "of_the_environment": ("-O2", "import ROOT, rdf_lithops", 2),
    "of_the_environment_spelt": ("-g -Ofast", "import ROOT, rdf_lithops", 3),
    "of_the_environment_last": ("-O3 -Os", "import ROOT, rdf_lithops", 2),
    "set": ("", "import ROOT, rdf_lithops; ROOT.gInterpreter.ProcessLine('.O 3')", 3),
    "set_by_gROOT": ("-O2", "import ROOT, rdf_lithops; ROOT.gROOT.ProcessLine('.O0')", 0),
    "set_before_anybody_listened": ("", "import ROOT; ROOT.gInterpreter.ProcessLine('.O 2'); import rdf_lithops", 2),
}


@pytest.mark.parametrize("case", quickly(LEVELS, "set", "of_the_environment_spelt"))
def test_the_level_stays_that_of_the_program(case: str) -> None:
    """Behind the making of a data frame, and behind a run."""
    given, begin, level = LEVELS[case]
    environment = {name: value for name, value in os.environ.items() if name != "EXTRA_CLING_ARGS"}
    environment |= {"EXTRA_CLING_ARGS": given} if given else {}
    command = [sys.executable, "-W", "ignore", "-c", f"{begin}\n{PROGRAM}\nprogram()", str(LOCALHOST_CONFIG)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if "optimization level" in line or line.startswith("sum")]
    assert ["sum 10.0"] == [line for line in lines if line.startswith("sum")]
    assert [str(level)] * 2 == [line.rpartition(" ")[2] for line in lines if not line.startswith("sum")]
