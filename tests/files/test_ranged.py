"""ROOT's end of remote files, in the package's library and compiled by Cling: the same values, the same errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import datasets
import pytest
import ROOT
from servers.web import Web

from rdf_lithops.compiled import library

IMPATIENT = {"XRD_CONNECTIONWINDOW": "1", "XRD_CONNECTIONRETRY": "1", "XRD_STREAMERRORWINDOW": "1"}
CAREFUL = {"MALLOC_PERTURB_": "85"}  # what is used once it was given back is nonsense
PROGRAM = """
    import contextlib, ctypes, json, sys
    import ROOT
    from rdf_lithops.compiled import ours
    from rdf_lithops.files import access, ranged
    from rdf_lithops.processes import warm

    folder, trees, ntuples, missing, order = json.loads(sys.argv[1])

    def library_of(name):
        address = ctypes.cast(ours.function("ranged_file", name, None), ctypes.c_void_p).value
        for line in open("/proc/self/maps"):
            first, end = (int(number, 16) for number in line.split()[0].split("-"))
            if first <= address < end:
                return line.split()[-1].rpartition("/")[2]

    def values(name, files):
        frame = ROOT.RDataFrame(name, files)
        x, i = frame.Sum("x"), frame.Filter("n > 1").Sum("i")
        return [x.GetValue().hex(), float(i.GetValue()).hex()]

    if order == "plug-ins first":
        ranged.read_plugins()
    with contextlib.closing(access.hold(folder, {})):
        with access.granted(folder, access.Grant(), [*trees, *ntuples]):
            ranged.read_plugins()
            found = {"trees": values("events", trees), "ntuples": values("events", ntuples)}
            found["fetched"] = access.fetched().bytes > 0
            found["before"] = access.take_failure()
            try:
                ROOT.TFile.Open(missing)
            except OSError:
                found["missing"] = access.take_failure()
            try:
                ROOT.TFile.Open(trees[0], "RECREATE")
            except OSError as error:
                found["written"] = "cannot"
            ROOT.SetOwnership(ROOT.TFile.Open(trees[0]), False)
            found["unreadable"] = access.unreadable(["root://localhost:1//nothing.root"])["kind"]
        try:
            ROOT.TFile.Open(trees[0])
        except OSError:
            found["afterwards"] = access.take_failure()["kind"]
    warm.reap(folder, "reader")
    print(json.dumps(found))
    print(library_of("open_file"))
"""


def answers(web: Web, files: datasets.Datasets, folder: Path, order: str, **variables: str) -> tuple[dict[str, Any], str]:
    """What a fresh program reads over http, and the library that its files are opened by."""
    for path in [*files.main, *files.rntuple]:
        (web.root / Path(path).name).write_bytes(Path(path).read_bytes())
    trees, ntuples = ([f"{web.http}/{Path(path).name}" for path in paths] for paths in (files.main, files.rntuple))
    folder.mkdir(mode=0o700)
    given = json.dumps([str(folder), trees, ntuples, f"{web.http}/no.root", order])
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM), given]
    limits: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, env={**os.environ, **IMPATIENT, **CAREFUL, **variables}, **limits)
    assert 0 == done.returncode, done.stderr[-3000:]
    found, home = done.stdout.splitlines()
    return json.loads(found), home


def expected(web: Web, files: datasets.Datasets) -> dict[str, Any]:
    """The values of local files, and what goes wrong with others."""

    def values(paths: list[str]) -> list[str]:
        frame = ROOT.RDataFrame("events", paths)
        x, i = frame.Sum("x"), frame.Filter("n > 1").Sum("i")
        return [x.GetValue().hex(), float(i.GetValue()).hex()]

    return {
        "trees": values(files.main),
        "ntuples": values(files.rntuple),
        "fetched": True,
        "before": None,
        "missing": {"kind": "missing", "url": f"{web.http}/no.root"},
        "written": "cannot",
        "unreadable": "unreachable",
        "afterwards": "reader",
    }


@pytest.mark.parametrize("order", ["plug-ins first", pytest.param("plug-ins last", marks=pytest.mark.slow)])
def test_remote_files_are_the_same_with_and_without_a_library(
    order: str, web: Web, files: datasets.Datasets, tmp_path: Path
) -> None:
    """Remote files have the bits of local ones, and errors their words, whoever has compiled what opens them."""
    has_library = os.environ[library.VARIABLE] != library.OFF
    if order == "plug-ins first" and has_library:
        found, home = answers(web, files, tmp_path / "with", order)
        assert "ours.so" == home
    else:
        found, home = answers(web, files, tmp_path / "without", order, **{library.VARIABLE: library.OFF})
        assert "ours.so" != home
    assert found["missing"].pop("why")
    assert found["missing"].pop("next_command")
    assert expected(web, files) == found
