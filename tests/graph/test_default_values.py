"""A default for a column that some files do not have is what the program gave, whatever the process has run before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG
from test_what_is_read import write

import rdf_lithops

DEFAULTS = """
import sys, lithops, ROOT, rdf_lithops
if __name__ == "__main__":
    with lithops.FunctionExecutor(config_file=sys.argv[1]) as fexec:
        for name, value in (("d", -1.0), ("i", -1), ("d", -1.0)):
            files = [f"{sys.argv[2]}/{name}.root", f"{sys.argv[2]}/without.root"]
            frame = ROOT.RDataFrame("t", files, executor=fexec, npartitions=1)
            print(frame.DefaultValueFor(name, value).Sum(name).GetValue())
"""


@pytest.mark.slow
def test_defaults_of_several_types_in_one_process(tmp_path: Path) -> None:
    """A default is of its own type, also where another graph of the process had one of another type."""
    write(tmp_path / "d.root", 4, d="rdfentry_ + 0.5")
    write(tmp_path / "i.root", 4, i="(int)rdfentry_")
    write(tmp_path / "without.root", 2, x="1")
    command = [sys.executable, "-W", "ignore", "-c", DEFAULTS, str(LOCALHOST_CONFIG), str(tmp_path)]
    done = subprocess.run(command, **CAPTURED)
    assert ["6.0", "4.0", "6.0"] == done.stdout.split()[-3:], done.stderr[-2000:]


@pytest.mark.parametrize("npartitions", [1, 3])
@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("UInt_t", "UInt_t"),
        ("Long64_t", "Long64_t"),
        ("float", "Float_t"),
        ("bool", bool),
        ("double", "double"),
        ("float", float),
        ("int", int),
    ],
)
def test_a_type_in_brackets(kind: str, given: Any, npartitions: int, fexec: Any, tmp_path: Path) -> None:
    """Columns of every kind get a default of that kind, and keep their values where they have some."""
    files = [write(tmp_path / "with.root", 4, x=f"{kind}(rdfentry_ % 3)"), write(tmp_path / "without.root", 2, y="1")]
    expected, found = (
        frame.DefaultValueFor[given]("x", 1).Define("d", "double(x)").AsNumpy(["d"])["d"].tolist()
        for frame in (ROOT.RDataFrame("t", files), ROOT.RDataFrame("t", files, executor=fexec, npartitions=npartitions))
    )
    assert ([0, 1, 2, 0, 1, 1] if kind != "bool" else [0, 1, 1, 0, 1, 1]) == expected == found


@pytest.mark.parametrize(("kind", "value"), [("UInt_t", 1), ("Long64_t", 1), ("float", 1.0), ("int", 1.0), ("double", 1)])
def test_a_default_of_another_type(kind: str, value: float, fexec: Any, tmp_path: Path) -> None:
    """A default of another type than its column is refused, with what to write: local ROOT gives it to all entries."""
    files = [write(tmp_path / "with.root", 4, x=f"{kind}(rdfentry_ % 3)"), write(tmp_path / "without.root", 2, y="1")]
    frame = ROOT.RDataFrame("t", files, executor=fexec, npartitions=2)
    with pytest.raises(rdf_lithops.PlanError, match=r"""column 'x', which is .*write DefaultValueFor\[".*"\]\("x", ...\)"""):
        frame.DefaultValueFor("x", value)
    assert 6 == frame.Count().GetValue()  # nothing of it is left in the graph
