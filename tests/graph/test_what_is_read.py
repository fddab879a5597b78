"""What a range reads is what local RDataFrame reads: selected entries, samples, changing columns, odd names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ROOT
from kinds import quickly

from rdf_lithops.errors import PlanError, RunError
from rdf_lithops.frame.selection import packed, unpacked

_kept: list[Any] = []  # what ROOT refers to


@pytest.fixture(scope="module", autouse=True)
def let_go() -> Iterator[None]:
    """Chains end before the lists that they refer to: at its own end Python would take them in the other order."""
    yield
    while _kept:
        del _kept[0]


def write(path: Path, entries: int, tree: str = "t", **columns: str) -> str:
    """A file whose columns hold what these expressions say."""
    frame: Any = ROOT.RDataFrame(entries)
    for name, code in columns.items():
        frame = frame.Define(name, code)
    frame.Snapshot(tree, str(path), list(columns))
    return str(path)


def chain_of(paths: list[str]) -> Any:
    """A chain over the tree t of these files."""
    chain = ROOT.TChain("t")
    for path in paths:
        chain.Add(path)
    _kept.append(chain)
    return chain


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three files of unequal length."""
    folder = tmp_path_factory.mktemp("numbered")
    sizes = enumerate((20, 7, 33))
    return [write(folder / f"f{n}.root", size, x=f"(int)(rdfentry_ + {100 * n})") for n, size in sizes]


def answers(given: Callable[[], tuple[Any, ...]], answer: Callable[[Any], Any], fexec: Any) -> tuple[Any, list[Any]]:
    """The answer of local RDataFrame, and those of one, of three surveyed, and of seven ranges."""
    local, ours = answer(ROOT.RDataFrame(*given())), []
    for npartitions, survey in ((1, False), (3, True), (7, False)):
        frame = ROOT.RDataFrame(*given(), executor=fexec, npartitions=npartitions, options={"survey": survey})
        ours.append(answer(frame))
    return local, ours


def numbers(frame: Any) -> list[list[int]]:
    """The column x, entry numbers, and the count."""
    booked, count = frame.Define("e", "(int)rdfentry_").AsNumpy(["x", "e"]), frame.Count()
    return [*([int(value) for value in booked[name]] for name in ("x", "e")), [int(count.GetValue())]]


@pytest.mark.slow
def test_the_older_name_of_entry_numbers(paths: list[str], fexec: Any) -> None:
    """``tdfentry_``, as ROOT called it first, is the entry number in the dataset, too: read, drawn, cut on and renamed."""

    def answer(frame: Any) -> list[Any]:
        arrays = frame.AsNumpy(["tdfentry_", "x", "rdfentry_"])
        graph = frame.Alias("n", "tdfentry_").Filter("tdfentry_ % 2 == n % 2 && tdfentry_ > 22").Graph("rdfentry_", "n")
        titled = frame.Graph("x", "rdfentry_")
        return [
            *([int(value) for value in arrays[name]] for name in sorted(arrays)),
            *map(list, (graph.GetX(), graph.GetY())),
            titled.GetTitle(),
            titled.GetName(),
        ]

    local, ours = answers(lambda: ("t", paths), answer, fexec)
    assert [local] * 3 == ours


def with_entry_list(paths: list[str], kind: str) -> tuple[Any]:
    """A chain of which some entries are selected."""
    chain = chain_of(paths)
    if kind == "events":
        selected = ROOT.TEventList("selected")
        for entry in (1, 25, 26, 59):
            selected.Enter(entry)
        chain.SetEventList(selected)
    else:
        selected = ROOT.TEntryList("selected", "")
        for entry in {"some": (0, 3, 4, 5, 21, 44), "last": (0, 59), "none": ()}[kind]:
            selected.Enter(entry, chain)
        chain.SetEntryList(selected)
    _kept.append(selected)
    return (chain,)


@pytest.mark.parametrize("kind", quickly(["some", "last", "none", "events"], "some", "none"))
def test_entry_lists(kind: str, paths: list[str], fexec: Any) -> None:
    """With a TEntryList, or a TEventList, the selected entries are read, and ``rdfentry_`` counts them."""
    local, ours = answers(lambda: with_entry_list(paths, kind), numbers, fexec)
    assert [local] * 3 == ours
    assert {"some": 6, "last": 2, "none": 0, "events": 4}[kind] == len(local[0])


def spec_of(paths: list[str], entry_range: tuple[int, int] | None = None, names: str = "AAB") -> Any:
    """A specification of two samples, with metadata."""
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    for number, name in enumerate(dict.fromkeys(names)):
        metadata = ROOT.RDF.Experimental.RMetaData()
        metadata.Add("number", number)
        files = [path for path, of in zip(paths, names, strict=True) if of == name]
        spec.AddSample((name, ["t"] * len(files), files, metadata))
    if entry_range:
        spec.WithGlobalRange(entry_range)
    return spec


RANGES = [(5, 45), (0, 7), (19, 21), (50, 200), (7, 7), (60, 60), (70, 70)]


@pytest.mark.filterwarnings("default")  # ROOT warns of an end behind the last entry
@pytest.mark.parametrize("entry_range", quickly(RANGES, (5, 45), (19, 21), (50, 200), (7, 7), (70, 70)))
def test_global_ranges(entry_range: tuple[int, int], paths: list[str], fexec: Any) -> None:
    """The range of a specification is read, and numbered, as locally; the specification can be used again."""
    spec = spec_of(paths, entry_range)
    local, ours = answers(lambda: (spec,), numbers, fexec)
    assert [local] * 3 == ours


def test_a_global_range_behind_the_end_is_an_error(paths: list[str], fexec: Any) -> None:
    """A range behind the last entry is an error, as locally, and before anything runs."""
    with pytest.raises(Exception, match="TTreeReader"):
        ROOT.RDataFrame(spec_of(paths, (60, 61))).Count().GetValue()
    with pytest.raises(PlanError, match="60 entries"):
        ROOT.RDataFrame(spec_of(paths, (60, 61)), executor=fexec, npartitions=2).Count().GetValue()


def sample_facts(frame: Any) -> list[Any]:
    """Per entry what ``rdfsampleinfo_`` says: the length of its name, its entries, their sum in all, the sample's number."""
    for name, code in {
        "length": "rdfsampleinfo_.AsString().size()",
        "first": "rdfsampleinfo_.EntryRange().first",
        "last": "rdfsampleinfo_.EntryRange().second",
        "own": "rdfsampleinfo_.NEntries()",
        "total": "rdfsampleinfo_.NEntriesTotal()",
        "id": 'rdfsampleinfo_.Contains("f1.root/t")',
    }.items():
        frame = frame.DefinePerSample(name, f"(int)({code})")
    arrays = frame.AsNumpy(["length", "first", "last", "own", "total", "id"])
    return [[int(value) for value in array] for array in arrays.values()]


def spec_facts(frame: Any) -> list[Any]:
    """The same of a specification's samples, which have names, numbers and metadata, too."""
    named = frame.DefinePerSample("sample", "(int)rdfsampleinfo_.GetSampleId()")
    named = named.DefinePerSample("meta", 'rdfsampleinfo_.GetI("number")')
    named = named.DefinePerSample("name", "(int)rdfsampleinfo_.GetSampleName()[0]")
    booked = [named.AsNumpy(["sample", "meta", "name"])]
    return [[int(value) for value in array] for arrays in booked for array in arrays.values()] + sample_facts(frame)


@pytest.mark.parametrize("kind", ["names", "relative", "chain", "tree", "folder", "renamed", "numbers"])
def test_samples(kind: str, paths: list[str], fexec: Any, tmp_path: Path) -> None:
    """``rdfsampleinfo_`` says what it says locally, however the dataset is given and cut."""
    folder = write(tmp_path / "folder.root", 9, "some/folder/t", x="1")

    def given() -> tuple[Any, ...]:
        if kind == "numbers":
            return (60,)
        if kind in ("names", "relative"):
            return "t", [f"{Path(path).parent}/{'./' if kind == 'relative' else ''}{Path(path).name}" for path in paths]
        if kind == "chain":
            return (chain_of(paths),)
        if kind == "tree":
            _kept.append(ROOT.TFile(paths[1]))
            return (_kept[-1].Get("t"),)
        if kind == "folder":
            return "some/folder/t", folder
        return "key", renamed(tmp_path / "renamed.root", "own", "key")

    local, ours = answers(given, sample_facts, fexec)
    assert [local] * 3 == ours


@pytest.mark.parametrize(("names", "entry_range"), [("AAB", None), ("ABC", None), ("ABC", (10, 40))])
def test_samples_of_specifications(names: str, entry_range: tuple[int, int] | None, paths: list[str], fexec: Any) -> None:
    """Names, numbers, metadata and entries of samples are those of the specification in every range."""
    local, ours = answers(lambda: (spec_of(paths, entry_range, names),), spec_facts, fexec)
    assert [local] * 3 == ours


def test_samples_of_one_name(paths: list[str], fexec: Any) -> None:
    """Two samples of one name keep their own metadata."""

    def given() -> tuple[Any]:
        spec = ROOT.RDF.Experimental.RDatasetSpec()
        for number, path in enumerate(paths):
            metadata = ROOT.RDF.Experimental.RMetaData()
            metadata.Add("number", 10 * number)
            spec.AddSample(("A", "t", path, metadata))
        return (spec,)

    local, ours = answers(given, spec_facts, fexec)
    assert [local] * 3 == ours


def test_a_name_without_a_sample_is_an_error(paths: list[str], fexec: Any) -> None:
    """Files that belong to no sample have no name, here as locally."""
    for given in ({}, {"executor": fexec, "npartitions": 2}):
        frame = ROOT.RDataFrame("t", paths, **given).DefinePerSample("n", "(int)rdfsampleinfo_.GetSampleName().size()")
        with pytest.raises(Exception, match="no samples are available"):
            frame.Sum("n").GetValue()


def test_samples_of_an_entry_list_are_refused(paths: list[str], fexec: Any) -> None:
    """Local ROOT tells DefinePerSample of the first file alone: said in one sentence."""
    frame = ROOT.RDataFrame(*with_entry_list(paths, "some"), executor=fexec, npartitions=2)
    with pytest.raises(PlanError, match="TEntryList"):
        frame.DefinePerSample("n", "rdfsampleinfo_.NEntries()").Sum("n").GetValue()


ROOT.gInterpreter.Declare("""
void rdf_lithops_write_array(const char *path, int length) {
   TFile file(path, "recreate"); TTree t("t", "t"); int x[10];
   t.Branch("x", x, TString::Format("x[%d]/I", length));
   for (int i = 0; i < 10; ++i) { for (int k = 0; k < length; ++k) x[k] = 10 * i + k; t.Fill(); }
   t.Write();
}
void rdf_lithops_write_renamed(const char *path, const char *name, const char *key) {
   TFile file(path, "recreate"); TTree t(name, ""); int x; t.Branch("x", &x);
   for (x = 0; x < 20; ++x) t.Fill();
   file.WriteObject(&t, key);
}
""")


def renamed(path: Path, name: str, key: str) -> str:
    """A file whose tree has another name than its key."""
    ROOT.rdf_lithops_write_renamed(str(path), name, key)
    return str(path)


@pytest.mark.parametrize("first", ["int", "double"])
@pytest.mark.parametrize("npartitions", [1, 2])
@pytest.mark.parametrize("kind", ["tree", "array", "friend"])
def test_changing_types_are_refused(kind: str, npartitions: int, first: str, fexec: Any, tmp_path: Path) -> None:
    """A column of another type or length in a later file is an error that names it, however files fall into ranges."""
    types = [first, "double" if first == "int" else "int"]
    given = {"executor": fexec, "npartitions": npartitions}
    files = [str(tmp_path / f"{number}.root") for number in range(2)]
    for path, of in zip(files, types, strict=True):
        if kind == "array":
            ROOT.rdf_lithops_write_array(path, 2 if of == "int" else 3)
        else:
            write(Path(path), 10, x=f"({of})rdfentry_", z="1")
    if kind == "friend":
        main = chain_of([write(tmp_path / f"main{number}.root", 10, y="1") for number in range(2)])
        main.AddFriend(chain_of(files), "fr")
        frame = ROOT.RDataFrame(main, **given)
    else:
        frame = ROOT.RDataFrame("t", files, **given)
    with pytest.raises(RunError, match=r"column '(fr\.)?x' is .*0\.root and .*1\.root"):
        frame.Define("s", "x" if kind != "array" else "Sum(x)").Sum("s").GetValue()
    if kind == "tree":
        local, ours = answers(
            lambda: ("t", files), lambda frame: frame.Histo1D(("x", "x", 2, 0.0, 2.0), "z").GetEntries(), fexec
        )
        assert [local] * 3 == ours


@pytest.mark.parametrize("order", ["with first", "without first", "without alone"])
def test_columns_that_some_files_do_not_have(order: str, fexec: Any, tmp_path: Path) -> None:
    """DefaultValueFor, FilterAvailable and FilterMissing are what they are locally, wherever files lack the column."""
    both, one = write(tmp_path / "b.root", 20, x="1", y="(int)rdfentry_"), write(tmp_path / "o.root", 30, x="2")
    files = {"with first": [both, one, one], "without first": [one, both, one], "without alone": [one, one]}[order]

    def answer(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def tried(frame: Any) -> Any:
            try:
                return float(action(frame).GetValue())
            except Exception:
                return "an error"

        return tried

    found = [
        answers(lambda: ("t", files), answer(lambda frame: frame.DefaultValueFor("y", -1).Sum("y")), fexec),
        answers(lambda: ("t", files), answer(lambda frame: frame.FilterAvailable("y").Sum("y")), fexec),
        answers(lambda: ("t", files), answer(lambda frame: frame.FilterMissing("y").Sum("x")), fexec),
        answers(lambda: ("t", files), answer(lambda frame: frame.Sum("y")), fexec),
    ]
    assert [[local] * 3 for local, _ in found] == [ours for _, ours in found]
    assert order != "with first" or [130.0, 190.0, 120.0, "an error"] == [local for local, _ in found]


@pytest.mark.parametrize("kind", ["files", "specification", "friends"])
def test_ranges_that_end_where_a_file_does(kind: str, fexec: Any, tmp_path: Path) -> None:
    """A range that takes no entry of a later file does not fail over what that file does not have, as locally."""
    sizes = (1, 2, 3, 2)
    files = [write(tmp_path / f"{n}.root", sizes[n], x="1", **({} if n in (1, 2) else {"y": "2"})) for n in range(4)]
    friends = [write(tmp_path / f"friend{n}.root", sizes[n], z=f"(int)rdfentry_ + {10 * n}") for n in range(4)]

    def given() -> tuple[Any, ...]:
        if kind == "specification":
            return (ROOT.RDF.Experimental.RDatasetSpec().AddSample(("s", "t", files)),)
        if kind == "friends":
            chain = chain_of(files)
            chain.AddFriend(chain_of(friends), "fr")
            return (chain,)
        return "t", files

    column = "fr.z" if kind == "friends" else "x"

    def answer(frame: Any) -> tuple[int, list[int], list[Any]]:
        node = frame.Define("d", "y * 2")
        booked = node.Count(), node.AsNumpy([column]), node.Report()
        values = [int(value) for value in booked[1][column]]
        return booked[0].GetValue(), values, [cut.GetName() for cut in booked[2].GetValue()]

    values = [0, 10, 11, 20, 21, 22, 30, 31] if kind == "friends" else [1] * 8
    local, ours = answers(given, answer, fexec)
    assert (8, values, []) == local
    assert [local] * 3 == ours


def test_friends_of_files_whose_columns_differ(fexec: Any, tmp_path: Path) -> None:
    """A range that begins in a file without the first one's columns has its own entries' friends, wherever it is cut."""
    files = [write(tmp_path / "0.root", 5, x="1", y="2"), *(write(tmp_path / f"{n}.root", 40, x="1") for n in (1, 2))]
    for path in files[1:]:
        with ROOT.TFile(path, "UPDATE") as file:
            file.Get("t").SetAutoFlush(10)
    friends = [write(tmp_path / f"f{n}.root", size, z=f"(int)rdfentry_ + {1000 * n}") for n, size in enumerate((5, 40, 40))]

    def given() -> tuple[Any, ...]:
        chain = chain_of(files)
        chain.AddFriend(chain_of(friends), "fr")
        return (chain,)

    def answer(frame: Any) -> list[int]:
        return [int(value) for value in frame.DefaultValueFor("y", 7).Define("s", "fr.z * 10 + y").AsNumpy(["s"])["s"]]

    local, ours = answers(given, answer, fexec)
    assert [local] * 3 == ours


def test_a_column_that_is_booked_after_a_run(fexec: Any, tmp_path: Path) -> None:
    """After a run local ROOT stands at the last file, and knows no column that is not there: nor do we."""
    both, one = write(tmp_path / "b.root", 20, x="1", y="(int)rdfentry_"), write(tmp_path / "o.root", 30, x="2")
    for given in ({}, {"executor": fexec, "npartitions": 2}):
        frame = ROOT.RDataFrame("t", [both, one], **given)
        assert 50 == frame.Count().GetValue()
        with pytest.raises(Exception, match="y"):
            frame.FilterAvailable("y").Sum("y").GetValue()


ODD = ["renamed", "nameless", "both", "got", "folder", "directory"]


@pytest.mark.parametrize("kind", quickly(ODD, "both", "got", "folder"))
def test_trees_of_odd_names(kind: str, fexec: Any, tmp_path: Path) -> None:
    """A tree whose own name is not its key's, or is in a folder, is read like any other."""
    names = [renamed(tmp_path / "a.root", "own", "key"), renamed(tmp_path / "b.root", "", "key")]
    folder = write(tmp_path / "folder.root", 9, "some/folder/t", x="(int)rdfentry_")

    def given() -> tuple[Any, ...]:
        if kind in ("got", "folder", "directory"):
            _kept.append(ROOT.TFile(names[0] if kind == "got" else folder))
        return {
            "renamed": lambda: ("key", names[0]),
            "nameless": lambda: ("key", names[1]),
            "both": lambda: ("key", [*names, renamed(tmp_path / "c.root", "key", "key")]),
            "got": lambda: (_kept[-1].Get("key"),),
            "folder": lambda: (_kept[-1].Get("some/folder/t"),),
            "directory": lambda: ("t", _kept[-1].Get("some/folder")),
        }[kind]()

    def answer(frame: Any) -> tuple[int, float, list[int]]:
        entries = frame.Define("e", "rdfentry_").AsNumpy(["e"])["e"]
        return frame.Count().GetValue(), float(frame.Sum("x").GetValue()), [int(entry) for entry in entries]

    local, ours = answers(given, answer, fexec)
    assert [local] * 3 == ours


def test_packed_selections() -> None:
    """Intervals survive their way through text."""
    begins, ends = [0, 7, 2**40], [3, 8, 2**40 + 5]
    text = json.loads(json.dumps(packed(begins, ends)))
    assert (begins, ends) == tuple(list(map(int, part)) for part in unpacked(text))
    assert [[], []] == [list(part) for part in unpacked(packed([], []))]
