"""The operations of RDataFrame on Lithops' own Kubernetes back end, unmodified: the conformance suite's fast part.

One stand-in of the cluster and one executor for all of them, as in a session; each query has pods of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lithops
import pytest
from fast_part import *  # noqa: F403  # tests that are collected here, too
from k8s_standin import clients

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # a pod is a new Python, as in a cluster


@pytest.fixture(scope="module")
def fexec(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An executor whose jobs have one pod, in which calls follow each other."""
    with (
        pytest.MonkeyPatch.context() as patch,
        clients.standing(tmp_path_factory.mktemp("k8s")) as (cluster, kubeconfig),
        s3.bucket() as bucket,
    ):
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        config = clients.configuration(kubeconfig, s3, bucket, max_workers=1, runtime_memory=3000)
        with lithops.FunctionExecutor(config=config) as executor:
            yield executor
        assert [] == [ended for ended in cluster.ended if ended[1] == "Failed" and ended[2] != "Deleted"]
