"""A run of many calls, computed: when each begins and ends by a script's distributions, and when the last one is known to.

What a new environment takes is read from ``new_environment.json``, where ``lambda_lines`` has measured it: 2.34 s to its
first event, and 0.15 s for a graph whose instantiations are in a library (28 November 2026, a quiet core). What the
driver and a fold take is measured by ``scale``; the rest are the script's own distributions, drawn with another seed.
``python -m benchmarks.simulation --calls 100000`` goes where no machine can hold the environments.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["REDELIVERY_S", "Script", "life_s", "wall_s"]

MEASURED = json.loads(Path(__file__).with_name("new_environment.json").read_text(encoding="utf-8"))

REDELIVERY_S = 60.0  # Lambda's, of an event whose environment died
PREPARE_S = 0.3  # until the first invocation
INVOKE_S = 0.0006  # between two invocations
LOOK_S = 0.5  # from the end of the last call until it is seen, and its status read
STATUS_S = 0.001  # of the driver, for each status
FOLD_S = 0.8  # the start and end of a call that folds
FOLD_ONE_S = 0.0005  # and each small partial, which is handed to it
MOST_IN_LINE = 4096  # more are folded by a tree, of which a group is left when the last call ends


@dataclass(frozen=True)
class Script:
    """What becomes of calls. Seconds of the start of a new environment, of the way to a warm one, of what comes before
    the loop, and of the loop; ``spread`` is the relative width of each, ``stragglers`` the share of loops that take up to
    twice as long. Shares of events whose environment dies on the way, whose invocation is throttled, which are delivered
    twice. ``quota`` environments at a time, of which ``ramp_per_s`` more start each second (0: all at once). ``faster``:
    this many seconds pass in one. ``listens``: 1 where calls ask at each beat whether their run wants them still, as real
    ones do."""

    seed: int = 1
    cold_s: float = MEASURED["start_s"]
    warm_s: float = 0.1
    compile_s: float = MEASURED["graph_s"] + MEASURED["open_s"] + MEASURED["compile_s"]
    loop_s: float = 30.0
    spread: float = 0.03
    stragglers: float = 0.0
    killed: float = 0.0
    throttled: float = 0.0
    twice: float = 0.0
    quota: int = 10_000
    ramp_per_s: float = 0.0
    beat_s: float = 10.0
    faster: float = 1.0
    listens: int = 0


def life_s(script: Script, dice: random.Random, is_cold: bool) -> tuple[float, float]:
    """Seconds until a call begins to work, and of its work."""

    def about(seconds: float) -> float:
        return seconds * dice.lognormvariate(0.0, script.spread)

    late = 1 + dice.random() if dice.random() < script.stragglers else 1.0
    begin_s = about(script.cold_s + script.compile_s) if is_cold else about(script.warm_s)
    return begin_s / script.faster, about(script.loop_s) * late / script.faster


def wall_s(calls: int, script: Script, seed: int = 2) -> float:
    """Seconds from the question to the result."""
    dice = random.Random(seed)
    free: list[float] = []  # when environments are free again
    ends = []
    for number in range(calls):
        invoked_s = PREPARE_S + number * INVOKE_S * (1 + script.throttled)
        begins_s = invoked_s
        is_cold = not free or free[0] > invoked_s
        if is_cold and script.ramp_per_s and len(free) >= 1000:
            begins_s = max(begins_s, (len(free) - 1000) / script.ramp_per_s / script.faster)
        if not is_cold or len(free) >= script.quota:
            begins_s, is_cold = max(invoked_s, heapq.heappop(free)), False
        begin_s, loop_s = life_s(script, dice, is_cold)
        end_s = begins_s + begin_s + loop_s
        if dice.random() < script.killed:
            again_s, more_s = life_s(script, dice, True)
            end_s = begins_s + begin_s + loop_s * dice.random() + REDELIVERY_S / script.faster + again_s + more_s
        heapq.heappush(free, end_s)
        ends.append(end_s)
    seen_s = max(max(ends) + LOOK_S, PREPARE_S + calls * (INVOKE_S + STATUS_S))
    return seen_s + _fold_s(calls)


def _fold_s(calls: int) -> float:
    """Seconds from when all partials are there until their fold is."""
    if calls <= MOST_IN_LINE:
        return FOLD_S + calls * FOLD_ONE_S
    return 2 * (FOLD_S + math.isqrt(calls) * FOLD_ONE_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the wall time that is predicted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--loop-s", type=float, default=30.0)
    parser.add_argument("--ramp-per-s", type=float, default=0.0, help="new environments a second [all at once]")
    given = parser.parse_args(arguments)
    script = Script(loop_s=given.loop_s, quota=given.calls, ramp_per_s=given.ramp_per_s)
    seconds = wall_s(given.calls, script)
    print(f"{given.calls} calls of {given.loop_s:g} s: {seconds:.0f} s, efficiency {given.loop_s / seconds:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
