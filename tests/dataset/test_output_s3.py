"""What a Snapshot writes to S3 is there once and whole, whatever dies; what travels of keys and signatures is sealed."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import lithops
import psutil
import pytest
import ROOT
import uproot
from conftest import LOCALHOST_CONFIG
from datasets import Datasets
from servers.s3 import S3
from test_output import events, expected_events, selected

import rdf_lithops
from rdf_lithops import Options, OutputError
from rdf_lithops.executor import registry

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
    registry.session_for(executor, Options())
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


def test_snapshot_to_s3(
    files: Datasets, own_fexec: lithops.FunctionExecutor, s3: S3, s3_bucket: str, tmp_path: Path
) -> None:
    """Every selected event is in the bucket once; a second Snapshot of the name is refused, or replaces it when asked."""
    url = f"s3://{s3_bucket}/out/skim.root"

    def write(npartitions: int, **options: Any) -> Any:
        frame = ROOT.RDataFrame("events", files.main, executor=own_fexec, npartitions=npartitions, options=options)
        return selected(frame).Snapshot("skim", url, ["i", "q"])

    written = write(3)
    expected = expected_events(files)
    assert 3 == len(keys(s3, s3_bucket, "out/skim_"))
    assert ["out/skim.rdf_lithops.json"] == [key for key in keys(s3, s3_bucket, "out/") if not key.endswith(".root")]
    assert expected == events(downloaded(s3, s3_bucket, "out/skim_", tmp_path))
    assert keys(s3, s3_bucket, "out/skim_") == [url.partition(f"{s3_bucket}/")[2] for url in rdf_lithops.parts(url)]
    assert len(expected["i"]) == written.Count().GetValue()
    first = keys(s3, s3_bucket, "out/skim_")
    write(2)
    second = keys(s3, s3_bucket, "out/skim_")
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
    folder = f"killed-{os.urandom(4).hex()}/"  # what fails first would be in the way of a second try

    def run() -> None:
        try:
            outcome["written"] = slowed.Snapshot("skim", f"s3://{s3_bucket}/{folder}skim.root", ["i", "q"])
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    try:
        killed = kill_tasks(own_fexec, lambda: len(keys(s3, s3_bucket, f"{folder}skim_")) >= 3, 2)
    finally:
        thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert 2 == killed
    assert "error" not in outcome, outcome
    found = [key for key in keys(s3, s3_bucket, folder) if not key.endswith("/skim.rdf_lithops.json")]
    names = [re.fullmatch(folder + r"skim_([0-9a-f]{8})_\d{5}\.root", key) for key in found]
    assert None not in names, "nothing stray, uploads that nobody ended included"
    assert len({key.rpartition("_")[2] for key in found}) == len(found), "each range has one object"
    paths = downloaded(s3, s3_bucket, f"{folder}skim_", tmp_path)
    expected = expected_events(files)
    assert expected == events(paths)
    with_uproot = uproot.concatenate([f"{path}:skim" for path in paths], ["i", "q"], library="np")
    assert expected == {name: with_uproot[name].tolist() for name in ("i", "q")}, "names sort in the order of the dataset"
    assert len(expected["i"]) == outcome["written"].Count().GetValue()


def kill_tasks(executor: lithops.FunctionExecutor, ready: Callable[[], bool], number: int) -> int:
    """When ``ready()``, kill with SIGKILL the processes that run the calls, slot and task, ``number`` times."""
    folder = registry.session_of(executor).processes.warm_folder
    assert folder is not None
    deadline, killed = time.monotonic() + LIMIT_S, 0
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.02)
    while killed < number and time.monotonic() < deadline:
        tasks = [process for process in psutil.process_iter(["cmdline"]) if is_task(process, folder)]
        with contextlib.suppress(ProcessLookupError):  # the call has just ended: then it is another one's turn
            if tasks:
                os.kill(tasks[0].pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.3)
    return killed


def is_task(process: psutil.Process, folder: str) -> bool:
    """Whether it is Lithops' process for one call of that executor: a leaf of those forked from the preloaded Python."""
    command = " ".join(process.info["cmdline"] or [])
    try:
        return "rdf_lithops.worker.start.prefork" in command and folder in command and not process.children()
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


@pytest.mark.slow
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
