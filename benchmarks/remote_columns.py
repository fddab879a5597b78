"""What reading 3 of 40 columns of one large S3 object costs: bytes counted at the server, and seconds, near and far.

    python -m benchmarks.remote_columns --megabytes 500

One process and one thread read each place with a graph and a way to the server that are compiled already. Rows: local disk
(warm file cache); S3 for the first and the second time; after downloading the whole object. Then 30 ms further away.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import ROOT
from servers import distance, s3

from rdf_lithops.files import access

COLUMNS, READ = 40, ("c3", "c17", "c31")
BYTES_PER_VALUE = 7.0  # a Gaussian double, compressed
FORMATS = {"TTree": "kTTree", "RNTuple": "kRNTuple"}


@dataclass(frozen=True)
class Row:
    """One reading: ``moved_bytes`` left the server; ``column_bytes`` is what the columns have, compressed."""

    format: str
    place: str
    delay_ms: float
    wall_s: float
    moved_bytes: int
    column_bytes: int
    requests: int


def write(path: Path, megabytes: float, form: str) -> None:
    """A file of about ``megabytes`` with COLUMNS columns of random doubles."""
    entries = int(megabytes * 1e6 / COLUMNS / BYTES_PER_VALUE)
    frame = ROOT.RDataFrame(entries)
    for column in range(COLUMNS):
        frame = frame.Define(f"c{column}", f"gRandom->Gaus({column})")
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = getattr(ROOT.RDF.ESnapshotOutputFormat, FORMATS[form])
    frame.Snapshot("t", str(path), [f"c{column}" for column in range(COLUMNS)], options)


def read(url: str) -> list[float]:
    """Sum the READ columns."""
    frame = ROOT.RDataFrame("t", url)
    booked = [frame.Sum(column) for column in READ]
    return [result.GetValue() for result in booked]


def column_bytes(path: Path, form: str) -> int:
    """Compressed bytes of the READ columns."""
    if form == "RNTuple":  # all columns are alike
        return int(path.stat().st_size * len(READ) / COLUMNS)
    with ROOT.TFile.Open(str(path)) as file:
        tree = file.Get("t")
        return sum(int(tree.GetBranch(column).GetZipBytes()) for column in READ)


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """What ``action`` gives, and the seconds that it took."""
    began = time.perf_counter()
    return action(), time.perf_counter() - began


def rows_of(server: s3.S3, bucket: str, path: Path, form: str, delay_ms: float) -> Iterator[Row]:
    """Read every place, far away by ``delay_ms``; checks that all give the same sums."""
    key, wanted = path.name, column_bytes(path, form)
    expected, _ = timed(lambda: read(str(path)))
    _, local_s = timed(lambda: read(str(path)))
    yield Row(form, "local disk", delay_ms, local_s, 0, wanted, 0)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        near = urlsplit(server.endpoint).port or 0
        port = stack.enter_context(distance.running(Path(folder), near, delay_ms / 1000))
        variables = {**server.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}" if delay_ms else server.endpoint}
        start = "http://s3.rdf-lithops.invalid/" if form == "RNTuple" else "s3://"
        url, other = f"{start}{bucket}/{key}", f"{start}{bucket}/small-{key}"
        hold = stack.enter_context(contextlib.closing(access.hold(folder, {})))
        with access.granted(folder, access.Grant(variables), [other]):
            read(other)
        for place in ("S3, first query", "S3, second query"):
            before = server.requests(f"/{key}")
            with access.granted(folder, access.Grant(variables), [url]):
                sums, wall_s = timed(lambda: read(url))
            assert expected == sums, (expected, sums)
            made = [request for request in server.requests(f"/{key}")[len(before) :] if request.method == "GET"]
            yield Row(form, place, delay_ms, wall_s, sum(r.body_bytes for r in made if r.status < 300), wanted, len(made))
        del hold
        with contextlib.closing(server.client(endpoint_url=variables["AWS_ENDPOINT_URL"])) as client:
            staged = Path(folder) / "staged.root"

            def stage() -> list[float]:
                client.download_file(bucket, key, str(staged))
                return read(str(staged))

            sums, wall_s = timed(stage)
            assert expected == sums
            yield Row(form, "download, then local", delay_ms, wall_s, path.stat().st_size, wanted, 0)


def main() -> None:
    """Print a row for each place as JSON, then all as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=500.0)
    parser.add_argument("--delays-ms", type=float, nargs="*", default=[0.0, 30.0])
    given = parser.parse_args()
    ROOT.gROOT.SetBatch(True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, s3.running(Path(folder) / "s3") as server, server.bucket() as bucket:
        for form in FORMATS:
            path, small = Path(folder) / f"{form}.root", Path(folder) / f"small-{form}.root"
            write(path, given.megabytes, form)
            write(small, 1.0, form)
            with contextlib.closing(server.client()) as client:
                for made in (path, small):
                    client.upload_file(str(made), bucket, made.name)
            for delay_ms in given.delays_ms:
                for row in rows_of(server, bucket, path, form, delay_ms):
                    print(json.dumps(asdict(row)), flush=True)
                    rows.append(row)
            os.unlink(path)
    print(
        f"\n{'format':8} {'place':22} {'delay ms':>8} {'wall s':>8} {'x local':>8} {'moved MB':>9} {'x columns':>9} requests"
    )
    local = {(row.format, row.delay_ms): row.wall_s for row in rows if row.place == "local disk"}
    for row in rows:
        times, moved = row.wall_s / local[row.format, row.delay_ms], row.moved_bytes / row.column_bytes
        print(
            f"{row.format:8} {row.place:22} {row.delay_ms:8.0f} {row.wall_s:8.3f} {times:8.2f} {row.moved_bytes / 1e6:9.2f}"
            f" {moved:9.3f} {row.requests}"
        )


if __name__ == "__main__":
    main()
