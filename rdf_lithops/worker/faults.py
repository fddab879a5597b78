"""Scripted faults, so that tests break a run through Lithops' real path: which range, which attempt, where, what happens.

A script is plain: ``{"task": {3: ["kill", "exit"]}, "slot": {5: ["segv"]}, "reduce": ["kill"], "fold": ["throw"]}``
kills Lithops' process when the call that holds range 3 runs for the first time, has it exit at the second, and so on;
``task`` and ``reduce`` strike in Lithops' process, ``slot`` and ``fold`` in the warm ROOT process. ``mark`` names a file
into which the time of each strike is written. Without a script nothing here runs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["ACTIONS", "DELIVERIES", "deliveries", "strike_fold", "strike_range", "strike_reduce", "strike_task"]

Script = dict[str, Any]
ALLOCATION_LIMIT_MIB = 512  # beyond what the process has: "without end" must not take the machine with it
GARBAGE = b"this is no envelope"
DELIVERIES = ("garbage", "twice", "lose")  # what may become of an answer
_on_delivery: list[str] = []  # of the ROOT process: what becomes of the answer that it works on


def strike_task(script: Script, call: dict[str, Any], storage: Any, status_key: str) -> bytes | None:
    """What the script has for this call in Lithops' process; bytes are to be returned instead of a result.

    ``status_key`` is where Lithops is going to say in ``storage`` that the call has ended.
    """
    per_range = _by_range(script.get("task"))
    action = next((_nth(per_range[fields["id"]], call) for fields in call["ranges"] if fields["id"] in per_range), "")
    return _do_in_task(script, action, storage, status_key)


def strike_reduce(script: Script, attempt: int, storage: Any, status_key: str) -> bytes | None:
    """What the script has for the reducer in Lithops' process, as in ``strike_task``."""
    return _do_in_task(script, _nth(script.get("reduce", []), {"attempt": attempt}), storage, status_key)


def strike_range(script: Script, call: dict[str, Any], first_id: int, range_id: int) -> None:
    """What the script has for this range in the ROOT process; its graph's ranges are numbered from ``first_id`` on."""
    _do_in_slot(script, _nth(_by_range(script.get("slot")).get(first_id + range_id, []), call))


def strike_fold(script: Script, attempt: int) -> None:
    """What the script has for the fold in the ROOT process."""
    _do_in_slot(script, _nth(script.get("fold", []), {"attempt": attempt}))


def deliveries(blobs: list[bytes]) -> Iterator[list[bytes]]:
    """How an answer of the ROOT process arrives: once, as it is, unless the script has had something else for it."""
    action = _on_delivery.pop() if _on_delivery else ""
    if action == "garbage":
        yield [GARBAGE, *blobs[1:]]
    elif action != "lose":
        yield blobs
    if action == "twice":
        yield blobs


def _by_range(per_range: dict[Any, list[str]] | None) -> dict[int, list[str]]:
    """JSON has made strings of the numbers."""
    return {int(range_id): actions for range_id, actions in (per_range or {}).items()}


def _nth(actions: list[str], call: dict[str, Any]) -> str:
    number = int(call.get("attempt", 1)) - 1
    return actions[number] if number < len(actions) else ""


def _begin(script: Script, action: str) -> None:
    print(f"rdf_lithops: the fault script says {action}", file=sys.stderr, flush=True)  # noqa: T201  # the worker's log
    if "mark" in script:
        with open(script["mark"], "a") as mark:
            mark.write(f"{time.time()}\n")


def _do_in_task(script: Script, action: str, storage: Any, status_key: str) -> bytes | None:
    if not action:
        return None
    _begin(script, action)
    if action == "garbage":
        return GARBAGE
    if action == "twice":
        _go_on_twice()
    elif action == "lose":  # on localhost, where a folder of that name keeps Lithops from writing it
        storage.put_object(storage.bucket, f"{status_key}/lost", b"")
    else:
        ACTIONS[action]()
    return None


def _do_in_slot(script: Script, action: str) -> None:
    if not action:
        return
    _begin(script, action)
    if action in DELIVERIES:
        _on_delivery[:] = [action]
    else:
        ACTIONS[action]()


def _go_on_twice() -> None:
    """Have a copy of this process run the call and deliver, and then run it and deliver again."""
    copy = os.fork()
    if copy:
        os.waitpid(copy, 0)


def _raise() -> None:
    raise ConnectionError("the fault script says raise")


def _throw() -> None:
    """A C++ exception out of compiled code."""
    import ROOT

    ROOT.gInterpreter.Declare(
        '#include <stdexcept>\ninline void rdf_lithops_throw() { throw std::runtime_error("the fault script says throw"); }'
    )
    ROOT.rdf_lithops_throw()


def _exit() -> None:
    os._exit(7)


def _signal(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(1)  # SIGSTOP: until somebody continues us


def _segfault() -> None:
    ctypes.string_at(0)


def _allocate() -> None:
    """Ask for memory until there is no more."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        now_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + ALLOCATION_LIMIT_MIB * 2**20, before[1]))
    held = []
    try:
        while True:
            held.append(bytes(16 * 2**20))  # not touched: that takes seconds where others need the machine
    finally:
        held.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def _sleep() -> None:
    while True:
        time.sleep(3600)


ACTIONS = {
    "raise": _raise,
    "throw": _throw,
    "exit": _exit,
    "kill": lambda: _signal(signal.SIGKILL),
    "segv": _segfault,
    "stop": lambda: _signal(signal.SIGSTOP),
    "allocate": _allocate,
    "sleep": _sleep,
}
