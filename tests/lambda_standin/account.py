"""An AWS account on the stand-in: a role, a bucket, the image in its registry; and Lithops' unmodified executor on it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import boto3
import lithops
from botocore.httpsession import URLLib3Session
from lithops.storage.storage import RUNTIME_META_CACHE

from .service import Service

REGION = "us-east-1"
BUCKET = "rdf-lithops-test"
ROLE = "rdf-lithops-worker"
RUNTIME = f"rdf_lithops:{os.urandom(4).hex()}"  # no runtime that a killed test left in the cache of Lithops
DRIVER_KEYS = ("AKIADRIVER0000000000", "driver-secret")
WORKER_KEYS = ("AKIAWORKER0000000000", "worker-secret")
BUCKET_LIMIT_S = 90.0  # longer than a call may take
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def driver_variables(service: Service, keys: tuple[str, str] = DRIVER_KEYS) -> dict[str, str]:
    """What leads boto3, and Lithops with it, to the stand-in."""
    return {
        "AWS_ENDPOINT_URL": service.endpoint,
        "AWS_ENDPOINT_URL_S3": service.s3_endpoint,
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def worker_variables(service: Service, keys: tuple[str, str] = WORKER_KEYS) -> dict[str, str]:
    """What Lambda gives an environment of its role's keys, and where the services are."""
    return {**driver_variables(service, keys), "AWS_REGION": REGION}


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """This process's environment with ``variables``, and without other settings of AWS, for a while.

    boto3's session of the process keeps the keys that it has found first: it begins and ends with this.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in kept:
        del os.environ[name]
    os.environ.update(variables)
    boto3.DEFAULT_SESSION = None
    try:
        yield
    finally:
        boto3.DEFAULT_SESSION = None
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(kept)


def open_account(worker_policy: dict[str, Any] | None = None, bucket: bool = True) -> str:
    """Make the role (with ``worker_policy``), the bucket and the image; returns the role's ARN."""
    iam = boto3.client("iam")
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    if worker_policy is not None:
        iam.put_role_policy(RoleName=ROLE, PolicyName="worker", PolicyDocument=json.dumps(worker_policy))
    if bucket:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
    push_image(RUNTIME)
    return str(role)


def remove_bucket() -> None:
    """Take the bucket away: an S3 server may outlive this account. Calls that nobody waits for may write meanwhile."""
    s3 = boto3.client("s3")
    until = time.monotonic() + BUCKET_LIMIT_S
    while True:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for found in page.get("Contents", ()):
                s3.delete_object(Bucket=BUCKET, Key=found["Key"])
        try:
            s3.delete_bucket(Bucket=BUCKET)
        except s3.exceptions.ClientError as refused:
            if refused.response["Error"]["Code"] != "BucketNotEmpty" or time.monotonic() > until:
                raise
        else:
            return


def push_image(runtime: str) -> None:
    """What `lithops runtime build` leaves in the account's registry."""
    user = boto3.client("sts").get_caller_identity()["UserId"].split(":")[0][-4:].lower()
    name, _, tag = runtime.partition(":")
    repository = f"lithops_v{lithops.__version__.replace('.', '')}_{user}/{name}".lower()
    ecr = boto3.client("ecr")
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=repository)
    digest = hashlib.sha256(runtime.encode()).hexdigest()
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": f"sha256:{digest}"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}
    ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=json.dumps(manifest))


def config(role: str, **lambda_settings: Any) -> dict[str, Any]:
    """Lithops' configuration, as configs/aws_lambda.yaml has it."""
    return {
        "lithops": {
            "backend": "aws_lambda",
            "storage": "aws_s3",
            "data_cleaner": False,
            "data_limit": False,
            "log_level": "WARNING",
            "monitoring_interval": 0.25,  # s between looks at the storage; 2 outside tests
        },
        "aws": {"region": REGION},
        "aws_lambda": {
            "execution_role": role,
            "runtime": RUNTIME,
            "runtime_memory": 1769,
            "runtime_timeout": 120,
            "max_workers": 8,
            **lambda_settings,
        },
        "aws_s3": {"storage_bucket": BUCKET},
    }


class _Redirected(URLLib3Session):
    """Lithops sends its asynchronous invocations to Amazon's host by name; everything else obeys AWS_ENDPOINT_URL."""

    endpoint = ""

    def send(self, request: Any) -> Any:
        """The signed request, unchanged, to another host."""
        parts = urllib.parse.urlsplit(request.url)
        host = urllib.parse.urlsplit(self.endpoint)
        request.url = parts._replace(scheme=host.scheme, netloc=host.netloc).geturl()
        return super().send(request)


@contextlib.contextmanager
def executor(service: Service, settings: dict[str, Any]) -> Iterator[lithops.FunctionExecutor]:
    """Lithops' own executor of ``settings`` whose invocations reach ``service``."""
    made = lithops.FunctionExecutor(config=settings, log_level=None)
    backend = made.compute_handler.backend
    backend.session = _Redirected()
    backend.session.endpoint = service.endpoint
    _forget_runtime(made)
    try:
        yield made
    finally:
        _forget_runtime(made)
        made.__exit__(None, None, None)


def _forget_runtime(made: lithops.FunctionExecutor) -> None:
    """Lithops keeps on this machine, for good, that a runtime is deployed: another account of that name has none."""
    info = made.invoker.runtime_info
    key = made.compute_handler.get_runtime_key(info["runtime_name"], info["runtime_memory"], lithops.__version__)
    with contextlib.suppress(FileNotFoundError):
        made.internal_storage.delete_runtime_meta(key)
    RUNTIME_META_CACHE.clear()  # and, in this process, whatever is deleted
