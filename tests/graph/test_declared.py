"""What the program gives to the interpreter, in every spelling, reaches the workers: local RDataFrame is the oracle."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cppyy
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG
from ROOT._jupyroot.helpers import utils as jupyter

import rdf_lithops

pytestmark = pytest.mark.usefixtures("registries")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("c++") is None, reason="there is no C++ compiler to build a library with"
)


def write(path: Path, text: str) -> str:
    """A file with ``text``, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return str(path)


def total(expression: str, executor: Any = None, **options: Any) -> float:
    """The sum over 4 entries of ``expression``: here, or on the far side of an ``executor``."""
    far = {} if executor is None else {"executor": executor, "npartitions": 1, "options": options}
    return float(ROOT.RDataFrame(4, **far).Define("x", f"double({expression})").Sum("x").GetValue())


def test_every_spelling(fexec: Any, tmp_path: Path, tag: str) -> None:
    """Declare, ProcessLine, %%cpp, cppdef, #include by path and by include path, .L, LoadMacro: each arrives, in order."""
    write(tmp_path / "own" / "deep" / "inner.h", f"inline double inner_{tag}() {{ return 3; }}\n")
    write(
        tmp_path / "own" / "outer.h", f'#include "deep/inner.h"\ninline double outer_{tag}() {{ return inner_{tag}(); }}\n'
    )
    write(tmp_path / "path" / "pathy.h", f"inline double pathy_{tag}() {{ return 7; }}\n")
    write(tmp_path / "loaded.C", f"double loaded_{tag}(double x) {{ return x / 2; }}\n")
    write(tmp_path / "macro.C", f"double macro_{tag}(double x) {{ return 100 + x; }}\n")
    ROOT.gInterpreter.Declare(f"double declared_{tag}(double x) {{ return 2 * x; }}")
    ROOT.gInterpreter.ProcessLine(f"int line_{tag}(int x) {{ return x + 1; }} double variable_{tag} = 5;")
    ROOT.gROOT.ProcessLine(f"struct Box_{tag} {{ double value = 11; }};")
    ROOT.gInterpreter.ProcessLine(f"variable_{tag} = 6;")
    cppyy.cppdef(f"namespace space_{tag} {{ double f() {{ return declared_{tag}(20); }} }}")
    jupyter.processMagicCppCodeImpl(f"double cell_{tag}() {{\n   return 13;\n}}\n")
    jupyter.declareCppCodeImpl(f"double declared_cell_{tag}() {{ return 17; }}")
    ROOT.gInterpreter.Declare(f'#include "{tmp_path}/own/outer.h"')
    ROOT.gInterpreter.AddIncludePath(f"-I{tmp_path}/path")
    ROOT.gROOT.ProcessLine('#include "pathy.h"')
    ROOT.gInterpreter.ProcessLine(f".L {tmp_path}/loaded.C")
    ROOT.gROOT.LoadMacro(f"{tmp_path}/macro.C")
    expression = (
        f"declared_{tag}(1) + line_{tag}(1) + variable_{tag} + Box_{tag}().value + space_{tag}::f() + cell_{tag}()"
        f" + declared_cell_{tag}() + outer_{tag}() + pathy_{tag}() + loaded_{tag}(3) + macro_{tag}(1)"
    )
    expected = total(expression)
    assert 4 * 203.5 == expected
    # what the driver compiled travels, and not what lies there when it runs; Cling would take a new file for one removed
    (tmp_path / "own").rename(tmp_path / "away")
    assert expected == total(expression, fexec)


def test_code_that_defines_something_anew(fexec: Any, tag: str) -> None:
    """Where ROOT lets a cell define a function anew, workers have the new one; where it does not, both keep the first."""
    ROOT.gInterpreter.Declare(f"double first_{tag}() {{ return 1; }}")
    assert not ROOT.gInterpreter.Declare(f"double first_{tag}() {{ return 2; }}")
    ROOT.gInterpreter.ProcessLine(f"double cell_{tag}() {{ return 10; }}")
    ROOT.gInterpreter.ProcessLine(f"double cell_{tag}() {{ return 20; }}")
    ROOT.gInterpreter.ProcessLine(f"double broken_{tag}() {{ return nothing_{tag}; }}")
    expression = f"first_{tag}() + cell_{tag}()"
    assert total(expression) == total(expression, fexec) == 4 * 21.0


def test_what_is_distributed_too(fexec: Any, tmp_path: Path, tag: str) -> None:
    """Code that the program declares and distributes arrives once; what is distributed anew takes the place of both."""
    code = f"double both_{tag}() {{ return 3; }}"
    header = write(tmp_path / "both.h", f"#pragma once\ninline double header_{tag}() {{ return 4; }}\n")
    ROOT.gInterpreter.Declare(code)
    ROOT.gInterpreter.Declare(f"double before_{tag}() {{ return 5; }}")
    ROOT.RDF.Distributed.DistributeCppCode(code)
    ROOT.RDF.Distributed.DistributeHeaders(header)
    ROOT.gInterpreter.Declare(f'#include "{header}"\ndouble after_{tag}() {{ return header_{tag}() + both_{tag}(); }}')
    assert 4 * 12.0 == total(f"before_{tag}() + after_{tag}()", fexec)
    ROOT.RDF.Distributed.DistributeCppCode(f"double before_{tag}() {{ return 50; }}")
    assert 4 * 57.0 == total(f"before_{tag}() + after_{tag}()", fexec)


def test_what_is_done_is_not_repeated(fexec: Any, tmp_path: Path, tag: str) -> None:
    """Calls and outside effects stay here; an error of a name that came with them says from which line, and the cure."""
    ran = tmp_path / "ran"
    ROOT.gInterpreter.Declare(f'int touch_{tag}() {{ return gSystem->Exec("echo x >> {ran}"); }}')
    ROOT.gInterpreter.ProcessLine(f"touch_{tag}();")
    ROOT.gInterpreter.ProcessLine(f'std::ofstream out_{tag}("{tmp_path}/out.txt");')
    ROOT.gInterpreter.ProcessLine(f'int effect_{tag} = gSystem->Exec("echo x >> {ran}");')
    assert 0.0 == total("0", fexec)
    assert "x\nx\n" == ran.read_text()
    with pytest.raises(rdf_lithops.RangeError, match=f"use of undeclared identifier 'effect_{tag}'") as caught:
        total(f"effect_{tag}", fexec)
    assert "test_declared.py" in caught.value.next_command
    assert "gSystem->Exec" in caught.value.next_command
    assert "initialize" in caught.value.next_command


def test_an_option_turns_it_off(fexec: Any, tag: str) -> None:
    """With options.declared off nothing of it travels; the error has the compiler's line and caret, and what carries it."""
    ROOT.gInterpreter.Declare(f"double mine_{tag}() {{ return 3; }}")
    with pytest.raises(rdf_lithops.RangeError) as caught:
        total(f"mine_{tag}()", fexec, declared=False)
    text = str(caught.value)
    assert f"use of undeclared identifier 'mine_{tag}'" in text.splitlines()[0]
    assert f"mine_{tag}()" in caught.value.why.splitlines()[1]
    assert "^" == caught.value.why.splitlines()[2].strip()
    assert "test_declared.py" in caught.value.next_command
    assert "DistributeCppCode" in caught.value.next_command
    assert 4 * 3.0 == total(f"mine_{tag}()", fexec)


def test_initialize_comes_where_the_program_has_it(fexec: Any, tmp_path: Path, tag: str) -> None:
    """An include path that initialize adds is there for headers that are distributed after it, on workers as here."""
    write(tmp_path / "found" / f"needed_{tag}.h", f"#pragma once\ninline double needed_{tag}() {{ return 3; }}\n")
    header = write(
        tmp_path / "mine.h", f"#include <needed_{tag}.h>\ninline double mine_{tag}() {{ return needed_{tag}(); }}\n"
    )
    folder = str(tmp_path / "found")

    def set_up() -> None:
        ROOT.gInterpreter.AddIncludePath(f"-I{folder}")
        ROOT.gInterpreter.Declare(f"double set_up_{tag}() {{ return 5; }}")

    ROOT.RDF.Distributed.initialize(set_up)
    ROOT.RDF.Distributed.DistributeHeaders(header)
    ROOT.gInterpreter.Declare(f"double uses_{tag}() {{ return set_up_{tag}() + mine_{tag}(); }}")
    assert 4 * 8.0 == total(f"uses_{tag}()", fexec)


def test_cpp_that_fails_in_initialize(fexec: Any, tag: str) -> None:
    """C++ that does not compile inside initialize is an error there and then, with the compiler's words, and is not kept."""
    with pytest.raises(rdf_lithops.PayloadError, match=f"use of undeclared identifier 'nothing_{tag}'"):
        ROOT.RDF.Distributed.initialize(ROOT.gInterpreter.Declare, f"double bad_{tag}() {{ return nothing_{tag}; }}")
    assert 4.0 == total("1", fexec)


def test_python_functions(fexec: Any, tag: str) -> None:
    """Python functions in Filter and Define, and for ROOT.Numba.Declare, give what they give locally."""
    pytest.importorskip("numba")
    shift = 3

    @ROOT.Numba.Declare(["double"], "double", name=f"numba_{tag}")
    def declared(x: float) -> float:
        return x * 10

    def made(executor: Any) -> list[float]:
        far = {} if executor is None else {"executor": executor, "npartitions": 2}
        frame = ROOT.RDataFrame(8, **far).Define("x", "double(rdfentry_)").Define("y", f"Numba::numba_{tag}(x)")
        high = frame.Filter(lambda x: x > shift, ["x"]).Define("z", lambda x, y: x + y, ["x", "y"])
        sums = [frame.Sum("y"), high.Count(), high.Sum("z")]
        return [float(each.GetValue()) for each in sums]

    assert [280.0, 4.0, 242.0] == made(None) == made(fexec)


@needs_compiler
def test_compiled_macros_and_libraries(fexec: Any, tmp_path: Path, tag: str) -> None:
    """What ACLiC has compiled travels with its library, and so does a library that the program loads."""
    write(tmp_path / f"aclic_{tag}.h", f"struct Heavy_{tag} {{ double value() {{ return 4; }} }};\n")
    source = write(
        tmp_path / f"aclic_{tag}.C", f'#include "aclic_{tag}.h"\ndouble compiled_{tag}(double x) {{ return x * 3; }}\n'
    )
    ROOT.gInterpreter.ProcessLine(f".L {source}+O")
    other = write(tmp_path / "other" / f"lib_{tag}.C", f"double library_{tag}() {{ return 9; }}\n")
    assert 1 == ROOT.gSystem.CompileMacro(other, "kOc-", f"libother_{tag}", str(tmp_path / "other"))
    ROOT.gInterpreter.Declare(f"double library_{tag}();")
    assert 0 == ROOT.gSystem.Load(str(tmp_path / "other" / f"libother_{tag}.so"))
    ROOT.gSystem.Load("libPhysics")
    expression = f"compiled_{tag}(1) + library_{tag}() + TVector3(1, 0, 0).Mag()"
    assert 4 * 13.0 == total(expression)
    shutil.move(tmp_path / "other", tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", tmp_path / "other")
    assert 4 * 13.0 == total(expression, fexec)


def test_values_that_change(fexec: Any, tag: str) -> None:
    """A variable that was declared, and has another value since, has it on workers, and again when it changes once more."""
    ROOT.gInterpreter.Declare(
        f"""
        enum class Kind_{tag} {{ one, two }}; Kind_{tag} kind_{tag} = Kind_{tag}::one;
        double scale_{tag} = 1; int number_{tag} = 1; bool flag_{tag} = false; std::string text_{tag} = "a";
        std::vector<double> list_{tag}; namespace space_{tag} {{ float inner = 1; }}
        void load_{tag}(int value) {{ number_{tag} = value; kind_{tag} = Kind_{tag}::two; }}
        double all_{tag}() {{
            double sum = scale_{tag} + 10 * number_{tag} + (flag_{tag} ? 100 : 0) + 1000 * text_{tag}.size();
            sum += 7 * int(kind_{tag});
            for (auto each : list_{tag}) sum += each;
            return sum + space_{tag}::inner;
        }}
        """
    )
    seen = []
    for step in range(3):
        expected = total(f"all_{tag}()")
        assert expected == total(f"all_{tag}()", fexec)
        seen.append(expected)
        setattr(ROOT, f"scale_{tag}", 0.1 * (step + 2))
        getattr(ROOT, f"load_{tag}")(step + 5)
        setattr(ROOT, f"flag_{tag}", True)
        getattr(ROOT, f"text_{tag}").assign('q"\\' * step)
        getattr(ROOT, f"list_{tag}").push_back(0.3)
        getattr(ROOT, f"space_{tag}").inner = 2.5
    assert len(set(seen)) == 3


def test_namespaces_that_hide_those_of_root(fexec: Any, tag: str) -> None:
    """After `using namespace ROOT::Math`, which has an Internal of its own, graphs are booked and run as before."""
    function = f"double pt_{tag}(double x) {{ return PtEtaPhiMVector(x, 1, 1, 0).Pt(); }}"
    ROOT.gInterpreter.Declare(f"using namespace ROOT::Math; {function}")
    assert total(f"pt_{tag}(rdfentry_)") == total(f"pt_{tag}(rdfentry_)", fexec)


def test_what_is_given_again_keeps_its_place(fexec: Any, tmp_path: Path, tag: str) -> None:
    """A cell that includes a header and adds a folder is run again: workers have both before what was made with them."""
    write(tmp_path / "path" / f"again_{tag}.h", f"#pragma once\ninline double again_{tag}() {{ return 3; }}\n")
    for _ in range(2):
        ROOT.gInterpreter.AddIncludePath(f"{tmp_path}/path")
        assert ROOT.gInterpreter.Declare(f'#include "again_{tag}.h"')
        ROOT.gInterpreter.ProcessLine(f"double made_{tag} = again_{tag}();")
    assert 12.0 == total(f"made_{tag}", fexec)


@pytest.mark.parametrize("first", ["from cppyy import gbl", "ROOT.Numba", "ROOT.gInterpreter", "import cppyy.ll"])
def test_whatever_brings_root_up(first: str) -> None:
    """What the program declares is seen, and nothing of cppyy's own, whether cppyy, Numba or ROOT comes first."""
    if first == "ROOT.Numba":
        pytest.importorskip("numba")
    program = f"""
        import ROOT, rdf_lithops
        {first}
        @ROOT.Numba.Declare(["double"], "double") if "Numba" in "{first}" else lambda function: function
        def twice(x):
            return 2 * x
        import cppyy
        cppyy.gbl.gInterpreter.Declare("double thrice(double x) {{ return 3 * x; }}")
        from rdf_lithops.graph import recording
        print(sorted(step.text for step in recording.steps()))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr
    expected = ["double thrice(double x) { return 3 * x; }"] + (["Numba::twice"] if "Numba" in first else [])
    assert sorted(expected) == ast.literal_eval(done.stdout.splitlines()[-1])


def test_what_came_before_the_import() -> None:
    """What the program declared before nobody saw: the error says so, with what carries it; given again, it is there."""
    program = f"""
        import ROOT
        code = "double early(double x) {{ return 3 * x; }}"
        ROOT.gInterpreter.Declare(code)
        import lithops, rdf_lithops
        with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}, log_level="ERROR") as executor:
            def total():
                frame = ROOT.RDataFrame(4, executor=executor, npartitions=1)
                return frame.Define("y", "early(rdfentry_)").Sum("y").GetValue()
            try:
                total()
            except rdf_lithops.RangeError as error:
                print(error.next_command)
            ROOT.RDF.Distributed.DistributeCppCode(code)
            print(total())
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr
    advice, total = done.stdout.splitlines()[-2:]
    assert "early is known to this process, which did not see where it comes from: import rdf_lithops before" in advice
    assert "DistributeCppCode" in advice
    assert "18.0" == total
