"""Reading of AWS policy documents: is an action allowed, is more allowed than needed. Pure; conditions are not evaluated."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["WORKER_NEEDS", "allows", "needs_of_worker", "too_wide"]

Document = Mapping[str, Any]

# What a call does, on what: {bucket} and {objects} are ARNs. configs/iam/worker-policy.json grants just that, and its logs.
WORKER_NEEDS = (("s3:GetObject", "objects"), ("s3:PutObject", "objects"), ("s3:ListBucket", "bucket"))
# These have no resource of their own: Amazon accepts * only.
_WITHOUT_RESOURCE = frozenset({"ecr:GetAuthorizationToken", "lambda:GetAccountSettings", "lambda:ListFunctions"})


def needs_of_worker(bucket: str) -> list[tuple[str, str]]:
    """(action, resource) of everything that a call does to ``bucket``."""
    resources = {"bucket": f"arn:aws:s3:::{bucket}", "objects": f"arn:aws:s3:::{bucket}/lithops.jobs/x"}
    return [(action, resources[kind]) for action, kind in WORKER_NEEDS]


def allows(documents: Iterable[Document], action: str, resource: str) -> bool:
    """Whether the documents together allow ``action`` on ``resource``: one Allow that fits, and no Deny."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in _statements(document)
        if _fits(statement, action, resource) and not (statement["Effect"] == "Deny" and "Condition" in statement)
    }
    return effects == {"Allow"}


def too_wide(documents: Iterable[Document], bucket: str) -> list[str]:
    """What the documents allow beyond a call's needs: wildcards in actions, all resources, other buckets."""
    return [
        reason
        for document in documents
        for statement in _statements(document)
        if statement["Effect"] == "Allow"
        for reason in _excess(statement, bucket)
    ]


def _excess(statement: Mapping[str, Any], bucket: str) -> Iterator[str]:
    if "NotAction" in statement or "NotResource" in statement:
        yield "a statement allows all but what it names (NotAction, NotResource)"
        return
    resources = _listed(statement["Resource"])
    for action in _listed(statement["Action"]):
        if "*" in action:
            yield f"allows {action}"
        elif "*" in resources and action not in _WITHOUT_RESOURCE:
            yield f"allows {action} on every resource"
        elif action.startswith("s3:"):
            ours = (f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/")
            others = [name for name in resources if name != ours[0] and not name.startswith(ours[1])]
            yield from (f"allows {action} on {name}" for name in others)


def _fits(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    actions, resources = _listed(statement.get("Action", [])), _listed(statement.get("Resource", []))
    # actions are compared without regard to case, resources with it
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in actions) and any(
        fnmatch.fnmatchcase(resource, pattern) for pattern in resources
    )


def _statements(document: Document) -> list[Mapping[str, Any]]:
    found = document.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
