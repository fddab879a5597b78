"""Instantiation libraries: what was compiled once is not compiled again, and what cannot be trusted is not loaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import LOCALHOST_CONFIG
from kinds import quickly

from rdf_lithops.compiled import build, catalogue, instantiation_lines, library

LIMIT: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}
needs_a_compiler = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")
FILTER = instantiation_lines.node("JitFilterHelper", "", "bool (float)")
MEAN = instantiation_lines.action("Mean", ["short"], "double")  # no catalogue has it
ARRAY = instantiation_lines.taking("RLoopManager", "short")  # nor this


def run(program: str, cache: Path, **variables: str) -> str:
    """What a fresh Python prints that runs ``program``, with libraries in ``cache`` alone."""
    kept = {name: value for name, value in os.environ.items() if name != library.VARIABLE}
    environment = {**kept, "XDG_CACHE_HOME": str(cache), **variables}
    program = textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, **LIMIT)
    assert 0 == done.returncode, done.stderr[-3000:]
    return str(done.stdout).strip()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache in which a library of three instantiations has been made."""
    place = tmp_path_factory.mktemp("cache")
    program = f"""
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build, library
        build.build(library.folder(), "some", {[FILTER, MEAN, ARRAY]!r})
    """
    run(program, place)
    return place


def files_of(cache: Path) -> Path:
    """The folder of the libraries in a cache."""
    (found,) = (cache / "rdf_lithops").iterdir()
    return found


LOAD = """
    from rdf_lithops.compiled import library
    import logging
    logging.basicConfig(format="%(message)s")
    print(len(library.load_all()))
"""
NOTED = f"""
    from rdf_lithops.compiled import library, noting
    there = library.load_all()
    import ROOT
    noting.prepare()
    notes = noting.Notes()
    with notes.taken():
        frame = ROOT.RDataFrame(100).Define("f", "float(rdfentry_)").Define("s", "short(rdfentry_)")
        mean = frame.Filter("f > 10").Mean("s")
        ROOT.RDF.SaveGraph(ROOT.RDF.AsRNode(frame))
    names = noting.instantiation_lines.function_names(notes.text)
    lines = noting.instantiation_lines.noted(notes.text, noting._types_of(names).get)
    print({FILTER!r} in lines, {MEAN!r} in lines, len(lines))
    print(mean.GetValue())
"""


@needs_a_compiler
def test_what_was_built_is_loaded(cache: Path) -> None:
    """A library is found by the next program, whole, and says what is in it."""
    assert "3" == run(LOAD, cache)


@needs_a_compiler
def test_signatures_are_those_that_root_asks_for(cache: Path) -> None:
    """A graph's own log asks for the lines that a catalogue or a library spells: cut, names and binning are not in them."""
    assert "True True 4\n55.0" == run(NOTED, cache)


@needs_a_compiler
def test_what_a_library_has_is_not_instantiated_again(cache: Path) -> None:
    """With the library, Cling has no code of its own for what is in it: the function's address lies in the library."""
    program = f"""
        from rdf_lithops.compiled import library
        lines = library.load_all()
        import ROOT
        ROOT.gInterpreter.Declare('''
        #include <dlfcn.h>
        #include <cstring>
        template <typename Pointer> std::string home(Pointer pointer) {{
           void *address;
           std::memcpy(&address, &pointer, sizeof(address));
           Dl_info found;
           return dladdr(address, &found) && found.dli_fname ? found.dli_fname : "made here";
        }}
        std::string home_of_action() {{
           return home(static_cast<void (*)({instantiation_lines._COMMON},
               ROOT::Internal::RDF::RJittedAction*, unsigned int, std::shared_ptr<double>*)>(
               &ROOT::Internal::RDF::CallBuildAction<ROOT::Internal::RDF::ActionTags::Mean, short>));
        }}
        std::string home_of_array() {{
           return home(&ROOT::RDF::RInterface<ROOT::Detail::RDF::RLoopManager>::Take<short, ROOT::RVec<short>>);
        }}''')
        print(ROOT.home_of_action(), ROOT.home_of_array())
        print(ROOT.RDataFrame(3).Define("s", "short(rdfentry_)").AsNumpy(["s"])["s"].tolist())
    """
    homes, values = run(program, cache).splitlines()
    assert [True, True] == [home.endswith("/some.so") for home in homes.split()]
    assert "[0, 1, 2]" == values


DAMAGES = {
    "truncated": lambda so, described: so.write_bytes(so.read_bytes()[:1000]),
    "another file": lambda so, described: so.write_bytes(Path(sys.executable).read_bytes()),
    "not described": lambda so, described: described.unlink(),
    "described by nonsense": lambda so, described: described.write_text("{"),
    "of another format": lambda so, described: described.write_text(
        json.dumps({**json.loads(described.read_text()), "format": 0})
    ),
    "writable by others": lambda so, described: so.chmod(0o777),
    "a link": lambda so, described: (so.rename(so.with_name("x")), so.symlink_to(so.with_name("x"))),
}


@needs_a_compiler
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_trusted_is_left_out(cache: Path, tmp_path: Path, damage: str) -> None:
    """A mutilated, truncated, undescribed or world-writable library is not loaded, the log says which, and ROOT works."""
    shutil.copytree(cache, tmp_path / "cache")
    so = files_of(tmp_path / "cache") / "some.so"
    DAMAGES[damage](so, so.with_suffix(".json"))
    assert "0" == run(LOAD, tmp_path / "cache").splitlines()[-1]


@needs_a_compiler
def test_a_library_that_does_not_resolve_is_left_out(cache: Path, tmp_path: Path) -> None:
    """One that asks for symbols that this ROOT does not have is found when it is loaded, not in the middle of a loop."""
    shutil.copytree(cache, tmp_path / "cache")
    place = files_of(tmp_path / "cache")
    (tmp_path / "x.cxx").write_text("extern int nobody_has_this(); int call() { return nobody_has_this(); }")
    command = [str(build.compiler()), "-shared", "-fPIC", str(tmp_path / "x.cxx"), "-o", str(place / "some.so")]
    subprocess.run(command, check=True, timeout=60)
    described = json.loads((place / "some.json").read_text())
    digest = library.hashlib.sha256((place / "some.so").read_bytes()).hexdigest()
    (place / "some.json").write_text(json.dumps({**described, "sha256": digest}))
    assert "0" == run(LOAD, tmp_path / "cache")


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    """What anybody could have put there is not loaded."""
    run("from rdf_lithops.compiled import library; library.folder()", tmp_path)
    files_of(tmp_path).chmod(0o777)
    assert "0" == run(LOAD, tmp_path)


def test_the_catalogue_has_each_line_once() -> None:
    """A base library is made of distinct lines, each an explicit instantiation."""
    lines = catalogue.catalogue()
    assert len(lines) == len(set(lines)) > 40
    assert all(re.match(r"template (class |void )?(ROOT::|std::unique_ptr<ROOT::)", line) for line in lines)
    assert all(line.endswith(";") and "\n" not in line for line in lines)


OURS = """
    import ctypes
    from rdf_lithops.compiled import ours
    from rdf_lithops.frame import settings
    print(settings.here())
    address = ctypes.cast(ours.function("settings", "sumw2", ctypes.c_int), ctypes.c_void_p).value
    print(any(f"{library}.so" in line and int(line.split("-")[0], 16) <= address < int(line.split("-")[1].split()[0], 16)
              for line in open("/proc/self/maps") for library in ours.LIBRARIES))
"""


@pytest.mark.slow
@needs_a_compiler
def test_our_own_code_is_compiled_once(tmp_path: Path) -> None:
    """The package's own C++ comes from a library where one is made, else Cling compiles it, and it says the same."""
    expected = "{'stat_overflows': False, 'random': 'TRandom3'}"
    assert [expected, "False"] == run(OURS, tmp_path).splitlines()
    made = """
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build, library, ours
        build.build(library.folder(), "ours", (), ours.source("ours"))
    """
    run(made, tmp_path)
    assert [expected, "True"] == run(OURS, tmp_path).splitlines()
    assert [expected, "False"] == run(OURS, tmp_path, **{library.VARIABLE: library.OFF}).splitlines()
    damaged = files_of(tmp_path) / "ours.so"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    assert [expected, "False"] == run(OURS, tmp_path).splitlines()


WARNED = """
    import sys, warnings, ROOT
    from rdf_lithops.compiled import ours
    from rdf_lithops.frame import schema
    with ROOT.TFile(sys.argv[1], "RECREATE") as file:
        file.WriteObject(ROOT.TNamed("something", "else"), "something")
    data = open(sys.argv[1], "rb").read()
    open(sys.argv[1], "wb").write(data[: len(data) // 2])
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            schema.look(sys.argv[1], "tree", None, False)
        except RuntimeError as problem:
            print(problem)
        print(sorted({str(each.message).split(":")[0] for each in heard}) != [])
"""


def test_a_warning_of_roots_ends_no_program(tmp_path: Path) -> None:
    """What ROOT warns of while other threads of Python run is a warning of Python's, and the program goes on."""
    path = str(tmp_path / "half.root")
    said = run(WARNED.replace("sys.argv[1]", repr(path)), tmp_path, **{library.VARIABLE: library.OFF}).splitlines()
    assert said[-1] == "True"
    assert path in said[-2]


TOLD = """
    import os
    import ROOT
    from rdf_lithops.compiled import library, noting
    from rdf_lithops.graph import kept_instantiations
    from rdf_lithops.run.events import CallEnded
    from rdf_lithops.worker.root import graphs, initialisation
    initialisation.initialise()
    graphs.take_notes(told=True)
    with graphs._noted():
        frame = ROOT.RDataFrame(100).Define("f", "float(rdfentry_)").Define("s", "short(rdfentry_)")
        mean = frame.Filter("f > 10").Mean("s")
        ROOT.RDF.SaveGraph(ROOT.RDF.AsRNode(frame))
    facts = {"instantiated": graphs.told_notes()}
    graphs.settle_notes()
    left = lambda: [name for name in os.listdir(library.folder()) if name.startswith(noting.WANTED)]
    print(len(facts["instantiated"]), graphs.told_notes(), left())
    facts["instantiated"].append("template class ROOT::RDF::X<int>; } int evil() { return 1;")
    kept_instantiations.keep(CallEnded(0, 1, (0,), 1, facts, {}, b""))
    (name,) = left()
    print(len(open(os.path.join(library.folder(), name)).read().splitlines()))
"""


def test_workers_elsewhere_tell_what_they_compiled(tmp_path: Path) -> None:
    """Where nobody builds, what Cling instantiated goes back with the call's facts, and is left on the driver's machine."""
    assert ["4 [] []", "4"] == run(TOLD, tmp_path).splitlines()


STARTED = """
    import os, ROOT, rdf_lithops
    {begin}
    from rdf_lithops.compiled import header_paths
    found = str(ROOT.gSystem.GetDynamicPath()), str(ROOT.gInterpreter.GetIncludePath())
    value = ROOT.RDataFrame(10).Define("v", "std::vector<double>{{1.5}}").Define("s", "v[0]").Sum("s").GetValue()
    print(found, value, header_paths.VARIABLE in os.environ)
"""


@needs_a_compiler
@pytest.mark.parametrize("begin", quickly(["ROOT.gSystem", "import cppyy", "ROOT.RDataFrame"], "import cppyy"))
def test_root_asks_its_compiler_once(tmp_path: Path, begin: str) -> None:
    """What ROOT asks the compiler at each start is known from then on, and the program's environment stays what it was."""
    asked, programs, started = tmp_path / "asked", tmp_path / "programs", STARTED.format(begin=begin)
    programs.mkdir()
    (programs / "c++").write_text(f'#!/bin/sh\necho c++ >>{asked}\nexec {shutil.which("c++")} "$@"\n')
    (programs / "c++").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    before = run(started, tmp_path, **path)
    assert asked.exists()
    note = """
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import header_paths, library
        os.makedirs(library.home())
        header_paths.note()
    """
    run(note, tmp_path, **path)
    asked.unlink()
    assert before == run(started, tmp_path, **path)
    assert not asked.exists()
    assert before.endswith(" 15.0 False")


QUERY = f"""
    import sys, lithops, ROOT, rdf_lithops
    with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}) as executor:
        frame = ROOT.RDataFrame(1000, executor=executor, npartitions=2, options={{"instantiations": sys.argv[1]}})
        kept = frame.Define("f", "float(rdfentry_)").Define("s", "short(rdfentry_)").Filter("f > 10")
        histogram, mean = kept.Histo1D(("h", "", 100, 0, 1000), "f"), kept.Mean("s")
        print([histogram.GetBinContent(i).hex() for i in range(102)], mean.GetValue().hex())
        print(*[line for line in str(rdf_lithops.report(mean)).splitlines() if "compilation:" in line])
"""


@pytest.mark.slow
@needs_a_compiler
def test_the_next_program_has_what_this_one_asked_for(cache: Path, tmp_path: Path) -> None:
    """What a program's graphs had Cling instantiate is in a library once it has been built, and bits are the same."""
    shutil.copytree(cache, tmp_path / "cache")
    place = files_of(tmp_path / "cache")
    (place / "base.so").symlink_to("some.so")  # nothing builds a base library here: it would take a minute
    program = textwrap.dedent(QUERY).replace("sys.argv[1]", "'use'")
    without = run(program, tmp_path / "cache", **{library.VARIABLE: library.OFF})
    bits, said = run(program, tmp_path / "cache").splitlines()
    assert without == bits
    assert said.endswith("1 kinds of actions from libraries, 1 compiled by Cling")
    (left,) = place.glob("wanted-*")
    asked = left.read_text().splitlines()
    assert FILTER not in asked
    assert [line for line in asked if "JitDefineHelper" in line and "float (&)(unsigned long long)" in line]
    (place / "base.so").unlink()
    built = """
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build, library
        build.build_wanted(library.folder())
    """
    run(built, tmp_path / "cache")
    assert [] == list(place.glob("wanted-*"))
    assert str(3 + len(asked)) == run(LOAD, tmp_path / "cache")
    bits, said = run(program, tmp_path / "cache").splitlines()
    assert without == bits
    assert said.endswith("2 kinds of actions from libraries, 0 compiled by Cling")
    assert [] == list(place.glob("wanted-*"))


STARTS = """
    import ctypes, os, sys
    watched, library_of_mine = sys.argv[1], sys.argv[2]
    libc = ctypes.CDLL(None)
    opened = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(opened, watched.encode(), 0x20) >= 0

    def is_looked_into():
        try:
            return library_of_mine.encode() in os.read(opened, 65536)
        except BlockingIOError:
            return False

    import ROOT
    from rdf_lithops.frame import opening, samples
    from rdf_lithops.worker.root import initialisation
    initialisation.initialise()
    initialisation.prepare()
    for step in initialisation.warm_up(at_once=True):
        pass
    opening.tell_first_entry(7)
    samples.tell_entries(100)
    frame = ROOT.RDataFrame(100).Define("x", "sqrt(rdfentry_ + 0.5)").Filter("x > 1")
    frame = frame.DefinePerSample("number", "(double)::rdf_lithops::sample(rdfsampleinfo_).NEntries()")
    histogram, total = frame.Histo1D(("x", "", 100, 0.0, 400.0), "x"), frame.Sum("number")
    print(histogram.GetEntries(), total.GetValue(), is_looked_into())
    ROOT.gInterpreter.Declare("inline int sought_everywhere = 0;")
    print(ROOT.sought_everywhere, is_looked_into())
"""


@pytest.mark.skipif(os.environ[library.VARIABLE] == library.OFF, reason="no library was built for the tests")
def test_a_start_looks_into_no_library_that_it_does_not_load(tmp_path: Path) -> None:
    """From ROOT's start to a first result Cling seeks no symbol in all libraries; for a user's own code it does."""
    shutil.copy(str(ROOT.gSystem.DynamicPathName("libPhysics")), tmp_path / "libof_mine.so")
    variables = {library.VARIABLE: os.environ[library.VARIABLE], "LD_LIBRARY_PATH": str(tmp_path)}
    program = STARTS.replace("sys.argv[1], sys.argv[2]", repr((str(tmp_path), "libof_mine.so")))
    assert ["99.0 9900.0 False", "0 True"] == run(program, tmp_path / "cache", **variables).splitlines()
