"""PyRDF's spelling: its programs, its constructors, its configuration, and what its distributed back ends lacked."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lithops
import numpy
import pytest
import ROOT
import yaml
from conftest import CAPTURED, WITHOUT_ROOT
from datasets import ENTRIES, Datasets

from rdf_lithops import PayloadError, PlanError, RunError
from rdf_lithops import pyrdf as PyRDF
from rdf_lithops.frame import ranges as adapter

HEADER = """
#pragma once
namespace talk_program {
inline double offset = 0;
inline bool selected(int n) { return n > 1; }
inline double shifted(double x) { return x + offset; }
}
"""
MODEL = ("h", "shifted x;x;entries", 40, 0.0, 20.0)


@pytest.fixture
def _on_lithops(fexec: lithops.FunctionExecutor, registries: Any) -> Iterator[None]:
    """PyRDF on the tests' executor, in three ranges; local again afterwards."""
    PyRDF.use("lithops", {"npartitions": 3, "lithops": fexec})
    yield
    PyRDF.use("local")


def bins(histogram: Any) -> list[tuple[float, float]]:
    """Contents and errors of all bins, under- and overflow included."""
    return [(histogram.GetBinContent(i), histogram.GetBinError(i)) for i in range(histogram.GetNcells())]


def set_offset(value: float) -> None:
    """What a program gives to ``initialize``."""
    ROOT.talk_program.offset = value


def talk_program(files: list[str]) -> Any:
    """The talk's kind of program, after ``use``: headers, initialize, a list of files, Filter, Define, Histo1D."""
    PyRDF.include_headers("talk_program.h")
    PyRDF.initialize(set_offset, 7.5)
    df = PyRDF.RDataFrame("events", files)
    selected = df.Filter("talk_program::selected(n)", "more than one")
    return selected.Define("shifted", "talk_program::shifted(x)").Histo1D(MODEL, "shifted")


# -- programs ---------------------------------------------------------------------------------------------------------


def test_the_talks_program(_on_lithops: None, files: Datasets) -> None:
    """On localhost, with a header and initialize, it gives what local RDataFrame gives, bin by bin."""
    Path("talk_program.h").write_text(HEADER)
    histogram = talk_program(files.main)
    here = ROOT.RDataFrame("events", files.main).Filter("n > 1").Define("shifted", "x + 7.5").Histo1D(MODEL, "shifted")
    assert ENTRIES / 2 == histogram.GetEntries()
    assert bins(here) == bins(histogram)
    PyRDF.use("local")
    assert bins(here) == bins(talk_program(files.main))


def test_what_the_distributed_back_ends_lacked(_on_lithops: None, files: Datasets) -> None:
    """Min, Max, Mean, Report, variations and an AsNumpy that waits: one query, and the answers of local RDataFrame."""

    def book(df: Any, variations_for: Any) -> list[Any]:
        cut = df.Filter("n > 0", "some")
        varied = cut.Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"]).Histo1D(MODEL, "x")
        lazy = cut.AsNumpy(["i"], lazy=True)
        return [cut.Min("x"), cut.Max("x"), cut.Mean("x"), df.Report(), variations_for(varied), lazy]

    # fmt: off
    low, high, mean, report, varied, lazy = book(
        PyRDF.RDataFrame("events", files.main), ROOT.RDF.Distributed.VariationsFor)
    low_, high_, mean_, report_, varied_, lazy_ = book(
        ROOT.RDataFrame("events", files.main), ROOT.RDF.Experimental.VariationsFor)
    # fmt: on
    assert (low_.GetValue(), high_.GetValue()) == (low.GetValue(), high.GetValue())
    assert pytest.approx(mean_.GetValue(), rel=1e-14) == mean.GetValue()
    cuts, cuts_ = report.GetValue(), report_.GetValue()
    assert [(c.GetName(), c.GetPass(), c.GetAll()) for c in cuts_] == [(c.GetName(), c.GetPass(), c.GetAll()) for c in cuts]
    assert bins(varied_["x:up"]) == bins(varied["x:up"])
    assert numpy.array_equal(lazy_.GetValue()["i"], lazy.GetValue()["i"])


def test_snapshot_and_friends(_on_lithops: None, files: Datasets) -> None:
    """Friends whose files end elsewhere stay aligned, and a Snapshot of both is a data frame of all entries.

    The friend's column goes through a Define: Snapshot of a friend's own column is wrong in local ROOT too.
    """
    main, friends = ROOT.TChain("events"), ROOT.TChain("friends")
    for name in files.main:
        main.Add(name)
    for name in files.friends:
        friends.Add(name)
    main.AddFriend(friends, "fr")
    kept = PyRDF.RDataFrame(main).Define("friend", "fr.fi").Snapshot("both", "both.root", ["i", "friend"])
    arrays = kept.AsNumpy(["i", "friend"])
    assert list(range(ENTRIES)) == list(arrays["i"])
    assert list(range(ENTRIES)) == list(arrays["friend"])


def constructors(files: Datasets) -> dict[str, tuple[Any, ...]]:
    """PyRDF's constructors: what they are given."""
    chain = ROOT.TChain("events")
    for name in files.main:
        chain.Add(name)
    opened = ROOT.TFile.Open(files.main[0])
    return {
        "entries": (123,),
        "file": ("events", files.main[0]),
        "glob": ("events", files.glob),
        "list": ("events", files.main),
        "vector": ("events", ROOT.std.vector["std::string"](files.main)),
        "directory": ("events", opened),
        "tree": (opened["events"],),
        "chain": (chain,),
    }


def test_all_constructors(_on_lithops: None, files: Datasets) -> None:
    """Each constructor of PyRDF makes a data frame of the entries that local RDataFrame sees."""
    given = constructors(files)
    expected = {name: ROOT.RDataFrame(*args).Count().GetValue() for name, args in given.items()}
    assert {123, 120, ENTRIES} == set(expected.values())
    assert expected == {name: PyRDF.RDataFrame(*args).Count().GetValue() for name, args in given.items()}


def test_default_branches(_on_lithops: None, files: Datasets) -> None:
    """Default branches follow a tree, or a tree's name and files, and are what an action without a column reads."""
    chain = constructors(files)["chain"][0]
    expected = ROOT.RDataFrame("events", files.main).Sum("x").GetValue()
    for args in (("events", files.main, ["x"]), (chain, ["x"])):
        assert pytest.approx(expected, rel=1e-14) == PyRDF.RDataFrame(*args).Sum().GetValue()


def test_a_histogram_without_a_model(_on_lithops: None, files: Datasets) -> None:
    """Its axis is found as local RDataFrame finds it."""
    expected = ROOT.RDataFrame("events", files.main).Histo1D("x").GetMean()
    assert expected == PyRDF.RDataFrame("events", files.main).Histo1D("x").GetMean()


def test_a_zero_result_does_not_run_again(_on_lithops: None, fexec: lithops.FunctionExecutor, files: Datasets) -> None:
    """A count of 0 is a result: reading it again starts no job."""
    count = PyRDF.RDataFrame("events", files.main).Filter("n > 100").Count()
    assert 0 == count.GetValue()
    jobs = fexec.total_jobs
    assert 0 == count.GetValue()
    assert jobs == fexec.total_jobs


# -- user code --------------------------------------------------------------------------------------------------------


def test_headers_in_folders_libraries_and_files(_on_lithops: None, files: Datasets) -> None:
    """A folder of headers, a compiled library and a file reach the ranges."""
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler that makes shared libraries (c++)")
    Path("headers/inner").mkdir(parents=True)
    Path("headers/inner/twice.h").write_text("#pragma once\nint pyrdf_twice(int);\n")
    Path("headers/reads.h").write_text(
        """
        #pragma once
        #include <cstdlib>
        #include <fstream>
        #include <string>
        inline int pyrdf_from_file() {
           std::ifstream stream(std::string(std::getenv("RDF_LITHOPS_FILES")) + "/number.txt");
           int number = -1;
           stream >> number;
           return number;
        }
        """
    )
    Path("twice.cc").write_text("int pyrdf_twice(int n) { return 2 * n; }\n")
    Path("number.txt").write_text("1000\n")
    built = subprocess.run(["c++", "-shared", "-fPIC", "-o", "libpyrdf_twice.so", "twice.cc"], **CAPTURED)
    if built.returncode:
        pytest.skip(f"this machine's c++ makes no shared library: {built.stderr[-200:]}")
    PyRDF.include_shared_libraries("libpyrdf_twice.so")
    PyRDF.include_headers(["headers"])
    PyRDF.send_generic_files("number.txt")
    total = PyRDF.RDataFrame("events", files.main).Define("s", "pyrdf_twice(i) + pyrdf_from_file()").Sum("s")
    assert 2 * sum(range(ENTRIES)) + 1000 * ENTRIES == total.GetValue()


@pytest.mark.parametrize(
    "function, kind",
    [
        (PyRDF.include_headers, "header"),
        (PyRDF.include_shared_libraries, "shared library"),
        (PyRDF.send_generic_files, "file"),
    ],
)
def test_a_missing_file_is_named(function: Any, kind: str) -> None:
    """What is not there is an error when it is included, that says where it was looked for."""
    with pytest.raises(PayloadError, match=rf"{kind} no such: there is no such file or folder \(.*/no such\)"):
        function(["no such"])


# -- conf -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"npartition": 3}, r"unknown keys \['npartition'\] in conf; known are \['lithops', 'npartitions', 'options'\]"),
        ({"npartitions": 0}, "npartitions must be 1 or more, got 0"),
        ({"options": {"seed": "x"}}, "options.seed must be int, got 'x'"),
        ("spark.yaml", "conf must be a dictionary with keys of .*, got 'spark.yaml'"),
    ],
)
def test_a_wrong_conf_says_what_is_expected(conf: Any, message: str) -> None:
    """Unknown keys and values out of bounds are errors, for either back end, and change nothing."""
    for name in ("lithops", "local"):
        with pytest.raises(PlanError, match=message):
            PyRDF.use(name, conf)
    assert 5 == PyRDF.RDataFrame(5).Count().GetValue()


@pytest.mark.parametrize("name", ["spark", "dask", "AWS"])
def test_another_back_end_says_where_it_is(name: str) -> None:
    """The names that PyRDF knew and this does not are errors that say what is known and who runs the rest."""
    with pytest.raises(PlanError, match=rf"expected the back end 'lithops' or 'local', got '{name}'.*executor="):
        PyRDF.use(name)


def test_what_lithops_is_made_of(registries: Any, tmp_path: Path) -> None:
    """A dictionary, or a file's name: each makes one executor, however often it is used; conf is not changed."""
    file = tmp_path / "lithops.yaml"
    file.write_text(yaml.safe_dump(WITHOUT_ROOT))
    for wanted in (WITHOUT_ROOT, str(file), file):
        conf = {"lithops": wanted, "npartitions": 2}
        before = repr(conf)
        PyRDF.use("lithops", conf)
        first = PyRDF.RDataFrame(10)
        PyRDF.use("local")
        PyRDF.use("lithops", conf)
        second = PyRDF.RDataFrame(10)
        assert first._headnode.backend.executor is second._headnode.backend.executor
        assert 2 == second._headnode.npartitions
        assert before == repr(conf)
        second._headnode.backend.executor.__exit__(None, None, None)
        PyRDF._executors.clear()
    with pytest.raises(PlanError, match=r"conf\['lithops'\] must be a Lithops configuration.*got int"):
        PyRDF.use("lithops", {"lithops": 3})
        PyRDF.RDataFrame(10)
    PyRDF.use("local")


def test_create_logger() -> None:
    """It writes to standard output and a file, and called again it does not write twice."""
    kept = logging.getLogger("rdf_lithops").level
    PyRDF.create_logger("INFO", "first.log")
    logger = PyRDF.create_logger("INFO", "second.log")
    logging.getLogger("rdf_lithops.executor.session").info("a message")
    assert "" == Path("first.log").read_text()
    assert 1 == Path("second.log").read_text().count("INFO: rdf_lithops.executor.session[")
    for handler in [handler for handler in logger.handlers if handler.get_name() == PyRDF.__name__]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(kept)
    assert not os.path.exists("PyRDF.log")


# -- ranges of the original package, and what its back end refuses ----------------------------------------------------


@dataclass
class OriginalRange:
    """What the ranges of all its generations look like."""

    start: int
    end: int
    filelist: list[str] | None
    friend_info: Any = None


def test_ranges_become_plain_and_come_back() -> None:
    """They survive JSON; as text, the starts of ranges that begin alike differ, for that names the parts of a Snapshot."""
    friends = SimpleNamespace(friend_names=["f"], friend_file_names=[["g.root"]])
    for ranges in (
        [OriginalRange(0, 10, None), OriginalRange(10, 25, None)],
        [OriginalRange(0, 10, ["a.root"]), OriginalRange(0, 12, ["b.root", "c.root"])],
        [OriginalRange(0, 10, ["a.root", "b.root"], friends), OriginalRange(10, 20, ["a.root", "b.root"], friends)],
    ):
        plain, dataset = json.loads(json.dumps(adapter.to_fields(ranges)))
        back = [adapter.from_fields(item, dataset, None) for item in plain]
        assert [(r.start, r.end, r.filelist) for r in ranges] == [(r.start, r.end, r.filelist) for r in back]
        assert [bool(r.friend_info) for r in ranges] == [bool(r.friend_info) for r in back]
        assert len(ranges) == len({f"{r.start}_{r.end - 1}" for r in back})
        assert f"range 1: entries {ranges[1].start} to {ranges[1].end}" in adapter.describe(plain[1], dataset)
    assert ["f"] == back[0].friend_info.friend_names
    assert [["g.root"]] == back[0].friend_info.friend_file_names


def test_ranges_that_would_misalign_friends_are_refused() -> None:
    """Friends are aligned by entry number in the dataset: ranges with files of their own cannot have them."""
    friends = SimpleNamespace(friend_names=["f"], friend_file_names=[["g.root"]])
    with pytest.raises(ValueError, match="expected all files in every range of a dataset with friends"):
        adapter.to_fields([OriginalRange(0, 10, ["a.root"], friends), OriginalRange(0, 10, ["b.root"], friends)])


def test_a_snapshot_part_that_stayed_away_is_an_error() -> None:
    """A part on another machine's disk is not a data frame of fewer entries; one in a remote place is left to ROOT."""
    Path("part.root").touch()
    values = [3, ["part.root", "root://somewhere//part.root"], {"x": numpy.zeros(1)}]
    assert values is PyRDF._with_parts_here(values)
    with pytest.raises(RunError, match=r"the Snapshot part away.root is not to be seen from here(.|\n)*root://"):
        PyRDF._with_parts_here([["part.root", "away.root"]])


def test_another_package_gets_no_back_end() -> None:
    """What is called PyRDF on the package index is something else."""
    with pytest.raises(TypeError, match=r"expected the package PyRDF of github\.com/vepadulano/PyRDF, got <module 'json'"):
        PyRDF.backend_for(json)
