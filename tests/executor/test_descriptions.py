"""What boto3 reads of AWS' services is there when a call begins."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import lithops
import pytest
import ROOT
from conftest import CAPTURED

LIMIT_S = 60


@pytest.fixture
def stored_in_s3(s3: Any) -> Any:
    """The configuration of an executor on this machine whose storage is S3."""
    with s3.bucket() as bucket:
        store = {"endpoint": s3.endpoint, "access_key_id": s3.access_key, "secret_access_key": s3.secret_key}
        storage = {"backend": "localhost", "storage": "minio", "data_cleaner": False, "log_level": "WARNING"}
        yield {"lithops": storage, "localhost": {"version": 1}, "minio": {"storage_bucket": bucket, **store}}


@pytest.mark.slow
def test_calls_read_no_descriptions(stored_in_s3: Any) -> None:
    """Calls make clients of their own, with their own keys, of what was read before."""

    def files_read(key: str) -> tuple[str, int]:
        """In a call: the key that a client signs with, and how many files it has read for what it knows of S3."""
        import boto3
        import botocore.loaders

        read, load = list[str](), botocore.loaders.JSONFileLoader.load_file

        def load_and_note(self: Any, path: str) -> Any:
            read.append(path)
            return load(self, path)

        botocore.loaders.JSONFileLoader.load_file = load_and_note
        client = boto3.session.Session().client(
            "s3", region_name="eu-west-1", aws_access_key_id=key, aws_secret_access_key="secret"
        )
        return client._request_signer._credentials.access_key, len(read)

    with lithops.FunctionExecutor(config=stored_in_s3, log_level=None) as executor:
        assert 10 == ROOT.RDataFrame(10, executor=executor).Count().GetValue()
        futures = executor.map(files_read, ["one", "other"], include_modules=None)
        assert [("one", 0), ("other", 0)] == executor.get_result(futures, timeout=LIMIT_S)


def test_settings_of_the_user_that_are_wrong() -> None:
    """A profile that is not there stops nobody who asks for none."""
    program = "import botocore.session, rdf_lithops.worker.start.descriptions; print('it is up')"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "AWS_PROFILE": "of nobody"}, **CAPTURED)
    assert "it is up\n" == done.stdout, done.stderr
