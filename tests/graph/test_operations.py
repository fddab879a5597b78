"""Every method of ROOT's RDataFrame works on ours as locally, is answered by the driver, or is refused in one sentence."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import ROOT
from conftest import REPOSITORY
from datasets import ENTRIES, Datasets

from rdf_lithops.errors import PlanError
from rdf_lithops.graph import operations

Frames = tuple[Any, Any]


def frames(files: Datasets, fexec: Any, npartitions: int = 3) -> Frames:
    """Local RDataFrame and ours, over the same files."""
    return ROOT.RDataFrame("events", files.main), ROOT.RDataFrame(
        "events", files.main, executor=fexec, npartitions=npartitions
    )


def methods_of_root() -> set[str]:
    """The public methods of RInterface, templates too."""
    found = set()
    for name in ("ROOT::RDF::RInterface<ROOT::Detail::RDF::RLoopManager>", "ROOT::RDF::RInterfaceBase"):
        described = ROOT.TClass.GetClass(name)
        for functions in (described.GetListOfMethods(), described.GetListOfFunctionTemplates()):
            found |= {str(each.GetName()).partition("<")[0] for each in functions if each.Property() & ROOT.kIsPublic}
    return {name for name in found if not name.startswith(("RInterface", "operator", "~"))}


# -- the table ---------------------------------------------------------------------------------------------------------


def test_no_method_of_root_is_forgotten() -> None:
    """Each public method of ROOT's class is in the table; and Python's AsNumpy, which ROOT adds."""
    assert methods_of_root() | {"AsNumpy"} == {name for name, _, _ in operations.table()}


def test_the_page_is_the_table() -> None:
    """docs/operations.md says what the package does."""
    assert operations.page() == (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(operations.REFUSED))
def test_what_is_refused_says_why(fexec: Any, name: str) -> None:
    """What cannot run in ranges is refused when it is called, with what works instead."""
    node = ROOT.RDataFrame(10, executor=fexec).Define("x", "1.0")
    with pytest.raises(PlanError, match=rf"^{name} does not run in ranges: .*: use "):
        getattr(node, name)("x")


def test_a_misspelt_method(fexec: Any) -> None:
    """A method that ROOT has not, either, is an AttributeError that knows what was meant."""
    node = ROOT.RDataFrame(10, executor=fexec)
    with pytest.raises(AttributeError, match=r"no method 'Histo1d'; did you mean Histo1D\?"):
        node.Histo1d("x")
    assert not hasattr(node, "no_such_thing")


# -- answered without a run --------------------------------------------------------------------------------------------

ANSWERS: dict[str, Callable[[Any], Any]] = {
    "names": lambda d: [str(name) for name in d.GetColumnNames()],
    "defined": lambda d: [str(name) for name in d.GetDefinedColumnNames()],
    "dataset": lambda d: [str(name) for name in d.GetDatasetTopLevelFieldNames()],
    "types": lambda d: [str(d.GetColumnType(name)) for name in ("x", "v", "twice", "n")],
    "has": lambda d: [d.HasColumn(name) for name in ("x", "twice", "none")],
    "filters": lambda d: [str(name) for name in d.Filter("n > 1").GetFilterNames()],
    "files": lambda d: d.GetNFiles(),
    "runs and slots": lambda d: (d.GetNRuns(), d.GetNSlots()),
    "description": lambda d: str(d.Describe().AsString()),
    "variations": lambda d: str(d.Vary("x", "ROOT::RVecD{x - 1, x + 1}", 2).GetVariations().AsString()),
    "first rows": lambda d: str(d.Display(["x", "twice"], 3).AsString()),
    "first rows that pass": lambda d: str(d.Filter("n == 2").Display(["i", "v"]).AsString()),
    "drawing": lambda d: str(ROOT.RDF.SaveGraph(d.Filter("n > 1", "cut"))),
    "node": lambda d: [str(name) for name in ROOT.RDF.AsRNode(d).GetDefinedColumnNames()],
}


def test_what_the_driver_answers(fexec: Any, files: Datasets) -> None:
    """Names, types, descriptions and first rows are those of local RDataFrame, and nothing runs for them."""
    local, ours = (frame.Filter("n > 0", "some").Define("twice", "2 * x") for frame in frames(files, fexec))
    for name, ask in ANSWERS.items():
        if name != "runs and slots":
            assert ask(local) == ask(ours), name
    assert (0, 1) == ANSWERS["runs and slots"](ours)
    assert [] == ours.proxied_node.get_head().backend.reports


def test_runs_are_counted(fexec: Any) -> None:
    """GetNRuns and the description count the runs of a data frame."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
    frame.Count().GetValue()
    assert 1 == frame.GetNRuns()
    assert "Event loops run" in str(frame.Describe()) and "  1\n" in str(frame.Describe())


def test_names_of_variations_before_the_run(fexec: Any) -> None:
    """GetKeys of variations tells their names without a run, as local RDataFrame does."""
    local, ours = (
        frame.Define("x", "1.0 * rdfentry_").Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"], "shift").Filter("x > 2")
        for frame in (ROOT.RDataFrame(9), ROOT.RDataFrame(9, executor=fexec))
    )
    keys = [list(map(str, ROOT.RDF.Experimental.VariationsFor(node.Sum("x")).GetKeys())) for node in (local, ours)]
    assert ["nominal", "shift:down", "shift:up"] == sorted(keys[0]) == sorted(keys[1])
    assert 0 == ours.GetNRuns()


# -- Range, Take, Cache ------------------------------------------------------------------------------------------------

RANGES: dict[str, Callable[[Any], Any]] = {
    "first": lambda d: d.Range(10),
    "over an edge": lambda d: d.Range(100, 210),
    "with a stride": lambda d: d.Range(7, 330, 9),
    "none": lambda d: d.Range(500, 600),
    "of a range": lambda d: d.Range(300).Range(3, 70, 2),
    "after a filter": lambda d: d.Filter("n == 3").Range(5, 60),
    "after a filter, with a stride": lambda d: d.Filter("n == 3").Range(5, 60, 7),
    "between filters": lambda d: d.Filter("n > 1").Range(150).Filter("n == 3").Range(20),
    "of nothing": lambda d: d.Filter("i < 0").Range(3),
    "columns of that name": lambda d: d.Define("rdfl_k", "i").Define("entry", "i").Filter("entry > 3").Range(9),
}


def test_ranges_are_those_of_local_rdataframe(fexec: Any, files: Datasets) -> None:
    """Range passes the same entries, on the dataset and after filters, whatever the run's own ranges are."""
    local, ours = ({name: ask(frame).Take["int"]("i") for name, ask in RANGES.items()} for frame in frames(files, fexec))
    for name in RANGES:
        assert list(local[name].GetValue()) == list(ours[name]), name


@pytest.mark.filterwarnings("ignore:.*RDataFrame stopped processing")  # ROOT's, which local RDataFrame gives as well
def test_a_range_of_a_specification_that_begins_later(fexec: Any, files: Datasets) -> None:
    """Entries are counted from the first one that the data frame reads, and the first rows are these."""
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    spec.AddSample(("one", "events", files.main[0])).WithGlobalRange((30, 90))
    local, ours = ROOT.RDataFrame(spec), ROOT.RDataFrame(spec, executor=fexec, npartitions=2)
    for ask in (lambda d: list(d.Range(3, 40).AsNumpy(["i"])["i"]), lambda d: str(d.Display(["i"], 2).AsString())):
        assert ask(local) == ask(ours)


def test_bounds_that_mean_nothing(fexec: Any) -> None:
    """Bounds that local RDataFrame refuses are refused; and a range that each variation would count for itself."""
    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", "1.0")
    for bounds in ((5, 3), (0, 5, 0), (-1,), (1.5,), (1, 2, 3, 4), ()):
        with pytest.raises(PlanError, match="Range: expected"):
            frame.Range(*bounds)
    with pytest.raises(PlanError, match="call Range before"):
        frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", 2).Filter("x > 0").Range(3)


def test_values_of_a_column(fexec: Any, files: Datasets) -> None:
    """Take gives all values in order, as a vector of the type in the brackets."""
    local, ours = (frame.Range(60).Define("odd", "n % 2 == 1") for frame in frames(files, fexec))
    handles = [
        (kind, local.Take[kind](name), ours.Take[kind](name))
        for kind, name in (("double", "x"), ("int", "i"), ("bool", "odd"), ("ROOT::VecOps::RVec<float>", "v"))
    ]
    for kind, theirs, mine in handles:
        assert str(type(theirs.GetValue())) == str(type(mine.GetValue())), kind
        assert [str(value) for value in theirs.GetValue()] == [str(value) for value in mine.GetValue()], kind
    assert 1 == ours.proxied_node.get_head().rdf_lithops_runs
    with pytest.raises(PlanError, match="expected one type in brackets"):
        ours.Take("x")


@pytest.mark.parametrize("collection", ["std::vector<int>", "vector<int>", ROOT.std.vector["int"]])
def test_take_with_its_collection(collection: Any, files: Datasets, fexec: Any) -> None:
    """The collection that Take gives may be said."""
    local, ours = (frame.Take["int", collection]("i") for frame in frames(files, fexec))
    assert list(local.GetValue()) == list(ours.GetValue())


def test_an_object_out_of_what_nobody_holds(fexec: Any) -> None:
    """A collection that is taken out of what Take gives has its values when that is held no more."""
    frame = ROOT.RDataFrame(3, executor=fexec).Define("v", "ROOT::RVec<unsigned short>{1, 2, 3}")
    first = frame.Take["ROOT::RVec<unsigned short>"]("v").GetValue()[0]
    others = [ROOT.std.vector["ROOT::RVec<unsigned short>"](3) for _ in range(100)]
    assert ([1, 2, 3], 100) == ([int(value) for value in first], len(others))


def test_characters_of_a_column(fexec: Any, tag: str) -> None:
    """Take gives characters of 128 and more as well, and collections of them, which Python cannot make texts of."""
    ROOT.gInterpreter.Declare(
        f"int sum_{tag}(const std::vector<char> &v) {{ int s = 0; for (char c : v) s = (3 * s + c) % 10007; return s; }}"
        f"int sum_{tag}(const std::vector<ROOT::RVec<char>> &v) {{ int s = 0;"
        f" for (auto &c : v) s = (5 * s + sum_{tag}(std::vector<char>(c.begin(), c.end())) + c.size()) % 10007; return s; }}"
    )
    found = []
    for given in ({}, {"executor": fexec, "npartitions": 3}):
        frame = ROOT.RDataFrame(20, **given).Define("c", "char(rdfentry_ * 13)")
        frame = frame.Define("cs", "ROOT::RVec<char> v(rdfentry_ % 4, c); if (v.size()) v[0] += 1; return v;")
        taken = [frame.Take["char"]("c"), frame.Take["ROOT::RVec<char>"]("cs")]
        found.append([getattr(ROOT, f"sum_{tag}")(each.GetValue()) for each in taken])
    assert found[0] == found[1] and all(found[0])


@pytest.mark.parametrize("value", ["std::pair<int, double>(1, 2.)", "std::variant<int, double>(2.)"])
def test_values_that_cannot_be_fetched(value: str, fexec: Any) -> None:
    """Take of pairs and variants, at which PyROOT fails or crashes, is refused when it is booked."""
    frame = ROOT.RDataFrame(2, executor=fexec).Define("p", value)
    with pytest.raises(PlanError, match=r"Take: ranges cannot hand out values of .*: Define what you need"):
        frame.Take[value.partition("(")[0]]("p")


def test_cached_columns(fexec: Any, files: Datasets) -> None:
    """Cache keeps what columns are now, for a data frame on the same executor; vectors are refused with a way."""
    local, ours = (frame.Range(90).Filter("n > 1") for frame in frames(files, fexec))
    for columns in (["x", "i"], "[xi]"):
        expected, found = (frame.Cache(columns).Filter("x > 5").AsNumpy(["i", "x"]) for frame in (local, ours))
        assert [expected[name].tolist() for name in expected] == [found[name].tolist() for name in expected]
    with pytest.raises(PlanError, match=r"numbers or texts in memory, got 'v'.*Snapshot"):
        ours.Cache(["v"])


def test_columns_of_slots(fexec: Any, files: Datasets, tag: str) -> None:
    """Functions of slots, and of the dataset's entries, are called as with one thread, for columns that are there, too."""
    ROOT.gInterpreter.Declare(
        f"double slot_{tag}(unsigned int slot, double x) {{ return 1000 * slot + 2 * x; }}"
        f"double entry_{tag}(unsigned int slot, ULong64_t entry, double x) {{ return 1000 * slot + 3 * entry + x; }}"
    )
    by_slot, by_entry = getattr(ROOT, f"slot_{tag}"), getattr(ROOT, f"entry_{tag}")
    found = []
    for frame in frames(files, fexec):
        node = frame.DefineSlot("one", by_slot, ["x"]).DefineSlotEntry("two", by_entry, ["x"])
        again = node.RedefineSlot("one", by_slot, ["one"]).RedefineSlotEntry("two", by_entry, ["two"])
        arrays = [each.AsNumpy(["one", "two"], lazy=True) for each in (node, again)]
        found.append([array.GetValue()[name].tolist() for array in arrays for name in ("one", "two")])
    assert found[0] == found[1]


def test_what_a_range_or_a_type_would_change_in_silence(fexec: Any, files: Datasets) -> None:
    """A Report beside a Range, a type that is not the column's and other collections are refused."""
    _, ours = frames(files, fexec)
    cut = ours.Filter("n == 3", "three")
    assert ["three"] == [str(each.GetName()) for each in cut.Report()]
    for kind in ("float", "double, ROOT::RVec<double>"):
        with pytest.raises(PlanError, match="Take: expected"):
            ours.Take[kind]("x")
    cut.Range(2)
    with pytest.raises(PlanError, match="Report cannot count beside a Range"):
        cut.Report()


# -- sources -----------------------------------------------------------------------------------------------------------


def test_arrays(fexec: Any) -> None:
    """FromNumpy with an executor gives what it gives locally, rows cut into ranges."""
    arrays = {
        "x": numpy.arange(50.0) / 3,
        "k": numpy.arange(50),
        "small": numpy.arange(50, dtype="u1"),
        "odd": numpy.arange(50) % 2 == 1,
        "text": numpy.array([f"name {number}" for number in range(50)]),
        "strided": numpy.arange(100.0)[::2],
    }
    local, ours = ROOT.RDF.FromNumpy(dict(arrays)), ROOT.RDF.FromNumpy(dict(arrays), executor=fexec, npartitions=3)

    def ask(frame: Any) -> Any:
        node = frame.Filter("odd && x > 2").Define("length", "text.size() + rdfentry_")
        values = node.AsNumpy(["x", "k", "small", "odd", "text", "strided", "length"])
        return {name: array.tolist() for name, array in values.items()}

    assert ask(local) == ask(ours)
    assert str(local.GetColumnType("text")) == str(ours.GetColumnType("text"))
    assert 50 == ROOT.RDF.FromNumpy({"x": arrays["x"]}, executor=fexec).Count().GetValue()
    assert 0 == ROOT.RDF.FromNumpy({"x": arrays["x"][:0]}, executor=fexec).Count().GetValue()


def test_a_table_of_pandas(fexec: Any) -> None:
    """FromPandas with an executor gives what it gives locally."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"x": numpy.arange(20.0) / 4, "k": numpy.arange(20), "odd": numpy.arange(20) % 2 == 1})
    local, ours = ROOT.RDF.FromPandas(table), ROOT.RDF.FromPandas(table, executor=fexec, npartitions=3)
    for ask in (lambda d: d.Filter("odd && x > 1").Sum("k").GetValue(), lambda d: d.AsNumpy(["x"])["x"].tolist()):
        assert ask(local) == ask(ours)


def test_a_csv_file(fexec: Any, tmp_path: pathlib.Path) -> None:
    """FromCSV with an executor reads on the driver what it reads locally, with ROOT's own options."""
    path = tmp_path / "table.csv"
    path.write_text("name;x;k\n" + "".join(f"n{row};{row / 4};{row}\n" for row in range(20)))
    local, ours = (ROOT.RDF.FromCSV(str(path), True, ";", **given) for given in ({}, {"executor": fexec, "npartitions": 2}))
    for name in ("name", "x", "k"):
        assert local.AsNumpy([name])[name].tolist() == ours.AsNumpy([name])[name].tolist()


def test_what_does_not_travel(fexec: Any) -> None:
    """Arrays that are too large for a graph, and other sources, are refused with a way."""
    with pytest.raises(PlanError, match=r"at most 64 MiB in memory.*Snapshot"):
        ROOT.RDF.FromNumpy({"x": numpy.zeros(9 * 2**20)}, executor=fexec)
    for name in ("FromSqlite", "FromArrow"):
        with pytest.raises(PlanError, match=rf"{name} does not run in ranges.*give these to FromNumpy"):
            getattr(ROOT.RDF, name)("file", [], executor=fexec)


def test_names_of_files(fexec: Any, files: Datasets) -> None:
    """File names may come from generators, tuples and pathlib."""
    paths = [pathlib.Path(name) for name in files.main]
    for names in ((name for name in files.main), tuple(files.main), paths, map(str, paths)):
        assert ENTRIES == ROOT.RDataFrame("events", names, executor=fexec, npartitions=2).Count().GetValue()
    assert 120 == ROOT.RDataFrame("events", paths[0], executor=fexec, npartitions=2).Count().GetValue()
    assert 120 == ROOT.ROOT.RDataFrame("events", files.main[0], executor=fexec, npartitions=2).Count().GetValue()


def test_a_progress_bar(fexec: Any, files: Datasets) -> None:
    """AddProgressBar turns the bar of the data frame's runs on."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec)
    ROOT.RDF.Experimental.AddProgressBar(frame)
    assert frame._headnode.backend.options.progress is True


def taking_columns(frame: Any, file: str) -> dict[str, Callable[[Any], Any]]:
    """What takes a collection of names, as functions of it; a Snapshot writes ``file``."""
    return {
        "snapshot": lambda columns: sorted(map(str, frame.Snapshot("t", file, columns).GetColumnNames())),
        "arrays": lambda columns: {name: list(array) for name, array in frame.AsNumpy(columns).items()},
        "exclude": lambda columns: {name: list(array) for name, array in frame.AsNumpy(exclude=columns).items()},
        "nd": lambda columns: frame.HistoND(("h", "", 2, [2, 2], [0.0] * 2, [9.0] * 2), columns).GetEntries(),
        "display": lambda columns: str(frame.Display(columns, 2).AsString()),
    }


def test_arrays_of_names(fexec: Any) -> None:
    """An array of NumPy is as good as a list of names, also where local RDataFrame stumbles over its truth value; a text in
    place of a list is refused when it is booked."""
    frame = ROOT.RDataFrame(4, executor=fexec, npartitions=2).Define("x", "1. * rdfentry_").Define("y", "2. * x")
    for names in (["x", "y"], ["x"], []):
        assert (names or ["x", "y"]) == sorted(frame.AsNumpy(columns=numpy.array(names, dtype=str)))
    assert ["y"] == sorted(frame.AsNumpy(exclude=numpy.array(["x"], dtype=object)))
    for given in ({"columns": "x"}, {"exclude": "x"}):
        with pytest.raises(PlanError, match=r"AsNumpy: expected a list of columns, got a text: \['x'\]"):
            frame.AsNumpy(**given)


@pytest.mark.parametrize(
    ("wanted", "takers"),
    [
        pytest.param(["map", "array"], ["exclude"], id="map or array, exclude"),
        pytest.param(["map", "keys", "generator"], None, marks=pytest.mark.slow, id="iterators"),
        pytest.param(["list", "tuple", "set", "dict", "array", "vector"], None, marks=pytest.mark.slow, id="collections"),
    ],
)
def test_names_of_columns(wanted: list[str], takers: list[str] | None, fexec: Any) -> None:
    """Columns may be given in whatever collection of texts local RDataFrame takes."""
    names = {"x": 1, "y": 2}
    kinds: dict[str, Callable[[], Any]] = {
        "list": lambda: list(names),
        "tuple": lambda: tuple(names),
        "set": lambda: set(names),
        "dict": lambda: names,
        "keys": names.keys,
        "generator": lambda: (name for name in names),
        "map": lambda: map(str, names),
        "array": lambda: numpy.array(list(names)),
        "vector": lambda: ROOT.std.vector["std::string"](list(names)),
    }
    found: list[dict[str, Any]] = []
    for place in ({}, {"executor": fexec, "npartitions": 2}):
        frame = ROOT.RDataFrame(4, **place).Define("x", "1. * rdfentry_").Define("y", "2. * x").Define("z", "3. * x")
        values: dict[str, Any] = {}
        for what, book in taking_columns(frame, f"{len(found)}.root").items():
            for kind in wanted if takers is None or what in takers else ():
                try:
                    values[f"{what} {kind}"] = book(kinds[kind]())
                except Exception as error:  # local RDataFrame does not take each of them
                    values[f"{what} {kind}"] = type(error)
        found.append(values)
    local, ours = found
    taken = {name: value for name, value in local.items() if not isinstance(value, type)}
    assert len(taken) >= (len(wanted) if takers else 3 * len(wanted))
    assert taken == {name: ours[name] for name in taken}
