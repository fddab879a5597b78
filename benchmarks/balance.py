"""Files of very different sizes: the load of each call as planned, and as DistRDF's percentages of files would have it.

    python -m benchmarks.balance                              # files of 1, 10, 100 MB and 1 GB, made and removed again
    python -m benchmarks.balance --sizes 1,2,4 --calls 4      # smaller

Load is what a plan goes by: seconds of reading and looping, from the compressed bytes of the columns and the entries.
A call has whole clusters: where they are few, the plan chooses fewer calls than there are workers. DistRDF's ranges are
its own, rounded to clusters by the very function that its workers round them with.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import lithops
import ROOT

import rdf_lithops  # registers Lithops executors with ROOT
from rdf_lithops.dataset import survey
from rdf_lithops.dataset.columns import columns_read
from rdf_lithops.dataset.layout import EVEN, FileLayout, unevenness
from rdf_lithops.planning.cost import Speeds

# isort: split
from ROOT._distrdf import Ranges

from benchmarks.data import GENERATOR

SETTINGS = {
    "backend": "localhost",
    "storage": "localhost",
    "data_cleaner": False,
    "data_limit": False,
    "log_level": "WARNING",
}
TREE = "Events"


def make(folder: Path, sizes_mb: list[float]) -> list[str]:
    """Files of about these sizes, of the dimuon workload's events."""
    ROOT.gInterpreter.Declare(f'#include "{GENERATOR}"')
    trial = folder / "trial.root"
    ROOT.benchmarks.Dimuon(str(trial), 0, 100_000)
    per_mb = 100_000 / (trial.stat().st_size / 1e6)
    trial.unlink()
    edges = list(itertools.accumulate((max(1, round(per_mb * size)) for size in sizes_mb), initial=0))
    names = [str(folder / f"{number}_{size:g}MB.root") for number, size in enumerate(sizes_mb)]
    for name, first, last in zip(names, edges, edges[1:], strict=False):
        ROOT.benchmarks.Dimuon(name, first, last)
    return names


def book(names: list[str], **keywords: Any) -> Any:
    """The dimuon spectrum over ``names``, booked."""
    pairs = ROOT.RDataFrame(TREE, names, **keywords).Filter("nMuon == 2").Filter("Muon_charge[0] != Muon_charge[1]")
    masses = pairs.Define("mass", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return masses.Histo1D(("mass", "", 300, 0.25, 300.0), "mass")


def loads_upstream(booked: Any, calls: int, layouts: dict[str, FileLayout]) -> list[float]:
    """The load of each of DistRDF's own ranges."""
    head = booked.proxied_node.get_head()
    head.npartitions = calls
    loads = []
    for item in type(head)._build_ranges(head):
        within, _ = Ranges.get_clustered_range_from_percs(item)
        pieces = [] if within is None else _clusters(within, layouts)
        files = len({file for file, _, _ in pieces})
        loads.append(Speeds().load(sum(entries for _, entries, _ in pieces), sum(size for *_, size in pieces), files))
    return loads


def _clusters(within: Any, layouts: dict[str, FileLayout]) -> list[tuple[str, int, int]]:
    """File, entries and bytes of the clusters between a DistRDF range's two ends."""
    found, before = [], 0
    for name in within.filenames:
        layout = layouts[name]
        for start, end, size in zip((0, *layout.ends), layout.ends, layout.read_bytes, strict=False):
            if within.globalstart <= before + start and before + end <= within.globalend:
                found.append((name, end - start, size))
        before += layout.entries
    return found


def row(name: str, loads: list[float]) -> str:
    """A line of the table."""
    mean = sum(loads) / len(loads)
    shares = f"{min(loads) / mean:.2f} | {max(loads) / mean:.2f} | {unevenness(loads):.1%}"
    return f"| {name} | {mean:.3f} s | {shares} | {sum(load == 0 for load in loads)} |"


def planned(names: list[str], executor: Any, **keywords: Any) -> tuple[Any, list[float], bool]:
    """The dimuon spectrum over ``names``, the load of each call of its plan, and whether the plan says why they differ."""
    booked = book(names, executor=executor, **keywords)
    plan = rdf_lithops.plan(booked)
    assert plan.outlook is not None
    assert plan.outlook.loads_s is not None
    return booked, list(plan.outlook.loads_s), "whole clusters" in str(plan)


def on_workers(workers: int) -> Any:
    """An executor of this machine that says it has so many workers; nothing is invoked."""
    given = {"localhost": {"version": 1, "worker_processes": workers}}
    return lithops.FunctionExecutor(
        config={"lithops": {**SETTINGS, "backend": "localhost", "storage": "localhost"}, **given}
    )


def main() -> int:
    """Print a table; fail if a call is empty, or if the plan chose a number of calls that are uneven and says nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1,10,100,1000", help="MB, in the order of the dataset")
    parser.add_argument("--calls", default="2,4,8,16,32", help="numbers of workers, and of calls that are asked for")
    given = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        names = make(Path(folder), [float(size) for size in given.sizes.split(",")])
        layouts = survey.read_layouts(names, [TREE] * len(names), columns_read(nodes_of(names)), False)
        assert layouts is not None
        sizes = ", ".join(f"{Path(name).stat().st_size / 1e6:.1f}" for name in names)
        print(f"files of {sizes} MB, {sum(len(layout.ends) for layout in layouts)} clusters")
        print("| workers | calls | mean load of a call | least ÷ mean | most ÷ mean | farthest from the mean | empty |")
        print("|---|---|---|---|---|---|---|")
        for workers in map(int, given.calls.split(",")):
            with on_workers(workers) as executor:
                _, loads, is_said = planned(names, executor)
                booked, asked, _ = planned(names, executor, npartitions=workers, options={"ranges_per_call": 1})
                upstream = loads_upstream(booked, workers, {layout.file: layout for layout in layouts})
            print(row(f"{workers} | {len(loads)}, the plan's choice{', which says why' * is_said}", loads))
            print(row(f"{workers} | {workers}, asked for", asked))
            print(row(f"{workers} | {workers}, DistRDF's percentages", upstream), flush=True)
            unsaid = not is_said and unevenness(loads) > EVEN
            if unsaid or max(loads) > (1 + EVEN) * sum(loads) / len(loads) or 0 in (*loads, *asked):
                wrong.append(workers)
    print(
        f"uneven or empty calls for {wrong} workers" if wrong else "no call that the plan chose has 15 % more than the mean"
    )
    return 1 if wrong else 0


def nodes_of(names: list[str]) -> Any:
    """DistRDF's graph of the spectrum."""
    with on_workers(1) as executor:
        return book(names, executor=executor).proxied_node.get_head().graph_nodes


if __name__ == "__main__":
    sys.exit(main())
