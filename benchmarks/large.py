"""A result of gigabytes: thousands of histograms with variations, folded by a tree; wall, memory, and is it right?

python -m benchmarks.large                                     # 2.2 GB, on this machine
python -m benchmarks.large --histograms 20 --bins 1000         # does it work? figures without meaning

Peak memory is the largest sum of the proportional set sizes of this program and all that it started, looked at five times a
second; that of maps and folds alone is what the system counted of their ROOT processes. A sample of the histograms is made
again by local RDataFrame and compared, bin for bin.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lithops
import numpy as np
import psutil
import ROOT

import rdf_lithops  # registers Lithops executors with ROOT
from benchmarks import processes
from rdf_lithops.run.events import Event, FoldRoundEnded

LOOK_S = 0.2
TAGS = [f"t{i}" for i in range(10)]


def frame_of(bins: int, entries: int, **keywords: Any) -> Any:
    """Entries that fill the axis, and ten variations of where."""
    frame = ROOT.RDataFrame(entries, **keywords).Define("x", f"double((rdfentry_ * 7919) % {bins})")
    return frame.Vary("x", "ROOT::RVecD v(10); for (int i = 0; i < 10; ++i) v[i] = x + i; return v;", TAGS)


def book(frame: Any, numbers: range | list[int], bins: int) -> dict[int, tuple[Any, Any]]:
    """Histograms by number, each with its variations."""
    booked = {}
    for number in numbers:
        weighted = frame.Define(f"w{number}", f"1.0 + {number} * (rdfentry_ % 3)")
        nominal = weighted.Histo1D((f"h{number}", "", bins, 0.0, float(bins)), "x", f"w{number}")
        booked[number] = nominal, ROOT.RDF.Experimental.VariationsFor(nominal)
    return booked


def contents(nominal: Any, varied: Any) -> list[Any]:
    """All bins of a histogram and its variations, as NumPy arrays."""
    histograms = [nominal.GetValue(), *(varied[f"x:{tag}"] for tag in TAGS)]
    return [np.array(np.frombuffer(each.GetArray(), dtype="f8", count=each.GetNcells())) for each in histograms]


class Memory:
    """The largest memory of this program and what it has started, of the largest process, and of this program alone."""

    def __init__(self) -> None:
        self.most_mib = self.process_mib = self.driver_mib = 0.0
        self.stopped = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look now and then."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            thread.join()

    def _watch(self) -> None:
        while not self.stopped.wait(LOOK_S):
            sizes = [processes.pss_mib(process) for process in (psutil.Process(), *processes.members())]
            self.most_mib, self.process_mib = max(self.most_mib, sum(sizes)), max(self.process_mib, *sizes)
            self.driver_mib = max(self.driver_mib, sizes[0])


def run(given: argparse.Namespace, executor: Any) -> dict[str, Any]:
    """Book, run and compare."""
    options = {"ranges_per_call": 1, "fold_partials": 2, "progress": False}
    keywords = {"executor": executor, "npartitions": given.calls, "options": options}
    frame = frame_of(given.bins, given.entries, **keywords)
    events: list[Event] = []
    frame.proxied_node.get_head().backend.consumers = (events.append,)
    booked = book(frame, range(given.histograms), given.bins)
    memory, began = Memory(), time.perf_counter()
    with memory.watched():
        booked[0][0].GetValue()
    wall_s = time.perf_counter() - began
    report = rdf_lithops.report(frame)
    sample = sorted({0, given.histograms // 2, given.histograms - 1})
    local = book(frame_of(given.bins, given.entries), sample, given.bins)
    for number in sample:
        for ours, theirs in zip(contents(*booked[number]), contents(*local[number]), strict=True):
            assert (ours == theirs).all(), f"histogram {number} differs from local RDataFrame's"
    result_mib = 8 * given.histograms * (1 + len(TAGS)) * (given.bins + 2) * 2 / 2**20
    return {
        "histograms": given.histograms * (1 + len(TAGS)),
        "result_mib": round(result_mib),
        "calls": given.calls,
        "rounds": [event.calls for event in events if isinstance(event, FoldRoundEnded)],
        "wall_s": round(wall_s, 1),
        "reduce_wall_s": round(report.path.get("reduce", 0.0), 1),
        "deliver_s": round(report.path.get("deliver", 0.0), 1),
        "memory_mib": round(memory.most_mib),
        "largest_process_mib": round(memory.process_mib),
        "driver_mib": round(memory.driver_mib),
        "map_mib": round(max(call.peak_memory_mib for call in report.maps)),
        "fold_mib": round(max(call.peak_memory_mib for call in report.calls if call.stage == "reduce")),
        "equal": len(sample) * (1 + len(TAGS)),
    }


def main() -> int:
    """A line as JSON; fails if a histogram of the sample is not local RDataFrame's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histograms", type=int, default=260, help="each has ten variations")
    parser.add_argument("--bins", type=int, default=50_000)
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    ROOT.gROOT.SetBatch(True)
    ROOT.TH1.AddDirectory(False)
    processes.adopt_orphans()  # ROOT's processes are no children of ours
    settings = {"backend": "localhost", "storage": "localhost", "data_limit": False, "log_level": "WARNING"}
    here = {"version": 1, "worker_processes": given.workers}
    with lithops.FunctionExecutor(config={"lithops": {**settings, "data_cleaner": False}, "localhost": here}) as executor:
        print(json.dumps(run(given, executor)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
