"""``python -m benchmarks.slurm``: dimuon, 4 M events, on a real Slurm of this machine, beside the same on localhost.

A controller and two nodes are started here (as root, with Slurm's packages: ``tests/batch/install.sh``). *slurm* is an
array of jobs for each query, *allocation* job steps in one allocation of a node that stays. One program asks all places in
turn, so that what else the machine does meets them alike. Every histogram is compared with local RDataFrame's, bin by bin.

The wall of a query is taken apart along its critical path: *driver* prepares, submits, looks and fills; *queue* is the
scheduler's, until an element's Python begins, of the map that ended last and then of the reducer; *start* is what comes
before the user's graph runs; *work* reads and loops; *fold* is the reducer's own, with the start of a ROOT if it needs one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import machine
from .data import DATASETS, read_once
from .places import LOCALHOST_CONFIG
from .workloads import dimuon

OUT = Path(__file__).with_name("out") / "slurm.jsonl"
RATIO = 1.5  # of later queries in an allocation to those of localhost, at most
RANGES = 2
DRIVER = ("prepare", "retries", "submit", "wait", "deliver", "other")
START = ("cold start", "initialisation", "graph", "compilation")
WORK = ("open", "read", "decompression", "loop", "merge", "serialise", "upload")
COLUMNS = ("wall", "driver", "queue", "start", "work", "fold")
ALLOCATION = {"nodes": 1, "minutes": 30, "cpus": RANGES, "memory_mib": 4000}
SECTIONS: dict[str, dict[str, Any]] = {
    "slurm": {},
    "reduce: here": {"reduce": "here"},
    "allocation": {"allocation": ALLOCATION, "preload": ["rdf_lithops.worker.together"], "max_workers": RANGES},
}
ARRAYS = ("slurm", "reduce: here")
PLACES = ("localhost", *SECTIONS)


def main() -> int:
    """Print a table; status 1 where a bin differs, or later queries in the allocation take too long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slurm", description=__doc__)
    parser.add_argument("--dataset", choices=sorted(DATASETS), default="dimuon_4m", help="[%(default)s]")
    parser.add_argument("--scale", type=float, default=1.0, help="make the input this much larger or smaller [1]")
    parser.add_argument(
        "--later", type=int, default=9, help="later queries on localhost and in the allocation [%(default)s]"
    )
    parser.add_argument("--arrays", type=int, default=2, help="queries by arrays of jobs [%(default)s]")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    dataset = DATASETS[given.dataset].scaled(given.scale)
    dataset.write()
    paths = [str(path) for path in dataset.paths]
    read_once(paths)
    with _places() as executors:
        expected = _bins(_local(dataset.tree, paths))
        queries = {place: given.arrays if place in ARRAYS else 1 + given.later for place in PLACES}
        turns = [(place, number) for number in range(1 + given.later) for place in PLACES if number < queries[place]]
        rows = [_query(place, number, executors[place], dataset.tree, paths, expected) for place, number in turns]
    _keep(rows)
    return _show(rows)


def _local(tree: str, paths: list[str]) -> Any:
    import ROOT

    return dimuon(ROOT.RDataFrame(tree, paths), 0)["mass"]


def _bins(result: Any) -> list[float]:
    histogram = result.GetValue()
    return [histogram.GetBinContent(i) for i in range(histogram.GetNcells())]


@contextlib.contextmanager
def _places() -> Iterator[dict[str, Any]]:
    """An executor for each place, on a Slurm that ends with them."""
    import lithops
    from batch import cluster

    import rdf_lithops  # noqa: F401  # has Lithops know its back ends

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        for name in ("slurm", "shared", "scratch"):
            (folder / name).mkdir()
        slurm = stack.enter_context(cluster.running(folder / "slurm"))
        os.environ.update(slurm.variables)
        given = {"localhost": {"config_file": str(LOCALHOST_CONFIG)}}
        given |= {place: {"config": _config(folder, section)} for place, section in SECTIONS.items()}
        yield {place: stack.enter_context(lithops.FunctionExecutor(**how)) for place, how in given.items()}


def _config(folder: Path, section: dict[str, Any]) -> dict[str, Any]:
    """``configs/slurm.yaml``, filled in; this scheduler may be asked more often than a site's."""
    chosen = {"backend": "slurm", "storage": "shared_folder", "data_cleaner": False, "data_limit": False}
    own = {"partition": "main", "time": "10:00", "memory": 1500, "poll_s": 1, "scratch": str(folder / "scratch")}
    return {
        "lithops": {**chosen, "log_level": "WARNING"},
        "slurm": {**own, **section},
        "shared_folder": {"path": str(folder / "shared")},
    }


def _query(place: str, number: int, executor: Any, tree: str, paths: list[str], expected: list[float]) -> dict[str, Any]:
    import ROOT

    import rdf_lithops

    began = time.perf_counter()
    result = dimuon(ROOT.RDataFrame(tree, paths, executor=executor, npartitions=RANGES), number)["mass"]
    result.GetValue()
    wall_s = time.perf_counter() - began
    report = rdf_lithops.report(result)
    row = {"place": place, "number": number, **_taken_apart(report, wall_s), "equal": _bins(result) == expected}
    print(f"{place:<13} query {number + 1}: {wall_s:6.2f} s, {'equal' if row['equal'] else 'DIFFERENT'}", file=sys.stderr)
    return {**row, "core_s": sum(call.worker_s for call in report.calls)}


def _taken_apart(report: Any, wall_s: float) -> dict[str, float]:
    """Seconds by column; they add up to the wall. What the report's clock does not cover is the driver's."""
    path = report.path
    reduces = [call for call in report.calls if call.stage == "reduce" and call.outcome == "ok"]
    of_reducer = reduces[-1].parts if reduces else {}
    queue = path.get("queue", 0.0) + of_reducer.get("queue", 0.0)
    start = sum(path.get(name, 0.0) + of_reducer.get(name, 0.0) for name in START)
    work = sum(path.get(name, 0.0) for name in WORK)
    fold = sum(of_reducer.get(name, 0.0) for name in (*WORK, "other"))
    return {
        "wall": wall_s,
        "driver": wall_s - queue - start - work - fold,
        "queue": queue,
        "start": start,
        "work": work,
        "fold": fold,
    }


def _keep(rows: list[dict[str, Any]]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    described = machine.describe()
    with open(OUT, "a") as stream:
        for row in rows:
            stream.write(json.dumps({"at": time.time(), **row, **described}) + "\n")


def _show(rows: list[dict[str, Any]]) -> int:
    """Medians by place, of first and of later queries, and the ratio that counts."""
    print("| place | query | " + " | ".join(f"{name}, s" for name in COLUMNS) + " | equal, bin by bin |")
    print("|---|---|" + "--:|" * len(COLUMNS) + "---|")
    later: dict[str, float] = {}
    for place in PLACES:
        for what, chosen in (("first", [r for r in rows if r["place"] == place and r["number"] == 0]),
                             ("later", [r for r in rows if r["place"] == place and r["number"]])):  # fmt: skip
            if not chosen:
                continue
            medians = {name: statistics.median(row[name] for row in chosen) for name in COLUMNS}
            later[place] = medians["wall"]
            equal = f"{sum(row['equal'] for row in chosen)} of {len(chosen)}"
            print(f"| {place} | {what} | " + " | ".join(f"{medians[name]:.2f}" for name in COLUMNS) + f" | {equal} |")
    ratio = later["allocation"] / later["localhost"]
    held = ratio <= RATIO
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(
        f"\nlater queries in the allocation: {ratio:.2f} x those of localhost ({'at most' if held else 'MORE THAN'} {RATIO})"
    )
    print(f"{os.cpu_count()} cores, load {load}")
    return 0 if held and all(row["equal"] for row in rows) else 1


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(main())
