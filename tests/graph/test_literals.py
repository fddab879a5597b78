"""Expressions that are said in other words for a worker keep their literals and comments."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT

from rdf_lithops.graph import statements

ENTRIES, LONG = 12, 'std::string("{}").size()'


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of several clusters with columns that are named like parts of a path."""
    path = str(tmp_path_factory.mktemp("literals") / "named.root")
    frame = ROOT.RDataFrame(ENTRIES).Define("energies", "0.5 * rdfentry_").Define("x", "1. + rdfentry_")
    options = ROOT.RDF.RSnapshotOptions()
    options.fAutoFlush = 3
    frame.Snapshot("t", path, ["energies", "x"], options)
    return path


def sums(frame: Any, code: str) -> list[float]:
    """What an expression comes to where it is a column, a weight, a cut, a new value, and what varies."""
    booked = [
        frame.Define("y", code).Sum("y"),
        frame.Redefine("x", code).Sum("x"),
        frame.Filter(f"int({code}) % 3 != 1", "rdfentry_ energies").Count(),
    ]
    varied = frame.Vary("x", f"ROOT::RVecD{{x, x + ({code})}}", 2, "rdfentry_").Define("w", code)
    histograms = ROOT.RDF.Experimental.VariationsFor(varied.Histo1D(("h", "", 20, 0.0, 200.0), "x", "w"))
    numbers = [float(result.GetValue()) for result in booked]
    return [*numbers, *(histograms[key].GetMean() for key in ("nominal", "rdfentry_:0", "rdfentry_:1"))]


@pytest.mark.parametrize(
    "code",
    [
        LONG.format("/x/energies/y.root") + " + 0 * energies",
        LONG.format("of rdfentry_"),
        LONG.format(r"a\"rdfentry_\" rdfentry_") + " + rdfentry_",
        "std::string(R\"code(rdfentry_ 'x)code\").size() + rdfentry_ + '\\''",
        '"\'"[0] + rdfentry_ + "rdfentry_"[4]',
        "0 // it isn't rdfentry_\n + rdfentry_ /* 'rdfentry_ */",
    ],
)
def test_literals_are_locals(code: str, path: str, fexec: Any) -> None:
    """A name in a literal or comment is what it is to local RDataFrame, beside its use as a column and without."""
    expected = sums(ROOT.RDataFrame("t", path), code)
    assert expected == pytest.approx(sums(ROOT.RDataFrame("t", path, executor=fexec, npartitions=3), code), rel=1e-12)


@pytest.mark.parametrize(
    "code",
    [
        LONG.format("rdfsampleinfo_"),
        r'rdfsampleinfo_.Contains("named") ? std::string("\"rdfsampleinfo_").size() : 0',
        "// rdfsampleinfo_ isn't used\n1",
        "1'000 * (rdfsampleinfo_.NEntries() + 2'000) + rdfsampleinfo_.EntryRange().second * 1'0",
    ],
)
def test_literals_of_samples(code: str, path: str, fexec: Any) -> None:
    """The same where columns are defined per sample; a name that has the word in it is a name."""
    name = "of_rdfsampleinfo_"
    frames = [ROOT.RDataFrame("t", path), ROOT.RDataFrame("t", path, executor=fexec, npartitions=3)]
    expected, ours = (frame.DefinePerSample(name, code).Sum(name).GetValue() for frame in frames)
    assert expected == ours


def test_quotes_in_numbers() -> None:
    """A quote that separates digits begins no literal."""
    assert ["int a = 1'000;", " char b = 'b';", " double c = 0x1'F + .5'5e+1'0;", " int d;"] == statements.split(
        "int a = 1'000; char b = 'b'; double c = 0x1'F + .5'5e+1'0; int d;"
    )
    assert ["int a = 1'000;", " int b = 2'000;"] == statements.split("int a = 1'000; int b = 2'000;")
    assert {"char", "u8", "c8"} == statements.words("char c8 = u8'x';")


def test_variables_whose_values_have_such_quotes(fexec: Any, tag: str) -> None:
    """Each variable of a text with such numbers has on workers the value that it has here."""
    ROOT.gInterpreter.Declare(f"double one_{tag} = 1'000; double two_{tag} = 2'000; double three_{tag} = 3'000;")
    for number, name in enumerate(("one", "two", "three")):
        setattr(ROOT, f"{name}_{tag}", 10**number)
    frame = ROOT.RDataFrame(2, executor=fexec, npartitions=2)
    assert 222 == frame.Define("y", f"one_{tag} + two_{tag} + three_{tag}").Sum("y").GetValue()
