"""``python -m benchmarks.scale``: a run of thousands of calls on Lambda, without a cloud.

    python -m benchmarks.scale --calls 100,512
    python -m benchmarks.scale --calls 5000,10000 --killed 0.01 --throttled 0.05 --twice 0.01
    python -m benchmarks.scale --calls 100,512,1000,5000 --slower 6       # as root, where cores are few

The driver is the real one, with Lithops' real back ends ``aws_lambda`` and ``aws_s3``; objects lie in a real S3 server,
30 ms away from the driver; the control plane is the tests' stand-in, 30 ms away too. Calls that run ranges are scripted (see
``scripted_environments``); reducers and folds are real, two at a time, on this machine's cores, which the driver, the S3
server and the scripts share: so the fold takes longer here than where each call has a core. ``--faster 10`` has the script's
seconds pass in a tenth. Results are checked. Beside each run stands what ``simulation`` predicts of it.

A cloud's S3 server, the way to it, and thousands of environments do not wait for a core of the driver's machine. Here
they do: one run of 5000 calls takes its servers some 60 s of the processor. ``--slower K`` makes room for them:
everything takes K times as long, and figures are divided by K. The script and the latencies are stretched; the driver and
each real environment (2 K of them at a time) get a K-th of a core of their own from the kernel, so what they compute,
submit, read and fold takes as long, in the figures, as with a whole core; and the driver's pauses are measured on a clock
that goes K times slower. So nothing is faster than it is but what a cloud has more of: the S3 server, the control plane,
the scripts. *others* is what all of this machine but the driver took, in seconds of the processor: where it comes near to
cores x K x wall, which is all there are, the figures are those of this machine, and a larger K says more.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import psutil
from lambda_standin import account
from servers import distance
from servers import s3 as s3_server

import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT
from rdf_lithops.executor import looks, submission
from rdf_lithops.run import early_folds, running, watch

from . import simulation
from .driver_cost import Point, exponent
from .simulation import Script
from .slower import Cores, SlowTime

REPOSITORY = Path(__file__).resolve().parent.parent
FAR_S = 0.03
ENTRIES, BINS = 1000, 100  # of a range
USD_PUT, USD_GET, USD_INVOCATION, USD_GB_S = 5e-6, 4e-7, 2e-7, 1.66667e-5
MEMORY_GB = 1769 / 1024


@dataclass(eq=False)
class Heard:
    """When a run's events happened, in seconds of the driver's clock."""

    submitted_at: float = 0.0
    ended_at: float = 0.0
    ends: int = 0
    attempts: int = 0
    backups: int = 0

    def __call__(self, event: Any) -> None:
        """Note ``event``."""
        kind = type(event).__name__
        if kind == "AttemptBegan":
            self.attempts += 1
            self.submitted_at = self.submitted_at or event.at
        elif kind == "CallEnded":
            self.ended_at, self.ends = event.at, self.ends + 1
        elif kind == "BackupStarted":
            self.backups += len(event.call_ids)


@dataclass(frozen=True)
class Row:
    """A run as it was: seconds of the wall; requests by kind, of the workers too; MiB more than before the run."""

    calls: int
    submitted_s: float
    last_started_s: float
    maps_s: float
    wall_s: float
    cpu_s: float
    peak_mib: float
    of_all: dict[str, int]
    told: dict[str, Any]
    heard: Heard
    others_cpu_s: float

    @property
    def efficiency(self) -> float:
        """Work of the calls, in proportion to what they could have worked."""
        return self.told["worked_s"] / (self.calls * self.wall_s)

    @property
    def maps_efficiency(self) -> float:
        """The same until the last map was seen to end."""
        return self.told["worked_s"] / (self.calls * self.maps_s)

    @property
    def usd(self) -> tuple[float, float]:
        """The price of the requests, and of all."""
        writes = sum(number for kind, number in self.of_all.items() if kind in ("PUT", "LIST"))
        reads = sum(number for kind, number in self.of_all.items() if kind in ("GET", "HEAD"))
        asked = writes * USD_PUT + reads * USD_GET + self.of_all["invoke"] * USD_INVOCATION
        return asked, asked + self.told["billed_s"] * MEMORY_GB * USD_GB_S


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each number of calls."""
    given = _parser().parse_args(arguments)
    fields = {field.name for field in dataclasses.fields(Script)}
    script = Script(**{name: value for name, value in vars(given).items() if name in fields and value is not None})
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        executor, gateway, control = stack.enter_context(standing(folder, given.slower))
        _measure(executor, gateway, control, round(2 * given.slower), None)
        if not control({"record": True})["recorded"]:
            raise AssertionError("no real call was recorded")
        if given.slower > 1.0:
            script = dataclasses.replace(script, faster=1 / given.slower)
            stack.enter_context(_driver_slower(given.slower))
        _head()
        rows = []
        for calls in map(int, given.calls.split(",")):
            rows.append(_measure(executor, gateway, control, calls, script))
            _show(rows[-1], script)
        points = [Point(row.calls, row.wall_s, row.cpu_s, row.peak_mib) for row in rows]
        if len(points) > 1:
            print(f"exponent of the driver's processor time: {exponent(points):.2f}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--calls", default="100,1000", help="numbers of calls [%(default)s]")
    parser.add_argument("--slower", type=float, default=1.0, metavar="K", help="see above; needs root [%(default)s]")
    for field in dataclasses.fields(Script):
        kind = {"int": int, "float": float}[str(field.type)]
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=f"of the script [{field.default}]")
    return parser


@contextlib.contextmanager
def _driver_slower(slower: float) -> Iterator[None]:
    """This process has a core that is ``slower``, and measures its pauses accordingly."""
    patched = (early_folds, looks, running, submission, watch)
    with Cores(slower) as cores:
        cores.give(os.getpid())
        for module in patched:
            module.time = SlowTime(slower)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module in patched:
                module.time = time  # type: ignore[attr-defined]


@contextlib.contextmanager
def standing(folder: Path, slower: float = 1.0) -> Iterator[tuple[Any, Any, Any]]:
    """An executor on Lambda as it stands here, the S3 server, and what tells the scripted environments."""
    keys = s3_server.ACCESS_KEY, s3_server.SECRET_KEY
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(s3_server.running(folder / "s3"))
        port = int(gateway.endpoint.rpartition(":")[2])
        far = stack.enter_context(distance.running(folder, port, FAR_S * slower))
        process = stack.enter_context(_environments(port, slower))
        service = SimpleNamespace(endpoint=_told(process)["endpoint"], s3_endpoint=f"http://127.0.0.1:{far}")
        stack.enter_context(account.environment(account.driver_variables(service, keys)))
        settings = account.config(account.open_account(), max_workers=10_000, runtime_timeout=600)
        stack.callback(account.remove_bucket)
        executor = stack.enter_context(account.executor(service, settings))

        def control(command: dict[str, Any]) -> Any:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            return _told(process)

        yield executor, gateway, control


@contextlib.contextmanager
def _environments(port: int, slower: float) -> Iterator[Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scripted_environments", str(port), str(slower)]
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    variables = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _told(process: Any) -> Any:
    return json.loads(process.stdout.readline())


def _measure(executor: Any, gateway: Any, control: Any, calls: int, script: Script | None) -> Row:
    """A run of ``calls`` calls, whose result is checked."""
    import ROOT

    faster = 1.0 if script is None else script.faster
    slower = max(1.0, 1 / faster)  # what the clock is divided by
    beat_s = 10.0 / max(1.0, faster)
    options = {"ranges_per_call": 1, "progress": False, "beat_s": beat_s, "backups": True}
    frame = ROOT.RDataFrame(calls * ENTRIES, executor=executor, npartitions=calls, options=options)
    before_mib, heard = psutil.Process().memory_info().rss / 2**20, Heard()
    frame._headnode.backend.consumers = (heard,)
    histogram = frame.Define("x", f"double(rdfentry_ % {BINS})").Histo1D(("x", "", BINS, 0.0, float(BINS)), "x")
    count = frame.Count()
    before, _ = Counter(request.method for request in gateway.requests()), control({"script": script and vars(script)})
    began_at, busy_s, others_s = time.time(), time.process_time(), _busy_s()
    found = count.GetValue()
    ended_at, cpu_s = time.time(), time.process_time() - busy_s
    others_s = _busy_s() - others_s
    bins = {histogram.GetBinContent(i + 1) for i in range(BINS)}
    if found != calls * ENTRIES or bins != {calls * ENTRIES / BINS}:
        raise AssertionError(f"expected {calls * ENTRIES} entries, evenly, got {found} and {sorted(bins)[:5]}")
    told = control({"script": None})
    of_all = _by_kind(gateway, before)
    of_all["invoke"] = told.get("invoked", 0) + told.get("real", 0)
    return Row(
        calls,
        (heard.submitted_at - began_at) / slower,
        (told["started_at"][1] - began_at) / slower,
        (heard.ended_at - began_at) / slower,
        (ended_at - began_at) / slower,
        cpu_s,
        _peak_mib() - before_mib,
        of_all,
        {**told, "worked_s": told.get("worked_s", 0.0) / slower, "billed_s": told.get("billed_s", 0.0) / slower},
        heard,
        others_s,
    )


def _busy_s() -> float:
    """Seconds of the processor that all of this machine but the driver has used."""
    now = psutil.cpu_times()
    return float(now.user + now.nice + now.system + now.irq + now.softirq) - time.process_time()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _by_kind(gateway: Any, before: Counter[str]) -> dict[str, int]:
    requests = gateway.requests()
    new = requests[sum(before.values()) :]
    kinds = ("LIST" if "list-type=2" in request.target else request.method for request in new)
    return dict(Counter(kinds))


def _head() -> None:
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    names = (
        "calls",
        "submit s",
        "started s",
        "maps s",
        "wall s",
        "efficiency",
        "(maps)",
        "cpu s",
        "ms/call",
        "MiB",
        "req/call",
        "USD",
        "model s",
        "others s",
    )
    print("".join(f"{name:>11}" for name in names))


def _show(row: Row, script: Script) -> None:
    requests = sum(row.of_all.values())
    model_s = simulation.wall_s(row.calls, dataclasses.replace(script, faster=max(1.0, script.faster)))
    values = (row.submitted_s, row.last_started_s, row.maps_s, row.wall_s, row.efficiency, row.maps_efficiency)
    more = (
        row.cpu_s,
        1000 * row.cpu_s / row.calls,
        row.peak_mib,
        requests / row.calls,
        row.usd[1],
        model_s,
        row.others_cpu_s,
    )
    print(f"{row.calls:>11}" + "".join(f"{value:>11.2f}" for value in (*values, *more)))
    told = {name: value for name, value in row.told.items() if name not in ("failures", "started_at")}
    print(f"    requests {row.of_all}, {row.usd[0]:.4f} USD; {row.heard}")
    print(f"    environments {told}" + (f", FAILED {row.told['failures'][:3]}" if row.told["failures"] else ""), flush=True)


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(main())
