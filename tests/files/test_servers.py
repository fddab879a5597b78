"""The servers that other tests lean on are the real thing: they check what they are given and count what they send."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CAPTURED, REPOSITORY
from servers import daemons, fixtures
from servers.s3 import S3, is_settled

pytest.importorskip("boto3")
import botocore.exceptions


def test_s3_serves_ranges_and_counts_them(s3: S3) -> None:
    """A range GET answers with that range, and the gateway's own log counts its bytes."""
    with s3.bucket() as bucket, contextlib.closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key="a/object", Body=b"0123456789")
        assert b"345" == client.get_object(Bucket=bucket, Key="a/object", Range="bytes=3-5")["Body"].read()
        assert [("PUT", 200, 10), ("GET", 206, 3)] == [
            (seen.method, seen.status, seen.body_bytes) for seen in s3.requests(f"{bucket}/a/object")
        ]


def test_s3_counts_what_its_log_shows_late() -> None:
    """A request whose line comes behind that of a later one is waited for: the gateway's threads write in any order."""
    begun = "1 ====== starting new request req=0x1 =====\n"
    line = '1 beast: 0x1: 127.0.0.1 - test [30/Nov/2026:14:53:48.501 +0000] "GET {} HTTP/1.1" 206 3 - "Boto3"\n'
    of_mark = begun + line.format("/mark")
    assert not is_settled(begun + line.format("/object"), "/mark")
    assert not is_settled(begun + of_mark, "/mark")
    assert is_settled(begun + of_mark + line.format("/object"), "/mark")


@pytest.mark.parametrize("given", [{"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "nobody"}])
def test_s3_refuses_wrong_keys(s3: S3, given: dict[str, str]) -> None:
    """Who does not have the user's two keys gets nothing."""
    with s3.bucket() as bucket, contextlib.closing(s3.client(**given)) as stranger:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            stranger.list_objects_v2(Bucket=bucket)
        assert 403 == caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_server_dies_with_its_test(tmp_path: Path) -> None:
    """A server whose test process is killed with SIGKILL ends too: nothing is left behind."""
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from pathlib import Path
from servers import daemons, fixtures
with daemons.running(["sleep", "600"], Path({str(tmp_path)!r}) / "log") as process:
    print(process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], **CAPTURED)
    assert -9 == done.returncode, done.stderr
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while daemons.lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not daemons.lives(pid)


def test_where_servers_were_installed_none_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing program skips a test, with the command that brings it; where all were just installed it fails the test."""

    def start(folder: Path) -> contextlib.AbstractContextManager[None]:
        daemons.require("no-such-server")
        return contextlib.nullcontext()

    monkeypatch.delenv("RDF_LITHOPS_ALL_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no no-such-server(.*)install.sh"), fixtures._running(start, tmp_path):
        pass
    monkeypatch.setenv("RDF_LITHOPS_ALL_SERVERS", "yes")
    with pytest.raises(daemons.ServerMissing, match="no-such-server"), fixtures._running(start, tmp_path):
        pass
