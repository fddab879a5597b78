"""The IAM action and resource of a recorded request, as Amazon names them, for holding it against a policy."""

from __future__ import annotations

import re
import urllib.parse

from .front import Request

ACCOUNT = "123456789012"
REGION = "us-east-1"
NO_PERMISSION_NEEDED = {"sts:GetCallerIdentity"}
_FUNCTION = r"/2015-03-31/functions/([^/?]+)"
_LAMBDA = [
    ("POST", r"/2015-03-31/functions/?$", "CreateFunction"),
    ("GET", r"/2015-03-31/functions/?$", "ListFunctions"),
    ("GET", _FUNCTION + r"/configuration$", "GetFunctionConfiguration"),
    ("PUT", _FUNCTION + r"/configuration$", "UpdateFunctionConfiguration"),
    ("POST", _FUNCTION + r"/versions/?$", "PublishVersion"),
    ("POST", _FUNCTION + r"/aliases$", "CreateAlias"),
    ("PUT", _FUNCTION + r"/aliases/[^/]+$", "UpdateAlias"),
    ("POST", _FUNCTION + r"/invocations$", "InvokeFunction"),
    ("GET", _FUNCTION + r"$", "GetFunction"),
    ("DELETE", _FUNCTION + r"$", "DeleteFunction"),
    ("GET", r"/2017-03-31/tags/", "ListTags"),
    ("GET", r"/2016-08-19/account-settings", "GetAccountSettings"),
]
_S3_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_S3_BUCKET = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "POST": "DeleteObject"}


def needed(request: Request) -> tuple[str, str] | None:
    """(action, ARN) that the caller has to be allowed; None for a request that needs no permission."""
    name = {"s3": _s3, "lambda": _lambda}.get(request.service, _other)
    action, resource = name(request)
    return None if action in NO_PERMISSION_NEEDED else (action, resource)


def _s3(request: Request) -> tuple[str, str]:
    bucket, _, key = urllib.parse.unquote(request.path).strip("/").partition("/")
    if key:
        return f"s3:{_S3_OBJECT[request.method]}", f"arn:aws:s3:::{bucket}/{key}"
    special = {"acl": "GetBucketAcl", "policyStatus": "GetBucketPolicyStatus", "encryption": "GetEncryptionConfiguration"}
    asked = next((action for word, action in special.items() if request.query.startswith(word)), None)
    action = asked or _S3_BUCKET[request.method]
    objects = "/*" if action == "DeleteObject" else ""
    return f"s3:{action}", f"arn:aws:s3:::{bucket}{objects}"


def _lambda(request: Request) -> tuple[str, str]:
    for method, pattern, action in _LAMBDA:
        match = re.match(pattern, request.path)
        if method == request.method and match:
            name = match[1] if match.groups() else "lithops-worker-new"
            return f"lambda:{action}", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    raise AssertionError(f"no action known for {request.method} {request.path}")


def _other(request: Request) -> tuple[str, str]:
    if request.target:  # ECR: AmazonEC2ContainerRegistry_V20150921.DescribeImages
        return f"ecr:{request.target.rpartition('.')[2]}", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/lithops_v380_x/y"
    action = urllib.parse.parse_qs(request.body).get("Action", ["?"])[0]
    return f"{request.service}:{action}", f"arn:aws:iam::{ACCOUNT}:role/rdf-lithops-worker"
