"""Is everything ready to run there: ``rdf-lithops check``. Each question is one function; findings are values.

Nothing is changed but one small object, written and deleted again; nothing is raised: what a question runs into is its
finding. Later questions need what earlier ones found, so a configuration that cannot be read ends the list.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .. import batch
from ..files.secret_urls import cleaned, name_of
from ..planning.limits import ROOT_MEMORY_MIB, Demand, limits_of, misfits, wants_snapstart
from . import policies, runtime, snapstart
from .findings import Finding
from .findings import note as _note
from .findings import ok as _ok
from .findings import wrong as _wrong

__all__ = ["Finding", "check"]

PREFIX = "rdf_lithops/check"
CLOCK_LIMIT_S = 60.0  # signatures are refused from five minutes on
SOURCE_LIMIT_S = 30.0
IMPATIENT = {"XRD_CONNECTIONWINDOW": "5", "XRD_CONNECTIONRETRY": "1", "XRD_STREAMERRORWINDOW": "1"}  # XRootD waits minutes
REMOTE = ("http://", "https://", "root://", "roots://", "s3://", "xroot://", "xroots://")


@dataclass
class Site:
    """What is checked: Lithops' settings, filled in, and its handlers as far as they could be made."""

    settings: dict[str, Any]
    config: str
    calls: int
    storage: Any = None
    compute: Any = None

    @property
    def backend(self) -> str:
        return str(self.settings["lithops"]["backend"])

    @property
    def section(self) -> dict[str, Any]:
        return dict(self.settings.get(self.backend) or {})

    @property
    def bucket(self) -> str:
        return str(self.settings[self.settings["lithops"]["storage"]].get("storage_bucket", ""))

    def client(self, service: str) -> Any:
        """A boto3 client with the credentials of this configuration."""
        import boto3

        given = self.settings.get("aws") or {}
        names = ("access_key_id", "secret_access_key", "session_token")
        keys = {f"aws_{name}": given[name] for name in names if name in given}
        return boto3.client(service, region_name=given.get("region"), **keys)


def check(config: str | None, sources: Sequence[str] = (), calls: int = 1) -> list[Finding]:
    """Ask all questions of a Lithops configuration file (None: the one that Lithops finds); never raises."""
    site = _read(config, calls)
    if isinstance(site, Finding):
        return [site]
    findings = [_ok("configuration", f"{site.config} for {site.backend} with {site.settings['lithops']['storage']}")]
    questions: list[Callable[[Site], Iterator[Finding]]] = [_secrets, _storage, _limits]
    if site.backend == "aws_lambda":
        questions = [_secrets, _credentials, _storage, _role, _runtime, _limits, _quota]
    if site.backend in batch.COMPUTE:
        questions = [_secrets, _storage, _limits, _cluster]
    for question in questions:
        findings += _asked(question, site)
    for source in sources:
        findings += _asked(lambda site, source=source: _source(site, source), site)  # type: ignore[misc]
    return findings


def _asked(question: Callable[[Site], Iterator[Finding]], site: Site) -> list[Finding]:
    """What a question finds; what it did not expect is a finding, too."""
    found = []
    try:
        for finding in question(site):
            found.append(finding)
    except Exception as error:
        name = getattr(question, "__name__", "source").strip("_").replace("<lambda>", "source")
        found.append(_wrong(name, _said(error), "see the message; rdf-lithops check again when it is mended"))
    return found


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def _code(error: Exception) -> str:
    """AWS' name of an error; empty for another one."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


# -- questions --------------------------------------------------------------------------------------------------------


def _read(config: str | None, calls: int) -> Site | Finding:
    from lithops.config import default_config

    shown = config or "Lithops' own configuration"
    try:
        return Site(default_config(config_file=config), shown, calls)
    except Exception as error:  # Lithops raises plain Exception, and what YAML and its own code raise
        return _wrong("configuration", f"Lithops does not accept {shown}: {_said(error)}", "compare it with configs/")


def _secrets(site: Site) -> Iterator[Finding]:
    """Look for secrets in the configuration: Lithops sends all of it with each call."""
    secret = ("secret_access_key", "iam_api_key", "password", "session_token", "account_key", "docker_password")
    found = sorted(
        {f"{name}.{key}" for name, section in site.settings.items() if isinstance(section, dict) for key in secret
         if section.get(key)}
    )  # fmt: skip
    if found:
        yield _note("secrets", f"{', '.join(found)} travel with every call", "use a key that may touch this bucket alone")


def _credentials(site: Site) -> Iterator[Finding]:
    try:
        answer = site.client("sts").get_caller_identity()
    except Exception as error:
        yield _wrong("credentials", _said(error), "aws configure, or aws sso login")
        return
    yield _ok("credentials", answer["Arn"])
    yield _clock(answer["ResponseMetadata"]["HTTPHeaders"].get("date"))


def _clock(date: str | None) -> Finding:
    if not date:
        return _note("clock", "the server does not tell the time")
    theirs = email.utils.parsedate_to_datetime(date)
    ahead_s = (datetime.datetime.now(datetime.timezone.utc) - theirs).total_seconds()
    if abs(ahead_s) > CLOCK_LIMIT_S:
        return _wrong("clock", f"this machine is {ahead_s:+.0f} s off", "timedatectl set-ntp true")
    return _ok("clock", f"within {CLOCK_LIMIT_S:.0f} s")


def _storage(site: Site) -> Iterator[Finding]:
    """Ask whether the storage is reachable, writable, private, encrypted."""
    from lithops.config import extract_storage_config
    from lithops.storage import Storage

    kind, key = site.settings["lithops"]["storage"], f"{PREFIX}/{os.urandom(8).hex()}"
    try:
        site.storage = Storage(storage_config=extract_storage_config(site.settings))
        site.storage.put_object(site.bucket, key, b"rdf-lithops check")
        same = site.storage.get_object(site.bucket, key) == b"rdf-lithops check"
    except Exception as error:
        yield _wrong("storage", f"{kind}://{site.bucket}: {_said(error)}", _storage_remedy(site, error))
        return
    try:
        if not same:
            yield _wrong("storage", f"{kind}://{site.bucket} gives back other bytes than were written", "use another bucket")
        else:
            yield _ok("storage", f"{kind}://{site.bucket} can be written and read")
        if hasattr(site.storage.storage_handler, "s3_client"):
            yield from _bucket(site, site.storage.storage_handler.s3_client, key)
    finally:
        site.storage.delete_object(site.bucket, key)


def _storage_remedy(site: Site, error: Exception) -> str:
    code, said = _code(error), str(error)
    if code in ("NoSuchBucket", "404") or "NoSuchKey" in type(error).__name__:
        return f"aws s3 mb s3://{site.bucket}"
    if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch") or "403" in said:
        return "use a key that may read and write it: configs/iam/driver-policy.json"
    return "is the endpoint right, and reachable from here?"


def _bucket(site: Site, client: Any, key: str) -> Iterator[Finding]:
    public = _public(client, site.bucket, key)
    mend = f"aws s3api put-public-access-block --bucket {site.bucket} --public-access-block-configuration "
    block = "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
    yield _wrong("private", public, mend + block) if public else _ok("private", "strangers are refused")
    try:
        rules = client.get_bucket_encryption(Bucket=site.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        yield _ok("encryption", rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])
    except Exception as error:
        yield _note("encryption", f"the server does not say that it encrypts ({_code(error) or type(error).__name__})")
    if client.meta.endpoint_url.startswith("http://"):
        yield _note("transport", f"{client.meta.endpoint_url} is not encrypted on the way", "use https outside this machine")


def _public(client: Any, bucket: str, key: str) -> str:
    """How strangers get at the bucket; empty if they do not. The object of ``key`` is asked for without credentials."""
    for grant in client.get_bucket_acl(Bucket=bucket)["Grants"]:
        if grant["Grantee"].get("URI", "").endswith(("/AllUsers", "/AuthenticatedUsers")):
            return f"its access list grants {grant['Permission']} to everybody"
    with contextlib.suppress(Exception):  # no policy, or not for us to see: the request below shows what it does
        if client.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]:
            return "its policy makes it public"
    signed = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    try:
        with urllib.request.urlopen(signed.partition("?")[0], timeout=20):
            return "an object can be read without credentials"
    except OSError:  # HTTPError is one
        return ""


def _role(site: Site) -> Iterator[Finding]:
    """Ask whether the role of calls is there, may be taken by Lambda, allows what calls do, and no more."""
    iam, name = site.client("iam"), str(site.section["execution_role"]).rpartition("/")[2]
    create = f"aws iam create-role --role-name {name} --assume-role-policy-document file://configs/iam/worker-trust.json"
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except Exception as error:
        if _code(error) == "NoSuchEntity":
            yield _wrong("role", f"there is no role {name}", create)
        else:
            yield _note("role", f"cannot be looked at: {_said(error)}", "configs/iam/driver-policy.json allows it")
        return
    if "lambda.amazonaws.com" not in json.dumps(role["AssumeRolePolicyDocument"]):
        yield _wrong("role", f"Lambda may not take {name}", create.replace("create-role", "update-assume-role-policy"))
    documents = list(_documents(iam, name))
    needs = policies.needs_of_worker(site.bucket)
    missing = [action for action, resource in needs if not policies.allows(documents, action, resource)]
    put = f"aws iam put-role-policy --role-name {name} --policy-name worker --policy-document "
    put += "file://configs/iam/worker-policy.json"
    if missing:
        yield _wrong("role", f"{name} may not {', '.join(missing)} on {site.bucket}", put)
    excess = policies.too_wide(documents, site.bucket)
    if excess:
        yield _wrong("role", f"{name} may do more than calls need: {'; '.join(excess[:4])}", f"remove that, then: {put}")
    if not missing and not excess:
        yield _ok("role", f"{name} may do what calls need, and no more")


def _documents(iam: Any, role: str) -> Iterator[dict[str, Any]]:
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        policy = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]
        version = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=policy["DefaultVersionId"])
        yield version["PolicyVersion"]["Document"]


def _runtime(site: Site) -> Iterator[Finding]:
    """Ask whether the runtime is deployed, as configured, and has the driver's versions."""
    from lithops.config import extract_serverless_config
    from lithops.serverless import ServerlessHandler

    backend = ServerlessHandler(extract_serverless_config(site.settings), None).backend
    image, deploy = site.section["runtime"], f"rdf-lithops runtime deploy --config {site.config}"
    name = backend._format_function_name(image, site.section["runtime_memory"])
    client = site.client("lambda")
    try:
        state = client.get_function_configuration(FunctionName=name).get("State", "Active")
    except Exception as error:
        remedy = deploy if _code(error) == "ResourceNotFoundException" else "configs/iam/driver-policy.json allows it"
        yield _wrong("runtime", f"{image} is not deployed as {name}: {_code(error) or _said(error)}", remedy)
        return
    if state != "Active":
        yield _wrong("runtime", f"{name} is {state}", f"wait, or {deploy}")
        return
    differ = runtime.differences(backend, site.section)
    if differ:
        yield _wrong("runtime", "; ".join(differ), deploy)
    if wants_snapstart(site.backend, site.section):
        yield from snapstart.examine(client, name, deploy)
    yield from _versions(client, name, f"rdf-lithops runtime build --config {site.config} && {deploy}")


def _versions(client: Any, name: str, rebuild: str) -> Iterator[Finding]:
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"rdf_lithops": "describe"}))
    said = json.loads(answer["Payload"].read() or b"{}")
    if "versions" not in said:
        yield _wrong("versions", f"the image is not one of rdf_lithops: {json.dumps(said)[:200]}", rebuild)
        return
    for what, expected in runtime.driver_versions().items():
        got = said["versions"].get(what)
        if got != expected:
            yield _wrong("versions", f"{what} {got} in the image, {expected} here", rebuild)
    if all(said["versions"].get(what) == expected for what, expected in runtime.driver_versions().items()):
        shown = ", ".join(f"{what} {version}" for what, version in said["versions"].items())
        yield _ok("versions", f"{shown}; initialised in {said['initialisation_s']:.1f} s")


def _limits(site: Site) -> Iterator[Finding]:
    """Compare memory, time and disk as configured with what ROOT needs and what the backend has."""
    memory = site.section.get("runtime_memory")
    if memory and memory < ROOT_MEMORY_MIB:
        remedy = f"set {site.backend}.runtime_memory to {ROOT_MEMORY_MIB} or more, then runtime deploy"
        yield _wrong("memory", f"{memory} MiB per call; ROOT and Lithops need {ROOT_MEMORY_MIB}", remedy)
    own = limits_of(site.backend)
    asked = Demand(memory, site.section.get("runtime_timeout"), site.section.get("ephemeral_storage"))
    found = misfits(own, asked)
    yield from (_wrong(misfit.what, str(misfit), misfit.change) for misfit in found)
    if wants_snapstart(site.backend, site.section):
        yield from snapstart.misfits(site.section)
    if memory and memory >= ROOT_MEMORY_MIB and not found:
        vcpus = own.vcpus(memory)
        yield _ok("limits", f"{memory} MiB" + (f", {vcpus:.2f} vCPU" if vcpus else "") + f", {asked.duration_s} s per call")
        if vcpus and vcpus < 1:
            yield _note("limits", f"less than a whole vCPU: calls are slower by {1 / vcpus:.1f}, and not cheaper")


def _cluster(site: Site) -> Iterator[Finding]:
    """Ask the submit host, the scheduler, and, by a job, a node."""
    from .. import _version
    from ..batch import readiness

    versions = runtime.driver_versions()
    wanted = {"lithops": versions.get("lithops"), "ROOT": versions.get("root"), "rdf_lithops": _version.__version__}
    modules = [(name, version) for name, version in wanted.items() if version]
    for answer in readiness.examine(site.backend, site.section, modules):
        yield Finding(answer.name, answer.level, answer.message, answer.remedy)


def _quota(site: Site) -> Iterator[Finding]:
    """Compare what the account may run at a time with what Lithops would start."""
    try:
        quota = site.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    except Exception as error:
        yield _note("quota", f"cannot be asked: {_said(error)}", "configs/iam/driver-policy.json allows it")
        return
    at_a_time = min(site.section.get("max_workers", site.calls), max(site.calls, 1))
    if site.section.get("max_workers", 0) > quota or at_a_time > quota:
        yield _wrong(
            "quota",
            f"{site.section.get('max_workers')} calls at a time, of {quota} that the account may run",
            f"set {site.backend}.max_workers to {quota}, or ask AWS for more (Service Quotas, Concurrent executions)",
        )
    else:
        yield _ok("quota", f"{site.section.get('max_workers')} of {quota} calls at a time")


def _source(site: Site, source: str) -> Iterator[Finding]:
    """Data opens from here as a run would open it; whether calls elsewhere reach it, too, cannot be seen from here."""
    shown, remedy = name_of(source), "is it there, and are the credentials for it?"
    if not source.startswith(REMOTE) and site.backend != "localhost":
        yield _wrong("source", f"{shown} is a path of this machine; calls on {site.backend} cannot read it", "copy it there")
        return
    try:
        found = _opened(source)
    except subprocess.TimeoutExpired:
        yield _wrong("source", f"{shown} does not open within {SOURCE_LIMIT_S:.0f} s", "is the server reachable?")
        return
    if "files" not in found:
        wrong = found["wrong"] if shown in found["wrong"] else f"{shown}: {found['wrong']}"
        yield _wrong("source", wrong, found.get("next") or remedy)
        return
    count = len(found["files"])
    yield _ok("source", f"{shown} opens" if count == 1 else f"{shown}: {count} files, of which the first opens")


def _opened(source: str) -> dict[str, Any]:
    """What ``openable`` says of a source, which may hold a secret: arguments are seen by all users of a machine."""
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    search = [package_parent, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**IMPATIENT, **os.environ, "PYTHONPATH": os.pathsep.join(search)}
    with tempfile.TemporaryDirectory(prefix="rdf_lithops-check-") as folder:  # with it goes a reader that was left alone
        command = [sys.executable, "-W", "ignore", "-m", "rdf_lithops.graph.openable", folder]
        given: dict[str, Any] = {"capture_output": True, "text": True, "timeout": SOURCE_LIMIT_S, "check": False}
        done = subprocess.run(command, input=source, env=environment, **given)
    try:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        return {"wrong": f"it could not be tried: {cleaned(last[0])[:200]}"}
