"""What a Snapshot writes is there once and whole, wherever it goes and whatever dies; large arrays go past the reducer."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import lithops
import numpy
import psutil
import pytest
import ROOT
import uproot
from conftest import LOCALHOST_CONFIG
from datasets import Datasets
from servers.s3 import S3
from test_reporting import assert_adds_up

import rdf_lithops
from rdf_lithops import Options, OutputError, job, output
from rdf_lithops.worker import arrays, stores
from rdf_lithops.worker.output import part_url, publish

LIMIT_S = 120.0


@pytest.fixture(scope="module")
def s3_bucket(s3: S3) -> Iterator[str]:
    """A bucket for the tests of this module, with this process pointed at it as a user's would be."""
    with pytest.MonkeyPatch.context() as patch, s3.bucket() as bucket:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        yield bucket


@pytest.fixture(scope="module")
def own_fexec(s3_bucket: str) -> Iterator[lithops.FunctionExecutor]:
    """An executor that was made when the bucket was known, and whose processes these tests may kill."""
    executor = lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG))
    job.session_for(executor, Options())
    yield executor
    executor.__exit__(None, None, None)


def keys(s3: S3, bucket: str, prefix: str = "") -> list[str]:
    """The keys in a bucket, and of uploads that somebody began and never ended."""
    with contextlib.closing(s3.client()) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return found + [item["Key"] for item in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


def downloaded(s3: S3, bucket: str, prefix: str, folder: Path) -> list[str]:
    """Copies of the objects below ``prefix``, as somebody makes them who has no package of ours."""
    paths = []
    with contextlib.closing(s3.client()) as client:
        for key in keys(s3, bucket, prefix):
            paths.append(str(folder / os.path.basename(key)))
            client.download_file(bucket, key, paths[-1])
    return sorted(paths)


def events(paths: list[str], tree: str = "skim") -> dict[str, list[Any]]:
    """The events of plain files with plain RDataFrame, sorted by their number."""
    columns = ROOT.RDataFrame(tree, paths).AsNumpy(["i", "q"])
    order = numpy.argsort(columns["i"], kind="stable")
    return {name: columns[name][order].tolist() for name in ("i", "q")}


def selected(frame: Any) -> Any:
    """What these tests write."""
    return frame.Filter("i % 3 != 0").Define("q", "x * 2 + y")


def expected_events(files: Datasets) -> dict[str, list[Any]]:
    """The same selection by local RDataFrame."""
    columns = selected(ROOT.RDataFrame("events", files.main)).AsNumpy(["i", "q"])
    return {name: columns[name].tolist() for name in ("i", "q")}


# -- names, and what may not be ----------------------------------------------------------------------------------------


def test_names_sort_in_the_order_of_ranges() -> None:
    """A run's parts have its name in theirs, and a range has one name whoever runs it."""
    plain = {"folder": "s3://b/out/", "stem": "skim", "run": "0123abcd"}
    names = [part_url(plain, range_id) for range_id in (0, 9, 10, 99999)]
    assert "s3://b/out/skim_0123abcd_00009.root" == names[1]
    assert names == sorted(names)
    halves = [part_url(plain, range_id, piece) for range_id, piece in ((5, (0,)), (5, (1, 0)), (5, (1, 1)), (6, ()))]
    assert halves == sorted(halves)
    assert "/data/skim_7.root" == part_url({"folder": "/data/", "stem": "skim", "run": None}, 7)


def test_existing_dataset_is_refused(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """Before anything runs: a second Snapshot of a name is an error that says what is there and what to do; asked for, it
    replaces all of the first, also where it has fewer parts."""

    def write(npartitions: int, **options: Any) -> Any:
        frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=npartitions, options=options)
        return selected(frame).Snapshot("skim", "out/skim.root", ["i", "q"])

    (tmp_path / "out").mkdir()
    write(3)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    with pytest.raises(
        OutputError, match=r"there is a dataset of the name .*/out/skim.root already(.|\n)*3 files(.|\n)*overwrite"
    ):
        write(2)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    write(2, overwrite=True)
    assert ["skim_0.root", "skim_1.root"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert expected_events(files) == events(sorted(map(str, (tmp_path / "out").glob("skim*.root"))))


@pytest.mark.slow
def test_reading_what_is_overwritten_is_refused(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """A dataset in a folder cannot be replaced while it is read."""
    selected(ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=2)).Snapshot("skim", "skim.root", ["i", "q"])
    again = ROOT.RDataFrame("skim", "skim_*.root", executor=fexec, npartitions=2, options={"overwrite": True})
    with pytest.raises(OutputError, match="while it is read"):
        again.Snapshot("skim", str(tmp_path / "skim.root"), ["i", "q"])


def test_two_snapshots_of_one_name_are_refused(fexec: Any) -> None:
    """Two Snapshots of one graph that would write the same files are an error."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    frame = ROOT.RDataFrame(10, executor=fexec).Define("x", "1")
    results = [frame.Snapshot(name, "both.root", ["x"], options) for name in ("first", "second")]
    with pytest.raises(OutputError, match=r"two Snapshots of one graph write .*/both.root"):
        results[0].GetValue()


@pytest.mark.parametrize("url", ["ftp://host/skim.root", "gs://bucket/skim.root"])
def test_store_that_nobody_can_write_is_refused(fexec: Any, url: str) -> None:
    """An unknown scheme is an error before anything runs, and says which are known."""
    with pytest.raises(OutputError, match=r"expected a path or a URL that starts with s3://, root://"):
        ROOT.RDataFrame(10, executor=fexec).Define("x", "1").Snapshot("t", url, ["x"])


def test_folder_that_is_not_there_fails_once_and_says_so(fexec: Any, tmp_path: Path) -> None:
    """A part that cannot be put where it belongs is the end of the run: the event loop is not run again for it."""
    mark = tmp_path / "ran"
    frame = ROOT.RDataFrame(1, executor=fexec, npartitions=1)
    frame = frame.Define("x", f'std::ofstream("{mark}", std::ios::app) << "x"; return 1;')
    with pytest.raises(OutputError, match=r"cannot write .*/nowhere/t_0.root(.|\n)*No such file"):
        frame.Snapshot("t", "nowhere/t.root", ["x"])
    assert "x" == mark.read_text()


def test_failed_run_takes_its_files_away(fexec: Any, tmp_path: Path) -> None:
    """What the ranges wrote that went well is removed when another fails, and nothing else."""
    (tmp_path / "t_notes.root").write_text("somebody's")
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=4, options=Options(ranges_per_call=1))
    frame = frame.Define("x", 'if (rdfentry_ == 39) throw std::runtime_error("on purpose"); return 1;')
    with pytest.raises(rdf_lithops.RangeError, match="on purpose"):
        frame.Snapshot("t", "t.root", ["x"])
    assert ["t_notes.root"] == [path.name for path in tmp_path.iterdir()]


def test_parts_are_merged_into_files_of_a_size(files: Datasets, fexec: Any, tmp_path: Path) -> None:
    """A second map_reduce makes fewer files of a Snapshot's parts, with the same events in the same order, and removes the
    parts; what is large enough is left as it is; a later run of the name finds it."""
    options = Options(ranges_per_call=1, file_mib=0.02)
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=6, options=options)
    written = selected(frame).Snapshot("skim", "skim.root", ["i", "q"])
    names = sorted(map(str, tmp_path.glob("*.root")))
    assert 1 < len(names) < 6
    expected = expected_events(files)
    in_order = ROOT.RDataFrame("skim", names).AsNumpy(["i", "q"])
    assert expected == {name: in_order[name].tolist() for name in ("i", "q")}
    assert len(expected["i"]) == written.Count().GetValue()
    with pytest.raises(OutputError, match="already"):
        selected(frame).Snapshot("skim", "skim.root", ["i", "q"])
    report = rdf_lithops.report(frame, run=0)
    assert_adds_up(report)
    assert report.path["files"] > 0
    assert 2 <= sum(call.stage == "files" and call.worker_s > 0 for call in report.calls), "those that merged, and a reducer"
    assert 6 == len(report.maps)


# -- S3 ---------------------------------------------------------------------------------------------------------------


def test_snapshot_to_s3(
    files: Datasets, own_fexec: lithops.FunctionExecutor, s3: S3, s3_bucket: str, tmp_path: Path
) -> None:
    """Every selected event is in the bucket once, in parts that plain RDataFrame reads after a plain download; what Snapshot
    returns is a frame over them; a second one of that name is refused, or replaces the first when asked."""
    url = f"s3://{s3_bucket}/out/skim.root"

    def write(npartitions: int, **options: Any) -> Any:
        frame = ROOT.RDataFrame("events", files.main, executor=own_fexec, npartitions=npartitions, options=options)
        return selected(frame).Snapshot("skim", url, ["i", "q"])

    written = write(3)
    expected = expected_events(files)
    assert 3 == len(keys(s3, s3_bucket, "out/"))
    assert expected == events(downloaded(s3, s3_bucket, "out/", tmp_path))
    assert len(expected["i"]) == written.Count().GetValue()
    with pytest.raises(OutputError, match="there is a dataset of the name"):
        write(2)
    first = keys(s3, s3_bucket, "out/")
    write(2, overwrite=True)
    second = keys(s3, s3_bucket, "out/")
    assert (2, set()) == (len(second), set(first) & set(second))


@pytest.mark.parametrize(
    ("url", "variables", "said"),
    [
        ("s3://no-such-bucket-4711/skim.root", {}, "404 NoSuchBucket"),
        ("s3://{bucket}/skim.root", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "403 SignatureDoesNotMatch"),
        ("s3://{bucket}/skim.root", {"AWS_ACCESS_KEY_ID": "nobody"}, "403 InvalidAccessKeyId"),
    ],
)
def test_store_that_refuses_is_named_before_anything_runs(
    own_fexec: lithops.FunctionExecutor,
    s3_bucket: str,
    url: str,
    variables: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No such bucket, wrong keys: an error with the URL and what the server said, and no secret."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    frame = ROOT.RDataFrame(10, executor=own_fexec).Define("x", 'throw std::runtime_error("it ran"); return 1;')
    with pytest.raises(OutputError, match=f"cannot list s3://(.|\n)*{said}") as caught:
        frame.Snapshot("t", url.format(bucket=s3_bucket), ["x"])
    assert "wrong" not in str(caught.value)


@pytest.mark.slow
def test_killed_calls_leave_nothing_behind(
    files: Datasets, own_fexec: lithops.FunctionExecutor, s3: S3, s3_bucket: str, tmp_path: Path
) -> None:
    """Two of twenty calls are killed in mid-run, when others have written their parts: all events once, nothing stray."""
    frame = ROOT.RDataFrame(
        "events", files.main, executor=own_fexec, npartitions=20, options=Options(ranges_per_call=1, attempts=5)
    )
    slowed = selected(frame).Filter("gSystem->Sleep(2); return true;")
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["written"] = slowed.Snapshot("skim", f"s3://{s3_bucket}/killed/skim.root", ["i", "q"])
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    killed = kill_tasks(own_fexec, lambda: len(keys(s3, s3_bucket, "killed/")) >= 3, 2)
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert 2 == killed
    assert "error" not in outcome, outcome
    found = keys(s3, s3_bucket, "killed/")
    assert 20 == len(found), "nothing stray, uploads that nobody ended included"
    assert len({key.rpartition("_")[2] for key in found}) == len(found), "each range has one object"
    paths = downloaded(s3, s3_bucket, "killed/", tmp_path)
    expected = expected_events(files)
    assert expected == events(paths)
    with_uproot = uproot.concatenate([f"{path}:skim" for path in paths], ["i", "q"], library="np")
    assert expected == {name: with_uproot[name].tolist() for name in ("i", "q")}, "names sort in the order of the dataset"
    assert len(expected["i"]) == outcome["written"].Count().GetValue()


def kill_tasks(executor: lithops.FunctionExecutor, ready: Callable[[], bool], number: int) -> int:
    """When ``ready()``, kill with SIGKILL the processes that run the calls, slot and task, ``number`` times."""
    folder = job._sessions[executor].warm_folder
    assert folder is not None
    deadline, killed = time.monotonic() + LIMIT_S, 0
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.02)
    while killed < number and time.monotonic() < deadline:
        tasks = [process for process in psutil.process_iter(["cmdline"]) if is_task(process, folder)]
        if tasks:
            os.kill(tasks[0].pid, signal.SIGKILL)
            killed += 1
        time.sleep(0.3)
    return killed


def is_task(process: psutil.Process, folder: str) -> bool:
    """Whether it is Lithops' process for one call of that executor: a leaf of those forked from the preloaded Python."""
    command = " ".join(process.info["cmdline"] or [])
    try:
        return "rdf_lithops.worker.prefork" in command and folder in command and not process.children()
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_signed_urls_travel_sealed(files: Datasets, own_fexec: lithops.FunctionExecutor, s3: S3, s3_bucket: str) -> None:
    """A presigned URL opens on the worker, and what Lithops stores of the run does not have its signature."""
    with contextlib.closing(s3.client()) as client:
        client.upload_file(files.main[0], s3_bucket, "signed/main.root")
        url = client.generate_presigned_url("get_object", Params={"Bucket": s3_bucket, "Key": "signed/main.root"})
    query = parse_qs(urlsplit(url).query)
    (signature,) = query.get("X-Amz-Signature") or query["Signature"]
    count = ROOT.RDataFrame("events", url, executor=own_fexec, npartitions=2).Filter("i % 3 != 0").Count()
    plan = rdf_lithops.plan(count)
    stored = pickle.dumps((plan.map_task, plan.iterdata, plan.reduce_task))
    assert b"signed/main.root" in stored
    assert [] == [shape for shape in (signature.encode(), quote(signature).encode()) if shape in stored]
    plan.deliver(own_fexec.get_result(own_fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)))
    assert ROOT.RDataFrame("events", files.main[0]).Filter("i % 3 != 0").Count().GetValue() == count.GetValue()


def test_keys_of_lithops_storage_stay_out_of_it(s3: S3) -> None:
    """Lithops stores the futures of the maps for its reducer; they do not bring the storage's keys with them."""
    with s3.bucket() as bucket:
        store = {"storage_bucket": bucket, "endpoint": s3.endpoint, "access_key_id": s3.access_key}
        config = {
            "lithops": {"backend": "localhost", "storage": "minio", "data_cleaner": False, "log_level": "WARNING"},
            "localhost": {"version": 1},
            "minio": {**store, "secret_access_key": s3.secret_key},
        }
        with lithops.FunctionExecutor(config=config, log_level=None) as executor:
            put, written = executor.storage.put_object, []

            def record(bucket_name: str, key: str, data: Any) -> None:
                written.append((key, data))
                put(bucket_name, key, data)

            executor.storage.put_object = record
            frame = ROOT.RDataFrame(100, executor=executor, npartitions=2)
            assert 100 == frame.Count().GetValue()
            futures = executor.map(lambda number: number + 1, [1], include_modules=None)  # else it reads all packages
            assert [2] == executor.get_result(futures), "what is not ours still works"
            assert 2 == futures[0].result()
    assert any("-R" in key for key, _ in written), "the reducer's input was stored"
    assert [] == [key for key, data in written if s3.secret_key.encode() in data]


# -- arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit_mib", [0, pytest.param(1000.0, marks=pytest.mark.slow)])
def test_arrays_are_those_of_local_rdataframe(files: Datasets, fexec: Any, limit_mib: float) -> None:
    """AsNumpy in the order of the dataset, through the storage or through the reducer; arrays of arrays too."""
    options = Options(arrays_mib=limit_mib, ranges_per_call=1)
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=5, options=options)
    expected = selected(ROOT.RDataFrame("events", files.main)).AsNumpy(["i", "q", "v"])
    actual = selected(frame).AsNumpy(["i", "q", "v"])
    assert list(expected) == list(actual)
    for name in ("i", "q"):
        assert expected[name].dtype == actual[name].dtype
        assert expected[name].tolist() == actual[name].tolist()
    assert [list(value) for value in expected["v"]] == [list(value) for value in actual["v"]]


def test_large_arrays_do_not_pass_through_the_reducer(fexec: Any) -> None:
    """The reducer gets where a large column lies; the driver gets it whole, and nothing stays in the storage."""
    storage = fexec.storage
    frame = ROOT.RDataFrame(200_000, executor=fexec, npartitions=4, options=Options(arrays_mib=0.1, ranges_per_call=1))
    booked = frame.Define("x", "0.5 * rdfentry_").AsNumpy(["x"], lazy=True)
    plan = rdf_lithops.plan(booked)
    result = fexec.get_result(fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task))
    assert len(result) < 20_000
    stored = [key for key in storage.list_keys(storage.bucket, "rdf_lithops/runs/") if "/arrays/" in key]
    assert 4 == len(stored)
    plan.deliver(result)
    assert numpy.array_equal(0.5 * numpy.arange(200_000), booked.GetValue()["x"])
    assert [] == [key for key in storage.list_keys(storage.bucket, "rdf_lithops/runs/") if "/arrays/" in key]


def test_damaged_arrays_are_noticed() -> None:
    """An object that is not what the worker wrote is an error, not other numbers."""
    whole = pickle.dumps({"x": numpy.arange(3)})
    stored = arrays.Stored("key", "0" * 64)
    assert [0, 1, 2] == arrays.joined(arrays.ArrayParts([whole]), lambda key: b"")["x"].tolist()
    with pytest.raises(ValueError, match="damaged"):
        arrays.joined(arrays.ArrayParts([whole, stored]), lambda key: whole)


# -- the stores themselves --------------------------------------------------------------------------------------------


def test_folder_shows_a_file_when_it_is_whole(tmp_path: Path) -> None:
    """A copy appears under its name by one rename; a failed one leaves nothing; what a killed one left is told apart."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1000)
    target = tmp_path / "target"
    target.mkdir()
    stores.put(str(source), f"{target}/skim_0.root", replace=True)
    assert {f"{target}/skim_0.root": 1000} == stores.sizes(f"{target}/", "skim")
    with pytest.raises(stores.StoreFailure, match="cannot write"):
        stores.put(str(tmp_path / "absent"), f"{target}/skim_1.root", replace=True)
    (target / "skim_2.root.0123abcd.rdf_lithops-part").write_bytes(b"half")
    assert {f"{target}/skim_0.root": 1000} == stores.sizes(f"{target}/", "skim")
    stores.store_of(f"{target}/").abandon(f"{target}/", "skim")
    assert ["skim_0.root"] == [path.name for path in target.iterdir()]


def test_published_parts_are_named_where_they_are_and_leave_no_copy(tmp_path: Path) -> None:
    """A range's files move to their destination, also twice; only those that were redirected are touched."""

    class Part:
        def __init__(self, name: str) -> None:
            self.filenames = [name]

    class Result:
        mergeables: list[Any]

    target, place = tmp_path / "target", tmp_path / "place"
    (place / "0").mkdir(parents=True)
    target.mkdir()
    plain = ({"folder": f"{target}/", "stem": "skim", "run": "0123abcd"},)
    for contents in ("first", "again"):
        (place / "0" / "part_3.root").write_text(contents)
        result = Result()
        result.mergeables = [Part(str(place / "0" / "part_3.root")), Part("/elsewhere/other.root"), object()]
        publish(result, plain, str(place), {"id": 3})
        assert [f"{target}/skim_0123abcd_00003.root"] == result.mergeables[0].filenames
        assert ["/elsewhere/other.root"] == result.mergeables[1].filenames
        assert "first" == (target / "skim_0123abcd_00003.root").read_text(), "a duplicate leaves what is there"
    assert [] == list((place / "0").iterdir())
    assert 1 == len(list(target.iterdir()))


def test_names_of_datasets_are_told_from_others(tmp_path: Path) -> None:
    """Parts of any run and a file of the plain name are the dataset; other files with its beginning are not."""
    for name in (
        "skim.root",
        "skim_1.root",
        "skim_12.root",
        "skim_1_0.root",
        "skim_notes.root",
        "skim_1.root.bak",
        "skimmed_1.root",
    ):
        (tmp_path / name).touch()
    destination = output.Destination(f"{tmp_path}/", "skim", None)
    assert ["skim.root", "skim_1.root", "skim_12.root", "skim_1_0.root"] == sorted(
        os.path.basename(name) for name in destination.dataset()
    )
