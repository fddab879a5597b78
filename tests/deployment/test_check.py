"""``rdf-lithops check`` against set-ups that are broken in one way each: it is named, with a remedy, and nothing else is."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import lithops
import pytest
import yaml
from click.testing import CliRunner
from conftest import REPOSITORY
from lambda_standin import Places, Service, account
from lambda_standin.snapshots import can_snapshot
from lambda_standin.standing import image
from servers.s3 import S3

from rdf_lithops.cli import main
from rdf_lithops.deployment import check, runtime
from rdf_lithops.errors import RuntimeImageError

WORKER_POLICY = json.loads((REPOSITORY / "configs" / "iam" / "worker-policy.json").read_text())


def worker_policy() -> dict[str, Any]:
    """The policy that we give people, for the bucket of these tests."""
    text = json.dumps(WORKER_POLICY).replace("BUCKET", account.BUCKET)
    found: dict[str, Any] = json.loads(text.replace("ACCOUNT", "123456789012").replace("REGION", account.REGION))
    return found


@pytest.fixture(scope="module")
def site(s3: S3) -> Iterator[Service]:
    """An account where all is well: Ceph's gateway behind S3, the role as we ship it, the function deployed."""
    port = int(s3.endpoint.rpartition(":")[2])
    keys = (s3.access_key, s3.secret_key)
    with Service(Places(handler="lambda_standin.described.handler"), quota=8, s3_port=port) as running:
        with account.environment(account.driver_variables(running, keys)):
            running.places.variables.update(account.worker_variables(running, keys))
            running.places.variables["PYTHONPATH"] = str(REPOSITORY / "tests")
            role = account.open_account(worker_policy())
            with account.executor(running, account.config(role)) as executor:
                executor.invoker.select_runtime("M000", None)  # Lithops' own deployment
                yield running
        if (
            image() is None
        ):  # where calls run in containers it is the bucket of the session's stand-in, too, which removes it
            boto3.client("s3", **_keywords(s3)).delete_bucket(Bucket=account.BUCKET)


def _keywords(s3: S3) -> dict[str, Any]:
    return {
        "endpoint_url": s3.endpoint,
        "aws_access_key_id": s3.access_key,
        "aws_secret_access_key": s3.secret_key,
        "region_name": s3.region,
    }


@dataclass
class Attempt:
    """One run of the check: the settings, and what undoes what a test did to the account."""

    folder: Path
    settings: dict[str, Any]
    undo: list[Callable[[], Any]] = field(default_factory=list)

    def findings(self, *sources: str, calls: int = 1) -> list[check.Finding]:
        """What the check finds, through a configuration file."""
        return check.check(str(self.write()), sources, calls)

    def write(self) -> Path:
        """The configuration as a file."""
        path = self.folder / "lithops.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        return path


@pytest.fixture
def attempt(site: Service, tmp_path: Path) -> Iterator[Attempt]:
    """A set-up where all is well, for a test to break; mended afterwards."""
    role = boto3.client("iam").get_role(RoleName=account.ROLE)["Role"]["Arn"]
    made = Attempt(tmp_path, copy.deepcopy(account.config(role)))
    yield made
    for action in reversed(made.undo):
        action()


def wrong(findings: list[check.Finding]) -> dict[str, str]:
    """Names and messages of what is wrong; each has a remedy."""
    found = [finding for finding in findings if finding.level == "wrong"]
    assert all(finding.remedy for finding in found)
    return {finding.name: finding.message for finding in found}


def test_all_is_well(attempt: Attempt) -> None:
    """The set-up that we describe has nothing wrong, and every question was answered."""
    findings = attempt.findings(calls=8)
    assert {} == wrong(findings), "\n".join(map(str, findings))
    answered = {finding.name for finding in findings if finding.level == "ok"}
    assert {"configuration", "credentials", "clock", "storage", "private", "role", "versions", "limits", "quota"} <= answered


# -- the broken set-ups: what is done to a good one, the finding's name, what its message says --------------------------


def no_bucket(attempt: Attempt) -> None:
    attempt.settings["aws_s3"]["storage_bucket"] = "rdf-lithops-nowhere"


def public_bucket(attempt: Attempt) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_acl(Bucket=account.BUCKET, ACL="public-read")
    attempt.undo.append(lambda: s3.put_bucket_acl(Bucket=account.BUCKET, ACL="private"))


def readable_objects(attempt: Attempt) -> None:
    s3 = boto3.client("s3")
    objects = f"arn:aws:s3:::{account.BUCKET}/*"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": objects}
    s3.put_bucket_policy(Bucket=account.BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    attempt.undo.append(lambda: s3.delete_bucket_policy(Bucket=account.BUCKET))


def wrong_key(attempt: Attempt) -> None:
    attempt.settings["aws"].update(access_key_id="AKIANOBODY0000000000", secret_access_key="nothing")


def wrong_secret(attempt: Attempt) -> None:
    attempt.settings["aws"].update(access_key_id=os.environ["AWS_ACCESS_KEY_ID"], secret_access_key="nothing")


def missing_role(attempt: Attempt) -> None:
    attempt.settings["aws_lambda"]["execution_role"] = "arn:aws:iam::123456789012:role/nobody"


def _policy(attempt: Attempt, document: dict[str, Any] | None, name: str = "worker") -> None:
    iam = boto3.client("iam")
    good = json.dumps(worker_policy())
    if document is None:
        iam.delete_role_policy(RoleName=account.ROLE, PolicyName=name)
    else:
        iam.put_role_policy(RoleName=account.ROLE, PolicyName=name, PolicyDocument=json.dumps(document))
    if name == "worker":
        attempt.undo.append(lambda: iam.put_role_policy(RoleName=account.ROLE, PolicyName=name, PolicyDocument=good))
    else:
        attempt.undo.append(lambda: iam.delete_role_policy(RoleName=account.ROLE, PolicyName=name))


def too_wide_role(attempt: Attempt) -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    _policy(attempt, {"Version": "2012-10-17", "Statement": statement}, name="generous")


def too_narrow_role(attempt: Attempt) -> None:
    document = worker_policy()
    document["Statement"] = [item for item in document["Statement"] if item["Sid"] != "ListForTheReducer"]
    _policy(attempt, document)


def role_without_trust(attempt: Attempt) -> None:
    iam = boto3.client("iam")
    other = json.dumps(account.TRUST).replace("lambda.amazonaws.com", "ec2.amazonaws.com")
    iam.update_assume_role_policy(RoleName=account.ROLE, PolicyDocument=other)
    good = json.dumps(account.TRUST)
    attempt.undo.append(lambda: iam.update_assume_role_policy(RoleName=account.ROLE, PolicyDocument=good))


def not_deployed(attempt: Attempt) -> None:
    attempt.settings["aws_lambda"]["runtime"] = "rdf_lithops:never"


def other_settings(attempt: Attempt) -> None:
    attempt.settings["aws_lambda"]["runtime_timeout"] = 600


def too_little_memory(attempt: Attempt) -> None:
    attempt.settings["aws_lambda"]["runtime_memory"] = 256


def too_many_workers(attempt: Attempt) -> None:
    attempt.settings["aws_lambda"]["max_workers"] = 5000


def no_role_setting(attempt: Attempt) -> None:
    del attempt.settings["aws_lambda"]["execution_role"]


BROKEN: list[tuple[Callable[[Attempt], None], str, str]] = [
    (no_bucket, "storage", "rdf-lithops-nowhere"),
    (public_bucket, "private", "everybody"),
    (readable_objects, "private", "public|without credentials"),
    (wrong_key, "storage", "403|InvalidAccessKeyId"),
    (wrong_secret, "storage", "403|SignatureDoesNotMatch"),
    (missing_role, "role", "no role nobody"),
    (too_wide_role, "role", r"allows s3:\*"),
    (too_narrow_role, "role", "s3:ListBucket"),
    (role_without_trust, "role", "Lambda may not take"),
    (not_deployed, "runtime", "not deployed"),
    (other_settings, "runtime", "runtime_timeout: 120 deployed, 600 configured"),
    (too_little_memory, "memory", "256 MiB"),
    (too_many_workers, "quota", "5000"),
    (no_role_setting, "configuration", "execution_role"),
]

# one cause, two findings: the role's policy is for another bucket, the deployed function has another role or memory
FOLLOWING: dict[Callable[[Attempt], None], set[str]] = {
    no_bucket: {"role"},
    missing_role: {"runtime"},
    too_little_memory: {"runtime"},
}


@pytest.mark.parametrize(("break_it", "name", "says"), BROKEN, ids=[item[0].__name__ for item in BROKEN])
def test_broken(attempt: Attempt, break_it: Callable[[Attempt], None], name: str, says: str) -> None:
    """What is broken is found, by name, and nothing else is; the command line ends with its status for that, untroubled."""
    break_it(attempt)
    ended = CliRunner().invoke(main, ["check", "--config", str(attempt.write()), "--calls", "8", "--json"])
    assert 3 == ended.exit_code, ended.output
    assert "Traceback" not in ended.output
    found = wrong([check.Finding(**item) for item in json.loads(ended.output.splitlines()[0])])
    assert re.search(says, found[name]), found
    assert {name, *FOLLOWING.get(break_it, ())} >= set(found), found


@pytest.mark.parametrize("what", ["python", "root", "rdf_lithops", "lithops"])
def test_other_versions(attempt: Attempt, site: Service, what: str) -> None:
    """An image of another Python, an older ROOT, or another version of either package is told by name and number."""
    site.places.variables["DESCRIBED"] = json.dumps({what: "0.9"})
    site.retire()
    attempt.undo += [site.retire, lambda: site.places.variables.pop("DESCRIBED")]
    found = wrong(attempt.findings())
    assert ["versions"] == list(found)
    assert f"{what} 0.9 in the image" in found["versions"]


@pytest.mark.slow
def test_deploy_takes_changed_settings(attempt: Attempt) -> None:
    """`runtime deploy` replaces a function whose time has changed, which Lithops alone would keep, and says so."""
    given = attempt.settings["aws_lambda"]["runtime_timeout"]
    for timeout in (600, given):
        attempt.settings["aws_lambda"]["runtime_timeout"] = timeout
        ended = CliRunner().invoke(main, ["runtime", "deploy", "--config", str(attempt.write())])
        assert 0 == ended.exit_code, ended.output
        assert f"{timeout} configured" in ended.output
        assert {} == wrong(attempt.findings())


@pytest.mark.slow
@pytest.mark.skipif(not can_snapshot(), reason="needs the rights of root, for namespaces of processes")
def test_deploy_takes_a_snapshot(attempt: Attempt) -> None:
    """One line of the configuration has `runtime deploy` publish a snapshot; `check` tells whether it is there."""
    attempt.settings["aws_lambda"]["snapstart"] = True
    missing = wrong(attempt.findings())
    assert "has no published version" in missing["snapshot"]
    assert "snapstart: False deployed, True configured" in missing["runtime"]
    for wanted in (True, False):
        attempt.settings["aws_lambda"]["snapstart"] = wanted
        ended = CliRunner().invoke(main, ["runtime", "deploy", "--config", str(attempt.write())])
        assert 0 == ended.exit_code, ended.output
        assert f"snapstart: {not wanted} deployed, {wanted} configured" in ended.output
        found = attempt.findings()
        assert {} == wrong(found)
        assert wanted == any(finding.name == "snapshot" for finding in found)


def test_the_image_s_name_is_written_into_the_configuration(tmp_path: Path) -> None:
    """`runtime build --config` sets the runtime of the right section and leaves the comments."""
    path = tmp_path / "aws_lambda.yaml"
    path.write_text((REPOSITORY / "configs" / "aws_lambda.yaml").read_text())
    before = path.read_text().splitlines()
    runtime.write_tag(str(path), "aws_lambda", "rdf_lithops:0123456789ab")
    changed = [new for old, new in zip(before, path.read_text().splitlines(), strict=True) if old != new]
    assert [
        "  runtime: rdf_lithops:0123456789ab         # `runtime build` appends a tag made of the image's contents"
    ] == changed
    with pytest.raises(RuntimeImageError, match=r"k8s\.runtime"):
        runtime.write_tag(str(path), "k8s", "rdf_lithops:0123456789ab")


def test_sources(attempt: Attempt, tmp_path: Path) -> None:
    """Data that does not open, and paths that calls elsewhere cannot read, are told."""
    local = str(tmp_path / "data.root")
    findings = attempt.findings(local, "root://127.0.0.1:1//nothing.root")
    messages = [finding.message for finding in findings if finding.name == "source"]
    assert all(finding.level == "wrong" for finding in findings if finding.name == "source")
    assert "cannot read it" in messages[0]
    assert "nothing.root" in messages[1]


def test_json(attempt: Attempt) -> None:
    """``--json`` prints the findings, all of them with the same fields."""
    ended = CliRunner().invoke(main, ["check", "--config", str(attempt.write()), "--json"])
    assert 0 == ended.exit_code, ended.output
    findings = json.loads(ended.output)
    assert {"name", "level", "message", "remedy"} == set.union(*(set(finding) for finding in findings))


def test_this_machine() -> None:
    """The configuration for this machine has nothing wrong."""
    assert {} == wrong(check.check(str(REPOSITORY / "configs" / "localhost.yaml")))


def test_lithops_version_is_pinned() -> None:
    """The image's Lithops is the driver's."""
    pins = (REPOSITORY / "runtime" / "requirements.txt").read_text()
    assert f"lithops=={lithops.__version__}" in pins
