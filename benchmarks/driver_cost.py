"""``python -m benchmarks.driver_cost``: what a call costs the driver's processor, by how many calls a run has.

    python -m benchmarks.driver_cost                              # 10 to 1000 calls of localhost
    python -m benchmarks.driver_cost --calls 10,100,1000,10000    # half an hour, nearly all of it Lithops' processes
    python -m benchmarks.driver_cost --profile 1000               # where it goes

Calls are trivial, one range of one entry each. Counted is the processor time of the driver's process, all of its threads,
from ``GetValue`` to the value; what Lithops starts beside it is not. The exponent is that of the curve (least squares on
logarithms): 1 is linear. ``benchmarks.scale`` has the same figure for Lambda and S3.
"""

from __future__ import annotations

import argparse
import cProfile
import math
import os
import pstats
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .places import LOCALHOST_CONFIG

__all__ = ["Point", "exponent"]

CALLS = (10, 30, 100, 300, 1000)


@dataclass(frozen=True)
class Point:
    """A run of so many calls: seconds of the wall and of the driver's processor, and its peak memory so far."""

    calls: int
    wall_s: float
    cpu_s: float
    peak_mib: float

    @property
    def cpu_ms(self) -> float:
        """Of each call."""
        return 1000 * self.cpu_s / self.calls


def exponent(points: Sequence[Point]) -> float:
    """How the driver's processor time grows with the calls."""
    if len(points) < 2:
        return math.nan
    calls, seconds = ([math.log(value) for value in values] for values in _columns(points))
    return statistics.linear_regression(calls, seconds).slope


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [float(point.calls) for point in points], [point.cpu_s for point in points]


def measure(executor: Any, calls: int) -> Point:
    """A run of ``calls`` calls, whose result is checked."""
    import ROOT

    options = {"ranges_per_call": 1, "progress": False}
    count = ROOT.RDataFrame(calls, executor=executor, npartitions=calls, options=options).Count()
    began_s, busy_s = time.perf_counter(), time.process_time()
    found = count.GetValue()
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - busy_s
    if found != calls:
        raise AssertionError(f"expected {calls} entries, got {found}")
    return Point(calls, wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the curve and its exponents."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.driver_cost", description=__doc__)
    parser.add_argument("--calls", default=",".join(map(str, CALLS)), help="numbers of calls [%(default)s]")
    parser.add_argument("--version", type=int, default=1, help="of Lithops' localhost [%(default)s]")
    parser.add_argument("--profile", type=int, metavar="CALLS", help="print where so many calls spend the driver's time")
    given = parser.parse_args(arguments)
    import lithops
    import ROOT  # noqa: F401  # its start is no part of what is measured
    import yaml

    import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT

    config = yaml.safe_load(LOCALHOST_CONFIG.read_text())
    config["localhost"]["version"] = given.version
    with lithops.FunctionExecutor(config=config) as executor:
        measure(executor, 4)  # ROOT is up, and the graph compiled
        if given.profile:
            _profile(executor, given.profile)
            return 0
        _curve(executor, [int(number) for number in given.calls.split(",")])
    return 0


def _curve(executor: Any, numbers: Sequence[int]) -> None:
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'calls':>7}{'wall s':>9}{'cpu s':>9}{'ms/call':>9}{'MiB':>7}")
    points = []
    for number in numbers:
        points.append(measure(executor, number))
        last = points[-1]
        print(f"{number:>7}{last.wall_s:>9.2f}{last.cpu_s:>9.2f}{last.cpu_ms:>9.2f}{last.peak_mib:>7.0f}", flush=True)
    many = [point for point in points if point.calls >= 100]
    print(f"exponent {exponent(points):.2f}, of 100 calls and more {exponent(many):.2f}")


def _profile(executor: Any, calls: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    point = measure(executor, calls)
    profile.disable()
    print(f"{calls} calls: {point.cpu_s:.2f} s of the processor, all threads; of this one:")
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    sys.exit(main())
