"""What a program does to a variable, and what it declares between, comes about on workers in the program's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ROOT
from test_declared import total, write

pytestmark = pytest.mark.usefixtures("registries")

SET_BACK = {  # a declaration ({0}: the tag), what a line of C++ makes of it, how Python sets it back, what is looked at
    "number": ("double v_{0} = 1;", "v_{0} = 7;", "ROOT.v_{0} = 1", "v_{0}"),
    "in a namespace": ("namespace n_{0} {{ double v = 1; }}", "n_{0}::v = 7;", "ROOT.n_{0}.v = 1", "n_{0}::v"),
    "static member": ("struct M_{0} {{ inline static int v = 1; }};", "M_{0}::v = 7;", "ROOT.M_{0}.v = 1", "M_{0}::v"),
    "text": ('std::string v_{0} = "a";', 'v_{0} = "bcd";', "ROOT.v_{0} = 'a'", "v_{0}.size()"),
    "container": ("std::vector<int> v_{0} = {{1}};", "v_{0}[0] = 7;", "ROOT.v_{0}[0] = 1", "v_{0}[0]"),
    "array": ("int v_{0}[2] = {{1, 1}};", "v_{0}[1] = 7;", "ROOT.v_{0}[1] = 1", "v_{0}[1]"),
    "struct": ("struct S_{0} {{ double x = 1; }} v_{0};", "v_{0}.x = 7;", "ROOT.v_{0}.x = 1", "v_{0}.x"),
    "histogram": (
        'TH1D v_{0}("v_{0}", "", 1, 0., 1.);',
        "v_{0}.SetBinContent(1, 7);",
        "ROOT.v_{0}.SetBinContent(1, 0)",
        "v_{0}.GetBinContent(1)",
    ),
    "by a function": (
        "double v_{0} = 1; double to_{0}(double x) {{ return v_{0} = x; }}",
        "double now_{0} = to_{0}(7);",
        "ROOT.v_{0} = 1",
        "v_{0}",
    ),
}


@pytest.mark.parametrize("kind", SET_BACK)
def test_set_back_to_what_was_declared(kind: str, fexec: Any, tag: str) -> None:
    """A line has changed a variable, Python gives it back the value of its declaration: workers have this one."""
    declared, line, python, look = (text.format(tag) for text in SET_BACK[kind])
    ROOT.gInterpreter.Declare(declared)
    first = total(look)
    ROOT.gInterpreter.ProcessLine(line)
    assert first != total(look)
    exec(python, {"ROOT": ROOT})
    assert total(look) == total(look, fexec)


GIVEN = ["line", "declared", "distributed", "macro", "header"]


@pytest.mark.parametrize("spelling", GIVEN)
@pytest.mark.parametrize(
    "code",
    ["double w_{0} = 2 * v_{0};", "#include <memory>\nstd::unique_ptr<double> w_{0}(new double(2 * v_{0}));"],
    ids=["number", "what it owns"],
)
def test_made_of_a_variable_that_python_has_set(spelling: str, code: str, fexec: Any, tmp_path: Path, tag: str) -> None:
    """What is declared after Python has set a variable, and made of it, is made of that value on workers, too."""
    ROOT.gInterpreter.Declare(f"double v_{tag} = 1;")
    setattr(ROOT, f"v_{tag}", 5.0)
    text = code.format(tag)
    if spelling == "line":
        ROOT.gInterpreter.ProcessLine(text)
    elif spelling == "declared":
        ROOT.gInterpreter.Declare(text)
    elif spelling == "distributed":
        ROOT.RDF.Distributed.DistributeCppCode(text)
    elif spelling == "macro":
        ROOT.gROOT.LoadMacro(write(tmp_path / "made.C", text))
    else:
        ROOT.gInterpreter.Declare(f'#include "{write(tmp_path / "made.h", "#pragma once" + chr(10) + text)}"')
    setattr(ROOT, f"v_{tag}", 6.0)
    look = f"v_{tag} + {'*' if 'unique' in code else ''}w_{tag}"
    assert 4 * (6 + 2 * 5.0) == total(look) == total(look, fexec)


def test_calls_between_declarations(fexec: Any, tag: str) -> None:
    """A call, which is not repeated, has set what the next declaration is made of."""
    ROOT.gInterpreter.Declare(f"double v_{tag} = 1; void set_{tag}(double x) {{ v_{tag} = x; }}")
    ROOT.gInterpreter.ProcessLine(f"set_{tag}(3);")
    ROOT.gInterpreter.ProcessLine(f"double w_{tag} = v_{tag}; v_{tag} = 4;")
    ROOT.gInterpreter.ProcessLine(f"set_{tag}(1);")
    look = f"v_{tag} + 10 * w_{tag}"
    assert 4 * 31.0 == total(look) == total(look, fexec)


def test_variables_of_distributed_code_alone(fexec: Any, tag: str) -> None:
    """Without what the program declares otherwise, a variable of code that was distributed is as this code makes it."""
    ROOT.RDF.Distributed.DistributeCppCode(f"double v_{tag} = 1;")
    ROOT.gInterpreter.ProcessLine(f"v_{tag} = 7;")
    assert 4 * 1.0 == total(f"v_{tag}", fexec, declared=False)
    assert 4 * 7.0 == total(f"v_{tag}", fexec)


def test_lines_of_which_only_a_part_is_repeated(fexec: Any, tag: str) -> None:
    """A call in a line, which is not repeated, has changed what the line declares, and what it sets."""
    ROOT.gInterpreter.Declare(f"double v_{tag} = 1; void set_{tag}(double &which, double x) {{ which = x; }}")
    ROOT.gInterpreter.ProcessLine(f"double w_{tag} = 2; set_{tag}(w_{tag}, 5);")
    ROOT.gInterpreter.ProcessLine(f"v_{tag} = 3; set_{tag}(v_{tag}, 4);")
    look = f"v_{tag} + 10 * w_{tag}"
    assert 4 * 54.0 == total(look) == total(look, fexec)


def test_made_by_a_call(fexec: Any, tmp_path: Path, tag: str) -> None:
    """What a declaration has read from a file of this machine is known to workers that do not have the file."""
    there = write(tmp_path / "luminosity.txt", "41.5")
    read = f"double read_{tag}(const char *name) {{ double x = -1; std::ifstream(name) >> x; return x; }}"
    ROOT.gInterpreter.Declare(f'#include <fstream>\n{read}\ndouble v_{tag} = read_{tag}("{there}");')
    ROOT.gInterpreter.ProcessLine(f'std::vector<double> w_{tag}; w_{tag} = {{read_{tag}("{there}")}};')
    Path(there).unlink()
    look = f"v_{tag} + w_{tag}[0]"
    assert 4 * 83.0 == total(look) == total(look, fexec)


def test_variables_whose_declaration_is_replaced(fexec: Any, tag: str) -> None:
    """Code that is distributed later takes the place of what was declared, also of what Python had made of it."""
    ROOT.gInterpreter.Declare(f"double v_{tag} = 1;")
    setattr(ROOT, f"v_{tag}", 5.0)
    ROOT.gInterpreter.Declare(f"double other_{tag} = 2;")
    ROOT.RDF.Distributed.DistributeCppCode(f"double v_{tag} = 3;")
    assert 4 * 2.0 == total(f"other_{tag}", fexec)


def test_a_map_of_objects_that_a_line_fills(fexec: Any, tag: str, caplog: Any) -> None:
    """What it holds does not travel, and need not: workers repeat the line, and nothing is warned of."""
    ROOT.gInterpreter.Declare(f"struct S_{tag} {{ double x = 1; }}; std::map<int, S_{tag}> v_{tag};")
    ROOT.gInterpreter.ProcessLine(f"v_{tag}[3].x = 5;")
    look = f"v_{tag}.at(3).x"
    assert 4 * 5.0 == total(look) == total(look, fexec)
    assert [] == [record.message for record in caplog.records if tag in record.message]


CONSTANTS = {  # C++ ({0}: the tag), and what is looked at
    "by calls": (
        "double two_{0}() {{ return 2; }} const double a_{0} = two_{0}(); constexpr double b_{0} = double(3);"
        'const char *const c_{0} = strdup("ab"); namespace n_{0} {{ inline const auto d = two_{0}(); }}',
        "a_{0} + 10 * b_{0} + 100 * strlen(c_{0}) + 1000 * n_{0}::d",
    ),
    "collections": (
        "static const std::vector<double> a_{0} = std::vector<double>(3, 2.); double const b_{0}[2] = {{1, double(2)}};",
        "a_{0}.size() + 10 * b_{0}[1]",
    ),
    "beside a call": ('const double a_{0} = 5; printf("%s", "");', "a_{0}"),
}


@pytest.mark.parametrize("kind", CONSTANTS)
@pytest.mark.parametrize("spelling", ["given", "run"])
def test_constants(kind: str, spelling: str, fexec: Any, tmp_path: Path, tag: str) -> None:
    """They are as their declaration makes them, however it was given: nothing may be assigned to them."""
    code, look = (text.format(tag) for text in CONSTANTS[kind])
    if spelling == "given":
        (ROOT.gInterpreter.ProcessLine if kind == "beside a call" else ROOT.gInterpreter.Declare)(code)
    else:
        declared = code.replace('printf("%s", "");', "")
        macro = write(tmp_path / f"run_{tag}.C", f"#include <cstring>\n{declared}\nvoid run_{tag}() {{}}\n")
        ROOT.gROOT.ProcessLine(f".x {macro}")
    assert total(look) == total(look, fexec)
