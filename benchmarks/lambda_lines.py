"""``python -m benchmarks.lambda_lines [IMAGE] [--before IMAGE]``: a new environment of AWS Lambda, one vCPU, against limits.

On the local stand-in (tests/lambda_standin), in containers of IMAGE or, without one, in processes on the fastest core:

    start     from the order of the environment to the first event that it asks for
    first     the first query of a new environment, against that of a naive one: the same with Lithops' own entry point and
              no warm process and no libraries, where ROOT starts, and Cling compiles, in each task
    restored  from the order to restore a copy of a snapshot (SnapStart's imitation, always in processes) to its first event
    touched   bytes of IMAGE that a cold start has in memory, having begun with none, against the image --before

Nothing else should run: figures of a busy machine say nothing. Needs root for copies, root and podman for bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import lambda_start, machine

OUT = Path(__file__).with_name("out") / "lambda_lines.jsonl"
LIMITS = {"start": 1.8, "first": 0.45, "restored": 1.0, "touched": 1.0}
HANDLERS: dict[str, dict[str, Any]] = {"ours": {}, "naive": {"handler": lambda_start.NAIVE}, "restored": {}}


def main() -> int:
    """Print a line for each figure, and add one of JSON to ``out/lambda_lines.jsonl``; 1 if a limit is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lambda_lines", description=__doc__)
    parser.add_argument("image", nargs="?", help="the Lambda image, as `rdf-lithops runtime build` printed it")
    parser.add_argument("--before", metavar="IMAGE", help="the image to compare bytes with")
    parser.add_argument("--rounds", type=int, default=3, help="new environments of each kind, for medians [%(default)s]")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    lambda_start._book(100).GetValue()  # what this program compiles for its own first query belongs to no place
    measured: dict[str, list[tuple[float, float]]] = {kind: [] for kind in HANDLERS}
    for _ in range(given.rounds):
        for kind, found in measured.items():
            found.append(_new_environment(kind, given.image))
    starts = {kind: statistics.median(start for start, _ in found) for kind, found in measured.items()}
    firsts = {kind: statistics.median(query for _, query in found) for kind, found in measured.items()}
    where = f"containers of {given.image}" if given.image else f"processes on core {_core()}"
    print(f"{where}, {given.rounds} rounds, medians; load {os.getloadavg()[0]:.1f}")
    lines = [
        ("start", starts["ours"], f"{starts['ours']:.2f} s to the first event"),
        ("first", firsts["ours"] / firsts["naive"], f"first query {firsts['ours']:.2f} s, naive {firsts['naive']:.2f} s"),
        ("restored", starts["restored"], f"{starts['restored']:.2f} s to the first event, query {firsts['restored']:.2f} s"),
        _touched(given.image, given.before),
    ]
    met = [_show(*line) for line in lines]
    _keep({"where": where, "measured": measured, "lines": {name: value for name, value, _ in lines}})
    return 0 if all(met) else 1


def _show(name: str, value: float | None, said: str) -> bool:
    """Print a line; whether its limit is met, or nothing was measured."""
    limit = LIMITS[name]
    verdict = "not measured" if value is None else f"{value:.2f}, limit {limit}: {'met' if value <= limit else 'NOT MET'}"
    print(f"{name:<9} {verdict:<28} {said}")
    return value is None or value <= limit


def _new_environment(kind: str, image: str | None) -> tuple[float, float]:
    """Seconds from the order of one new environment to its first event, and of the first query as the user waits."""
    import rdf_lithops

    with _standing(kind, image) as made:
        if kind == "restored":
            _publish(made)
        else:
            made.executor.invoker.select_runtime("M000", None)  # deployed, as it is long before a user's first query
        made.service.retire()
        before, began = len(made.service.invocations), time.perf_counter()
        options = rdf_lithops.Options(warm=kind != "naive", ranges_per_call=1)
        booked = lambda_start._book(lambda_start.ENTRIES, executor=made.executor, npartitions=1, options=options)
        booked.GetValue()
        query_s = time.perf_counter() - began
        mapped = made.service.invocations[before]
        if not mapped.cold or (kind == "restored") != rdf_lithops.report(booked).maps[0].restored:
            raise AssertionError(f"expected a new environment ({kind}), got {mapped}")
        return mapped.init_s, query_s


@functools.cache
def _core() -> int:
    """The one of this machine's that is fastest: the speeds of a shared machine's differ."""
    seconds = machine.core_seconds()
    return min(seconds, key=seconds.__getitem__)


def _standing(kind: str, image: str | None) -> Any:
    from lambda_standin import Places, standing

    from rdf_lithops.compiled import library

    in_processes = image is None or kind == "restored"
    variables = {library.VARIABLE: library.home()} if in_processes else {}  # an image has its own
    variables |= {library.VARIABLE: library.OFF} if kind == "naive" else {}
    where = Places(None if in_processes else image, core=_core() if in_processes else None)
    places = dataclasses.replace(where, variables=variables, **HANDLERS[kind])
    return standing(places, quota=1, snapstart=kind == "restored", runtime_timeout=120)


def _publish(made: Any) -> None:
    from lambda_standin import account

    from rdf_lithops.deployment import snapstart

    backend = made.executor.compute_handler.backend
    made.executor.invoker.select_runtime("M000", None)
    snapstart.publish(backend.lambda_client, backend._format_function_name(account.RUNTIME, 1769))


def _touched(image: str | None, before: str | None) -> tuple[str, float | None, str]:
    """The line of bytes: a ratio where both images are given, else why there is none."""
    from rdf_lithops.deployment import runtime
    from rdf_lithops.errors import RuntimeImageError

    if image is None:
        return "touched", None, "no image is named"
    weigh: Callable[[str], float] = lambda name: sum(runtime.touched(name).values()) / 1e6  # noqa: E731
    try:
        now = weigh(image)
        if before is None:
            return "touched", None, f"{now:.0f} MB; name an image --before to compare with"
        then = weigh(before)
    except RuntimeImageError as error:
        return "touched", None, str(error).splitlines()[0]
    return "touched", now / then, f"{now:.0f} MB, {then:.0f} MB before"


def _keep(found: dict[str, Any]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    with open(OUT, "a") as stream:
        stream.write(json.dumps({"at": time.time(), **found, **machine.describe()}) + "\n")


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = folder
        sys.exit(main())
