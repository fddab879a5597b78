"""Scripted faults, so that tests break a run through Lithops' real path: which range, which attempt, where, what happens.

A script is plain: ``{"task": {3: ["kill", "exit"]}, "slot": {5: ["segv"]}, "reduce": ["kill"], "fold": ["throw"]}``
kills Lithops' process when the call that holds range 3 runs for the first time, has it exit at the second, and so on;
``task`` and ``reduce`` strike in Lithops' process, ``slot`` and ``fold`` in the warm ROOT process. Without a script nothing
here runs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from typing import Any

__all__ = ["ACTIONS", "strike_fold", "strike_range", "strike_reduce", "strike_task"]

Script = dict[str, Any]
ALLOCATION_LIMIT_MIB = 512  # beyond what the process has: "without end" must not take the machine with it
GARBAGE = b"this is no envelope"


def strike_task(script: Script | None, call: dict[str, Any]) -> bytes | None:
    """What the script has for this call in Lithops' process; bytes are to be returned instead of a result."""
    if script is None:
        return None
    per_range = _by_range(script.get("task"))
    return next((_do(_nth(per_range[plain["id"]], call)) for plain in call["ranges"] if plain["id"] in per_range), None)


def strike_range(script: Script | None, call: dict[str, Any], range_id: int) -> None:
    """What the script has for this range in the ROOT process."""
    if script is not None:
        _do(_nth(_by_range(script.get("slot")).get(range_id, []), call))


def strike_reduce(script: Script | None, attempt: int) -> bytes | None:
    """What the script has for the reducer in Lithops' process; bytes are to be returned instead of a result."""
    return None if script is None else _do(_nth(script.get("reduce", []), {"attempt": attempt}))


def strike_fold(script: Script | None, attempt: int) -> None:
    """What the script has for the fold in the ROOT process."""
    if script is not None:
        _do(_nth(script.get("fold", []), {"attempt": attempt}))


def _by_range(per_range: dict[Any, list[str]] | None) -> dict[int, list[str]]:
    """JSON has made strings of the numbers."""
    return {int(range_id): actions for range_id, actions in (per_range or {}).items()}


def _nth(actions: list[str], call: dict[str, Any]) -> str:
    number = int(call.get("attempt", 1)) - 1
    return actions[number] if number < len(actions) else ""


def _do(action: str) -> bytes | None:
    if not action:
        return None
    print(f"rdf_lithops: the fault script says {action}", file=sys.stderr, flush=True)  # noqa: T201  # the worker's log
    return ACTIONS[action]()


def _raise() -> bytes | None:
    raise ConnectionError("the fault script says raise")


def _throw() -> bytes | None:
    """A C++ exception out of compiled code."""
    import ROOT

    ROOT.gInterpreter.Declare(
        '#include <stdexcept>\ninline void rdf_lithops_throw() { throw std::runtime_error("the fault script says throw"); }'
    )
    ROOT.rdf_lithops_throw()
    return None


def _exit() -> bytes | None:
    os._exit(7)


def _signal(number: signal.Signals) -> bytes | None:
    os.kill(os.getpid(), number)
    time.sleep(1)  # SIGSTOP: until somebody continues us
    return None


def _segfault() -> bytes | None:
    ctypes.string_at(0)
    return None


def _allocate() -> bytes | None:
    """Ask for memory until there is no more."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        now_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + ALLOCATION_LIMIT_MIB * 2**20, before[1]))
    held = []
    try:
        while True:
            held.append(bytearray(16 * 2**20))
    finally:
        held.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def _sleep() -> bytes | None:
    while True:
        time.sleep(3600)


def _garbage() -> bytes | None:
    return GARBAGE


ACTIONS = {
    "raise": _raise,
    "throw": _throw,
    "exit": _exit,
    "kill": lambda: _signal(signal.SIGKILL),
    "segv": _segfault,
    "stop": lambda: _signal(signal.SIGSTOP),
    "allocate": _allocate,
    "sleep": _sleep,
    "garbage": _garbage,
}
