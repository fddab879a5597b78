"""Values of classes that come to the driver are those of local RDataFrame, or the column is refused when it is booked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import ROOT
from kinds import quickly

from rdf_lithops import PlanError

DECLARED = """
#include <bitset>
#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <tuple>
#ifndef RDF_LITHOPS_UNFETCHED
#define RDF_LITHOPS_UNFETCHED
namespace unfetched {
struct Hit { double x; int n; };
struct Track { std::string name; std::vector<float> v; Hit hit; std::pair<int, double> p; std::map<int, int> m; };
struct Grid { std::array<std::array<int, 2>, 2> a; int c[3]; };
struct Named { std::map<int, std::vector<int>> m; int n; };
struct Perhaps { std::optional<int> o; int n; };
struct Bits { std::bitset<8> b; };
struct Deep { std::vector<Named> v; };
struct Far { Hit *hit; };
struct Derived : Named { int z; };
enum class Color { red, green };
}
using namespace unfetched;
#endif
"""
TRAVEL = {  # by type: a value, and what of it is looked at, as C++ of a value "v"
    "Hit": ("Hit{1.5 * i, int(i)}", "v.x + v.n"),
    "ROOT::RVec<Hit>": ("ROOT::RVec<Hit>{Hit{1.5 * i, 1}, Hit{2., 3}}", "v[0].x + v[1].n"),
    "std::vector<Hit>": ("std::vector<Hit>{Hit{1.5 * i, 1}}", "v.at(0).x"),
    "Track": (
        'Track{"a", {1.f, float(i)}, Hit{2. * i, 3}, {1, 1. * i}, {{5, int(i)}}}',
        "v.v.at(1) + v.hit.x + v.p.second + v.m.at(5)",
    ),
    "Grid": ("Grid{{{{1, 2}, {3, int(i)}}}, {4, 5, int(i)}}", "v.a[1][1] + v.a[1][0] + v.c[2]"),
    "std::array<double, 2>": ("std::array<double, 2>{1., 1. * i}", "v[1]"),
    "std::array<Hit, 2>": ("std::array<Hit, 2>{Hit{1., 1}, Hit{1. * i, 1}}", "v[1].x"),
    "std::vector<std::array<int, 2>>": ("std::vector<std::array<int, 2>>{{1, int(i)}}", "v.at(0)[1]"),
    "std::map<int, int>": ("std::map<int, int>{{1, int(i)}}", "v.at(1)"),
    "std::map<std::string, double>": ('std::map<std::string, double>{{"a", 1. * i}}', 'v.at("a")'),
    "ROOT::RVec<std::map<int, int>>": ("ROOT::RVec<std::map<int, int>>{{{1, int(i)}}}", "v.at(0).at(1)"),
    "std::list<int>": ("std::list<int>{int(i)}", "v.front()"),
    "std::complex<double>": ("std::complex<double>(1., 1. * i)", "v.imag()"),
    "std::tuple<int, double>": ("std::tuple<int, double>(1, 1. * i)", "std::get<1>(v)"),
    "std::chrono::seconds": ("std::chrono::seconds(i)", "v.count()"),
    "TLorentzVector": ("TLorentzVector(1, 2, 3, i)", "v.E()"),
    "ROOT::RVec<ROOT::Math::PtEtaPhiMVector>": ("ROOT::RVec<ROOT::Math::PtEtaPhiMVector>{{1, 2, 3, 1. * i}}", "v.at(0).M()"),
    "std::vector<std::vector<float>>": ("std::vector<std::vector<float>>{{1.f}, {float(i)}}", "v.at(1).at(0)"),
    "Color": ("Color(i % 2)", "int(v)"),
    "std::vector<Color>": ("std::vector<Color>{Color(i % 2)}", "int(v.at(0))"),
}
QUICK = ("Hit", "Track", "std::array<double, 2>", "std::map<int, int>", "TLorentzVector", "std::vector<Color>")
STAY = {
    "std::map<int, std::vector<int>>": "map<int,vector<int> >",
    "std::map<int, double>": "map<int,double>",
    "std::multimap<int, int>": "multimap<int,int>",
    "std::set<short>": "set<short>",
    "std::deque<std::string>": "deque<string>",
    "std::list<Hit>": "list<unfetched::Hit>",
    "std::bitset<8>": "bitset<8>",
    "std::optional<int>": "optional<int>",
    "std::array<std::array<int, 2>, 2>": "array<array<int,2>,2>",
    "std::vector<std::map<int, double>>": "map<int,double>",
    "ROOT::RVec<std::optional<int>>": "",
    "std::tuple<int, std::map<int, double>>": "map<int,double>",
    "std::string_view": "",
    "std::shared_ptr<int>": "",
    "Named": "map<int,vector<int> >",
    "Perhaps": "",
    "Bits": "bitset<8>",
    "Deep": "map<int,vector<int> >",
    "Derived": "map<int,vector<int> >",
    "Far": "unfetched::Far::hit",
    "const char *": "",
}


@pytest.fixture(autouse=True)
def _known() -> None:
    ROOT.gInterpreter.Declare(DECLARED)


@pytest.mark.filterwarnings("ignore:.*has no streamer or dictionary:RuntimeWarning")  # ROOT's of members that it does write
@pytest.mark.parametrize("kinds", quickly([QUICK, TRAVEL], QUICK), ids=["some", "all"])
def test_values_of_classes_are_those_of_local(kinds: Iterable[str], fexec: Any, tag: str) -> None:
    """AsNumpy and Take of structures, collections and ROOT's own classes: each value is what local RDataFrame gives."""
    names = {f"c{number}": kind for number, kind in enumerate(kinds)}
    for name, kind in names.items():
        ROOT.gInterpreter.Declare(f"double {name}_{tag}({kind} v) {{ return double({TRAVEL[kind][1]}); }}")
    track = next(name for name, kind in names.items() if kind == "Track")
    found = []
    for given in ({}, {"executor": fexec, "npartitions": 2}):
        frame = ROOT.RDataFrame(4, **given)
        for name, kind in names.items():
            frame = frame.Define(name, f"auto i = rdfentry_; return {TRAVEL[kind][0]};")
        arrays = frame.AsNumpy(list(names))
        taken = frame.Take["Track"](track).GetValue()
        read = {name: getattr(ROOT, f"{name}_{tag}") for name in names}
        found.append(
            ({name: [read[name](value) for value in arrays[name]] for name in names}, [read[track](v) for v in taken])
        )
    assert found[0] == found[1]
    assert all(len(set(values)) > 1 for values in found[0][0].values()), "a value that does not change shows nothing"


@pytest.mark.parametrize("kind", STAY)
def test_values_that_would_be_lost_are_refused(kind: str, fexec: Any) -> None:
    """A column of which ROOT would write nothing, or something else, is refused with what is lost of it; others of the same
    data frame are not."""
    frame = ROOT.RDataFrame(2, executor=fexec).Define(
        "x", f"return ({kind})nullptr;" if "*" in kind else f"{kind} x{{}}; return x;"
    )
    for book in (lambda: frame.AsNumpy(["x"]), lambda: frame.AsNumpy(), lambda: frame.Take[kind]("x")):
        with pytest.raises(PlanError, match=r"ranges cannot hand out values of .*: Define what you need") as caught:
            book()
        assert STAY[kind] in str(caught.value)
    assert [1, 1] == list(frame.Define("y", "1").AsNumpy(exclude=["x"])["y"])
