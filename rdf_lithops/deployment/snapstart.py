"""SnapStart on AWS Lambda: a version of the function is published, initialised once and kept as a snapshot.

    deploy (Lithops') ──> snap-start on ──> publish a version ──> wait for its snapshot ──> an alias, which calls go through

``wanted`` is one line of the configuration (``aws_lambda: snapstart: True``). A snapshot is billed while its version is
there: those of other images of ours are found, and named by ``rdf-lithops check``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..errors import RuntimeImageError
from ..planning.limits import SNAPSTART_ALIAS, SNAPSTART_TMP_MIB
from . import findings

__all__ = ["examine", "misfits", "others", "publish", "state"]

LIMIT_S = 600.0  # a version's initialisation and its snapshot take a minute or two
PAUSE_S = 2.0


def publish(client: Any, name: str) -> str:
    """Give function ``name`` a snapshot and an alias of ours that leads to it; return the version.

    Raises RuntimeImageError for a version whose initialisation failed, or that is not ready in time.
    """
    setting = client.get_function_configuration(FunctionName=name).get("SnapStart", {})
    if setting.get("ApplyOn") != "PublishedVersions":
        client.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"})
        _await(client, name, "LastUpdateStatus", "Successful", LIMIT_S)
    version = str(client.publish_version(FunctionName=name)["Version"])
    _await(client, f"{name}:{version}", "State", "Active", LIMIT_S)
    given = {"FunctionName": name, "Name": SNAPSTART_ALIAS, "FunctionVersion": version}
    try:
        client.update_alias(**given)
    except client.exceptions.ResourceNotFoundException:
        client.create_alias(**given)
    return version


def _await(client: Any, name: str, field: str, wanted: str, limit_s: float) -> None:
    """Wait until a field of a configuration has this value."""
    deadline = time.monotonic() + limit_s
    while True:
        found = client.get_function_configuration(FunctionName=name)
        value = found.get(field, wanted)
        if value == wanted:
            return
        if value in ("Failed", "Inactive") or time.monotonic() > deadline:
            why = f"{name} is {value}: {found.get('StateReason', 'no snapshot was taken in time')}"
            raise RuntimeImageError(why, next_command="aws logs tail /aws/lambda/" + name.split(":")[0])
        time.sleep(PAUSE_S)


def state(client: Any, name: str) -> str:
    """What is wrong with the snapshot that calls go through, in words; empty if nothing is."""
    try:
        found = client.get_function_configuration(FunctionName=name, Qualifier=SNAPSTART_ALIAS)
    except client.exceptions.ResourceNotFoundException:
        return f"{name} has no published version (alias {SNAPSTART_ALIAS})"
    snapshot = found.get("SnapStart", {}).get("OptimizationStatus", "Off")
    if found.get("State", "Active") != "Active":
        return f"version {found['Version']} is {found['State']}: {found.get('StateReason', '')}".rstrip(": ")
    return "" if snapshot == "On" else f"version {found['Version']} has no snapshot"


def others(client: Any, name: str) -> Iterator[str]:
    """Functions of Lithops that have snapshots and are not ``name``: of images that were deployed before."""
    for page in client.get_paginator("list_functions").paginate(FunctionVersion="ALL"):
        for found in page["Functions"]:
            is_kept = found.get("SnapStart", {}).get("OptimizationStatus") == "On"
            if is_kept and "lithops-worker-" in found["FunctionName"] and found["FunctionName"] != name:
                yield f"{found['FunctionName']}:{found['Version']}"


def examine(client: Any, name: str, deploy: str) -> Iterator[findings.Finding]:
    """Ask whether calls find a snapshot, and whether others are paid for that none uses."""
    why = state(client, name)
    found = findings.ok("snapshot", "new workers are copies of it (SnapStart)")
    yield findings.wrong("snapshot", why, deploy) if why else found
    try:
        left = sorted(others(client, name))
    except Exception as error:
        said = f"others cannot be listed: {type(error).__name__}: {error}"
        yield findings.note("snapshot", said, "configs/iam/driver-policy.json allows it")
        return
    if left:
        remedy = f"aws lambda delete-function --function-name {left[0].partition(':')[0]}"
        yield findings.note("snapshot", f"snapshots of other images are kept, and billed: {', '.join(left[:4])}", remedy)


def misfits(section: dict[str, Any]) -> Iterator[findings.Finding]:
    """What a function with SnapStart cannot have."""
    tmp_mib, off = section.get("ephemeral_storage", SNAPSTART_TMP_MIB), "or take snapstart out"
    if tmp_mib > SNAPSTART_TMP_MIB:
        remedy = f"set aws_lambda.ephemeral_storage to {SNAPSTART_TMP_MIB}, {off}"
        yield findings.wrong("/tmp", f"{tmp_mib} MiB; a function with SnapStart has {SNAPSTART_TMP_MIB} at most", remedy)
    if section.get("efs"):
        yield findings.wrong("efs", "a function with SnapStart mounts no file system", f"take aws_lambda.efs out, {off}")
