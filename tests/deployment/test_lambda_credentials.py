"""Credentials on AWS Lambda: sealed in the bucket, their key in the event, together only where they are used."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
import ROOT
from lambda_standin import Places, Service, standing
from marks import READ_TOKEN, S3_SECRET, SSS_KEY, TOKEN, found_in, token_query

import rdf_lithops
from rdf_lithops import Options
from rdf_lithops.dataset import credentials
from rdf_lithops.travels.sealed import KEY_VARIABLE

pytestmark = pytest.mark.slow


BEARER = {"BEARER_TOKEN_FILE": "{folder}/token"}
FOUND = [
    credentials.Credential("token", "test", files={"token": TOKEN.encode()}, environment=BEARER),
    credentials.Credential("sss", "test", files={"sss": SSS_KEY.encode()}, environment={"XrdSecSSSKT": "{folder}/sss"}),
    credentials.Credential("s3", "test", files={"s3": S3_SECRET.encode()}),
]


class Recording(Service):
    """Lambda, and a copy of everything that goes to the storage and into events."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.stored: list[bytes] = []
        self.events: list[bytes] = []

    def forward(self, port: int, request: Any, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        self.stored.append(body)
        return super().forward(port, request, body)

    def invoke(self, name: str, kind: str, payload: bytes) -> tuple[int, bytes, dict[str, str]]:
        self.events.append(payload)
        return super().invoke(name, kind, payload)


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[lithops.FunctionExecutor, Recording]]:
    """Lambda with two environments at a time; processes, as what they leave on their disks is read."""
    with standing(Places(), kind=Recording) as made:
        assert isinstance(made.service, Recording)
        yield made.executor, made.service


@pytest.fixture
def service(recorded: tuple[lithops.FunctionExecutor, Recording]) -> Recording:
    """Lambda itself."""
    return recorded[1]


@pytest.fixture
def recorded_aws(recorded: tuple[lithops.FunctionExecutor, Recording]) -> lithops.FunctionExecutor:
    """Lithops' executor there."""
    return recorded[0]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Options:
    """Options that send marked secrets along."""
    for item in FOUND:
        monkeypatch.setitem(credentials._FINDERS, item.kind, lambda found=item: found)
    return Options(credentials=tuple(item.kind for item in FOUND))


def everything_written(service: Recording) -> bytes:
    """Logs and files of the environments, and Lambda's."""
    folders = [service.folder, *(Path(environment.runner.tmp) for environment in service.environments)]
    return b"\n".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())


def test_key_and_credentials_travel_apart(
    recorded_aws: lithops.FunctionExecutor,
    service: Recording,
    marked: Options,
    registries: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The ROOT process has the credentials; no object, event, log or file has them, and their key is in the events alone."""
    ROOT.RDF.Distributed.DistributeCppCode(READ_TOKEN)
    logger = logging.getLogger("lithops")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    try:
        assert 2 * len(TOKEN) == token_query(recorded_aws, marked).GetValue()
    finally:
        logger.removeHandler(caplog.handler)
    events = [json.loads(event) for event in service.events]
    keys = {event["extra_env"][KEY_VARIABLE] for event in events if event.get("extra_env", {}).get(KEY_VARIABLE)}
    assert 1 == len(keys)
    (key,) = keys
    stored, left = b"\n".join(service.stored), everything_written(service)
    assert b"rdf_lithops" in stored
    assert [] == found_in(stored) + found_in(b"\n".join(service.events)) + found_in(left) + found_in(caplog.text.encode())
    assert (False, False) == (key.encode() in stored, key.encode() in left)
    assert "Extra environment vars" in caplog.text
    assert key not in caplog.text
    assert 0 == token_query(recorded_aws, Options(credentials=())).GetValue()


def test_plan_driven_by_hand_needs_its_key(recorded_aws: lithops.FunctionExecutor, marked: Options, registries: Any) -> None:
    """Without ``extra_env`` the tasks say which one to pass; with it they answer."""
    ROOT.RDF.Distributed.DistributeCppCode(READ_TOKEN)
    query = token_query(recorded_aws, marked)
    plan = rdf_lithops.plan(query)
    with pytest.raises(rdf_lithops.CredentialsError, match=r"extra_env=plan\.extra_env"):
        plan.deliver(recorded_aws.get_result(recorded_aws.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)))
    futures = recorded_aws.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task, extra_env=plan.extra_env)
    plan.deliver(recorded_aws.get_result(futures))
    assert 2 * len(TOKEN) == query.GetValue()
