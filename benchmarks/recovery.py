"""``python -m benchmarks.recovery``: what recovery costs. 100 calls of which 0, 1, 5 and 10 % are killed, on this machine.

Each call works for a while; Lithops' process of some of them is killed when they begin, in the first attempt. Wall seconds
are those of the query, billed seconds the sum of what Lithops' workers report for calls that delivered and that failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import lithops
import ROOT

from rdf_lithops import Options
from rdf_lithops.run.events import AttemptBegan, CallEnded, CallFailed, Event

SHARES = (0, 1, 5, 10)  # per cent


def measure(fexec: lithops.FunctionExecutor, calls: int, call_ms: int, share: int) -> tuple[float, float, int, float]:
    """Wall seconds, billed seconds, calls that ran again, and the answer."""
    killed = range(0, calls, max(1, 100 // share)) if share else ()
    script = {"task": {range_id: ["kill"] for range_id in list(killed)[: calls * share // 100]}}
    heard: list[Event] = []
    options = Options(ranges_per_call=1, faults=script if share else None)
    frame: Any = ROOT.RDataFrame(calls, executor=fexec, npartitions=calls, options=options)
    frame._headnode.backend.consumers = (heard.append,)
    booked = frame.Define("x", f"gSystem->Sleep({call_ms}); return 1.0 / (3.0 + rdfentry_);").Sum("x")
    began = time.perf_counter()
    answer = float(booked.GetValue())
    wall_s = time.perf_counter() - began
    ended = [event.status for event in heard if isinstance(event, (CallEnded, CallFailed))]
    billed_s = sum(each.get("worker_end_tstamp", 0.0) - each.get("worker_start_tstamp", 0.0) for each in ended)
    again = sum(len(event.call_ids) for event in heard if isinstance(event, AttemptBegan) and event.number > 1)
    return wall_s, billed_s, again, answer


def main() -> int:
    """Print a table; status 1 if a recovered run has other bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--call-ms", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 1}}
    with lithops.FunctionExecutor(config=config, log_level=None) as fexec:
        measure(fexec, given.calls, 0, 0)  # compiles
        answers, base = set(), (0.0, 0.0)
        print("| calls killed | wall s | billed s | against none | calls run again |\n|--:|--:|--:|--:|--:|")
        for share in SHARES:
            runs = [measure(fexec, given.calls, given.call_ms, share) for _ in range(given.repetitions)]
            answers |= {answer for *_, answer in runs}
            wall_s, billed_s = (statistics.median(run[i] for run in runs) for i in (0, 1))
            base = base if share else (wall_s, billed_s)
            ratios = f"{wall_s / base[0]:.2f} / {billed_s / base[1]:.2f}"
            print(f"| {share} % | {wall_s:.2f} | {billed_s:.2f} | {ratios} | {runs[0][2]} |", flush=True)
    return int(len(answers) > 1)


if __name__ == "__main__":
    sys.exit(main())
