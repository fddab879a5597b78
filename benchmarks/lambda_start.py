"""``python -m benchmarks.lambda_start IMAGE``: where the time of a Lambda call goes, here and with a naive entry point.

Containers of IMAGE run on the local stand-in for Lambda (tests/lambda_standin) with one whole vCPU each, one after another:
nothing else should run, and figures of a busy machine say nothing. *naive* is the same image with Lithops' own entry point
and no warm process: ROOT starts, and compiles, in each task. Each measured query is one Lithops map_reduce of one call.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import machine

OUT = Path(__file__).with_name("out") / "lambda_start.jsonl"
NAIVE = "lithops.serverless.backends.aws_lambda.entry_point.lambda_handler"
ENTRIES = 100_000
WORK = ("graph", "compilation", "open", "read", "decompression", "loop", "merge", "serialise")  # parts of a call


@dataclass(frozen=True)
class Row:
    """Seconds of one query: ``init`` from the start of the container to the runtime's first question for an event;
    ``call`` the event in its environment; ``work`` of it building, compiling and looping; ``query`` as the user waits."""

    place: str
    number: int
    cold: bool
    container_s: float
    init_s: float
    call_s: float
    work_s: float
    reduce_s: float
    query_s: float

    @property
    def overhead_s(self) -> float:
        """What a call takes beside its own work."""
        return self.call_s - self.work_s


def main() -> int:
    """Print a table and add lines of JSON to ``out/lambda_start.jsonl``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lambda_start", description=__doc__)
    parser.add_argument("image", help="the Lambda image, as `rdf-lithops runtime build` printed it")
    parser.add_argument("--queries", type=int, default=4, help="of which the first is cold [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="new environments, for medians [%(default)s]")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    _book(100).GetValue()  # what this program compiles for its own first query belongs to no place
    rows = [
        row
        for _ in range(given.rounds)
        for place in ("rdf_lithops", "naive")
        for row in _measure(place, given.image, given.queries)
    ]
    _keep(rows)
    _show(rows)
    return 0


def _measure(place: str, image: str, queries: int) -> list[Row]:
    """The queries of one new environment."""
    from lambda_standin import account

    container_s = _container_s(image)
    with _service(place, image) as service, account.environment(account.driver_variables(service)):
        service.places.variables.update(account.worker_variables(service))
        settings = account.config(account.open_account(), max_workers=1)
        with account.executor(service, settings) as executor:
            executor.invoker.select_runtime("M000", None)  # deployed, as it is long before a user's first query
            service.retire()
            return [_query(place, number, service, executor, container_s) for number in range(queries)]


@contextmanager
def _service(place: str, image: str) -> Iterator[Any]:
    from lambda_standin import Places, Service

    handler = {} if place == "rdf_lithops" else {"handler": NAIVE}
    with Service(Places(image, **handler), quota=1) as service:
        yield service


def _container_s(image: str) -> float:
    """What podman takes to start and end a container in which nothing happens."""
    began = time.perf_counter()
    command = ["podman", "run", "--rm", "--network", "none", "--read-only", "--entrypoint", "/bin/true", image]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return time.perf_counter() - began


def _book(entries: int, **distributed: Any) -> Any:
    """The histogram that is asked for."""
    import ROOT

    frame = ROOT.RDataFrame(entries, **distributed)
    return frame.Define("x", "sqrt(rdfentry_ + 0.5)").Filter("x > 1").Histo1D(("x", "", 100, 0.0, 400.0), "x")


def _query(place: str, number: int, service: Any, executor: Any, container_s: float) -> Row:
    """One query of one call, its report taken apart."""
    import rdf_lithops

    options = rdf_lithops.Options(warm=place == "rdf_lithops", ranges_per_call=1)
    before, began = len(service.invocations), time.perf_counter()
    histogram = _book(ENTRIES, executor=executor, npartitions=1, options=options)
    histogram.GetValue()
    query_s = time.perf_counter() - began
    mapped, reduced = service.invocations[before : before + 2]
    (call,) = rdf_lithops.report(histogram).maps
    init_s = mapped.init_s if mapped.cold else 0.0
    return Row(
        place,
        number,
        mapped.cold,
        container_s,
        init_s,
        mapped.ended - mapped.started - init_s,
        sum(call.parts.get(name, 0.0) for name in WORK),
        reduced.ended - reduced.started,
        query_s,
    )


def _keep(rows: list[Row]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    described = machine.describe()
    with open(OUT, "a") as stream:
        for row in rows:
            stream.write(json.dumps({"at": time.time(), **vars(row), **described}) + "\n")


def _show(rows: list[Row]) -> None:
    """Medians by place, of cold and of later queries, and the ratios."""
    columns = ("container_s", "init_s", "call_s", "work_s", "overhead_s", "reduce_s", "query_s")
    print(f"{'place':<12} {'':<5}" + "".join(f"{name:>13}" for name in columns))
    medians: dict[tuple[str, bool], dict[str, float]] = {}
    for place in ("rdf_lithops", "naive"):
        for cold in (True, False):
            chosen = [row for row in rows if row.place == place and row.cold == cold]
            if chosen:
                found = {name: statistics.median(getattr(row, name) for row in chosen) for name in columns}
                medians[place, cold] = found
                print(f"{place:<12} {'cold' if cold else 'warm':<5}" + "".join(f"{found[name]:13.2f}" for name in columns))
    for cold, what in ((True, "first"), (False, "later")):
        ours, naive = medians["rdf_lithops", cold], medians["naive", cold]
        print(f"{what} query: naive takes {naive['query_s'] / ours['query_s']:.1f} times as long")


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        sys.exit(main())
