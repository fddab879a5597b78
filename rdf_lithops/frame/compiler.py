"""What Cling's compiler says: heard where it prints, and cut down to its first error with the line and the caret."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Said", "first_error", "heard", "is_all_known"]

LINES = 12  # of one error, with what it was included from and the notes that belong to it
_ERROR = re.compile(r"^.*?:\d+:\d+: (?:fatal )?error: .*$", re.MULTILINE)
_KNOWN = re.compile(r"error: (?:redefinition of|.*differ only in their return type)")
_NEXT = re.compile(r"^(?:.*?:\d+:\d+: (?:(?:fatal )?error|warning): |(?:Info|Error|Warning) in <)")
_hearing = threading.RLock()


@dataclass
class Said:
    """``text`` is what was printed, once the hearing is over."""

    text: str = ""


@contextlib.contextmanager
def heard(aloud: bool = True) -> Iterator[Said]:
    """Hear what this process prints to its standard error in this block; ``aloud``, it goes there afterwards, as it would
    have."""
    said = Said()
    with _hearing, tempfile.TemporaryFile() as printed:
        sys.stderr.flush()
        before = os.dup(2)
        try:
            os.dup2(printed.fileno(), 2)
            try:
                yield said
            finally:
                sys.stderr.flush()
                os.dup2(before, 2)
                printed.seek(0)
                said.text = printed.read().decode(errors="replace")
                os.write(2, said.text.encode() if aloud else b"")
        finally:
            os.close(before)


def first_error(said: str) -> str:
    """The first error in what a compiler ``said``, with its line, its caret and its notes; empty where there is none."""
    found = _ERROR.search(said)
    if found is None:
        return ""
    lines = said[found.start() :].splitlines()
    end = next((number for number, line in enumerate(lines[1:], 1) if _NEXT.match(line)), len(lines))
    return "\n".join(line.rstrip() for line in lines[: min(end, LINES)]).rstrip()


def is_all_known(said: str) -> bool:
    """Whether a compiler complains of nothing but definitions of what is defined already."""
    errors = _ERROR.findall(said)
    return bool(errors) and all(_KNOWN.search(error) for error in errors)
