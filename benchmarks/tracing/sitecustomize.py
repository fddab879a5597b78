"""What Python runs first in each process that ``benchmarks.first_query`` traces: it times source lines after a fork.

py-spy, which looks on from outside, notices a fork too late for the short life of a task, and Cling holds the interpreter's
lock, so that no thread of Python's could look on from inside. Where a fork begins, a trace function is set, which notes each
line of ours, of DistRDF's and of Lithops' that took long.
"""

from __future__ import annotations

import json
import os
import sys
import time
from types import FrameType
from typing import Any

_PATH = os.environ.get("RDF_LITHOPS_TRACE", "")
_LEAST_S = 0.02
_FOLDERS = ("rdf_lithops", "ROOT", "cppyy", "lithops")


def _note(*what: Any) -> None:
    descriptor = os.open(_PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, json.dumps([os.getpid(), *what]).encode() + b"\n")
    os.close(descriptor)


def _traced(frame: FrameType, event: str, argument: Any) -> Any:
    file = frame.f_code.co_filename
    if not any(f"/{name}/" in file for name in _FOLDERS):
        return None
    line, since_s = frame.f_lineno, time.monotonic()

    def next_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal line, since_s
        now_s = time.monotonic()
        if now_s - since_s >= _LEAST_S:
            _note(since_s, now_s, file, line, frame.f_code.co_name)
        line, since_s = frame.f_lineno, time.monotonic()
        return next_line

    return next_line


def _begin_fork() -> None:
    _note(time.monotonic(), None, " ".join(sys.argv[:1]), 0, "")
    sys.settrace(_traced)
    frame: FrameType | None = sys._getframe()
    while frame is not None:  # what is running already
        frame.f_trace = _traced(frame, "call", None)
        frame = frame.f_back


if _PATH:
    _note(time.monotonic(), None, "", 0, "")
    os.register_at_fork(after_in_child=_begin_fork)
