"""docs/migration.md: every program on it runs and gives local RDataFrame's histogram; every line of its tables is in one."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import ROOT
from conftest import LOCALHOST_CONFIG, REPOSITORY
from kinds import quickly
from test_pyrdf_original import checkout

from rdf_lithops import demo

PAGE = (REPOSITORY / "docs" / "migration.md").read_text()
HEADER = """
#pragma once
#include "ROOT/RVec.hxx"
namespace analysis {
inline double scale = 1;
using Values = const ROOT::RVecF &;
inline double mass(Values pt, Values eta, Values phi, Values mass) { return scale * InvariantMass(pt, eta, phi, mass); }
}
"""
PRINT_BINS = """
import json
print(json.dumps([h.GetBinContent(i) for i in range(h.GetNcells())]))
"""


@dataclass(frozen=True)
class Program:
    """A program of the page: its section, the environment variable of the checkout that it needs, its code."""

    section: str
    variable: str
    code: str

    def __str__(self) -> str:
        return f"{self.section} {self.variable}".strip()


def programs() -> list[Program]:
    """All programs of the page that come after a table."""
    found = []
    for text in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        for variable, code in re.findall(r"^```python after ?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            found.append(Program(text.splitlines()[0], variable, code))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: data, a header, a file and the configuration, under the names that the page uses."""
    made = tmp_path_factory.mktemp("migration")
    (made / "analysis.h").write_text(HEADER)
    (made / "weights.txt").write_text("1\n")
    (made / "configs").mkdir()
    (made / "configs" / "localhost.yaml").write_text(LOCALHOST_CONFIG.read_text())
    (made / "data").mkdir()
    demo.make_sample(str(made / "data"), files=3, events=3000)
    return made


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[float]:
    """The histogram that each program fills, by local RDataFrame."""
    df = ROOT.RDataFrame("Events", sorted(glob.glob(str(folder / "data" / "*.root")))).Filter("nMuon == 2")
    h = df.Define("m", "1.001 * InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)").Histo1D(("m", "m", 100, 0, 150), "m")
    return [h.GetBinContent(i) for i in range(h.GetNcells())]


@pytest.mark.parametrize("program", quickly(programs(), *programs()[:2]), ids=str)
def test_a_program_of_the_page_runs(program: Program, folder: Path, expected: list[float]) -> None:
    """Each program, as it stands there, fills the histogram that local RDataFrame fills, in a process of its own."""
    search = [str(REPOSITORY), *([checkout(program.variable)] if program.variable else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-W", "ignore", "-c", program.code + PRINT_BINS]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stderr[-3000:]
    assert expected == json.loads(done.stdout.splitlines()[-1])


def test_the_page_has_all_origins() -> None:
    """PyRDF, itself and kept, the AWS backend, Dask and Spark: each section has a program."""
    sections = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert 5 == len(sections)
    assert set(sections) == {program.section for program in programs()}


def test_every_line_on_the_right_is_in_a_program() -> None:
    """The tables promise nothing that is not run: the code of each right-hand cell is a line of a program of its section."""
    lines: dict[str, set[str]] = {program.section: set() for program in programs()}
    for program in programs():
        lines[program.section] |= {line.strip() for line in program.code.splitlines()}
    cells = []
    for text in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| .*`.* \| `(.+?)`[^`]* \|$", text, re.MULTILINE)
        assert len(rows) == len(re.findall(r"^\| .*`.*\|$", text, re.MULTILINE)), text.splitlines()[0]
        cells += [(text.splitlines()[0], row) for row in rows]
    assert len(cells) > 25
    assert [] == [(section, cell) for section, cell in cells if cell not in lines[section]]
