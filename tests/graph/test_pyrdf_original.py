"""The original PyRDF, unedited, with this package's back end: each generation against local RDataFrame.

Its source is not here, and not on the package index (the ``pyRDF`` there is something else): each environment variable
of ``CHECKOUTS`` names a checkout; without it its tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import LOCALHOST_CONFIG, REPOSITORY
from datasets import ENTRIES, Datasets

CHECKOUTS = {
    "RDF_LITHOPS_PYRDF_010": "v0.1.0",
    "RDF_LITHOPS_PYRDF_021": "v0.2.1",
    "RDF_LITHOPS_PYRDF_MASTER": "master",
    "RDF_LITHOPS_PYRDF_BRANCH": "npartitions-in-dataframe",
}
WITH_USE = ("RDF_LITHOPS_PYRDF_010", "RDF_LITHOPS_PYRDF_021")  # these import pyspark themselves
LATER = [variable for variable in CHECKOUTS if variable != "RDF_LITHOPS_PYRDF_010"]  # have Count, Sum, AsNumpy, Snapshot
PROGRAM_LIMIT_S = 150
PARTITIONS = (1, 3, 5)

# What these tests of PyRDF meet in ROOT 6.40: it opens the file at once, and they name one that does not exist.
FAIL_WITHOUT_US = {
    "test_rdataframe.py::RDataFrameConstructorTests::test_three_args_with_multiple_files",
    "test_rdataframe.py::RDataFrameConstructorTests::test_three_args_with_single_file",
    "test_rdataframe.py::RDataFrameConstructorTests::test_two_args",
}


def checkout(variable: str) -> str:
    """The folder that the environment variable names; skips the test where there is none."""
    folder = os.environ.get(variable)
    if not folder or not os.path.isdir(os.path.join(folder, "PyRDF")):
        get = f"git clone -b {CHECKOUTS[variable]} https://github.com/vepadulano/PyRDF FOLDER"
        pytest.skip(f"{variable} names no checkout of the original PyRDF; to get it: {get}; export {variable}=FOLDER")
    if variable in WITH_USE:
        pytest.importorskip("pyspark", reason="this PyRDF imports pyspark: pip install 'pyspark<4'")
    return folder


def run(folder: str, arguments: list[str], cwd: str, warnings: str = "ignore") -> subprocess.CompletedProcess[str]:
    """Python in a process of its own whose ``import PyRDF`` finds the checkout."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(REPOSITORY)]), "PYTHONSAFEPATH": "1"}
    environment["PYSPARK_PYTHON"] = sys.executable  # Spark's own workers: else any python3 on PATH, without ROOT
    command = [sys.executable, "-W", warnings, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PROGRAM_LIMIT_S)


@pytest.fixture(scope="session")
def results_of(files: Datasets, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What the program printed with the checkout of a variable; it runs once."""
    kept: dict[str, dict[str, Any]] = {}

    def results(variable: str) -> dict[str, Any]:
        folder = checkout(variable)
        if variable not in kept:
            program = str(Path(__file__).with_name("pyrdf_original_program.py"))
            arguments = [program, str(files.folder), str(LOCALHOST_CONFIG)]
            done = run(folder, arguments, str(tmp_path_factory.mktemp("original")))
            assert 0 == done.returncode, done.stderr[-4000:]
            kept[variable] = json.loads(done.stdout.splitlines()[-1])
        return kept[variable]

    return results


def bins(result: Any) -> list[list[float]]:
    """Contents and errors of all bins."""
    return [[result.GetBinContent(i), result.GetBinError(i)] for i in range(result.GetNcells())]


def points(result: Any) -> list[list[float]]:
    """The points of a graph, sorted."""
    return sorted([result.GetPointX(i), result.GetPointY(i)] for i in range(result.GetN()))


@pytest.fixture(scope="session")
def here(files: Datasets) -> dict[str, Any]:
    """Local RDataFrame's answers to the program's questions."""
    df = ROOT.RDataFrame("events", files.main)
    tree, friend = ROOT.TChain("events"), ROOT.TChain("friends")
    for name in files.main:
        tree.Add(name)
    for name in files.friends:
        friend.Add(name)
    tree.AddFriend(friend)
    with_friend = ROOT.RDataFrame(tree)
    histogram = df.Filter("n > 0").Histo1D(("x", "x", 20, 0.0, 12.0), "x")
    profile = df.Profile1D(("p", "p", 8, 0.0, 12.0), "x", "z")
    graph = df.Filter("i % 10 == 0").Graph("x", "z")
    some, total = df.Filter("n > 1").Count(), df.Sum("x")
    return {
        "Histo1D": bins(histogram),
        "Profile1D": bins(profile),
        "Graph": points(graph),
        "Count": some.GetValue(),
        "Sum": total.GetValue(),
        "friends Sum": with_friend.Sum("fx").GetValue(),
        "friends Histo2D": bins(with_friend.Histo2D(("f", "f", 40, 0.0, 400.0, 40, 0.0, 400.0), "i", "fi")),
    }


def close(expected: Any) -> Any:
    """Equal but for the order of summing: floating-point sums of partitions differ in the last digits."""
    if isinstance(expected, list):
        return [close(item) for item in expected]
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


# -- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("variable", CHECKOUTS)
def test_histograms_profiles_and_graphs(variable: str, partitions: int, results_of: Any, here: dict[str, Any]) -> None:
    """Those of every generation are local RDataFrame's: contents and errors, whatever the number of partitions."""
    results = results_of(variable)[f"actions {partitions}"]
    assert here["Graph"] == results["Graph"]
    for name in ("Histo1D", "Profile1D"):
        assert close(here[name]) == results[name], name


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("variable", LATER)
def test_counts_sums_and_arrays(variable: str, partitions: int, results_of: Any, here: dict[str, Any]) -> None:
    """Count, Sum and AsNumpy are local RDataFrame's, arrays in its order, and entries counted in the whole dataset."""
    results = results_of(variable)[f"actions {partitions}"]
    assert here["Count"] == results["Count"]
    assert close(here["Sum"]) == results["Sum"]
    assert {"i": list(range(ENTRIES)), "rdfentry_": list(range(ENTRIES))} == results["AsNumpy"]


@pytest.mark.parametrize("variable", LATER)
def test_a_zero_result_does_not_run_again(variable: str, results_of: Any) -> None:
    """Reading results that one query has computed, one of them 0, starts no job."""
    results = results_of(variable)["actions 3"]
    assert 0 == results["zero"]
    assert 0 == results["jobs of a second reading"]


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("variable", LATER)
def test_snapshot_parts_do_not_collide(variable: str, partitions: int, results_of: Any) -> None:
    """There is a part for each partition, and together they hold each entry once."""
    results = results_of(variable)[f"snapshot {partitions}"]
    assert partitions == results["parts"]
    assert [i for i in range(ENTRIES) if i % 4 > 0] == results["i"]


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("variable", LATER)
def test_friends_stay_aligned(variable: str, partitions: int, results_of: Any, here: dict[str, Any]) -> None:
    """Also in ranges that do not start in the first file."""
    results = results_of(variable)[f"friends {partitions}"]
    assert ENTRIES == results["aligned"]
    assert close(here["friends Sum"]) == results["Sum"]
    assert here["friends Histo2D"] == results["Histo2D"]


@pytest.mark.parametrize("variable", CHECKOUTS)
def test_an_empty_source(variable: str, results_of: Any) -> None:
    """A number of entries instead of files: each entry is there once."""
    flat = results_of(variable)["entries"]
    assert [0.0, *[10.0] * 10, 0.0] == [content for content, _ in flat]


@pytest.mark.parametrize("variable", LATER)
def test_header_and_initialize(variable: str, results_of: Any) -> None:
    """A header and ``initialize`` reach the ranges, and ``initialize`` is called once in each process."""
    results = results_of(variable)["user code"]
    assert sum(range(ENTRIES)) + 1000 * ENTRIES == results["Sum"]
    assert 1 == results["calls of one"]
    assert 0 < results["processes"]


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_the_oldest_has_no_friends(results_of: Any) -> None:
    """0.1.0 does not carry friends to its ranges: refused, with what to use instead."""
    text = results_of("RDF_LITHOPS_PYRDF_010")["friends"]
    refused = "PlanError: this PyRDF loses friend trees of a dataset (friend 'friends'); use rdf_lithops.pyrdf.RDataFrame"
    assert refused == text.splitlines()[0]


@pytest.mark.parametrize("variable", LATER)
def test_what_the_original_loses_is_refused(variable: str, results_of: Any, files: Datasets) -> None:
    """A friend's alias and index, an entry list, an empty dataset, and (0.2.1) a file that is listed twice."""
    results = results_of(variable)["refusals"]
    assert results["alias"].startswith("PlanError: this PyRDF loses the alias 'fr'")
    assert results["index"].startswith("PlanError: this PyRDF loses the index of a dataset (friend 'friends')")
    assert results["entry list"].startswith("PlanError: PyRDF loses the entry list")
    ours, its_own = "PlanError: expected a dataset with entries", "RuntimeError: No entries in the TTree"
    assert results["empty"].startswith(its_own if variable == "RDF_LITHOPS_PYRDF_BRANCH" else ours)
    if variable == "RDF_LITHOPS_PYRDF_021":
        assert results["repeated"].startswith("PlanError: this PyRDF reads a file that is listed twice in a row once")
    else:
        twice = ROOT.RDataFrame("events", [files.main[0], files.main[0]]).Count().GetValue()
        assert f"ran: {twice}" == results["repeated"]


# -- its own tests ----------------------------------------------------------------------------------------------------

OWN_TESTS = """
import sys
import PyRDF, pytest
from rdf_lithops import pyrdf
backend = pyrdf.backend_for(PyRDF, {"npartitions": 2, "lithops": sys.argv[1]})
if sys.argv[2] == "assigned":
    PyRDF.current_backend = backend
sys.path.insert(0, ".")
sys.exit(pytest.main(["-q", "-rf", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", *sys.argv[3:]]))
"""


@pytest.mark.slow
@pytest.mark.timeout(2 * PROGRAM_LIMIT_S)
@pytest.mark.parametrize(
    "variable, passed, failed",
    [("RDF_LITHOPS_PYRDF_021", 98, FAIL_WITHOUT_US), ("RDF_LITHOPS_PYRDF_MASTER", 84, set())],
)
def test_its_own_unit_tests_pass(variable: str, passed: int, failed: set[str]) -> None:
    """With this back end in place, those of the original fail where they fail without it, and nowhere else.

    In 0.2.1 those of its back ends start with ours assigned; the others ask for what only its local one has.
    """
    folder = checkout(variable)
    if shutil.which("java") is None:
        pytest.skip("its own tests start Spark: install a Java runtime (default-jre-headless)")
    pytest.importorskip("pyspark", reason="its own tests start Spark: pip install 'pyspark<4'")
    of_back_ends = "assigned" if variable in WITH_USE else "made"
    seen, names = 0, set()
    for given in (["made", *sorted(Path(folder, "tests/unit").glob("test_*.py"))], [of_back_ends, "tests/unit/backend"]):
        done = run(folder, ["-c", OWN_TESTS, str(LOCALHOST_CONFIG), *map(str, given)], folder, warnings="default")
        seen += int(re.search(r"(\d+) passed", done.stdout)[1])  # type: ignore[index]  # no match is a failure
        names |= {name.rsplit("/", 1)[-1] for name in re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)}
    assert failed == names
    assert passed == seen
