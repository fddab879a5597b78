"""``replicate``: copies are complete, verified, and go on where they were interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kinds import quickly
from servers.s3 import S3
from test_remote import s3_here  # noqa: F401  # a fixture

from rdf_lithops import DataAccessError, PlanError, RunError
from rdf_lithops.executor import replication

PART_BYTES = 5 << 20


def written(folder: Path, parts: float) -> Path:
    """A file of so many parts of random bytes."""
    path = folder / "large.root"
    path.write_bytes(os.urandom(int(parts * PART_BYTES)))
    return path


def test_s3_to_s3_and_back(s3_here: S3, fexec: Any, tmp_path: Path) -> None:  # noqa: F811
    """A file becomes an object, the object another one, that one a file: the same bytes, and a manifest beside each."""
    source = written(tmp_path, 2.3)
    with s3_here.bucket() as bucket:
        replication.replicate(fexec, [str(source)], f"s3://{bucket}/one", PART_BYTES)
        replication.replicate(fexec, [f"s3://{bucket}/one/*.root"], f"s3://{bucket}/two", PART_BYTES)
        back = tmp_path / "back"
        files = replication.replicate(fexec, [f"s3://{bucket}/two/large.root"], str(back), PART_BYTES)
        assert source.read_bytes() == (back / "large.root").read_bytes()
        assert [3] == [item.count for item in files]
        assert {"large.root", replication.MANIFEST} == {path.name for path in back.iterdir()}


@pytest.mark.slow
def test_a_flipped_byte_is_found(s3_here: S3, fexec: Any, tmp_path: Path) -> None:  # noqa: F811
    """A copy in which one byte has changed, its size kept, is found by checking it, and named with the bytes concerned."""
    source = written(tmp_path, 1.5)
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        replication.replicate(fexec, [str(source)], f"s3://{bucket}/copy", PART_BYTES)
        data = bytearray(source.read_bytes())
        data[PART_BYTES + 7] ^= 1
        client.put_object(Bucket=bucket, Key="copy/large.root", Body=bytes(data))
        with pytest.raises(
            RunError, match=rf"copy/large\.root, bytes {PART_BYTES} to {len(data)}(.|\n)*remove the named files"
        ):
            replication.check(fexec, f"s3://{bucket}/copy")
        client.delete_object(Bucket=bucket, Key="copy/large.root")
        replication.replicate(fexec, [str(source)], f"s3://{bucket}/copy", PART_BYTES)
        assert source.read_bytes() == client.get_object(Bucket=bucket, Key="copy/large.root")["Body"].read()


@pytest.mark.slow
def test_an_upload_that_was_given_up(s3_here: S3, fexec: Any, tmp_path: Path) -> None:  # noqa: F811
    """A copy whose unfinished upload the store has removed meanwhile begins anew."""
    source = written(tmp_path, 1.5)
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        target = f"s3://{bucket}/copy"

        def stop(done: int, of: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            replication.replicate(fexec, [str(source)], target, PART_BYTES, stop)
        (upload,) = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        replication.replicate(fexec, [str(source)], target, PART_BYTES)
        assert source.read_bytes() == client.get_object(Bucket=bucket, Key="copy/large.root")["Body"].read()


@pytest.mark.slow
def test_an_interrupted_copy_goes_on(s3_here: S3, fexec: Any, tmp_path: Path) -> None:  # noqa: F811
    """Killed twice while it copies, the same command goes on: parts that the manifest has are not copied again."""
    source = written(tmp_path, 12)
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        target = f"s3://{bucket}/copy"
        command = [sys.executable, "-W", "ignore", "-m", "rdf_lithops", "replicate", str(source), target, "--part-mib", "5"]

        def arrived() -> int:
            with contextlib.suppress(client.exceptions.NoSuchKey):
                body = client.get_object(Bucket=bucket, Key=f"copy/{replication.MANIFEST}")["Body"].read()
                return sum(len(item["parts"]) for item in json.loads(body)["files"])
            return 0

        for least in (1, 4):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            deadline = time.monotonic() + 60
            while arrived() < least and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        before, progress = arrived(), []
        replication.replicate(fexec, [str(source)], target, PART_BYTES, lambda *seen: progress.append(seen))
        assert (1, 12 - before) == progress[0]
        assert source.read_bytes() == client.get_object(Bucket=bucket, Key="copy/large.root")["Body"].read()


@pytest.mark.parametrize("kind", quickly(["anonymous", "krb5"], "anonymous"))
def test_from_xrootd(
    kind: str,
    s3_here: S3,  # noqa: F811
    xrootd: Any,
    fexec: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files behind XRootD, by a pattern, become objects of the same bytes; the user's ticket goes with the calls."""
    server = xrootd(kind)
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)
    source = written(tmp_path, 1.3)
    server.put(source)
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        replication.replicate(fexec, [f"{server.url}/larg*.root"], f"s3://{bucket}/copy", PART_BYTES)
        assert source.read_bytes() == client.get_object(Bucket=bucket, Key="copy/large.root")["Body"].read()
    with pytest.raises(DataAccessError) as caught:
        replication.replicate(fexec, [f"{server.url}/nothing.root"], str(tmp_path / "copy"), PART_BYTES)
    assert ("missing", f"{server.url}/nothing.root") == (caught.value.kind, caught.value.url)


def test_targets_that_cannot_be_written(fexec: Any, tmp_path: Path) -> None:
    """Copies go to folders and S3: another place is refused before anything is read."""
    with pytest.raises(PlanError, match="expected a folder or s3://bucket/prefix"):
        replication.replicate(fexec, ["/nowhere"], "root://host//data", PART_BYTES)


def test_nothing_to_check(fexec: Any, tmp_path: Path) -> None:
    """A folder without a manifest cannot be checked, and the error says so."""
    with pytest.raises(PlanError, match="no manifest"):
        replication.check(fexec, str(tmp_path))


@pytest.mark.parametrize("target", ["root://host//store/copy", "https://host/copy"])
def test_a_target_without_parts_is_refused(fexec: Any, tmp_path: Path, target: str) -> None:
    """A store that takes no parts of files is refused before anything is copied, with the reason and with what does it."""
    (tmp_path / "a.bin").write_bytes(b"x")
    with pytest.raises(PlanError, match=r"expected a folder or s3://(.|\n)*cannot be written in parts(.|\n)*xrdcp"):
        replication.replicate(fexec, [str(tmp_path / "a.bin")], target)
