"""Instantiation libraries on this machine: where they lie, whether one may be trusted, and how it is loaded.

Each is two files in a folder that belongs to this ROOT and this user: ``NAME.so`` and ``NAME.json``, which has the digest of
the first and the lines of C++ that are in it. What is not complete, not ours, or does not load is left alone, and Cling
does the work, as it does without.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import logging
import os
import platform
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import catalogue, instantiation_lines

__all__ = [
    "BASE",
    "HEADERS",
    "OFF",
    "OURS",
    "VARIABLE",
    "Library",
    "LibraryRefused",
    "folder",
    "grows",
    "home",
    "is_safe",
    "is_wanted",
    "key",
    "libraries",
    "lies_here",
    "load_all",
    "load_more",
    "opened",
    "read",
    "standard",
    "write",
]

logger = logging.getLogger(__name__)

BASE = "base"  # the library that is made of the catalogue
OURS = "ours"  # what the names of libraries of our own C++ begin with (see ``ours``), which are loaded one by one
HEADERS = os.path.dirname(os.path.abspath(__file__))  # where that lies
VARIABLE = "RDF_LITHOPS_INSTANTIATIONS"  # a folder of libraries that are used and not added to, as an image's; or "off"
OFF = "off"
_FORMAT = 1
_FOLDER = "instantiations-"
_HEADERS_READ = (  # which change with all that a library depends on: ROOT, its compiler and standard, RDataFrame's templates
    *("RVersion.h", "RConfigure.h", "compiledata.h"),
    *(f"ROOT/RDF/{name}.hxx" for name in ("RInterface", "InterfaceUtils", "ActionHelpers", "RAction", "RDefine", "RFilter")),
)
_PARTS_OF_ROOT = ("libROOTDataFrame", "libHist", "libMathCore", "libTree")


class LibraryRefused(Exception):
    """A library that is not loaded, and why."""


@dataclass(frozen=True)
class Library:
    """A library that is whole: its file, the lines of C++ that are in it, and what is known of its making."""

    path: str
    lines: tuple[str, ...]
    made: dict[str, Any]

    @property
    def is_base(self) -> bool:
        """Whether it is the one that is made of the catalogue."""
        return os.path.basename(self.path) == f"{BASE}.so"


def folder() -> str:
    """The folder of the libraries for this ROOT: that of the image, or a private one below the user's cache, which is made
    if it is not there.

    Needs ROOT. Raises LibraryRefused where it is somebody else's, others can write there, or this user may not read it.
    """
    path = os.path.join(home(), f"{_FOLDER}{key()}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        seen = os.lstat(path)
    except OSError as error:
        raise LibraryRefused(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(seen.st_mode) or not is_safe(seen):
        raise LibraryRefused(f"{path} is not a folder that this user alone can write")
    if not os.access(path, os.R_OK | os.X_OK):
        raise LibraryRefused(f"{path} may not be read by this user")
    return path


def home() -> str:
    """Where the folders for all ROOTs are: in an image, or below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get(VARIABLE) or os.path.join(cache, "rdf_lithops")


def write(path: str, text: str) -> None:
    """Have a file that is there whole or not at all, and that this user alone can write."""
    descriptor, scratch = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    os.replace(scratch, path)


def is_wanted() -> bool:
    """Whether libraries are used in this process."""
    return os.environ.get(VARIABLE) != OFF


def grows() -> bool:
    """Whether what is missing is noted and made: not in a folder that the environment names."""
    return VARIABLE not in os.environ


def is_safe(seen: os.stat_result) -> bool:
    """Whether nobody but this user, or the system's administrator, can write what was ``seen``."""
    return seen.st_uid in (0, os.getuid()) and not seen.st_mode & 0o022


@functools.lru_cache(maxsize=1)
def key() -> str:
    """Names all that a library depends on: ROOT, its headers, the standard and ABI they are compiled with, our catalogue and
    our own C++."""
    digest = hashlib.sha256(repr((_FORMAT, platform.machine(), *catalogue.catalogue())).encode())
    include = _include_folder()
    ours = sorted(name for name in os.listdir(HEADERS) if name.endswith(".h"))
    for path in (*(os.path.join(include, name) for name in _HEADERS_READ), *(os.path.join(HEADERS, name) for name in ours)):
        with open(path, "rb") as header:
            digest.update(header.read())
    return digest.hexdigest()[:16]


def _include_folder() -> str:
    """Where ROOT's headers are; the wheel's are found without asking ROOT, which takes it hundredths of a second."""
    import ROOT

    beside = os.path.join(os.path.dirname(ROOT.__file__), "include")
    return beside if os.path.exists(os.path.join(beside, "RVersion.h")) else str(ROOT.gROOT.GetIncludeDir())


@functools.lru_cache(maxsize=1)
def standard() -> str:
    """The C++ standard of this ROOT's interpreter, as compilers spell it: ``c++17``."""
    import ROOT

    return f"c++{int(ROOT.gInterpreter.ProcessLine('__cplusplus;')) // 100 % 100}"


def read(path: str) -> Library:
    """The library ``path`` (NAME.so). Raises LibraryRefused where it is not whole, or others could have written it."""
    described = path.removesuffix(".so") + ".json"
    try:
        for name in (path, described):
            seen = os.lstat(name)
            if not stat.S_ISREG(seen.st_mode) or not is_safe(seen):
                raise LibraryRefused(f"{name} is not a file that this user alone can write")
        with open(described) as stream:
            made = json.load(stream)
        with open(path, "rb") as stream:
            found = hashlib.sha256(stream.read()).hexdigest()
    except (OSError, ValueError) as error:
        raise LibraryRefused(f"{path}: {error}") from error
    if made.get("format") != _FORMAT or made.get("sha256") != found:
        raise LibraryRefused(f"{path} is not what its description says")
    return Library(path, tuple(made["lines"]), made)


def libraries(place: str) -> Iterator[Library]:
    """The libraries in ``place`` that are whole, the base first; of the others it is logged why not."""
    names = sorted(name for name in os.listdir(place) if name.endswith(".so") and not name.startswith(OURS))
    for name in sorted(names, key=lambda name: name != f"{BASE}.so"):
        try:
            yield read(os.path.join(place, name))
        except LibraryRefused as refusal:
            logger.warning("an instantiation library is left out: %s", refusal)


def lies_here(name: str, root: str) -> bool:
    """Whether this machine has a library ``name`` for the ROOT of the key ``root`` where its processes look when they start.
    Needs no ROOT."""
    return os.path.exists(os.path.join(home(), f"{_FOLDER}{root}", f"{name}.so"))


def load_all() -> list[str]:
    """Load every library for this ROOT, before it has compiled anything; returns the lines of C++ that are there now."""
    try:
        return load_more(libraries(folder()), ())
    except LibraryRefused as refusal:
        logger.warning("no instantiation library is used: %s", refusal)
        return []


def load_more(found: Iterable[Library], there: Collection[str]) -> list[str]:
    """Load libraries, beside the lines of C++ that are ``there``; returns the lines that came with them."""
    lines: dict[str, None] = {}
    for library in found:
        try:
            _load(library, [line for line in library.lines if line not in lines and line not in there])
        except LibraryRefused as refusal:
            logger.warning("an instantiation library is left out: %s", refusal)
            continue
        lines.update(dict.fromkeys(library.lines))
    return list(lines)


def _load(library: Library, lines: list[str]) -> None:
    """Load one library whole, and tell Cling what is in it."""
    import ROOT

    opened(library)
    if lines and not ROOT.gInterpreter.Declare(instantiation_lines.declaration(lines)):
        raise LibraryRefused(f"{library.path} does not fit this ROOT")


def opened(library: Library) -> ctypes.CDLL:
    """Load ``library`` whole: a symbol that does not resolve is found here, not in a loop. Raises LibraryRefused."""
    import ROOT

    for part in _PARTS_OF_ROOT:
        ROOT.gSystem.Load(part)
    try:
        return ctypes.CDLL(library.path, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    except OSError as error:
        raise LibraryRefused(str(error)) from error
