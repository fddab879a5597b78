"""Making instantiation libraries: of what compiles, after all others who want a processor, and nothing piles up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_instantiations import FILTER, LIMIT, LOAD, MEAN, needs_a_compiler, run

from rdf_lithops.compiled import instantiation_lines


@pytest.mark.slow
@needs_a_compiler
@pytest.mark.parametrize("at_a_time", [1, 2])
def test_a_line_that_does_not_compile_costs_no_other(tmp_path: Path, at_a_time: int) -> None:
    """What a graph asked for is compiled although a line next to it cannot be, which is not tried again."""
    bad = instantiation_lines.action("Mean", ["TypeOfOneProgram"], "double")
    minimum = instantiation_lines.action("Min", ["short"], "short")
    program = f"""
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build, library, noting
        noting.leave({[MEAN, bad, minimum]!r})
        place = library.folder()
        build.LINES_PER_FILE = 2
        build.build_wanted(place, {at_a_time})
        print(sorted(line for known in library.libraries(place) for line in known.lines) == {sorted([MEAN, minimum])!r})
        print(build.wanted(place), [name for name in os.listdir(place) if name.startswith(noting.WANTED)])
        noting.leave({[bad]!r})
        print(build.wanted(place)[0])
        build.build_wanted(place)
        print(build.wanted(place))
    """
    assert ["True", "([], []) []", "[]", "([], [])"] == run(program, tmp_path).splitlines()
    assert "2" == run(LOAD, tmp_path)


@pytest.mark.skipif(not os.path.exists("/proc/self/autogroup"), reason="sessions are no groups of this scheduler's")
@pytest.mark.parametrize("alone", [True, False])
def test_a_builder_comes_last_and_nobody_with_it(alone: bool) -> None:
    """The scheduler takes a builder that has its own session for one that can wait; a user's session stays as it was."""
    code = "from rdf_lithops.compiled import build; build._be_humble(); print(open('/proc/self/autogroup').read())"
    shell = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"]
    command = [sys.executable, "-c", code] if alone else shell
    done = subprocess.run(command, start_new_session=True, **LIMIT)
    assert ("nice 19" if alone else "nice 0") in done.stdout, done.stderr


@pytest.mark.slow
@needs_a_compiler
def test_what_a_killed_builder_left_goes(tmp_path: Path) -> None:
    """The scratch folder of a builder that was killed is removed by the next one of that library, and by no other."""
    place = tmp_path / "libraries"
    dead, others = place / ".build-some-x1", [place / ".build-other-x2", place / ".build-some-more-x3"]
    for folder in (dead, *others):
        folder.mkdir(parents=True)
        (folder / "0.cxx").write_text("int half")
    program = f"""
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build
        print(build.build({str(place)!r}, "some", [{FILTER!r}]) is not None)
    """
    assert "True" == run(program, tmp_path)
    assert [each.name for each in others] == sorted(name for name in os.listdir(place) if name.startswith(".build-"))


@needs_a_compiler
@pytest.mark.slow  # three libraries are compiled
def test_many_small_libraries_become_one(tmp_path: Path) -> None:
    """Where there are many, the next one has in it what they have, and they are gone; the base library stays."""
    program = """
        import os
        os.umask(0o077)
        from rdf_lithops.compiled import build, library, noting, instantiation_lines
        lines = [instantiation_lines.node("JitFilterHelper", "", f"bool ({column})") for column in ("short", "char", "long")]
        place = library.folder()
        build.MANY = 2
        for number, line in enumerate(lines[:2]):
            build.build(place, f"learned-{number}", [line])
        build.build(place, library.BASE, [instantiation_lines.node("JitFilterHelper", "", "bool (float)")])
        noting.leave(lines[2:])
        build.build_wanted(place)
        found = list(library.libraries(place))
        print([known.is_base for known in found], sorted(found[1].lines) == sorted(lines), len(library.load_all()))
        print(sorted(name for name in os.listdir(place) if name.startswith(("learned-0", "learned-1", noting.WANTED))))
    """
    assert ["[True, False] True 4", "[]"] == run(program, tmp_path).splitlines()
