"""What is booked stays what it was, whatever the program does afterwards to what it gave."""

from __future__ import annotations

import array
import importlib.util
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG

from rdf_lithops import PlanError

NUMBA = importlib.util.find_spec("numba") is not None


def frame_of(executor: Any) -> Any:
    """Of 100 entries, with a column of numbers."""
    return ROOT.RDataFrame(100, **executor).Define("x", "double(rdfentry_)").Define("y", "2 * x")


def edges(given: Any) -> Callable[[Any], Any]:
    """A histogram whose edges, ``given``, are moved when it is booked."""

    def booked(frame: Any) -> Any:
        h = frame.Histo1D(("h", "", 2, given), "x")
        given[1] = 90.0
        return lambda: [h.GetBinContent(number) for number in range(4)]

    return booked


def model(frame: Any) -> Any:
    """A histogram whose model gets another title and other edges."""
    given = ROOT.RDF.TH1DModel("h", "before", 4, 0.0, 100.0)
    h = frame.Histo1D(given, "x")
    given.fTitle, given.fXUp = "after", 50.0
    return lambda: [h.GetTitle(), *(h.GetBinContent(number) for number in range(6))]


def columns(frame: Any) -> Any:
    """Arrays of columns of which there is one more afterwards."""
    given = ["x"]
    arrays = frame.AsNumpy(given, lazy=True)
    given.append("y")
    return lambda: sorted(arrays.GetValue())


def options(frame: Any) -> Any:
    """A lazy Snapshot whose options are those of another one afterwards."""
    given = ROOT.RDF.RSnapshotOptions()
    given.fLazy, given.fMode = True, "RECREATE"
    skim = frame.Snapshot("t", "skim.root", ["x"], given)
    given.fMode = "UPDATE"
    return lambda: skim.Sum("x").GetValue()


CHANGES = {
    "edges in an array": lambda frame: edges(array.array("d", [0.0, 20.0, 100.0]))(frame),
    "edges in NumPy's array": lambda frame: edges(numpy.array([0.0, 20.0, 100.0]))(frame),
    "a model": model,
    "columns": columns,
    "options of a Snapshot": options,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_given_and_changed(change: str, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges, models, columns and options are those that were given, as they are for local ROOT."""
    found = []
    for executor in ({}, {"executor": fexec, "npartitions": 2}):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        monkeypatch.chdir(folder)
        found.append(CHANGES[change](frame_of(executor))())
    assert found[0] == found[1]


def test_variables_of_initialize(fexec: Any, registries: Any, tag: str) -> None:
    """Workers do what ``initialize`` has done here, with what the function and its arguments were then."""
    del registries
    given, settings = [1], {"second": 2}

    def declare(values: list[int]) -> None:
        ROOT.gInterpreter.Declare(f"int init_{tag}() {{ return {10 * values[0] + settings['second']}; }}")

    ROOT.RDF.Distributed.initialize(declare, given)
    given[0], settings["second"] = 5, 6
    found = [
        ROOT.RDataFrame(2, **executor).Define("x", f"init_{tag}()").Max("x").GetValue()
        for executor in ({}, {"executor": fexec})
    ]
    assert [12, 12] == found


def test_declared_once_more(fexec: Any, tag: str) -> None:
    """What would be another macro or overload on workers than when it was booked is refused; the same again, and what
    nobody uses, is not; booked behind it, it is what it is now."""
    ROOT.gInterpreter.Declare(f"#define CUT_{tag} 30\ndouble f_{tag}(double x) {{ return x; }}")
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=2).Define("x", "float(rdfentry_)")
    early = {"CUT": frame.Filter(f"x > CUT_{tag}").Count(), "f": frame.Define("y", f"f_{tag}(x)").Sum("y")}
    other = frame.Filter("x > 30").Count()
    ROOT.gInterpreter.Declare(f"namespace n_{tag} {{ struct S {{}}; double in(double x) {{ return x; }} }}")
    inside = frame.Define("y", f"n_{tag}::in(x)").Sum("y")
    ROOT.gInterpreter.Declare(f"namespace n_{tag} {{ struct S; double out(double x) {{ return x; }} }}")
    assert 4950.0 == inside.GetValue()
    assert 69 == early["CUT"].GetValue()
    early = {"CUT": frame.Filter(f"x > CUT_{tag}").Count()}
    ROOT.gInterpreter.Declare(f"#undef CUT_{tag}\n#define CUT_{tag} 50")
    with pytest.raises(PlanError, match=f"CUT_{tag}, which Filter uses in .*, was declared once more after that was booked"):
        early["CUT"].GetValue()
    del early
    assert (69, 49) == (other.GetValue(), frame.Filter(f"x > CUT_{tag}").Count().GetValue())
    total = frame.Define("y", f"f_{tag}(x)").Sum("y")
    ROOT.gInterpreter.Declare(f"double f_{tag}(float x) {{ return 10 * x; }}")
    with pytest.raises(PlanError, match=f"f_{tag}, which Define uses"):
        total.GetValue()
    del total
    assert 49500.0 == frame.Define("y", f"f_{tag}(x)").Sum("y").GetValue()


@pytest.mark.parametrize("what", ["files", "friends", "entries"])
def test_a_chain_that_changes(what: str, fexec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that has other files, friends or selected entries than when its data frame was made is refused: local ROOT
    reads it as it is when the loop begins."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        ROOT.RDataFrame(10).Define("x", f"{number} + rdfentry_").Snapshot("t", f"{number}.root")
    chain, friend, chosen = ROOT.TChain("t"), ROOT.TChain("t"), ROOT.TEntryList("chosen", "", "t", "0.root")
    for made in (chain, friend, chosen):
        ROOT.SetOwnership(made, False)  # Python would delete them in any order
    chain.Add("0.root")
    friend.Add("1.root")
    counted = ROOT.RDataFrame(chain, executor=fexec).Count()
    change = {"files": lambda: chain.Add("1.root"), "friends": lambda: chain.AddFriend(friend, "f")}
    change.get(what, lambda: chain.SetEntryList(chosen))()
    with pytest.raises(PlanError, match=r"had .* when the data frame was made of it, and has .* make the data frame when"):
        counted.GetValue()


OBJECTS: dict[str, Callable[[Any], Any]] = {  # given in the place of a model
    "TH1D": lambda frame: frame.Histo1D(ROOT.TH1D("h", "t;x;y", 10, 0, 10), "x"),
    "TH2D": lambda frame: frame.Histo2D(ROOT.TH2D("h", "t", 10, 0, 10, 5, 0, 5), "x", "y"),
    "TH3D": lambda frame: frame.Histo3D(ROOT.TH3D("h", "", 2, 0, 10, 2, 0, 10, 2, 0, 10), "x", "y", "x"),
    "TProfile": lambda frame: frame.Profile1D(ROOT.TProfile("p", "t", 10, 0, 10, "s"), "x", "y"),
    "TProfile2D": lambda frame: frame.Profile2D(ROOT.TProfile2D("p", "", 4, 0, 10, 4, 0, 10), "x", "y", "x"),
    "another type": lambda frame: frame.Histo1D(ROOT.TH1F("h", "", 3, 0, 3), "x"),
    "another dimension": lambda frame: frame.Histo1D(ROOT.TH2D("h", "t", 10, 0, 10, 5, 0, 5), "x"),
    "none": lambda frame: frame.Profile1D("x", "y"),
    "a keyword": lambda frame: frame.Histo1D(model=("h", "", 3, 0, 3), vName="x"),
}


@pytest.mark.parametrize("given", OBJECTS)
def test_objects_in_the_place_of_models(given: str, fexec: Any) -> None:
    """A histogram or profile is a model where it is one locally; else a TypeError when it is booked, and spoils nothing."""

    def answer(**far: Any) -> Any:
        frame = ROOT.RDataFrame(9, **far).Define("x", "double(rdfentry_)").Define("y", "x / 2")
        try:
            booked = OBJECTS[given](frame)
        except TypeError:
            return frame.Count().GetValue()
        cells = [(booked.GetBinContent(cell), booked.GetBinError(cell)) for cell in range(booked.GetNcells())]
        return booked.GetName(), booked.GetTitle(), booked.GetXaxis().GetTitle(), cells, booked.GetEntries()

    assert answer() == answer(executor=fexec, npartitions=2)


ALL = None  # entries of a file, which has 10


@pytest.mark.parametrize("where", ["main", "friend"])
@pytest.mark.parametrize(
    ("told", "why"),
    [
        ((ALL, ALL), None),
        ((10, 10), None),
        ((-1, 0), None),
        ((4,), None),
        ((4, 3), "has 4 entries: it has 10"),
        ((10, 3), "has 3 entries: it has 10"),
        ((99, 10), "has 99 entries: it has 10"),
        ((ALL, 3, ALL), "the number of entries of 1 of 3 files"),
        ((ALL, 10), "the number of entries of 1 of 2 files"),
        ((10, ALL), None),
        ((3, ALL), "has 3 entries: it has 10"),
    ],
)
def test_a_chain_that_was_told_its_entries(
    told: tuple[int | None, ...], why: str | None, where: str, fexec: Any, tmp_path: Path
) -> None:
    """Numbers of entries that a chain was told are those of its files, or the data frame is refused; ROOT takes them for
    those of other files. Of a single file they have no effect, as in local ROOT."""
    chains = {name: ROOT.TChain("t") for name in ("main", "friend")}
    for name, chain in chains.items():
        for number, entries in enumerate(told):
            file = str(tmp_path / f"{name}{number}.root")
            ROOT.RDataFrame(10).Define(f"x_{name}", f"{number} + rdfentry_").Snapshot("t", file)
            chain.Add(file) if entries is ALL or name != where else chain.AddFile(file, entries)
    chain, column = chains["main"], "x_main"
    if told == (ALL, ALL):  # and it has been read, and has grown
        ROOT.RDataFrame(chains[where]).Count().GetValue()
        for name, chained in chains.items():
            chained.Add(str(tmp_path / f"{name}0.root"))
    if where == "friend":
        chain.AddFriend(chains["friend"], "f")
        column = "f.x_friend"
    if why is not None:
        with pytest.raises(PlanError, match=f"{why}; workers read all of a file"):
            ROOT.RDataFrame(chain, executor=fexec, npartitions=3)
        return
    expected = ROOT.RDataFrame(chain).Sum(column).GetValue()
    assert expected == ROOT.RDataFrame(chain, executor=fexec, npartitions=3).Sum(column).GetValue()


@pytest.mark.slow
@pytest.mark.skipif(not NUMBA, reason="numba is not installed")
def test_variables_of_python_functions(tmp_path: Path) -> None:
    """What a function reads of the program is what it was when the function was given, as Numba has it locally."""
    program = f"""
        import json, lithops, ROOT, rdf_lithops
        def cuts(frame, tag):
            global threshold
            frame, found = frame.Define("x", "double(rdfentry_)"), []
            for threshold in (10, 20, 90):
                def passes(x): return x > threshold
                passes.__name__ = f"passes_{{threshold}}_{{tag}}"
                found.append(frame.Filter(passes, ["x"]).Count())
            for inner in (30, 60):
                def within(x): return x > inner
                within.__name__ = f"within_{{inner}}_{{tag}}"
                found.append(frame.Filter(within, ["x"]).Count())
            threshold = 5
            def declared(x): return x > threshold
            ROOT.Numba.Declare(["double"], "bool", name=f"declared_{{tag}}")(declared)
            threshold = 7
            found.append(frame.Filter(f"Numba::declared_{{tag}}(x)").Count())
            threshold = 99
            return [each.GetValue() for each in found]
        local = cuts(ROOT.RDataFrame(100), "local")
        with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}) as fexec:
            print(json.dumps([local, cuts(ROOT.RDataFrame(100, executor=fexec, npartitions=2), "ours")]))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], cwd=tmp_path, **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    local, ours = json.loads(done.stdout.splitlines()[-1])
    assert [89, 79, 9, 69, 39, 94] == local == ours
