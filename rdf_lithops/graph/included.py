"""The user's own files that C++ includes, and that these include: found as the interpreter finds them, kept as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ..worker.payload import PLACE

# isort: split
import ROOT

__all__ = ["Included", "included", "is_installed"]

_INCLUDE = re.compile(r'^([ \t]*#[ \t]*(?:include|include_next|import)[ \t]*)(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
_SYSTEM = ("/usr/", "/lib", "/opt/rh/")


@dataclass
class Included:
    """What a text includes of the user's own: ``text`` says so with the places where workers have it, ``files`` are the
    bytes by path, ``folders`` those of the include path in which something was found, in their order."""

    text: str
    files: dict[str, bytes] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    def sources(self) -> list[str]:
        """The text of the files."""
        return [data.decode(errors="replace") for data in self.files.values()]


def is_installed(path: str) -> bool:
    """Whether ``path`` belongs to ROOT or to the system, which workers have themselves."""
    real = os.path.realpath(path)
    return real.startswith((_roots_own(), *_SYSTEM))


def _roots_own() -> str:
    return os.path.dirname(os.path.realpath(str(ROOT.TROOT.GetIncludeDir()))) + os.sep


def included(text: str, folder: str = "") -> Included:
    """Follow the include lines of ``text``, which stands in ``folder`` ("": it was given to the interpreter)."""
    found = Included(text)
    search = [path for path in _include_path() if not is_installed(path)]
    found.text = _INCLUDE.sub(lambda line: _followed(line, folder or os.getcwd(), search, found), text)
    found.folders.sort(key=search.index)
    return found


def _include_path() -> list[str]:
    given = re.findall(r'-I"([^"]*)"|-I(\S+)', str(ROOT.gInterpreter.GetIncludePath()))
    return [os.path.abspath(os.path.expandvars(quoted or bare)) for quoted, bare in given]


def _followed(line: re.Match[str], folder: str, search: list[str], found: Included) -> str:
    """The include ``line`` with the file's place on workers, where it is the user's; follows what that file includes."""
    path = _resolved(line[2] or line[3], folder if line[2] else "", search, found.folders.append)
    if not path or is_installed(path):
        return line[0]
    if path not in found.files:
        with open(path, "rb") as stream:
            found.files[path] = stream.read()
        inner = found.files[path].decode(errors="replace")
        for deeper in _INCLUDE.finditer(inner):
            _followed(deeper, os.path.dirname(path), search, found)
    found.folders[:] = dict.fromkeys(found.folders)
    return f'{line[1]}"{PLACE}/code{path}"'


def _resolved(name: str, folder: str, search: list[str], used: Callable[[str], None]) -> str:
    """The file that ``name`` means; ``used`` is told the folder of the include path that had it. Empty if there is none."""
    if os.path.isabs(name):
        return name if os.path.isfile(name) else ""
    if folder and os.path.isfile(beside := os.path.abspath(os.path.join(folder, name))):
        return beside
    for place in search:
        if os.path.isfile(path := os.path.abspath(os.path.join(place, name))):
            used(place)
            return path
    return ""
