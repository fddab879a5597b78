"""One reducer or a tree: wall and memory of folding many partials of many histograms.

python -m benchmarks.fold                                # 1000 partials of 200 histograms, on this machine
python -m benchmarks.fold --place lambda --only tree     # on the stand-in of Lambda (tests/lambda_standin), in processes
python -m benchmarks.fold --partials 20 --histograms 5   # does it work? figures without meaning

The wall of the fold is what the report calls "reduce": from the end of the last call that ran a range until the driver has
seen the result. Its memory is the largest peak of a ROOT process that folded. "billed" are the seconds in which workers had
the calls, of which "fold_billed_s" are those that folded, or found that it was too much for one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import lithops
import ROOT

import rdf_lithops  # registers Lithops executors with ROOT
from rdf_lithops.run.events import Event, FoldRoundEnded, ReduceEnded

QUOTA = 2
MEMORY_MIB = 3008
LOCALHOST = Path(__file__).resolve().parent.parent / "configs" / "localhost.yaml"


@contextlib.contextmanager
def on_localhost(calls: int) -> Iterator[Any]:
    """This machine, from the configuration that users are given."""
    with lithops.FunctionExecutor(config_file=str(LOCALHOST)) as executor:
        yield executor


@contextlib.contextmanager
def on_lambda(calls: int) -> Iterator[Any]:
    """Lambda's stand-in with two environments at a time, which are processes of this machine, and Ceph's gateway as storage.

    All calls are invoked at once and wait in Lambda's queue: of Lithops' own, which looks after ``max_workers`` a few times
    a second, only two would run between two looks.
    """
    from lambda_standin import Places, standing
    from servers import s3

    with tempfile.TemporaryDirectory() as folder, s3.running(Path(folder) / "s3") as gateway:
        limits = {"max_workers": calls, "runtime_timeout": 600, "runtime_memory": MEMORY_MIB}
        with standing(Places(), quota=QUOTA, s3=gateway, **limits) as made:
            yield made.executor


PLACES = {"localhost": on_localhost, "lambda": on_lambda}


def run(executor: Any, partials: int, histograms: int, bins: int, most: int) -> dict[str, Any]:
    """One run with one call per partial; from the end of the first reducer's inputs on, the rest is the fold."""
    options = {"ranges_per_call": 1, "fold_partials": most, "fold_mib": 1e6}
    frame = ROOT.RDataFrame(100 * partials, executor=executor, npartitions=partials, options=options)
    column = frame.Define("x", "double(rdfentry_ % 1000)")
    booked = [column.Histo1D((f"h{i}", "", bins, 0.0, 1000.0), "x") for i in range(histograms)]
    events: list[Event] = []
    frame._headnode.backend.consumers = (events.append,)
    began = time.perf_counter()
    entries = booked[0].GetEntries()
    wall_s = time.perf_counter() - began
    assert 100 * partials == entries
    report = rdf_lithops.report(frame)
    flat = [*events, *(inner for event in events if isinstance(event, FoldRoundEnded) for inner in event.events)]
    folds = [event.facts["fold_s"] for event in flat if isinstance(event, ReduceEnded) and "fold_s" in event.facts]
    return {
        "partials": partials,
        "histograms": histograms,
        "fold_partials": most,
        "rounds": [event.calls for event in events if isinstance(event, FoldRoundEnded)],
        "attempts": report.attempts,
        "backups": report.backups,
        "wall_s": wall_s,
        "reduce_wall_s": report.path.get("reduce", 0.0),
        "last_fold_s": folds[-1] if folds else 0.0,
        "billed_s": sum(call.worker_s for call in report.calls),
        "fold_billed_s": sum(call.worker_s for call in report.calls if call.stage == "reduce"),
        "peak_memory_mib": max((call.peak_memory_mib for call in report.calls if call.stage == "reduce"), default=0.0),
    }


def main() -> int:
    """A line as JSON for each of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partials", type=int, default=1000)
    parser.add_argument("--histograms", type=int, default=200)
    parser.add_argument("--bins", type=int, default=100)
    parser.add_argument("--place", choices=PLACES, default="localhost")
    parser.add_argument("--only", choices=("single", "tree"))
    given = parser.parse_args()
    sizes = given.partials, given.histograms, given.bins
    most = {"single": given.partials, "tree": max(2, round(given.partials**0.5))}
    with PLACES[given.place](given.partials) as executor:
        for shape in most if given.only is None else (given.only,):
            print(json.dumps({"place": given.place, "shape": shape, **run(executor, *sizes, most[shape])}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
