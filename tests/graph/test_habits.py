"""What programs do besides analysing: mistakes and their repair, odd names, changed folders, objects that C++ reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import ROOT
from conftest import CAPTURED

import rdf_lithops

_kept: list[Any] = []
VARIED = ROOT.RDF.Experimental.VariationsFor


def write(path: Path, entries: int, tree: str = "t", **columns: str) -> str:
    """A file whose columns hold what these expressions say."""
    frame: Any = ROOT.RDataFrame(entries)
    for name, code in columns.items():
        frame = frame.Define(name, code)
    frame.Snapshot(tree, str(path), list(columns))
    return str(path)


# -- mistakes ----------------------------------------------------------------------------------------------------------


MISTAKES = {
    "a filter that does not compile": lambda df: df.Filter("no_such > 3"),
    "an expression that does not parse": lambda df: df.Define("y", "x +"),
    "a column defined twice": lambda df: df.Define("x", "2."),
    "a column of an action": lambda df: df.Histo1D(("h", "", 4, 0, 4), "xx"),
    "a weight": lambda df: df.Histo1D(("h", "", 4, 0, 4), "x", "ww"),
    "a column of an array": lambda df: df.AsNumpy(["xx"]),
    "a column of a Snapshot": lambda df: df.Snapshot("t", "mistake.root", ["xx"]),
    "an array that fails in the loop": lambda df: df.Define(
        "bad", 'if (x > 3) throw std::runtime_error("bad"); return x;'
    ).AsNumpy(["bad"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_data_frame_survives_mistakes(mistake: str, fexec: Any) -> None:
    """What was wrong, and raised, is not asked for again: the same data frame answers the next question."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    with pytest.raises(Exception) as caught:  # ROOT's own, or ours
        MISTAKES[mistake](frame)
    kept = caught.value  # as a notebook does, which shows it
    assert 45.0 == frame.Sum("x").GetValue()
    assert kept is not None


MADE = (
    """
import sys, ROOT
ROOT.gInterpreter.Declare("""
    + repr("""
struct Constant { const std::string text; Constant() : text("x") {} };
void make(const char *name) {
   TFile file(name, "recreate"); TTree tree("t", "t"); Constant object; auto *pointer = &object;
   tree.Branch("object", &pointer); tree.Fill(); tree.Fill(); tree.Write();
}
""")
    + """)
ROOT.make(sys.argv[1])
"""
)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # ROOT warns of the class, of which it has no dictionary
def test_a_column_that_cling_cannot_link(fexec: Any, tmp_path: Path) -> None:
    """A worker's process in which Cling fails in whatever comes is replaced, where local ROOT has to be started again."""
    name = str(tmp_path / "constant.root")
    subprocess.run([sys.executable, "-W", "ignore", "-c", MADE, name], check=True, **CAPTURED)
    given = {"executor": fexec, "npartitions": 1, "options": {"attempts": 1}}
    with pytest.raises(rdf_lithops.RangeError, match="Take<const string"):
        ROOT.RDataFrame("t", name, **given).AsNumpy(["text"])
    for number in range(2):
        frame = ROOT.RDataFrame(10 + number, **given).Define("x", f"{number}.5f")
        assert [10 + number] == [len(frame.AsNumpy(["x"])["x"])]
        assert 10 + number == frame.Filter("x > -1").Count().GetValue()


def test_the_error_knows_what_was_meant(fexec: Any) -> None:
    """A column that does not exist is refused when the action is booked, with the name that is near."""
    frame = ROOT.RDataFrame(10, executor=fexec).Define("Jet_pt", "1.0")
    with pytest.raises(rdf_lithops.PlanError, match=r"Histo1D: unknown column 'jet_pt'; did you mean 'Jet_pt'\?"):
        frame.Histo1D(("h", "", 4, 0, 4), "jet_pt")


def test_a_failure_is_forgotten_with_its_handle(fexec: Any) -> None:
    """Once the handle of what failed in the loop is gone, the data frame answers, whoever keeps the error."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    bad = 'if (x > 3) throw std::runtime_error("on purpose"); return x;'
    kept = []
    for ask in (
        lambda node: node.Sum("y").GetValue(),
        lambda node: node.Histo1D(("h", "", 4, 0, 4), "y").GetEntries(),
        lambda node: node.AsNumpy(["y"]),
    ):
        with pytest.raises(rdf_lithops.RangeError, match="on purpose") as caught:
            ask(frame.Define("y", bad))
        kept.append(caught.value)
        assert 45.0 == frame.Sum("x").GetValue()


def test_variations_of_what_has_none(fexec: Any) -> None:
    """Variations of a cut flow, of arrays and of a Snapshot are refused, and the data frame goes on."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    varied = frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", 2).Filter("x > 3", "cut")
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    for result in (
        varied.Report(),
        varied.AsNumpy(["x"], lazy=True),
        varied.Snapshot("t", "varied.root", ["x"], options),
    ):
        with pytest.raises(rdf_lithops.PlanError, match="VariationsFor: expected a histogram, a number or the like"):
            VARIED(result)
    assert [6, 5, 7] == [int(value) for value in map(VARIED(varied.Count()).__getitem__, ("nominal", "x:0", "x:1"))]


def test_cpp_functions_as_arguments(fexec: Any, request: pytest.FixtureRequest) -> None:
    """Functions and functors of C++ may be given as Python has them; what cannot travel is refused when it is booked."""
    tag = f"callable{id(request)}"
    ROOT.gInterpreter.Declare(
        f"namespace {tag} {{ double half(double x) {{ return x / 2; }} bool large(double x) {{ return x > 3; }}"
        " struct Times { double by = 1; double operator()(double x) { return by * x; } }; }"
    )
    space = getattr(ROOT, tag)
    times = space.Times()
    times.by = 5.0
    found = []
    for given in ({}, {"executor": fexec, "npartitions": 2}):
        frame = ROOT.RDataFrame(10, **given).Define("x", "double(rdfentry_)")
        filtered = frame.Filter(space.large, ["x"], "large").Define("h", space.half, ["x"]).Define("t", times, ["x"])
        again = filtered.Redefine("h", space.half, ["h"])
        cuts, sums = filtered.Report(), [node.Sum(name) for node in (filtered, again) for name in ("h", "t")]
        found.append([*(value.GetValue() for value in sums), *((str(cut.GetName()), cut.GetPass()) for cut in cuts)])
    assert found[0] == found[1] == [19.5, 195.0, 9.75, 195.0, ("large", 6)]
    standing = ROOT.std.function["double(double)"](space.half)
    for book in (
        lambda: frame.Define("z", standing, ["x"]),
        lambda: frame.Vary("x", space.half, ["x"], 2),
        lambda: frame.DefinePerSample("z", space.half),
    ):
        with pytest.raises(rdf_lithops.PlanError, match=r"expected an expression, or .* a function of C"):
            book()
    assert 45.0 == frame.Sum("x").GetValue()


def test_implicit_mt_in_the_program(fexec: Any) -> None:
    """Implicit multi-threading of the driver changes nothing, whenever it is turned on."""
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=3).Define("x", "double(rdfentry_)")
    ROOT.EnableImplicitMT(2)
    try:
        later = ROOT.RDataFrame(40, executor=fexec, npartitions=3).Define("x", "double(rdfentry_)")
        for node in (frame, later):
            cuts = node.Filter("x > 9", "cut").Report()
            assert [780.0, 3] == [node.Sum("x").GetValue(), node.Range(3).Count().GetValue()]
            assert [("cut", 30)] == [(str(cut.GetName()), cut.GetPass()) for cut in cuts]
            assert list(range(40)) == node.AsNumpy(["x"])["x"].tolist()
            assert 780.0 == node.Snapshot("t", "threads.root", ["x"]).Sum("x").GetValue()
    finally:
        ROOT.DisableImplicitMT()


def test_snapshots_into_a_file_that_is_there(fexec: Any) -> None:
    """UPDATE, for which workers would have to write into one file, is refused, and nothing is written."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fMode = "UPDATE"
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "1.0")
    with pytest.raises(ValueError, match="UPDATE mode is not supported"):
        frame.Snapshot("t", "update.root", "", options)
    assert not Path("update.root").exists()
    assert 10.0 == frame.Sum("x").GetValue()


# -- samples and variations --------------------------------------------------------------------------------------------


def test_columns_of_samples_beside_variations(fexec: Any, tmp_path: Path) -> None:
    """A column of DefinePerSample is read by what varies, where local ROOT 6.40 aborts; and no name shows how."""
    files = [write(tmp_path / f"{name}.root", 10, x="double(rdfentry_)") for name in ("one", "two")]
    code = 'rdfsampleinfo_.Contains("two") ? 2. : 1.'
    plain, ours = (
        frame.DefinePerSample("w", code)
        for frame in (ROOT.RDataFrame("t", files), ROOT.RDataFrame("t", files, executor=fexec, npartitions=3))
    )
    assert [str(name) for name in plain.GetColumnNames()] == [str(name) for name in ours.GetColumnNames()]
    assert [str(name) for name in plain.GetDefinedColumnNames()] == [str(name) for name in ours.GetDefinedColumnNames()]
    assert str(plain.GetColumnType("w")) == str(ours.GetColumnType("w"))
    varied = ours.Vary("x", "ROOT::RVecD{x * 0.5, x * 2}", ["down", "up"])
    sums = VARIED(varied.Define("xw", "x * w").Filter("xw > 4 && w > 0").Sum("xw"))
    assert {"nominal", "x:down", "x:up"} == set(sums.GetKeys())
    filled = VARIED(varied.Histo1D(("h", "", 4, 0, 20), "x", "w"))
    x = numpy.tile(numpy.arange(10.0), 2)
    w = numpy.repeat([1.0, 2.0], 10)
    for key, factor in (("nominal", 1), ("x:down", 0.5), ("x:up", 2)):
        weighted = factor * x * w
        assert weighted[weighted > 4].sum() == sums[key]
        expected, _ = numpy.histogram(factor * x, bins=4, range=(0, 20), weights=w)
        assert expected.tolist() == [filled[key].GetBinContent(cell) for cell in range(1, 5)]
    ours.Snapshot("t", str(tmp_path / "skim.root"))
    assert {"x", "w"} == {str(name) for name in ROOT.RDataFrame("t", str(tmp_path / "skim.root")).GetColumnNames()}


# -- names and folders -------------------------------------------------------------------------------------------------


def test_local_names_with_options_of_a_url(files: Any, fexec: Any) -> None:
    """What stands behind a question mark is no part of a local file's name, as locally."""
    for given in (f"{files.main[0]}?x=1", [f"{name}?x=1" for name in files.main]):
        local, ours = (ROOT.RDataFrame("events", given, **made) for made in ({}, {"executor": fexec, "npartitions": 2}))
        assert local.Count().GetValue() == ours.Count().GetValue()


def test_patterns_are_those_of_local_rdataframe(fexec: Any, tmp_path: Path) -> None:
    """Local patterns stand for the files that they stand for locally: two stars are no more than one."""
    for number, folder in enumerate(("", "a", "a/b", "a/b/c")):
        (tmp_path / folder).mkdir(exist_ok=True)
        write(tmp_path / folder / "f.root", 2**number, x="1.0")
    for pattern in ("**/f.root", "a/**/f.root", "*/*/f.root", "a/**"):
        given: tuple[Any, ...] = ("t", str(tmp_path / pattern))
        try:
            expected = ROOT.RDataFrame(*given).Count().GetValue()
        except TypeError:
            continue  # it matches nothing
        assert expected == ROOT.RDataFrame(*given, executor=fexec, npartitions=2).Count().GetValue(), pattern
    assert 4 == len(rdf_lithops.expand([str(tmp_path / "**" / "f.root")]))
    assert 4 == len(rdf_lithops.expand(str(tmp_path / "**" / "f.root")))
    assert [str(path) for path in sorted(tmp_path.glob("*"))] == rdf_lithops.expand(str(tmp_path / "*"))
    with pytest.raises(rdf_lithops.PlanError, match="found none"):
        rdf_lithops.expand(str(tmp_path / "no*.root"))


@pytest.mark.parametrize("name", ["with space.root", "p+q.root", "p#q.root", "p%20q.root", "p,q.root", "pü.root", "data"])
def test_odd_names_of_files(name: str, fexec: Any, tmp_path: Path) -> None:
    """A file is read whatever its name is."""
    path = write(tmp_path / name, 5, x="1.0")
    assert 5.0 == ROOT.RDataFrame("t", path, executor=fexec, npartitions=1).Sum("x").GetValue()


def test_a_folder_that_is_changed(fexec: Any, tmp_path: Path) -> None:
    """Names are those of the folder in which the data frame was made, friends' included, wherever the program is since."""
    write(Path("main.root"), 20, x="double(rdfentry_)")
    write(Path("friend.root"), 20, "f", y="2.0 * rdfentry_")
    chain = ROOT.TChain("t")
    chain.Add("main.root")
    chain.AddFriend("f", "friend.root")
    sums = [
        ROOT.RDataFrame("t", "main.root", executor=fexec, npartitions=2).Sum("x"),
        ROOT.RDataFrame(chain, executor=fexec, npartitions=2).Sum("y"),
    ]
    together = [ROOT.RDataFrame("t", "main.root", executor=fexec, npartitions=2).Sum("x") for _ in range(2)]
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert [190.0, 380.0] == [value.GetValue() for value in sums]
    ROOT.RDF.RunGraphs(together)
    assert [190.0, 190.0] == [value.GetValue() for value in together]


# -- friends by an index -----------------------------------------------------------------------------------------------


def indexed(folder: Path) -> Any:
    """A chain of two files, and a friend chain of two whose entries are in another order, and of which one is missing."""
    for number in range(2):
        write(folder / f"main_{number}.root", 30, k=f"int(rdfentry_ + 30 * {number})", x="1.0")
        code = f"59 - int(rdfentry_ + 30 * {number})"
        frame = ROOT.RDataFrame(30).Define("k", code).Define("y", "10 * k").Filter("k != 7")
        frame.Snapshot("u", str(folder / f"friend_{number}.root"))
    chain, friend = ROOT.TChain("t"), ROOT.TChain("u")
    chain.Add(str(folder / "main_?.root"))
    friend.Add(str(folder / "friend_1.root"))
    friend.Add(str(folder / "friend_0.root"))
    friend.BuildIndex("k")
    chain.AddFriend(friend, "fr")
    chain.rdf_lithops_kept = friend
    return chain


@pytest.mark.parametrize("npartitions", [1, 5])
def test_friends_with_an_index(npartitions: int, fexec: Any, tmp_path: Path) -> None:
    """Entries of a friend are found by the index, in each range, as locally; those that it lacks too."""
    chain = indexed(tmp_path)
    found = []
    for given in ({}, {"executor": fexec, "npartitions": npartitions}):
        frame = ROOT.RDataFrame(chain, **given)
        filled = frame.DefaultValueFor("fr.y", -1).Define("d", "fr.y - 10 * k")
        there, lost = frame.FilterAvailable("fr.y").Sum("fr.y"), frame.FilterMissing("fr.y").Sum("k")
        found.append([filled.Sum("d").GetValue(), there.GetValue(), lost.GetValue()])
    assert found[0] == found[1] == [-71.0, 17630.0, 7.0]
    assert chain.rdf_lithops_kept.GetTreeIndex()


# -- what C++ reads ----------------------------------------------------------------------------------------------------

OBJECTS = {
    "a histogram behind a pointer": (
        'TH1D *hp_TAG = new TH1D("hp_TAG", "", 10, 0, 100);',
        lambda tag: [getattr(ROOT, f"hp_{tag}").SetBinContent(cell, 2.0 * cell) for cell in range(11)],
        "hp_TAG->GetBinContent(hp_TAG->FindBin(x))",
    ),
    "a pointer that was null": (
        "TH1 *hq_TAG = nullptr;",
        lambda tag: setattr(ROOT, f"hq_{tag}", filled_histogram()),
        "hq_TAG ? hq_TAG->GetBinContent(hq_TAG->FindBin(x)) : -1.",
    ),
    "a map": (
        "std::map<int, double> m_TAG;",
        lambda tag: getattr(ROOT, f"m_{tag}").__setitem__(3, 5.0),
        "m_TAG[int(x) % 10]",
    ),
    "a map of texts to vectors": (
        "std::map<std::string, std::vector<float>> n_TAG;",
        lambda tag: getattr(ROOT, f"n_{tag}")["a"].push_back(2.5),
        'double(n_TAG["a"].empty() ? 0 : n_TAG["a"][0])',
    ),
    "a set": ("std::set<int> s_TAG;", lambda tag: getattr(ROOT, f"s_{tag}").insert(7), "double(s_TAG.count(int(x)))"),
    "a struct": (
        "struct Kept_TAG { double a = 1; std::string s; std::vector<int> v; }; Kept_TAG k_TAG;",
        lambda tag: setattr(getattr(ROOT, f"k_{tag}"), "a", 6.0),
        "k_TAG.a * x",
    ),
    "an array": (
        "double a_TAG[4] = {0, 0, 0, 0};",
        lambda tag: getattr(ROOT, f"a_{tag}").__setitem__(2, 7.0),
        "a_TAG[2] * x",
    ),
    "vectors of vectors": (
        "std::vector<std::vector<double>> vv_TAG;",
        lambda tag: getattr(ROOT, f"vv_{tag}").push_back(ROOT.std.vector["double"]([1.0, 2.0])),
        "vv_TAG.empty() ? -1. : vv_TAG[0][1]",
    ),
    "a vector behind pointers": (
        "auto *vp_TAG = new std::vector<double>(2, 1.); auto sp_TAG = std::make_shared<std::vector<double>>(2, 1.);",
        lambda tag: [getattr(ROOT, f"{name}_{tag}").__setitem__(1, 9.0) for name in ("vp", "sp")],
        "(*vp_TAG)[1] * 100 + (*sp_TAG)[1]",
    ),
    "a static member": (
        "struct Static_TAG { static double v; }; double Static_TAG::v = 1;",
        lambda tag: setattr(getattr(ROOT, f"Static_{tag}"), "v", 8.0),
        "Static_TAG::v * x",
    ),
    "a function of ROOT's": (
        'TF1 *f_TAG = new TF1("f_TAG", "[0]*x", 0, 100);',
        lambda tag: getattr(ROOT, f"f_{tag}").SetParameter(0, 4.0),
        "f_TAG->Eval(x)",
    ),
    "a vector of a library that was loaded": (
        "TLorentzVector l_TAG;",
        lambda tag: getattr(ROOT, f"l_{tag}").SetPxPyPzE(1, 2, 3, 4),
        "l_TAG.Px() + x",
    ),
    "what a function has filled": (
        "std::map<int, float> fm_TAG; void fill_TAG() { for (int i = 0; i < 10; ++i) fm_TAG[i] = i; }",
        lambda tag: getattr(ROOT, f"fill_{tag}")(),
        "double(fm_TAG[int(x) % 10])",
    ),
}


def filled_histogram() -> Any:
    """A histogram of the driver's own."""
    histogram = ROOT.TH1D("of_python", "", 10, 0, 100)
    _kept.append(histogram)  # a C++ pointer does not keep it
    for cell in range(12):
        histogram.SetBinContent(cell, 3.0 * cell)
    return histogram


def test_objects_that_change(fexec: Any, request: pytest.FixtureRequest) -> None:
    """What a declared variable holds when a graph is run, objects and what pointers lead to, is what workers read."""
    ROOT.TLorentzVector()  # its library is loaded here, and not on workers
    tag = f"habit{id(request)}"
    local, ours = ROOT.RDataFrame(100), ROOT.RDataFrame(100, executor=fexec, npartitions=2)
    frames = [frame.Define("x", "double(rdfentry_)") for frame in (local, ours)]
    for code, _, _ in OBJECTS.values():
        assert ROOT.gInterpreter.Declare(code.replace("TAG", tag))
    for change, names in ((False, OBJECTS), (True, OBJECTS)):
        for name in names if change else ():
            OBJECTS[name][1](tag)
        sums = []
        for frame in frames:
            booked = {
                name: frame.Define("w", expression.replace("TAG", tag)).Sum("w")
                for name, (_, _, expression) in OBJECTS.items()
            }
            sums.append({name: value.GetValue() for name, value in booked.items()})
        assert sums[0] == sums[1]
