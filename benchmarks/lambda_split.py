"""``python -m benchmarks.lambda_split IMAGE``: where the wall time of the dimuon spectrum goes on AWS Lambda.

Eight calls through Lithops' own backend, in containers of IMAGE on the local stand-in (tests/lambda_standin) with Ceph's
gateway as the storage: once in new environments, once in those that are there then. Both histograms must equal that of local
RDataFrame, bin by bin. ``path`` is the wall time along the critical path, and adds up to it; ``calls`` the same parts of all
eight calls together. Environments beyond the machine's cores share them, so their start takes longer than on Lambda.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALLS = 8
MEMORY_MIB = 1769  # one vCPU
SPLIT = {  # what is shown: parts of the report
    "driver: prepare and submit": ("prepare", "submit"),
    "container start": (),
    "wait for an environment": ("queue",),
    "initialisation": (),
    "Lithops, before the function": ("cold start",),
    "way to the warm ROOT process": ("initialisation",),
    "first graph": ("graph", "compilation"),
    "loop": ("open", "read", "decompression", "loop", "merge"),
    "upload": ("serialise", "upload"),
    "reduce": ("reduce",),
    "driver: see the end, fill": ("wait", "deliver"),
    "other": ("other", "retries", "files"),
}


@dataclass(frozen=True)
class Start:
    """Seconds of a new environment: until the container's first process runs, and from there to the first event."""

    container_s: float = 0.0
    init_s: float = 0.0


@dataclass(frozen=True)
class Query:
    """One query: seconds by the user's clock, the split of the critical path, and that of all calls together."""

    name: str
    wall_s: float
    path: dict[str, float]
    calls: dict[str, float]
    reported_gb_s: float
    counted_gb_s: float


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lambda_split", description=__doc__)
    parser.add_argument("image", help="the Lambda image, as `rdf-lithops runtime build` printed it")
    parser.add_argument("--environments", type=int, default=CALLS, help="at a time [%(default)s]")
    parser.add_argument("--events", type=int, default=4_000_000, help="in eight files [%(default)s]")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    _show(_measure(given.image, given.environments, given.events))
    return 0


def _measure(image: str, environments: int, events: int) -> list[Query]:
    from lambda_standin import Places, standing
    from servers import s3

    from rdf_lithops import demo

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        volume = folder / "volume"
        volume.mkdir(mode=0o755)
        paths = demo.make_sample(str(volume), files=CALLS, events=events)
        expected = _bins(_dimuon(paths).GetValue())
        gateway = stack.enter_context(s3.running(folder / "s3"))
        places = Places(image, volume=str(volume))
        settings = {"max_workers": CALLS, "runtime_memory": MEMORY_MIB, "runtime_timeout": 300}
        made = stack.enter_context(standing(places, quota=environments, s3=gateway, **settings))
        made.executor.invoker.select_runtime("M000", None)  # deployed, as it is long before a user's first query
        made.service.retire()
        return [_query(name, paths, made, expected) for name in ("cold", "warm", "warm again")]


def _dimuon(paths: list[str], **distributed: Any) -> Any:
    """The spectrum of two opposite muons."""
    import ROOT

    frame = ROOT.RDataFrame("Events", paths, **distributed)
    pairs = frame.Filter("nMuon == 2").Filter("Muon_charge[0] != Muon_charge[1]")
    masses = pairs.Define("mass", "ROOT::VecOps::InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    return masses.Histo1D(("mass", "", 30000, 0.25, 300.0), "mass")


def _bins(histogram: Any) -> list[float]:
    edges = range(histogram.GetNbinsX() + 2)
    return [histogram.GetEntries(), *(histogram.GetBinContent(i) for i in edges), *(histogram.GetBinError(i) for i in edges)]


def _query(name: str, paths: list[str], made: Any, expected: list[float]) -> Query:
    """Run it, hold it against local RDataFrame, and take its report apart."""
    import rdf_lithops

    before, began = len(made.service.invocations), time.perf_counter()
    options = rdf_lithops.Options(ranges_per_call=1)
    histogram = _dimuon(paths, executor=made.executor, npartitions=CALLS, options=options)
    found = histogram.GetValue()
    wall_s = time.perf_counter() - began
    if _bins(found) != expected:
        raise AssertionError(f"{name}: the histogram is not that of local RDataFrame")
    report, invocations = rdf_lithops.report(histogram), made.service.invocations[before:]
    if len(report.maps) != CALLS or len(invocations) != CALLS + 1:
        raise AssertionError(f"{name}: expected {CALLS} calls and a reducer, got {len(invocations)} invocations")
    started = {environment.id: environment for environment in made.service.environments}
    starts = {}
    for invocation in invocations:
        environment, payload = started[invocation.environment], json.loads(invocation.payload)
        if invocation.cold and "-M" in payload["job_key"]:
            start = Start(environment.container_s, environment.init_s - environment.container_s)
            starts[int(payload["call_ids"][0])] = start
    last = max(report.maps, key=lambda call: call.ended_at)
    each = [_split(call.parts, starts.get(call.call_id, Start())) for call in report.maps]
    calls = {part: sum(one[part] for one in each) for part in SPLIT}
    calls["reduce"] = sum(call.worker_s for call in report.calls if call.stage == "reduce")
    path = _split(report.path, starts.get(last.call_id, Start()))
    gb = MEMORY_MIB / 1024
    return Query(name, wall_s, path, calls, report.bill.billed_gb_s, made.service.billed_s(invocations) * gb)


def _split(parts: dict[str, float], start: Start) -> dict[str, float]:
    """A report's parts by our names; what only the stand-in knows is taken out of the parts in which it happened."""
    found = {part: sum(parts.get(name, 0.0) for name in names) for part, names in SPLIT.items()}
    found["container start"] = min(start.container_s, found["wait for an environment"])
    found["wait for an environment"] -= found["container start"]
    found["initialisation"] = min(start.init_s, found["Lithops, before the function"])
    found["Lithops, before the function"] -= found["initialisation"]
    return found


def _show(queries: list[Query]) -> None:
    titles = [f"{query.name}, {which}" for query in queries for which in ("path", "calls")]
    print("| seconds | " + " | ".join(titles) + " |")
    print("|---|" + "--:|" * len(titles))
    for part in SPLIT:
        cells = [f"{split[part]:.2f}" for query in queries for split in (query.path, query.calls)]
        print(f"| {part} | " + " | ".join(cells) + " |")
    sums = [f"{sum(split.values()):.2f}" for query in queries for split in (query.path, query.calls)]
    print("| all of these | " + " | ".join(sums) + " |")
    for query in queries:
        billed = f"{query.reported_gb_s:.3f} GB-s reported, {query.counted_gb_s:.3f} counted by the stand-in"
        print(f"{query.name}: {query.wall_s:.2f} s by the clock; equal to local RDataFrame, bin by bin; {billed}")


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        sys.exit(main())
