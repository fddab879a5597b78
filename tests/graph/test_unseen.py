"""C++ that may reach for a file, the network or the clock is told from C++ that computes; in doubt it may."""

from __future__ import annotations

import pytest
import ROOT

from rdf_lithops.graph import recording, unseen
from rdf_lithops.graph.computation import computation_of
from rdf_lithops.graph.preparing import coded, user_code_of

COMPUTES = [
    "nMuon == 2 && Muon_charge[0] != Muon_charge[1]",
    "ROOT::VecOps::InvariantMass(pt, eta, phi, m)",
    "Sum(jet_pt[jet_pt > 30 && abs(jet_eta) < 2.4]) + TMath::Abs(x)",
    "gRandom->Gaus(x, 1.) + rdfentry_",
    "ROOT::RVecD{pt*0.9, pt*1.1}",
    "float f = 0; for (auto v : pt) { if (v > 3) f += v; } return f;",
    "auto v = ROOT::Math::PtEtaPhiMVector(pt, eta, phi, m); return v.M();",
    "TLorentzVector a(1,2,3,4); return a.Pt();",
    "auto twice = [](double x) { return 2 * x; }; return twice(y);",
    "std::vector<float> out(n); return out.size();",
    "(int)x % 3 + static_cast<float>(time)",
    'x > 0 /* time(0) */ && name == "rand()" // clock()',
    "double y = 1e-5; return y * 1.e+3;",
]
MAY_REACH_OUT = {
    "time(0)": "time",
    "x * ::clock()": "clock",
    "(time)(0)": "time",
    "not rand()": "rand",
    "std::time(nullptr)": "time",
    "auto f = &time; return f(0);": "f",
    'extern "C" long time(long*); return time(0);': "time",
    "gSystem->Now()": "gSystem",
    "*new Reader": "Reader",
    "Reader r{3}; return 1;": "Reader",
    "Reader r; return r.get(x);": "Reader",
    'using F = ifstream; F f("x"); return 1;': "ifstream",
    'make_unique<ifstream>("x")->get()': "ifstream",
    'TFile::Open("x")': "TFile",
    "corrections::factor(x)": "corrections",
    "std::chrono::system_clock::now()": "chrono",
    'getenv("x")': "getenv",
    "__TIME__": "__TIME__",
}
HEADER = """
#include <cmath>
namespace my {
struct Line { double slope; double at(double x) const { return slope * x; } };
template <typename T> T twice(T x) { return x + x; }
ROOT::RVec<float> scaled(const ROOT::RVec<float>& pt, float s) {
  ROOT::RVec<float> out(pt.size());
  for (std::size_t i = 0; i < pt.size(); ++i) out[i] = twice(pt[i]) * s;
  return out;
}
}
"""


@pytest.mark.parametrize("text", COMPUTES)
def test_what_computes(text: str) -> None:
    """Columns, numbers, the standard library's and ROOT's functions of numbers and vectors, lambdas: nothing is unseen."""
    assert [] == unseen.in_text(text)


@pytest.mark.parametrize("text", MAY_REACH_OUT)
def test_what_may_reach_out(text: str) -> None:
    """A name that reaches for something, or of which nobody knows what it does, is told."""
    assert MAY_REACH_OUT[text] in unseen.in_text(text)


@pytest.fixture
def alone() -> None:
    """What other tests have declared in this process is not of the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "_steps", [])
        yield


def unseen_of(fexec: object, expression: object, *columns: object) -> list[str]:
    frame = ROOT.RDataFrame(4, executor=fexec, npartitions=2)
    total = frame.Define("x", "double(rdfentry_)").Define("y", expression, *columns).Sum("y")
    head = total.proxied_node.get_head()
    code = coded(computation_of(head))
    return unseen.in_run([code.graph.nodes], user_code_of(head.backend), True)


@pytest.mark.usefixtures("alone")
def test_code_of_the_program_is_read(fexec: object) -> None:
    """Functions that the program declares may be called if they compute; one that calls what nobody knows is told."""
    ROOT.gInterpreter.Declare(HEADER.replace("my", "unseen_1"))
    assert [] == unseen_of(fexec, "unseen_1::twice(x) + unseen_1::Line{2.}.at(x)")
    ROOT.gInterpreter.Declare("double unseen_2(double x) { return x + time(0); }")
    (said,) = unseen_of(fexec, "unseen_2(x)")
    assert said.startswith("time, in C++ of ")


@pytest.mark.usefixtures("alone")
def test_python_functions_are_unseen(fexec: object) -> None:
    """Nobody reads Python."""
    assert [] == unseen_of(fexec, "1.0 * x")

    def twice(x: float) -> float:
        return 2.0 * x

    assert "the Python function of a Define" in unseen_of(fexec, twice, ["x"])
