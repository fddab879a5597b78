"""``replicate`` loses no part and destroys no file: calls that are killed or lost run again, and what is not ours stays."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
from conftest import WITHOUT_ROOT
from kinds import quickly
from lambda_standin import Service, service
from marks import found_in
from servers.s3 import S3
from servers.web import Web
from servers.xrootd import MACAROON, XRootD
from test_credentials import files_with_secrets
from test_remote import s3_here  # noqa: F401  # a fixture
from test_replication import PART_BYTES, written

from rdf_lithops import LostRangesError, PlanError
from rdf_lithops.executor import replication


@pytest.fixture
def watchful() -> Iterator[lithops.FunctionExecutor]:
    """An executor of this machine that gives up on silent calls soon; a test may script faults."""
    executor = lithops.FunctionExecutor(config=WITHOUT_ROOT)
    executor.config["rdf_lithops"].update(beat_s=0.2, silence_s=5.0, start_s=30.0, backoff_s=0.0)
    yield executor
    executor.__exit__(None, None, None)


# -- lost calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", quickly(["kill", "garbage", "exit", "lose", "raise", "twice"], "kill"))
def test_calls_that_break_run_again(how: str, watchful: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """A part whose call is killed, ends, loses its answer or gives nonsense is copied again, and the copy is whole."""
    watchful.config["rdf_lithops"]["faults"] = {"task": {1: [how]}}
    source, target = written(tmp_path, 2.3), tmp_path / "copy"
    replication.replicate(watchful, [str(source)], str(target), PART_BYTES)
    assert source.read_bytes() == (target / "large.root").read_bytes()


@pytest.mark.slow
def test_a_call_that_always_breaks_ends_the_copy(watchful: lithops.FunctionExecutor, tmp_path: Path) -> None:
    """A part that never arrives is an error after the attempts that the user allows; the same command goes on from there."""
    watchful.config["rdf_lithops"].update(faults={"task": {1: ["kill", "kill"]}}, attempts=2)
    source, target = written(tmp_path, 2.3), tmp_path / "copy"
    with pytest.raises(LostRangesError, match=r"1 parts did not arrive(.|\n)*the same command goes on"):
        replication.replicate(watchful, [str(source)], str(target), PART_BYTES)
    assert not (target / "large.root").exists()
    del watchful.config["rdf_lithops"]["faults"]
    progress: list[tuple[int, int]] = []
    replication.replicate(watchful, [str(source)], str(target), PART_BYTES, lambda *seen: progress.append(seen))
    assert (1, 1) == progress[0]
    assert source.read_bytes() == (target / "large.root").read_bytes()


@pytest.mark.slow
def test_an_environment_killed_in_mid_copy(
    aws: lithops.FunctionExecutor, aws_service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Lambda an environment dies in mid-copy, and nobody hears of its call again: the copy is complete all the same."""
    monkeypatch.setattr(service, "EVENT_DELIVERIES", 1)
    monkeypatch.setitem(aws.config, "rdf_lithops", {"beat_s": 0.5, "silence_s": 5.0, "start_s": 60.0, "backoff_s": 0.0})
    folder = Path(aws_service.places.volume)
    source, target = written(folder, 2.3), folder / "copied"
    try:
        aws_service.script({1: "kill"})
        replication.replicate(aws, [str(source)], str(target), PART_BYTES)
        assert source.read_bytes() == (target / "large.root").read_bytes()
        assert any(invocation.error for invocation in aws_service.invocations)
    finally:
        source.unlink()
        shutil.rmtree(target, ignore_errors=True)


# -- what is not ours -------------------------------------------------------------------------------------------------


def refusal(executor: Any, sources: list[str], target: str) -> str:
    """Why the copy is refused before anything is written; empty if it is not."""
    try:
        replication.replicate(executor, sources, target, PART_BYTES)
    except PlanError as refused:
        return str(refused)
    return ""


def test_files_of_others_stay_in_a_folder(fexec: Any, tmp_path: Path) -> None:
    """A file of a copy's name that no manifest knows, or that was changed since, is named and left as it is."""
    source, target = written(tmp_path, 0.3), tmp_path / "copy"
    target.mkdir()
    (target / "large.root").write_text("somebody's")
    assert str(target / "large.root") in refusal(fexec, [str(source)], str(target))
    assert ["large.root"] == os.listdir(target)
    assert "somebody's" == (target / "large.root").read_text()
    (target / "large.root").unlink()
    replication.replicate(fexec, [str(source)], str(target), PART_BYTES)
    written(tmp_path, 0.4)
    replication.replicate(fexec, [str(source)], str(target), PART_BYTES)  # ours, of an older source
    assert source.read_bytes() == (target / "large.root").read_bytes()
    (target / "large.root").write_text("somebody's again")
    written(tmp_path, 0.5)
    assert str(target / "large.root") in refusal(fexec, [str(source)], str(target))
    assert "somebody's again" == (target / "large.root").read_text()


@pytest.mark.parametrize("how", ["folder", "link to the folder", "link to the file", "second name"])
def test_a_source_is_never_its_own_target(how: str, fexec: Any, tmp_path: Path) -> None:
    """Copied into its own folder, by whatever name, a file is neither replaced nor lost."""
    source = written(tmp_path, 0.3)
    before, target = source.read_bytes(), tmp_path / "copy"
    if how == "folder":
        target = tmp_path
    elif how == "link to the folder":
        target.symlink_to(tmp_path)
    else:
        target.mkdir()
        (os.symlink if "link" in how else os.link)(source, target / "large.root")
    assert "large.root" in refusal(fexec, [str(source)], str(target))
    assert before == source.read_bytes()
    assert not list(tmp_path.rglob("*rdf_lithops-part"))


def test_files_of_others_stay_in_s3(s3_here: S3, fexec: Any, tmp_path: Path) -> None:  # noqa: F811
    """In S3, too, an object that no manifest knows, one that was changed, and the source itself stay."""
    source = written(tmp_path, 0.3)
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        place, target = {"Bucket": bucket, "Key": "copy/large.root"}, f"s3://{bucket}/copy"
        client.put_object(**place, Body=b"somebody's")
        assert f"{target}/large.root" in refusal(fexec, [str(source)], target)
        assert f"{target}/large.root" in refusal(fexec, [f"{target}/large.root"], target)
        assert b"somebody's" == client.get_object(**place)["Body"].read()
        client.delete_object(**place)
        replication.replicate(fexec, [str(source)], target, PART_BYTES)
        client.put_object(**place, Body=b"somebody's again")
        written(tmp_path, 0.4)
        assert f"{target}/large.root" in refusal(fexec, [str(source)], target)
        assert b"somebody's again" == client.get_object(**place)["Body"].read()
        assert [] == client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


@pytest.mark.slow
def test_uploads_of_changed_sources_are_given_up(s3_here: S3, fexec: Any, tmp_path: Path) -> None:  # noqa: F811
    """A source that changes between two attempts: the parts of the first one do not stay in the store, which bills them."""
    source = written(tmp_path, 1.5)
    with s3_here.bucket() as bucket, contextlib.closing(s3_here.client()) as client:
        target = f"s3://{bucket}/copy"

        def stop(done: int, of: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            replication.replicate(fexec, [str(source)], target, PART_BYTES, stop)
        assert 1 == len(client.list_multipart_uploads(Bucket=bucket)["Uploads"])
        written(tmp_path, 1.7)
        replication.replicate(fexec, [str(source)], target, PART_BYTES)
        assert [] == client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        assert source.read_bytes() == client.get_object(Bucket=bucket, Key="copy/large.root")["Body"].read()


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sources_with_secrets_in_their_urls(
    web: Web, xrootd: Callable[[str], XRootD], watchful: lithops.FunctionExecutor, tmp_path: Path
) -> None:
    """Signed sources are copied; neither the manifest nor anything else that stays, or is told, has the signature."""
    source = written(tmp_path, 1.3)
    (web.root / "signed").mkdir(exist_ok=True)
    shutil.copy(source, web.root / "signed" / "web.root")
    closed = xrootd("macaroons")
    macaroon = closed.credentials[MACAROON]
    urls = [f"{web.http}/signed/web.root?sig={web.signature}", f"{closed.put(source)}?authz={macaroon}"]
    secrets, target = [web.signature, macaroon], tmp_path / "copy"
    files = replication.replicate(watchful, urls, str(target), PART_BYTES)
    assert [source.read_bytes()] * 2 == [(target / name).read_bytes() for name in ("web.root", "large.root")]
    assert {} == files_with_secrets(target, (), secrets)
    assert [] == found_in(json.dumps([vars(item) for item in files]).encode(), secrets)
