"""Distribution changes where a result is computed, never what it is: each operation on each source equals local RDataFrame.

Each source is cut into 1, 2 and 7 ranges; integers are equal exactly, floating-point numbers to 1e-12 relative.
"""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG
from dataset_kinds import SOURCES, checks_of, default_branches, keep, measure
from datasets import ENTRIES, Datasets, write_friend_file
from operations import CHECKS, COVERED_ELSEWHERE, MISSING_CHECKS, SPEC_CHECKS, UNCLONED_CHECKS
from plain_results import number, same
from ROOT._distrdf.Operation import SUPPORTED_OPERATIONS

import rdf_lithops

RANGES = (1, 2, 7)
IN_TWO = ("entries", "list of files", "rntuple")  # by default


def test_every_supported_operation_is_covered() -> None:
    """A new operation of DistRDF cannot be forgotten here."""
    checks = [*CHECKS.values(), *UNCLONED_CHECKS.values(), *MISSING_CHECKS.values(), *SPEC_CHECKS.values()]
    covered = {name for check in checks for name in check.covers} | set(COVERED_ELSEWHERE)
    assert set(SUPPORTED_OPERATIONS) == covered
    assert all(name in globals() for name in COVERED_ELSEWHERE.values())


@pytest.fixture(scope="session")
def oracle(files: Datasets) -> Callable[[str, str], dict[str, Any]]:
    """Local RDataFrame's results for a source, computed once."""

    @functools.cache
    def compute(name: str, group: str) -> dict[str, Any]:
        source = SOURCES[name]
        frame = source.frame(*source.open(files))
        return measure(frame, source, files.folder / "local" / name, checks_of(name, group))

    return compute


def cases() -> Iterator[Any]:
    """Each source, group of operations and number of ranges; by default 7 of all, and 2 of three kinds of source."""
    for name, group, npartitions in itertools.product(SOURCES, ["cloned", "not cloned"], RANGES):
        always = npartitions == 7 or (name in IN_TWO and (group, npartitions) == ("cloned", 2))
        yield pytest.param(name, group, npartitions, marks=[] if always else [pytest.mark.slow])


@pytest.mark.parametrize(("name", "group", "npartitions"), list(cases()))
def test_every_operation_equals_local(
    name: str, group: str, npartitions: int, files: Datasets, fexec: Any, oracle: Callable[..., Any], tmp_path: Path
) -> None:
    """All operations on one source and number of ranges, in one query, give local RDataFrame's results."""
    source = SOURCES[name]
    expected = oracle(name, group)
    options = {"survey": npartitions == 7}  # 7 ranges are cut at clusters, fewer by DistRDF's percentages of files
    frame = source.frame(*source.open(files), executor=fexec, npartitions=npartitions, options=options)
    actual = measure(frame, source, tmp_path, checks_of(name, group))
    assert list(expected) == list(actual)
    wrong = {check: found for check in expected if (found := same(expected[check], actual[check]))}
    assert {} == wrong


@pytest.mark.parametrize("check", UNCLONED_CHECKS)
def test_actions_that_root_cannot_clone(check: str, files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """Each of them alone, its ranges one after another in one process, and again in the same one, equals local."""
    source, alone = SOURCES["list of files"], {check: UNCLONED_CHECKS[check]}
    expected = measure(source.frame(*source.open(files)), source, tmp_path, alone)
    given = {"executor": fexec, "npartitions": 5, "options": {"ranges_per_call": 5}}
    for _ in range(2):
        actual = measure(source.frame(*source.open(files), **given), source, tmp_path, alone)
        assert [] == same(expected, actual)


@pytest.mark.parametrize("npartitions", RANGES)
def test_default_branches(npartitions: int, files: Datasets, fexec: Any) -> None:
    """Actions that name no column read the default branches, as local RDataFrame's do."""
    args = ("events", files.main, ["x", "z", "n"])
    expected = default_branches(ROOT.RDataFrame(*args))
    actual = default_branches(ROOT.RDataFrame(*args, executor=fexec, npartitions=npartitions))
    assert [] == same(expected, actual)


def test_friends_of_a_tree(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """A friend of a TTree (one file, no chain, no alias) stays aligned."""
    beside = write_friend_file(tmp_path / "friend.root", 0, 120)

    def measured(**given: Any) -> list[Any]:
        main = keep(files.main[0]).Get("events")
        main.AddFriend("friends", beside)
        frame = ROOT.RDataFrame(main, **given)
        return [number(frame.Filter("fi == i").Count()), number(frame.Sum("friends.fx"))]

    assert [] == same(measured(), measured(executor=fexec, npartitions=3))


def test_friends_of_a_specification_nobody_holds(files: Datasets) -> None:
    """FromSpec with friends keeps what it needs of the specification itself; in a process of its own, as it may crash."""
    program = f"""
        import gc, lithops, ROOT, rdf_lithops
        with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}) as fexec:
            frame = ROOT.RDF.Experimental.FromSpec({files.spec_with_friends!r}, executor=fexec, npartitions=2)
            gc.collect()
            others = [ROOT.std.vector["std::string"](["x" * 40] * 20) for _ in range(50)]
            print("aligned:", frame.Filter("fr.fi == i").Count().GetValue())
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert (0, f"aligned: {ENTRIES}") == (done.returncode, done.stdout.strip()), done.stderr[-2000:]


def test_profile_3d_is_not_an_operation_of_rdataframe(fexec: Any) -> None:
    """DistRDF lists Profile3D, but RDataFrame has no such method: the error of the range says so."""
    assert not hasattr(ROOT.RDataFrame(1), "Profile3D")
    booked = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "1.").Profile3D(("p",), "x", "x", "x", "x")
    with pytest.raises(rdf_lithops.RangeError, match="no attribute 'Profile3D'"):
        booked.GetValue()


def test_missing_values_of_a_defined_column(fexec: Any) -> None:
    """Where local RDataFrame refuses a column that is no branch, so does a distributed one, when it is booked."""
    for frame in (ROOT.RDataFrame(10), ROOT.RDataFrame(10, executor=fexec)):
        for operation in ("FilterAvailable", "FilterMissing"):
            with pytest.raises(Exception, match='Unknown column: "x"'):
                getattr(frame.Define("x", "1"), operation)("x")


def test_snapshot_in_update_mode(fexec: Any) -> None:
    """Several ranges cannot update one file: DistRDF's own error."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fMode = "UPDATE"
    with pytest.raises(ValueError, match="UPDATE mode is not supported"):
        ROOT.RDataFrame(10, executor=fexec).Define("x", "1").Snapshot("t", "f.root", ["x"], options)


def test_a_column_that_the_first_file_of_a_range_lacks(files: Datasets, fexec: Any) -> None:
    """The first file of the whole dataset tells the types, also to ranges whose own files lack the branch, as locally."""

    def total(frame: Any) -> float:
        return float(frame.FilterAvailable("maybe").Define("m2", "maybe + 1").Sum("m2").GetValue())

    given = {"executor": fexec, "npartitions": 3, "options": {"ranges_per_call": 1}}
    assert total(ROOT.RDataFrame("events", files.main)) == total(ROOT.RDataFrame("events", files.main, **given))
