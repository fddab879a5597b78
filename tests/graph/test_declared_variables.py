"""Global variables of C++ that came out of files: workers have the values that they have when a graph is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ROOT
from kinds import quickly
from test_declared import total, write

import rdf_lithops
from rdf_lithops.graph import statements

pytestmark = pytest.mark.usefixtures("registries")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("c++") is None, reason="there is no C++ compiler to build a library with"
)
HEADER = """
#ifndef HEADER_{tag}
#define HEADER_{tag}
#include <vector>
double plain_{tag} = 1;
struct Table_{tag} {{
   std::vector<double> edges;
   explicit Table_{tag}(std::vector<double> given) : edges(given) {{}}
   int bin(double x) const {{ int n = 0; for (auto edge : edges) n += x >= edge; return n; }}
}};
{begin} double hidden_{tag} = 1; {end}
namespace outer_{tag}::inner {{
inline Table_{tag} *table = nullptr;
inline double scale = 1;
inline void set(double value) {{ scale = value; }}
inline int bin(double x) {{ return table ? table->bin(x) : -1; }}
}}
inline double all_{tag}(double x)
{{
   return plain_{tag} + 10 * hidden_{tag} + 100 * outer_{tag}::inner::scale + 1000 * outer_{tag}::inner::bin(x);
}}
#endif
"""


def given(spelling: str, folder: Path, tag: str) -> None:
    """Give HEADER to the interpreter; a library and the interpreter have variables without a name's namespace apart."""
    begin, end = ("", "") if spelling == "compiled" else ("namespace {", "}")
    text = HEADER.format(tag=tag, begin=begin, end=end)
    header = write(folder / "state.h", text)
    if spelling == "include":
        ROOT.gInterpreter.Declare(f'#include "{header}"')
    elif spelling == "include of an include":
        outer = write(folder / "outer.h", '#pragma once\n#include "state.h"\n')
        ROOT.gInterpreter.ProcessLine(f'#include "{outer}"')
    elif spelling == "macro":
        ROOT.gROOT.ProcessLine(f".L {header}")
    elif spelling == "macro that includes":
        ROOT.gROOT.LoadMacro(write(folder / "macro.C", '#include "state.h"\n'))
    elif spelling == "distributed":
        ROOT.RDF.Distributed.DistributeHeaders([header])
    elif spelling == "distributed code":
        ROOT.RDF.Distributed.DistributeCppCode(text)
    elif spelling == "compiled":
        ROOT.gROOT.ProcessLine(f".L {header}+")


FILES = ["include", "include of an include", "macro", "macro that includes", "distributed", "distributed code"]


@pytest.mark.parametrize(
    "spelling",
    [
        *quickly(FILES, "include", "macro that includes", "distributed"),
        pytest.param("compiled", marks=[pytest.mark.slow, needs_compiler]),
    ],
)
def test_variables_of_files(spelling: str, fexec: Any, tmp_path: Path, tag: str) -> None:
    """What Python, a statement and a call have set is so on workers, in namespaces too, and again when it changes."""
    given(spelling, tmp_path, tag)
    expression = f"all_{tag}(rdfentry_)"
    before = total(expression)
    assert before == total(expression, fexec)
    inner = getattr(ROOT, f"outer_{tag}").inner
    setattr(ROOT, f"plain_{tag}", 2.0)
    ROOT.gInterpreter.ProcessLine(f"hidden_{tag} = 3;")
    ROOT.gInterpreter.ProcessLine(f"outer_{tag}::inner::set(4);")
    ROOT.gInterpreter.ProcessLine(f"outer_{tag}::inner::table = new Table_{tag}({{1., 2.}});")
    expected = total(expression)
    assert before < expected
    assert expected == total(expression, fexec)
    inner.set(5.0)
    inner.table.edges.push_back(0.5)
    expected = total(expression)
    assert expected == total(expression, fexec)


SPELLED = {  # a declaration of v, how C++ changes it, how Python does ({0}: the tag), and what is looked at
    "behind a struct": ("struct S_{0} {{ double x{{1}}; }} u_{0}, v_{0};", "v_{0}.x = 2;", "ROOT.v_{0}.x = 3", "v_{0}.x"),
    "pointer behind a class": (
        "class C_{0} {{ public: double x = 1; }} *v_{0} = new C_{0};",
        "v_{0}->x = 2;",
        "ROOT.v_{0}.x = 3",
        "v_{0}->x",
    ),
    "struct said": ("struct T_{0} {{ double x = 1; }}; struct T_{0} v_{0};", "v_{0}.x = 2;", "ROOT.v_{0}.x = 3", "v_{0}.x"),
    "enum said": ("enum D_{0} {{ d_{0}, e_{0} }}; enum D_{0} v_{0} = d_{0};", "v_{0} = e_{0};", "", "int(v_{0})"),
    "behind an enum": (
        "enum E_{0} {{ a_{0}, b_{0}, c_{0} }} v_{0} = a_{0};",
        "v_{0} = b_{0};",
        "ROOT.v_{0} = 2",
        "int(v_{0})",
    ),
    "behind a union": ("union U_{0} {{ int i; float f; }} v_{0} = {{1}};", "v_{0}.i = 2;", "", "v_{0}.i"),
    "of no type's name": ("struct {{ double x = 1; }} v_{0};", "v_{0}.x = 2;", "", "v_{0}.x"),
    "structured binding": ("auto [v_{0}, w_{0}] = std::make_pair(1., 2.);", "v_{0} = 2;", "", "v_{0}"),
    "type of an expression": ("decltype(1.0) v_{0} = 1;", "v_{0} = 2;", "", "v_{0}"),
    "attribute": ("[[maybe_unused]] alignas(16) double v_{0} = 1;", "v_{0} = 2;", "ROOT.v_{0} = 3", "v_{0}"),
    "array of objects": (
        "struct A_{0} {{ double x = 1; std::vector<int> of; }}; A_{0} v_{0}[2];",
        "v_{0}[1].x = 2;",
        "ROOT.v_{0}[1].of.push_back(3)",
        "v_{0}[1].x + v_{0}[1].of.size()",
    ),
    "table": (
        "double v_{0}[2][2] = {{{{1, 2}}, {{3, 4}}}};",
        "v_{0}[1][0] = 5;",
        "ROOT.v_{0}[1][1] = 6",
        "v_{0}[1][0] + v_{0}[1][1]",
    ),
    "text": ('const char *v_{0} = "a";', 'v_{0} = "bcd";', "", "strlen(v_{0}) + (v_{0}[0] == 'b')"),
    "characters": (
        'char v_{0}[8] = "a"; unsigned char w_{0} = 200;',
        'strcpy(v_{0}, "bcd");',
        "ROOT.w_{0} = 7",
        "strlen(v_{0}) + w_{0}",
    ),
    "tuple": ("std::tuple<double, int> v_{0}(1, 2);", "std::get<0>(v_{0}) = 2;", "", "std::get<0>(v_{0})"),
    "behind a pointer": ("int w_{0}[2] = {{1, 1}}; int *v_{0} = w_{0};", "*v_{0} = 2;", "ROOT.w_{0}[0] = 3", "*v_{0}"),
    "counted": ("int v_{0} = 1;", "++v_{0};", "ROOT.v_{0} += 1", "v_{0}"),
    "reference to an array": (
        "double w_{0}[2] = {{1, 1}}; double (&v_{0})[2] = w_{0};",
        "v_{0}[1] = 2;",
        "ROOT.w_{0}[1] = 3",
        "v_{0}[1]",
    ),
    "pointer to a function": (
        "double f_{0}(double) {{ return 1; }} double g_{0}(double) {{ return 2; }} double (*v_{0})(double) = &f_{0};",
        "v_{0} = &g_{0};",
        "",
        "v_{0}(0.)",
    ),
    "pointers to functions": (
        "double f_{0}(double) {{ return 1; }} double g_{0}(double) {{ return 2; }} double (*v_{0}[1])(double) = {{f_{0}}};",
        "v_{0}[0] = g_{0};",
        "",
        "v_{0}[0](0.)",
    ),
    "made at once by a lambda": ("double v_{0} = [] {{ return 1.; }}();", "v_{0} = 2;", "ROOT.v_{0} = 3", "v_{0}"),
    "template": ("template <int N> double v_{0} = N;", "v_{0}<1> = 2;", "", "v_{0}<1>"),
    "text of ROOT's": ('TString v_{0}("a");', 'v_{0} = "bc";', "ROOT.v_{0}.Append('d')", "v_{0}.Length()"),
    "constant pointer": (
        "struct K_{0} {{ double x = 1; }}; K_{0} *const v_{0} = new K_{0};"
        "std::vector<int> *const w_{0} = new std::vector<int>(2);"
        'char *const c_{0} = strdup("ab");',
        "v_{0}->x = 2; w_{0}->push_back(3);",
        "ROOT.v_{0}.x = 3; ROOT.w_{0}.push_back(4)",
        "v_{0}->x + 10 * w_{0}->size() + 100 * strlen(c_{0})",
    ),
    "character below 0": (
        "signed char v_{0} = 1; void set_{0}() {{ v_{0} = -5; }}",
        "set_{0}();",
        "ROOT.v_{0} = 'z'",
        "v_{0}",
    ),
    "pointer to a member": (
        "struct M_{0} {{ double a = 1, b = 2; }} m_{0}; double M_{0}::*v_{0} = &M_{0}::a;",
        "v_{0} = &M_{0}::b;",
        "",
        "m_{0}.*v_{0}",
    ),
}


QUICK = ("struct said", "table", "behind a struct", "behind a pointer", "array of objects", "pointers to functions")
ROOT_FAILS = {"structured binding", "behind an enum"}  # where they are given to it line by line


@pytest.mark.parametrize(
    ("spelling", "declared"),
    [
        *quickly(((spelling, "at once") for spelling in SPELLED), *((spelling, "at once") for spelling in QUICK), names=2),
        *(
            pytest.param(spelling, "line by line", marks=pytest.mark.slow)
            for spelling in SPELLED
            if spelling not in ROOT_FAILS
        ),
    ],
)
def test_variables_however_they_are_declared(spelling: str, declared: str, fexec: Any, tag: str) -> None:
    """What a line, or Python, has made of a variable is so on workers."""
    declaration, line, python, look = (text.format(tag) for text in SPELLED[spelling])
    for text in statements.split(declaration) if declared == "line by line" else [declaration]:
        (ROOT.gInterpreter.ProcessLine if declared == "line by line" else ROOT.gInterpreter.Declare)(text)
    seen = [total(f"double({look})")]
    assert seen[0] == total(f"double({look})", fexec)
    for change in filter(None, [f"ROOT.gInterpreter.ProcessLine({line!r})", python]):
        exec(change, {"ROOT": ROOT})
        seen.append(total(f"double({look})"))
        assert seen[-1] == total(f"double({look})", fexec)
    assert len(set(seen)) == len(seen), "a change that is not seen shows nothing"


def test_changes_that_do_not_travel(fexec: Any, tag: str, caplog: Any) -> None:
    """An object that cannot be sent and has changed is told of, once; where nothing has changed nothing is said."""
    ROOT.gInterpreter.Declare(
        f"""
        #include <functional>
        class Box_{tag} {{ double *held = nullptr; public: void put(double x) {{ held = new double(x); }}
                          double get() const {{ return held ? *held : 0; }} }};
        Box_{tag} quiet_{tag}, repeated_{tag}, called_{tag}; Box_{tag} *made_{tag} = nullptr;
        std::function<double(double)> whole_{tag} = [](double x) {{ return x; }};
        std::vector<Box_{tag}> many_{tag}(2); std::map<int, Box_{tag}> by_number_{tag};
        double one_{tag}(double x) {{ return x; }} double (*function_{tag})(double) = nullptr;
        void call_{tag}() {{ called_{tag}.put(2); made_{tag} = new Box_{tag}; function_{tag} = one_{tag};
                           whole_{tag} = [](double x) {{ return 2 * x; }}; many_{tag}[1].put(2);
                           by_number_{tag}[1].put(3); }}
        """
    )
    ROOT.gInterpreter.ProcessLine(f"repeated_{tag}.put(3);")
    assert 4 * 3.0 == total(f"quiet_{tag}.get() + repeated_{tag}.get() + called_{tag}.get()", fexec)
    assert [] == [record.message for record in caplog.records if tag in record.message]
    ROOT.gInterpreter.ProcessLine(f"call_{tag}();")
    for _ in range(2):
        total(f"called_{tag}.get()", fexec)
    told = sorted(record.message.split()[2] for record in caplog.records if "does not travel" in record.message)
    assert [f"{name}_{tag}" for name in ("by_number", "called", "function", "made", "many", "whole")] == told


@pytest.mark.parametrize(
    "code",
    ["int n_{0} = 0;", "namespace s_{0} {{ int other; }} std::atomic<int> n_{0}{{0}};", "std::set<int> held_{0};"],
    ids=["number", "atomic", "set"],
)
def test_what_a_graph_has_written(code: str, fexec: Any, tag: str) -> None:
    """A counter that the program sets back, or a set that it clears, begins anew in each query, as it does locally."""
    counts = "held" not in code
    count, reset = (
        (f"n_{tag}++", f"n_{tag} = 0;") if counts else (f"held_{tag}.insert(0).second ? 0 : 1", f"held_{tag}.clear();")
    )
    ROOT.gInterpreter.Declare(
        f"#include <atomic>\n#include <set>\n{code.format(tag)} int next_{tag}() {{ return {count}; }}"
    )
    found = []
    for executor in ({}, {"executor": fexec, "npartitions": 1}):
        for _ in range(3):
            ROOT.gInterpreter.ProcessLine(reset)
            found.append(ROOT.RDataFrame(10, **executor).Filter(f"next_{tag}() < 1").Count().GetValue())
    assert [1] * 6 == found


@pytest.mark.parametrize("kind", ["double *", "std::unique_ptr<double>", "std::shared_ptr<double>"])
def test_what_is_made_when_it_is_first_needed(kind: str, fexec: Any, tag: str) -> None:
    """A table that the first event makes is there for the next query: its process goes on."""
    ROOT.gInterpreter.Declare(
        f"#include <memory>\nusing P_{tag} = {kind}; P_{tag} table_{tag};"
        f"double get_{tag}() {{ if (!table_{tag}) table_{tag} = P_{tag}(new double(3)); return *table_{tag}; }}"
    )
    pids = set()
    for _ in range(2):
        three = ROOT.RDataFrame(10, executor=fexec, npartitions=1).Define("x", f"get_{tag}()").Sum("x")
        assert 30.0 == three.GetValue()
        pids |= {call.pid for call in rdf_lithops.report(three).maps}
    assert 1 == len(pids)


@pytest.mark.parametrize("place", ["global", "namespace", "own class"])
def test_pointers_to_what_is_gone(place: str, fexec: Any, tmp_path: Path, tag: str) -> None:
    """What a variable pointed to has been deleted, as a file's histograms are when it is closed: other graphs run, and those
    that use it when it points to something again."""
    kind = f"Own_{tag}" if place == "own class" else "TH1F"
    begin, end, scope = (f"namespace n_{tag} {{", "}", f"n_{tag}::") if place == "namespace" else ("", "", "")
    own = (
        f"struct Own_{tag} : public TH1F {{ using TH1F::TH1F; virtual ~Own_{tag}() {{}} }};" if place == "own class" else ""
    )
    name = f"{scope}held_{tag}"
    ROOT.gInterpreter.Declare(
        f"{own} {begin} {kind} *held_{tag} = nullptr; {end}"
        f"double get_{tag}(double x) {{ return {name}->GetBinContent(int(x)); }}"
    )
    for number in (2.0, 3.0):
        ROOT.gInterpreter.ProcessLine(f'{name} = new {kind}("h", "", 4, 0, 4); {name}->SetBinContent(1, {number});')
        assert number == total(f"rdfentry_ == 1 ? get_{tag}(rdfentry_) : 0.", fexec)
        ROOT.gInterpreter.ProcessLine(f"delete {name};")
        assert 6.0 == total("double(rdfentry_)", fexec)


@pytest.mark.parametrize("spelling", [".x {}(4)", ".X {}(4)", "Macro", "ExecuteMacro"])
def test_macros_that_are_run(spelling: str, fexec: Any, tmp_path: Path, tag: str) -> None:
    """What a macro declares is there on workers, with the values that it has set; it is not run again."""
    ran = tmp_path / "ran"
    text = f"int value_{tag} = 1;\nint double_{tag}() {{ return 2 * value_{tag}; }}\n"
    text += f'void run_{tag}(int given) {{ value_{tag} = given; gSystem->Exec("echo x >> {ran}"); }}\n'
    macro = write(tmp_path / f"run_{tag}.C", text)
    if spelling.startswith("."):
        ROOT.gROOT.ProcessLine(spelling.format(macro))
    elif spelling == "Macro":
        ROOT.gROOT.Macro(f"{macro}(4)")
    else:
        ROOT.gInterpreter.ExecuteMacro(f"{macro}(4)")
    assert 4 * 8.0 == total(f"double_{tag}()") == total(f"double_{tag}()", fexec)
    assert "x\n" == ran.read_text()


def test_lambdas_are_declared_without_a_word(fexec: Any, tag: str, capfd: Any) -> None:
    """A variable that is a lambda expression has nothing that could change: nothing is said, here as locally."""
    ROOT.gInterpreter.Declare(f"auto square_{tag} = [](double x) {{ return x * x; }};")
    assert total(f"square_{tag}(rdfentry_)") == total(f"square_{tag}(rdfentry_)", fexec)
    assert "error" not in capfd.readouterr().err


TABLE = """
import pickle, ROOT, rdf_lithops
ROOT.RDataFrame(1)  # from which on declarations are listened to
ROOT.TClass.GetClass("vector<double>")  # as once anything that has one was read
ROOT.gInterpreter.Declare("struct Table { const std::vector<double> x{1., 2., 4.}; }; Table table;")
print(pickle.loads(pickle.dumps(ROOT.RDF.TH1DModel("h", "", 8, -2.0, 2.0))).fNbinsX)
"""


def test_an_object_with_constant_collections() -> None:
    """A variable whose class has collections that are constant, as a table has, spoils nothing that is read after it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TABLE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (0, "8") == (done.returncode, done.stdout.strip()), done.stderr[-1000:]
