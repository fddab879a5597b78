"""Does a report add up? Its seconds against a clock of ours, its bytes and requests against an S3 server's log.

    python -m benchmarks.accounts --megabytes 100

A dataset on a real S3 server of this machine, read by a localhost executor: once cold, once again with the same graph and
with what the worker has kept, once with other columns. What Lambda bills is in ``benchmarks.predictions``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import lithops
import ROOT
from servers import s3

import rdf_lithops  # registers Lithops executors with ROOT

LOCALHOST = Path(__file__).resolve().parent.parent / "configs" / "localhost.yaml"
ALLOWED = 0.05
SETTLE_S = 0.2


@dataclass(frozen=True)
class Row:
    """A query: seconds of our clock and of the report's parts, those without a name; bytes that ROOT read, and bytes and
    requests for them that the report and the server have counted."""

    query: str
    clock_s: float
    parts_s: float
    other_s: float
    calls_off: float
    read_bytes: int
    survey_bytes: int
    reported: tuple[int, int]
    sent: tuple[int, int]

    @property
    def adds_up(self) -> bool:
        """Whether the seconds agree within 5 %, and bytes and requests to the last one."""
        seconds = abs(self.parts_s / self.clock_s - 1) <= ALLOWED and self.other_s <= ALLOWED * self.clock_s
        return seconds and self.calls_off <= ALLOWED and self.reported == self.sent

    def __str__(self) -> str:
        seconds = f"{self.clock_s:.3f} | {self.parts_s:.3f} | {self.other_s / self.clock_s:.1%} | {self.calls_off:.1%}"
        counts = " | ".join(f"{count:,} | {requests}" for count, requests in (self.reported, self.sent))
        return f"| {self.query} | {seconds} | {self.read_bytes:,} | {self.survey_bytes:,} | {counts} |"


def of_files(server: s3.S3) -> list[s3.Request]:
    """The requests for files so far, once there are no more: what was asked for ahead may arrive when a query is over."""
    found: list[s3.Request] = []
    while True:
        before, found = found, [one for one in server.requests("/data/") if one.method == "GET" and one.status < 400]
        if found == before:
            return found
        time.sleep(SETTLE_S)


def ask(server: s3.S3, query: str, opened: Callable[[], Any], book: Callable[[Any], Any]) -> Row:
    """Run and compare."""
    before = len(of_files(server))
    result = book(opened())
    began = time.perf_counter()
    result.GetValue()
    clock_s = time.perf_counter() - began
    report = rdf_lithops.report(result)
    made = of_files(server)[before:]
    unnamed = max(call.parts["other"] / call.time_s for call in report.maps)
    sent = sum(request.body_bytes for request in made), len(made)
    seconds = clock_s, sum(report.path.values()), report.path.get("other", 0.0), unnamed
    return Row(query, *seconds, report.read_bytes, report.survey_bytes, (report.fetched_bytes, report.fetches), sent)


def main() -> int:
    """Print a table; fail if something does not add up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100.0)
    given = parser.parse_args()
    ROOT.gROOT.SetBatch(True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(s3.running(folder / "s3"))
        bucket = stack.enter_context(server.bucket())
        os.environ.update(server.environment)
        names = [f"c{column}" for column in range(10)]
        frame = ROOT.RDataFrame(int(given.megabytes * 1e6 / 75 / 4))
        for name in names:
            frame = frame.Define(name, "gRandom->Gaus()")
        with contextlib.closing(server.client()) as client:
            for number in range(4):
                frame.Snapshot("t", str(folder / "part.root"), names)
                client.upload_file(str(folder / "part.root"), bucket, f"data/{number}.root")
        executor = stack.enter_context(lithops.FunctionExecutor(config_file=str(LOCALHOST)))

        def opened() -> Any:
            return ROOT.RDataFrame("t", f"s3://{bucket}/data/*.root", executor=executor, npartitions=4)

        def three(frame: Any) -> Any:
            return frame.Define("s", "c0 + c4 + c8").Sum("s")

        def others(frame: Any) -> Any:
            return frame.Define("s", "c1 * c2 - c3 * c5 * c6 + c7 * c9").Histo1D(("s", "", 100, -5.0, 5.0), "s")

        rows = [
            ask(server, "three columns of ten", opened, three),
            ask(server, "the same again", opened, three),
            ask(server, "the other seven", opened, others),
        ]
    seconds, read = "clock, s | sum of parts, s | other, wall | other, worst call", "bytes that ROOT read"
    counts = "fetched, by the driver | fetched, in all: report | requests: report | bytes: server | requests: server"
    print(f"| query | {seconds} | {read} | {counts} |\n|{'---|' * 11}")
    print("\n".join(map(str, rows)))
    return 0 if all(row.adds_up for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
