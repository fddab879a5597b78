"""The bytes of a report: those that a real S3 server says, in its own log, that it has sent for the run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ROOT
from servers.s3 import S3, Request
from test_remote import s3_here  # noqa: F401  # the fixture of that name

import rdf_lithops
from rdf_lithops.reporting import Report
from rdf_lithops.reporting.text import quantity

NAMES = [f"c{i}" for i in range(8)]
ENTRIES = 200_000


def written(path: Path, is_rntuple: bool) -> Path:
    """A file of eight columns of noise far too large to come with its end."""
    options = ROOT.RDF.RSnapshotOptions()
    if not is_rntuple:
        options.fAutoFlush = ENTRIES // 6
    else:
        options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    frame = ROOT.RDataFrame(ENTRIES)
    for name in NAMES:
        frame = frame.Define(name, "gRandom->Gaus()")
    frame.Snapshot("t", str(path), NAMES, options)
    return path


@pytest.fixture(scope="module", params=["ttree", "rntuple"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each format."""
    return written(tmp_path_factory.mktemp("files") / "one.root", request.param == "rntuple")


@pytest.fixture
def place(file: Path, s3_here: S3) -> Iterator[str]:  # noqa: F811
    """A folder on S3 with two files that nobody has read."""
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        for name in ("one", "two"):
            client.upload_file(str(file), bucket, f"data/{name}.root")
        yield f"s3://{bucket}/data"


def settled(server: S3, place: str, seen: int) -> list[Request]:
    """Files' bytes that the server has sent since request ``seen``, once it sends no more: what is asked for ahead may still
    be on its way when a query is over."""
    before: list[Request] = []
    while True:
        since = server.requests(place[4:])[seen:]
        found = [one for one in since if one.method == "GET" and one.status < 400 and "?" not in one.target]
        if found == before:
            return found
        before = found
        time.sleep(0.2)


def told_and_sent(server: S3, place: str, query: Callable[[], Any]) -> tuple[Report, tuple[int, int], tuple[int, int]]:
    """The report of ``query``; bytes and requests as it has them, and as the server has them."""
    settled(server, place, 0)
    seen = len(server.requests(place[4:]))
    result = query()
    with contextlib.suppress(rdf_lithops.RangeError):
        result.GetValue()
    report = rdf_lithops.report(result)
    made = settled(server, place, seen)
    return report, (report.fetched_bytes, report.fetches), (sum(one.body_bytes for one in made), len(made))


@pytest.fixture
def asked(s3_here: S3, place: str, fexec: Any) -> Callable[..., Any]:  # noqa: F811
    """``asked(expression)``: a query of the files in ``place``, of which nothing is known yet; see ``told_and_sent``."""

    def ask(expression: str, npartitions: int = 3, **options: Any) -> tuple[Report, tuple[int, int], tuple[int, int]]:
        def query() -> Any:
            frame = ROOT.RDataFrame("t", f"{place}/*.root", executor=fexec, npartitions=npartitions, options=options)
            return frame.Define("s", expression).Sum("s")

        return told_and_sent(s3_here, place, query)

    return ask


def test_bytes_are_those_that_the_server_sent(asked: Any) -> None:
    """A query, the same again, and other columns: headers, gaps that were bridged and what the driver read included."""
    report, told, sent = asked("c0 + c3 + c6")
    assert sent == told
    assert report.read_bytes > 0 and sent[0] > 0.5 * 2 * ENTRIES * 8 * 3
    assert 0 < report.survey_bytes < 0.5 * sent[0]
    assert report.survey_bytes + sum(call.fetched_bytes for call in report.calls) == report.fetched_bytes
    report, told, sent = asked("c0 + c3 + c6")
    assert sent == told and 0 == sum(call.fetched_bytes for call in report.calls)
    report, told, sent = asked("c1 * c2 - c4 * c5 * c7")
    assert sent == told and sent[0] > 0.5 * 2 * ENTRIES * 8 * 5
    assert f"{quantity(report.fetched_bytes, 'B')} fetched" in str(report)
    assert report == Report.from_json(report.to_json())


def test_bytes_of_graphs_that_run_together(place: str, s3_here: S3, fexec: Any) -> None:  # noqa: F811
    """Each byte that their driver and their calls read is in the one report that they share."""
    frames = [ROOT.RDataFrame("t", f"{place}/{name}.root", executor=fexec, npartitions=2) for name in ("one", "two")]
    sums = [frame.Define("s", "c0 + c5").Sum("s") for frame in frames]
    ROOT.RDF.RunGraphs(sums)
    report, other = (rdf_lithops.report(frame) for frame in frames)
    assert report == other
    made = settled(s3_here, place, 0)
    assert (sum(one.body_bytes for one in made), len(made)) == (report.fetched_bytes, report.fetches)
    assert report.survey_bytes > 0


def test_bytes_of_a_query_that_fails(asked: Any) -> None:
    """What a call had read when the user's code threw, and what was asked for ahead of it, is counted."""
    throws = "if (c0 > 3) throw std::runtime_error(std::to_string(c1)); return c0 + c2;"
    report, told, sent = asked(throws, npartitions=1)
    assert report.error is not None
    assert sent == told


@pytest.mark.slow
def test_bytes_without_a_warm_process(asked: Any) -> None:
    """ROOT in the task itself, with a reader of its own for each."""
    _, told, sent = asked("c2 + c5", npartitions=1, warm=False)
    assert sent == told and sent[0] > 0
