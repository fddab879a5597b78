"""The user's own code on the far side: headers, libraries, files, C++ and ``initialize``, each one checked."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import re
import shutil
import subprocess
import tarfile
import types
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from conftest import LOCALHOST_CONFIG
from ROOT._distrdf import Backends

import rdf_lithops
from rdf_lithops.executor import registry
from rdf_lithops.worker import payload

pytestmark = pytest.mark.usefixtures("registries")


def total(executor: Any, expression: str, npartitions: int = 2) -> float:
    """The sum over 4 entries of ``expression``, evaluated on the far side."""
    frame = ROOT.RDataFrame(4, executor=executor, npartitions=npartitions)
    return float(frame.Define("x", f"double({expression})").Sum("x").GetValue())


def write(path: Path, text: str) -> str:
    """A file with ``text``, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_headers_of_one_name(fexec: Any, tmp_path: Path, tag: str) -> None:
    """Two headers of one base name in different folders keep their places, and include their neighbours relatively."""
    for folder, value in (("left", 3), ("right", 40)):
        name = f"{folder}_{tag}"
        write(tmp_path / folder / "detail" / "value.h", f"#pragma once\ninline int value_{name}() {{ return {value}; }}\n")
        body = f'#pragma once\n#include "detail/value.h"\ninline int cut_{name}() {{ return value_{name}(); }}\n'
        write(tmp_path / folder / "cuts.h", body)
    headers = [str(tmp_path / folder / name) for folder in ("left", "right") for name in ("cuts.h", "detail/value.h")]
    ROOT.RDF.Distributed.DistributeHeaders(headers)
    assert 4 * 43.0 == total(fexec, f"cut_left_{tag}() + cut_right_{tag}()")


def test_headers_by_relative_path(fexec: Any, tmp_path: Path, tag: str) -> None:
    """A header that is named relative to the working folder is found, and is the one of that folder."""
    write(tmp_path / "mine.h", f"inline int mine_{tag}() {{ return 5; }}\n")
    ROOT.RDF.Distributed.DistributeHeaders("mine.h")
    assert 20.0 == total(fexec, f"mine_{tag}()")


def test_headers_as_they_are_when_it_runs(fexec: Any, tmp_path: Path, tag: str) -> None:
    """The header's bytes travel: a worker does not read the driver's file, so it may be gone once the run is submitted."""
    header = write(tmp_path / "gone.h", f"inline int gone_{tag}() {{ return 7; }}\n")
    ROOT.RDF.Distributed.DistributeHeaders(header)
    frame = ROOT.RDataFrame(4, executor=fexec, npartitions=2).Define("x", f"gone_{tag}()")
    total_x = frame.Sum("x")
    plan = rdf_lithops.plan(total_x)
    os.unlink(header)
    plan.deliver(fexec.get_result(fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)))
    assert 28 == total_x.GetValue()


def test_missing_header(fexec: Any, registries: Any, tmp_path: Path) -> None:
    """A registered header that is gone is an error that names it, before anything is submitted."""
    header = str(tmp_path / "nowhere" / "cuts.h")
    registries.headers.add(header)
    before = fexec.total_jobs
    with pytest.raises(rdf_lithops.PayloadError, match=rf"header {header}: there is no such file"):
        total(fexec, "1")
    assert before == fexec.total_jobs


def test_header_that_does_not_compile(fexec: Any, registries: Any, tmp_path: Path) -> None:
    """A header that does not compile is an error with its name and the compiler's words, and no range runs."""
    registries.headers.add(write(tmp_path / "broken.h", "int broken( { return nonsense_here; }\n"))
    ran = tmp_path / "ran"
    frame = ROOT.RDataFrame(4, executor=fexec, npartitions=2)
    booked = frame.Filter(f'gSystem->Exec("touch {ran}"); return true;').Count()
    with pytest.raises(rdf_lithops.PayloadError) as caught:
        booked.GetValue()
    assert f"header {tmp_path}/broken.h" == caught.value.what
    assert "error:" in caught.value.log_tail
    assert "broken.h" in caught.value.log_tail
    assert not ran.exists()


def test_missing_library(fexec: Any, registries: Any, tmp_path: Path) -> None:
    """A registered library that is gone is an error that names it."""
    library = str(tmp_path / "libgone.so")
    registries.shared_libraries.add(library)
    with pytest.raises(rdf_lithops.PayloadError, match=f"shared library {library}: there is no such file"):
        total(fexec, "1")


def test_library_that_does_not_load(fexec: Any, registries: Any, tmp_path: Path) -> None:
    """A file that is no library is an error that names it, and does not send its reader to a log that is empty."""
    library = write(tmp_path / "libbroken.so", "this is no library\n")
    registries.shared_libraries.add(library)
    with pytest.raises(rdf_lithops.PayloadError, match=f"shared library {library}: ROOT cannot load it") as caught:
        total(fexec, "1")
    assert "libbroken.so" in caught.value.log_tail or "log" not in caught.value.why


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("c++") is None, reason="there is no C++ compiler to build a library with"
)


@pytest.fixture
def library(tmp_path: Path, tag: str) -> str:
    """A shared library that ROOT's own compiler interface built, with its dictionary (a .pcm beside it)."""
    source = write(
        tmp_path / "build" / f"lib_{tag}.C",
        f"""
        #include <vector>
        struct Box_{tag} {{ int content = 11; }};
        int unpack_{tag}(int n) {{ Box_{tag} box; return box.content * n; }}
        #ifdef __ROOTCLING__
        #pragma link C++ class Box_{tag}+;
        #pragma link C++ function unpack_{tag};
        #endif
        """,
    )
    assert 1 == ROOT.gSystem.CompileMacro(source, "kO-s", f"lib_{tag}", str(tmp_path / "build"))
    return str(tmp_path / "build" / f"lib_{tag}.so")


@pytest.mark.slow
@needs_compiler
def test_libraries_with_their_pcm(fexec: Any, registries: Any, library: str, tag: str) -> None:
    """A library travels with its pcm: its functions and its classes' dictionaries are known on the far side."""
    ROOT.RDF.Distributed.DistributeSharedLibs(library)
    assert [library] == sorted(registries.shared_libraries)
    assert any(name.endswith(".pcm") for name in registries.pcms)
    assert 4 * 22.0 == total(fexec, f"unpack_{tag}(2)")
    assert 4 * 1.0 == total(fexec, f'TClass::GetClass("Box_{tag}")->HasDictionary()')


@needs_compiler
def test_plain_library_with_header(fexec: Any, tmp_path: Path, tag: str) -> None:
    """A library without a dictionary, declared by a header, is linked; it is not loaded from where it was built."""
    source = write(tmp_path / "plain.cxx", f"int plain_{tag}() {{ return 6; }}\n")
    built = tmp_path / f"libplain_{tag}.so"
    compiler = shutil.which("g++") or shutil.which("c++") or ""
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(built), source], check=True, timeout=120)
    ROOT.RDF.Distributed.DistributeSharedLibs(str(built))
    ROOT.RDF.Distributed.DistributeHeaders(write(tmp_path / "plain.h", f"int plain_{tag}();\n"))
    assert 24.0 == total(fexec, f"plain_{tag}()")


READ_NUMBER = """
double read_{tag}(const char *name) {{
   std::ifstream input(std::string(gSystem->Getenv("RDF_LITHOPS_FILES")) + "/" + name);
   double number = -1;
   input >> number;
   return number;
}}
"""


def test_files(fexec: Any, tmp_path: Path, tag: str) -> None:
    """Distributed files lie in the folder that RDF_LITHOPS_FILES names; those of one base name by their relative paths."""
    for folder, value in (("left", 1.5), ("right", 20.0)):
        write(tmp_path / folder / "corrections.txt", f"{value}\n")
    absolute = write(tmp_path / "absolute" / "weights.txt", "300\n")
    ROOT.RDF.Distributed.DistributeFiles(["left/corrections.txt", "right/corrections.txt", absolute])
    ROOT.RDF.Distributed.DistributeCppCode("#include <fstream>\n#include <string>\n" + READ_NUMBER.format(tag=tag))
    read = f"read_{tag}"
    expression = f'{read}("left/corrections.txt") + {read}("right/corrections.txt") + {read}("weights.txt")'
    assert 4 * 321.5 == total(fexec, expression)


def test_files_of_one_place(fexec: Any, tmp_path: Path) -> None:
    """Two files that would lie in one place on the far side are an error that names both, not a silent choice."""
    files = [write(tmp_path / folder / "same.txt", folder) for folder in ("left", "right")]
    ROOT.RDF.Distributed.DistributeFiles(files)
    with pytest.raises(rdf_lithops.PayloadError, match="same place") as caught:
        total(fexec, "1")
    assert all(file in str(caught.value) for file in files)


def test_missing_file(fexec: Any, registries: Any, tmp_path: Path) -> None:
    """A registered file that is gone is an error that names it."""
    registries.files.add(str(tmp_path / "gone.json"))
    with pytest.raises(rdf_lithops.PayloadError, match=f"file {tmp_path}/gone.json: there is no such file"):
        total(fexec, "1")


def test_cpp_code(fexec: Any, tag: str) -> None:
    """C++ given twice is declared once; several pieces come in the order they were given."""
    for _ in range(2):
        ROOT.RDF.Distributed.DistributeCppCode(f"int first_{tag}() {{ return 2; }}")
    ROOT.RDF.Distributed.DistributeCppCode(f"int second_{tag}() {{ return first_{tag}() + 1; }}")
    assert 12.0 == total(fexec, f"second_{tag}()")


def test_cpp_code_that_does_not_compile(fexec: Any, registries: Any, tag: str) -> None:
    """Code that does not compile is an error there and then, with the compiler's words; later runs go on without it."""
    with pytest.raises(rdf_lithops.PayloadError, match=f"no_such_name_{tag}") as caught:
        ROOT.RDF.Distributed.DistributeCppCode(f"int right_{tag}();\nint wrong_{tag}() {{ return no_such_name_{tag}; }}")
    assert "DistributeCppCode" in caught.value.what
    assert re.search(r":2:\d+: error: use of undeclared identifier .*\n.*int wrong_.*\n +\^", caught.value.why)
    assert {} == registries.strings_to_declare
    assert 4.0 == total(fexec, "1")
    ROOT.RDF.Distributed.DistributeCppCode(f"int wrong_{tag}() {{ return 2; }}")
    assert 8.0 == total(fexec, f"wrong_{tag}()")


def test_cpp_code_that_defines_something_anew(fexec: Any, registries: Any, tag: str) -> None:
    """An edited function takes the place of the first, again and again, also if the edit is taken back."""
    ROOT.RDF.Distributed.DistributeCppCode(f"double edited_{tag}() {{ return 1; }}\ndouble other_{tag}() {{ return 5; }}")
    ROOT.RDF.Distributed.DistributeCppCode(f"double uses_{tag}() {{ return 10 * edited_{tag}(); }}")
    for value in (2, 3, 2):
        code = f"double edited_{tag}() {{ return {value}; }}\ndouble other_{tag}() {{ return 5; }}"
        ROOT.RDF.Distributed.DistributeCppCode(code)
        assert 4 * (10.0 * value + 5) == total(fexec, f"uses_{tag}() + other_{tag}()")
    assert 2 == len(registries.strings_to_declare)


def test_cpp_code_that_is_known_here_already(fexec: Any, tag: str) -> None:
    """Code that the program has declared for itself before may be given to the workers, too."""
    code = f"double known_{tag}() {{ return 3; }}"
    ROOT.gInterpreter.Declare(code)
    ROOT.RDF.Distributed.DistributeCppCode(code)
    assert 12.0 == total(fexec, f"known_{tag}()")


@pytest.mark.parametrize(
    "code", ["double {0}() {{ return 1; }}\ndouble {0}() {{ return 2; }}", "double {0}() {{ return 1 }}", "class TH1D {{}};"]
)
def test_cpp_code_that_no_worker_could_load(registries: Any, tag: str, code: str) -> None:
    """What is defined twice in one piece, or by ROOT itself, is refused as anything else that does not compile."""
    with pytest.raises(rdf_lithops.PayloadError, match="is not kept"):
        ROOT.RDF.Distributed.DistributeCppCode(code.format(f"twice_{tag}"))
    assert {} == registries.strings_to_declare


def test_headers_are_tried_here(fexec: Any, registries: Any, tmp_path: Path, tag: str) -> None:
    """A header with a mistake is refused and not kept; mended, or edited later, it is what the workers read."""
    header = write(tmp_path / "edited.h", f"inline int edited_{tag}() {{ return 1 }}\n")
    with pytest.raises(rdf_lithops.PayloadError, match="expected ';'") as caught:
        ROOT.RDF.Distributed.DistributeHeaders(header)
    assert f"header {header}" == caught.value.what
    assert set() == registries.headers
    for value in (1, 2):
        write(tmp_path / "edited.h", f"inline int edited_{tag}() {{ return {value}; }}\n")
        ROOT.RDF.Distributed.DistributeHeaders([header])
        assert 4.0 * value == total(fexec, f"edited_{tag}()")
    with pytest.raises(rdf_lithops.PayloadError, match="no such file"):
        ROOT.RDF.Distributed.DistributeHeaders(str(tmp_path / "nowhere.h"))


def test_other_payload_other_process(fexec: Any, registries: Any) -> None:
    """What one analysis declares does not reach the next: the same name may mean something else there."""
    name = f"clash_{os.getpid()}"
    for value in (1, 2):
        registries.strings_to_declare = {"code": f"namespace {name} {{ int value() {{ return {value}; }} }}"}
        if value == 1:
            ROOT.gInterpreter.Declare(registries.strings_to_declare["code"])  # the driver knows it, to book with
        assert 4.0 * value == total(fexec, f"{name}::value()")


def test_a_bundle_does_not_stay_in_the_storage(fexec: Any, tmp_path: Path, tag: str) -> None:
    """The bundle of a run is deleted when the run is over, whether it worked or failed."""
    ROOT.RDF.Distributed.DistributeHeaders(write(tmp_path / "left.h", f"inline int left_{tag}() {{ return 1; }}\n"))
    before = fexec.storage.list_keys(fexec.storage.bucket, "rdf_lithops/runs/")  # of drivers that other tests have killed
    assert 4.0 == total(fexec, f"left_{tag}()")
    with pytest.raises(rdf_lithops.RangeError, match="spoilt"):
        total(fexec, '(throw std::runtime_error("spoilt"), 1)')
    assert before == fexec.storage.list_keys(fexec.storage.bucket, "rdf_lithops/runs/")


def test_registries_are_copied_at_the_door(fexec: Any, tmp_path: Path, registries: Any) -> None:
    """A plan that was made does not change under later registrations."""
    booked = ROOT.RDataFrame(4, executor=fexec, npartitions=2).Count()
    plan = rdf_lithops.plan(booked)
    registries.headers.add(str(tmp_path / "nowhere.h"))
    plan.deliver(plan.reduce_task([plan.map_task(**item) for item in plan.iterdata]))
    assert 4 == booked.GetValue()


@pytest.mark.slow
def test_without_a_warm_process(fexec: Any, tmp_path: Path, tag: str) -> None:
    """A task that runs ROOT itself loads the same payload."""
    ROOT.RDF.Distributed.DistributeHeaders(write(tmp_path / "cold.h", f"inline int cold_{tag}() {{ return 9; }}\n"))
    frame = ROOT.RDataFrame(4, executor=fexec, npartitions=2, options={"warm": False})
    assert 36 == frame.Define("x", f"cold_{tag}()").Sum("x").GetValue()


def test_the_registries_are_distrdfs_own() -> None:
    """ROOT's functions write to the class that all back ends share; the fixture of these tests restores it."""
    assert Backends.Base.BaseBackend is rdf_lithops.graph.backend.LithopsBackend.__mro__[1]


def test_python_code_that_does_not_load(fexec: Any) -> None:
    """A module that raises OSError as it is imported is the user's to mend, and no process that vanished."""
    plan = rdf_lithops.plan(ROOT.RDataFrame(4, executor=fexec, npartitions=1).Count())
    map_task = dataclasses.replace(plan.map_task, graph=pickle.dumps(_Unloadable()), graph_digest="unloadable")
    futures = fexec.map_reduce(map_task, plan.iterdata, plan.reduce_task)
    with pytest.raises(rdf_lithops.PayloadError, match="OSError: no such device") as caught:
        plan.deliver(fexec.get_result(futures))
    assert "the Python code of the graph" == caught.value.what


class _Unloadable:
    """What cannot be unpickled, as a function of a module that opens a library which is not there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("(_ for _ in ()).throw(OSError('no such device'))",)


def bundle(name: str) -> tuple[dict[str, Any], Any]:
    """A payload with a bundle of one file, and the storage that has it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("files/name.txt")
        member.size = len(name)
        archive.addfile(member, io.BytesIO(name.encode()))
    data = packed.getvalue()
    plain = {"bundle": {"bucket": "b", "key": name, "sha256": hashlib.sha256(data).hexdigest()}}
    return plain, types.SimpleNamespace(get_object=lambda bucket, key: data)


def test_unpacked_code_does_not_pile_up(tmp_path: Path) -> None:
    """Of what was unpacked for earlier runs two bundles stay, and those that somebody uses."""
    with contextlib.ExitStack() as using:
        used = using.enter_context(payload.at_hand(*bundle("used"), str(tmp_path)))
        for number in range(10):
            with payload.at_hand(*bundle(str(number)), str(tmp_path)) as place:
                assert str(number) == Path(str(place), "files", "name.txt").read_text()
        assert used is not None
        assert "used" == Path(used, "files", "name.txt").read_text()
        assert payload.MAX_UNUSED + 2 >= len(list((tmp_path / "payloads").iterdir()))
        payload.clear(str(tmp_path / "payloads"), 0)
        assert [Path(used)] == list((tmp_path / "payloads").iterdir())
    payload.clear(str(tmp_path / "payloads"), 0)
    assert [] == list((tmp_path / "payloads").iterdir())


@pytest.mark.slow
def test_headers_that_are_edited_do_not_pile_up(registries: Any, tmp_path: Path, tag: str) -> None:
    """A session in which a header is edited again and again keeps no more copies of it than processes that use one."""
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG), log_level=None) as own:
        for value in range(10):
            registries.headers.clear()
            registries.headers.add(write(tmp_path / "edited.h", f"inline int edited_{tag}() {{ return {value}; }}\n"))
            frame = ROOT.RDataFrame(4, executor=own, npartitions=1)
            called = f'gInterpreter->ProcessLine("edited_{tag}();")'
            assert 4 * value == frame.Define("x", f"double({called})").Sum("x").GetValue()
        kept = list(Path(str(registry.session_of(own).processes.warm_folder), "payloads").iterdir())
        assert payload.MAX_UNUSED + (os.cpu_count() or 1) + 1 >= len(kept)
