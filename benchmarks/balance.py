"""Files of very different sizes: the load of each call as planned, and as DistRDF's percentages of files would have it.

    python -m benchmarks.balance                              # files of 1, 10, 100 MB and 1 GB, made and removed again
    python -m benchmarks.balance --sizes 1,2,4 --calls 4      # smaller

Load is what a plan goes by: seconds of reading and looping, from the compressed bytes of the columns and the entries.
DistRDF's ranges are its own, rounded to clusters by the very function that its workers round them with.
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
from rdf_lithops import survey
from rdf_lithops.columns import columns_read
from rdf_lithops.cost import Speeds
from rdf_lithops.layout import FileLayout

# isort: split
from ROOT._distrdf import Ranges

from benchmarks.data import GENERATOR

LOCALHOST = Path(__file__).resolve().parent.parent / "configs" / "localhost.yaml"
TREE = "Events"
ALLOWED = 0.15  # of the mean


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


def row(name: str, loads: list[float]) -> tuple[str, float]:
    """A line of the table, and how far the farthest call is from the mean."""
    mean = sum(loads) / len(loads)
    off = max(abs(load / mean - 1) for load in loads)
    empty = sum(load == 0 for load in loads)
    shares = [min(loads) / mean, max(loads) / mean]
    return f"| {name} | {mean:.3f} s | {shares[0]:.2f} | {shares[1]:.2f} | {off:.1%} | {empty} |", off


def main() -> int:
    """Print a table; fail if a planned call is empty or more than 15 % from the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1,10,100,1000", help="MB, in the order of the dataset")
    parser.add_argument("--calls", default="4,8,16,32", help="numbers of calls to plan")
    given = parser.parse_args()
    sizes_mb = [float(size) for size in given.sizes.split(",")]
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder, lithops.FunctionExecutor(config_file=str(LOCALHOST)) as executor:
        names = make(Path(folder), sizes_mb)
        print("files of " + ", ".join(f"{Path(name).stat().st_size / 1e6:.1f}" for name in names) + " MB")
        print("| ranges | mean load of a call | least ÷ mean | most ÷ mean | farthest from the mean | empty |")
        print("|---|---|---|---|---|---|")
        for calls in map(int, given.calls.split(",")):
            options = {"ranges_per_call": 1}
            booked = book(names, executor=executor, npartitions=calls, options=options)
            plan = rdf_lithops.plan(booked)
            assert plan.outlook is not None
            assert plan.outlook.loads_s is not None
            nodes = booked.proxied_node.get_head().graph_nodes
            layouts = survey.read_layouts(names, [TREE] * len(names), columns_read(nodes), False)
            assert layouts is not None
            upstream = loads_upstream(booked, calls, {layout.file: layout for layout in layouts})
            line, off = row(f"{calls} calls, as planned", list(plan.outlook.loads_s))
            print(line, row(f"{calls} calls, DistRDF's percentages", upstream)[0], sep="\n", flush=True)
            worst = max(worst, off, 1.0 if 0.0 in plan.outlook.loads_s else 0.0)
    print(f"no planned call is farther than {worst:.1%} from the mean")
    return 0 if worst <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
