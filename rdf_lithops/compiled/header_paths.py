"""Where the C++ compiler has its standard headers: ROOT asks it at each start, unless a variable says so.

The answer is kept per user, compiler and environment, beside the libraries; the variable is set while ROOT starts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from . import library

__all__ = ["VARIABLE", "in_environment", "known", "note"]

VARIABLE = "CLING_CPPSYSINCL"  # of ROOT's (release notes of 6.36)
LIMIT_S = 10.0
_QUESTION = ("c++", "-xc++", "-E", "-v", os.devnull)
_DECISIVE = ("PATH", "CPATH", "CPLUS_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "SYSROOT")


def _path() -> str:
    """The file for this compiler in this environment: what decides the answer is in its name."""
    compiler = shutil.which(_QUESTION[0])
    seen = (os.path.realpath(compiler), os.stat(compiler).st_mtime_ns) if compiler else ()
    decisive = repr((seen, [os.environ.get(name) for name in _DECISIVE]))
    return os.path.join(library.home(), f"headers-{hashlib.sha256(decisive.encode()).hexdigest()[:16]}")


def known() -> dict[str, str]:
    """The variable that spares ROOT its question; nothing where it is not known, or set by the user."""
    try:
        path = _path()
        if VARIABLE in os.environ or not library.is_wanted() or not library.is_safe(os.lstat(path)):
            return {}
        with open(path) as stream:
            return {VARIABLE: stream.read()}
    except OSError:
        return {}


@contextmanager
def in_environment() -> Iterator[None]:
    """While this lasts, ROOT may start without asking."""
    told = known()
    os.environ.update(told)
    try:
        yield
    finally:
        for name in told:
            os.environ.pop(name, None)


def note() -> None:
    """Ask what ROOT would ask, and keep the answer if there is one."""
    environment = {**os.environ, "LC_ALL": "C"}
    limits = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": LIMIT_S, "check": False}
    lines = subprocess.run(_QUESTION, env=environment, text=True, **limits).stderr.splitlines()  # type: ignore[call-overload]
    begin = next((number for number, line in enumerate(lines) if line.startswith("#include <")), len(lines))
    found = [line.strip() for line in lines[begin:] if line.startswith(" /") and "++" in line]
    if found:
        library.write(_path(), ":".join(found))
