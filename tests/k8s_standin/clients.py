"""A stand-in for as long as a block lasts, and its users' Lithops configuration: ``configs/k8s.yaml``, filled in."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from lithops.serverless.backends.k8s.config import MASTER_PORT
from servers import daemons

from k8s_standin import api
from k8s_standin.cluster import Cluster

LIMIT_S = 90.0


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """A cluster whose pods can import what the driver can, and its kubeconfig.

    All pods have this machine's address: the test is skipped where somebody listens on the port of Lithops' master pod.
    """
    if daemons.listens(MASTER_PORT):
        pytest.skip(f"somebody listens on port {MASTER_PORT}, which Lithops' master pod wants")
    search = os.pathsep.join([str(REPOSITORY), *filter(None, map(str, sys.path))])
    with api.running(folder, search) as made:
        yield made
    deadline = time.monotonic() + LIMIT_S
    while daemons.listens(MASTER_PORT):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def configuration(kubeconfig: Path, s3: Any, bucket: str, **section: Any) -> dict[str, Any]:
    """Of an executor there; ``section`` goes into ``k8s:``."""
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "configs" / "k8s.yaml").read_text())
    config["k8s"].update(kubecfg_path=str(kubeconfig), docker_server="docker.io", **{"runtime": "rdf_lithops", **section})
    keys = {"access_key_id": "testkey", "secret_access_key": "testsecret"}
    config["minio"] = {"endpoint": s3.endpoint, "storage_bucket": bucket, **keys}
    return config
