"""ROOT's start is spared lists of all that namespace std has, and finds there later what it always finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_instantiations import files_of, needs_a_compiler, run

from rdf_lithops.compiled import library

MADE = """
    import os
    os.umask(0o077)
    from rdf_lithops.compiled import build, library, ours, starting
    build.build(library.folder(), starting.NAME, (), ours.source(starting.NAME))
"""
DRIVER = "import rdf_lithops, ROOT; ROOT.gInterpreter"
WORKER = "import ROOT; from rdf_lithops.worker.root import initialisation; initialisation.initialise()"
LISTED = """
kind = ROOT.TClass.GetClass("std")
print("listed", kind.GetListOfDataMembers(False).GetSize() > 0, kind.GetListOfMethods(False).GetSize() > 0)
"""
FOUND = """
import cppyy
std = ROOT.std
print(std.int8_t.__name__, std.uint8_t.__name__, std.int8_t(3), std.uint8_t is cppyy.gbl.uint8_t)
print(type(std.make_shared).__name__, std.make_shared(ROOT.TNamed("a", "b")).GetName())
print(type(std.make_unique).__name__, std.make_unique(ROOT.TNamed("c", "")).GetName())
print(std.abs(-3), std.pow(2.0, 3.0), std.stoi("12"), type(std.sqrt).__name__, type(std.getline).__name__)
print(type(std.nothrow).__name__, std.string.npos, std.ios_base.binary)
print([std.vector["int"]([1, 2]) == std.vector["int"]([1, n]) for n in (2, 3)])
print([*std.list["int"]([4, 5])], [*std.deque["int"]([6])])
print(sorted(dir(std)), sorted(dir(ROOT)), sorted(dir(cppyy.gbl)))
kind = ROOT.TClass.GetClass("std")
print(kind.GetListOfDataMembers().GetSize(), kind.GetListOfMethods().GetSize())
print([hasattr(std, name) for name in ("nothing_of_that_name", "cout", "numeric_limits", "filesystem")])
frame = ROOT.RDataFrame(10).Define("v", "std::vector<double>{1.5}").Define("s", "v[0]")
print(frame.Sum("s").GetValue(), frame.Filter("s > 1").Count().GetValue())
print(frame.Histo1D(("h", "", 2, 0.0, 2.0), "s").GetMean())
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache that has the library which is loaded before ROOT."""
    place = tmp_path_factory.mktemp("cache")
    run(MADE, place)
    return place


@needs_a_compiler
@pytest.mark.parametrize("start", [DRIVER, WORKER], ids=["driver", "worker"])
def test_lists_of_std_are_not_loaded_at_the_start(cache: Path, start: str) -> None:
    """Neither of them is there when ROOT is up, in a program or a ROOT process, and both are where the library is not."""
    assert "listed False False" == run(start + LISTED, cache)
    assert "listed True True" == run(start + LISTED, cache, RDF_LITHOPS_INSTANTIATIONS=library.OFF)


@needs_a_compiler
def test_what_is_in_std_is_found_as_ever(cache: Path) -> None:
    """Types, functions, templates, values, what is listed, and what is not there."""
    assert run(DRIVER + FOUND, cache) == run(DRIVER + FOUND, cache, RDF_LITHOPS_INSTANTIATIONS=library.OFF)


@needs_a_compiler
@pytest.mark.parametrize("fault", ["truncated", "world_writable", "another"])
def test_what_cannot_be_trusted_is_not_loaded_before_root(cache: Path, tmp_path: Path, fault: str) -> None:
    """Then ROOT starts as it does without."""
    (tmp_path / "rdf_lithops").mkdir(mode=0o700)
    there = tmp_path / "rdf_lithops" / files_of(cache).name
    there.mkdir(mode=0o700)
    for made in files_of(cache).iterdir():
        (there / made.name).write_bytes(made.read_bytes())
        (there / made.name).chmod(0o600)
    (path,) = there.glob("*.so")
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif fault == "another":
        path.write_bytes(path.read_bytes().replace(b"rdf_lithops_seek_names", b"rdf_lithops_seek_namez"))
    else:
        path.chmod(0o666)
    assert "listed True True" == run(DRIVER + LISTED, tmp_path)


@needs_a_compiler
def test_a_root_that_is_up_stays_as_it_is(cache: Path) -> None:
    """A program that uses ROOT before it imports the package loses nothing by it."""
    assert "listed True True" == run(f"import ROOT; ROOT.gInterpreter; {DRIVER}{LISTED}", cache)
