"""What a backend that refuses an invocation said reaches the user, with a next step that fits."""

from __future__ import annotations

import json
from typing import ClassVar

from kubernetes.client.rest import ApiException

from rdf_lithops.executor.invoking import explain


class Answer:
    """What Kubernetes' client makes an error of."""

    status, reason = 403, "Forbidden"
    data = json.dumps({"kind": "Status", "message": "exceeded quota: pods, requested: 2, used: 9, limited: 10"}).encode()

    headers: ClassVar[dict[str, str]] = {f"Header-{number}": "longer than what is shown of an error" for number in range(20)}


def test_the_reason_is_not_lost_behind_headers() -> None:
    """Kubernetes' client prints the headers of an answer first: the message at the end of its body is what counts."""
    said = explain(ApiException(http_resp=Answer()))
    assert "exceeded quota: pods, requested: 2, used: 9, limited: 10" in said
    assert "lower max_workers" in said
    assert "credentials" not in said


def test_another_error_is_quoted() -> None:
    """An error of any other kind is quoted as it is."""
    assert "Invalid account" in explain(RuntimeError("sbatch: Invalid account or account/partition combination"))
