"""The user's C++ and ``initialize``, tried here when they are given: what fails is refused at once and not kept.

DistRDF keeps whatever it is given, for all later runs of the program, also those that need none of it. A piece of code
that defines something anew takes the place of the piece that did before. ROOT cannot redefine: this process goes on with
what it has, as local RDataFrame would; workers are new processes, which know the new piece alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import PayloadError
from ..executor import payload
from ..frame import compiler
from . import recording, variables
from .included import included
from .recording import Step

# isort: split
import ROOT
from ROOT._distrdf.Backends import Base, Utils

__all__ = ["distribute_code", "distribute_headers", "distribute_libraries", "initialize"]

logger = logging.getLogger(__name__)

_ERROR = re.compile(r"^(?P<file>.*?):\d+:\d+: (fatal )?error: (?P<text>.*)$", re.MULTILINE)
_BEFORE = re.compile(r"^(?P<file>.*?):\d+:\d+: note: previous .*\n(?P<line>.*)$", re.MULTILINE)
_DEFINED = re.compile(r"redefinition|differ only in their return type")
_LINES = 15  # of the compiler, in an error
_ROOTS_OWN = os.path.realpath(str(ROOT.TROOT.GetIncludeDir())) + os.sep
_holders: dict[str, str] = {}  # the name under which the compiler met a piece first: the key of the piece in its place


def distribute_code(code: str) -> None:
    """Declare ``code`` here and on workers from now on; PayloadError for what does not compile, which is not kept."""
    registry = Base.BaseBackend.strings_to_declare
    text = code.strip()
    key = "ROOT_RDF_DISTRIBUTED_CODE_" + hashlib.sha256(text.encode()).hexdigest()
    if key in registry:
        return
    name = f"C++ piece {len(_holders) + 1}"
    replaced: list[str] = []

    def may_replace(file: str, line: str) -> bool:
        held = _holders.get(file) or next((known for known, piece in registry.items() if line in piece), "")
        replaced.extend([held] if held in registry else [])
        return file in _holders or (file.startswith("input_line_") and (recording.drop_defining(line) or True))

    held = variables.before()
    _declare(f'#line 1 "{name}"\n{text}\n', "C++ code given to DistributeCppCode", may_replace)
    if replaced:
        logger.warning(
            "C++ is defined anew: workers use the new code, this process keeps what it knows and learns no more of it"
        )
    _put_in_place(registry, list(dict.fromkeys(replaced)), key, f"#ifndef {key}\n#define {key}\n{text}\n#endif")
    _holders.update(dict.fromkeys((name, *(first for first, held in _holders.items() if held in replaced)), key))
    step = Step("code", key, written=text)
    variables.keep(step, held, lambda step: recording.note_in_place(step, replaced))


def _put_in_place(registry: dict[str, str], old: list[str], key: str, text: str) -> None:
    """Put ``text`` where the first of the keys ``old`` is, which go; without any, at the end."""
    entries = [(key, text) if [there] == old[:1] else (there, kept) for there, kept in registry.items()]
    registry.clear()
    registry.update(entry for entry in entries if entry[0] not in old[1:])
    registry.setdefault(key, text)


def _declare(text: str, what: str, may_replace: Callable[[str, str], bool]) -> None:
    """Declare ``text``. PayloadError for errors, but for definitions of what is defined already where ``may_replace`` (given
    the file and the line of the earlier one) says that those who load ``text`` later will not have it."""
    with compiler.heard() as heard:
        done = ROOT.gInterpreter.Declare(text)
    said = heard.text
    if done:
        return
    errors = [bool(_DEFINED.search(error["text"])) for error in _ERROR.finditer(said)]
    if errors and all(errors) and all(may_replace(note["file"], note["line"]) for note in _BEFORE.finditer(said)):
        return
    why = "it does not compile, and is not kept"
    if any(errors):
        why += (
            " (what was defined before in this session cannot change its meaning here: another name, or a new session, can)"
        )
    raise PayloadError(what, f"{why}:\n" + "\n".join(f"    {line}" for line in _first_lines(said)))


def _first_lines(said: str) -> list[str]:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[:_LINES] or ["the compiler said nothing"]


def distribute_headers(paths: str | Iterable[str]) -> None:
    """As DistRDF's, for a header, a folder of them or several; PayloadError for what is not there or does not compile, and
    then none of them is kept."""
    given = [paths] if isinstance(paths, str) else list(paths)
    found: set[str] = set()
    for path in given:
        there = Utils.get_paths_set_from_string(path)
        if not there:
            raise PayloadError(f"header {path}", "there is no such file, or it is an empty folder")
        found |= there
    for header in sorted(found):
        Utils.extend_include_path(os.path.dirname(header))
    others = {os.path.realpath(header) for header in Base.BaseBackend.headers - found}

    def may_replace(file: str, line: str) -> bool:
        known = os.path.realpath(file)
        return file not in _holders and known not in others and not known.startswith((_ROOTS_OWN, "/usr/"))

    held = variables.before()
    for header in sorted(found):
        _declare(f'#include "{header}"\n', f"header {header}", may_replace)
    Base.BaseBackend.headers.update(found)
    for header in sorted(found):
        step = Step("header", header, written="\n".join(included(f'#include "{header}"').sources()))
        variables.keep(step, held)
        held = {}  # all headers have been run by then


def distribute_libraries(paths: str | Iterable[str]) -> None:
    """As DistRDF's, which raises for a library that does not load here."""
    before = set(Base.BaseBackend.shared_libraries)
    Base.BaseBackend.register_shared_lib(paths)
    for library in sorted(Base.BaseBackend.shared_libraries - before):
        recording.note(Step("shared library", library))


def initialize(fun: Callable[..., Any], *args: Any, **given: Any) -> None:
    """As DistRDF's; where ``fun`` raises here, its C++ does not compile or it cannot travel, what was to be done before
    stays."""
    before, held = vars(Base.BaseBackend)["initialization"], variables.before()
    try:
        with recording.paused(), compiler.heard() as said:  # workers do what it does by calling it
            Base.BaseBackend.register_initialization(fun, *args, **given)
        if problem := compiler.first_error(said.text):
            shown = "\n".join(f"    {line}" for line in problem.splitlines())
            raise PayloadError("the function given to initialize", f"its C++ does not compile, and it is not kept:\n{shown}")
        kept = payload.dumped_call("the function given to initialize", Base.BaseBackend.initialization)
        Base.BaseBackend.initialization = pickle.loads(kept)  # with what it uses of the program now, as it was done here
    except BaseException:
        Base.BaseBackend.initialization = before
        raise
    variables.keep(Step("initialize", ""), held)
