"""Lambda as tests use it: in containers of the image where there is one and podman runs it, in processes elsewhere."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lithops

from . import account
from .environment import Places
from .service import Service

__all__ = ["Standing", "image", "standing", "where"]

IMAGE_VARIABLE = "RDF_LITHOPS_IMAGE"


@dataclass(frozen=True)
class Standing:
    """Lambda as it stands here, and Lithops' own executor on an account there."""

    service: Service
    executor: lithops.FunctionExecutor


@functools.lru_cache(maxsize=1)
def _image() -> tuple[str | None, str]:
    name = os.environ.get(IMAGE_VARIABLE)
    if not name:
        return None, f"no image is named: make image, make test-lambda ({IMAGE_VARIABLE})"
    if shutil.which("podman") is None:
        return None, "there is no podman: runtime/install.sh"
    command = ["podman", "run", "--rm", "--network", "none", "--entrypoint", "/bin/true", name]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    why = (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[-1]
    return (name, "") if tried.returncode == 0 else (None, f"podman does not run {name}: {why}")


def image() -> str | None:
    """The image whose containers are Lambda's environments; None where they are processes."""
    return _image()[0]


def where() -> str:
    """For people: which of the two it is, and why."""
    name, why = _image()
    return f"containers of {name}" if name else f"processes ({why})"


@contextlib.contextmanager
def standing(
    places: Places, quota: int = 2, s3: Any = None, kind: type[Service] = Service, **settings: Any
) -> Iterator[Standing]:
    """Lambda with ``quota`` environments at a time, in ``places``, and an account there.

    ``s3``: a gateway from ``servers.s3``, which checks signatures; None for moto's storage. ``settings`` are of Lithops'
    section ``aws_lambda``.
    """
    port = None
    if s3 is not None:
        port = int(s3.endpoint.rpartition(":")[2])
        for keys in (account.DRIVER_KEYS, account.WORKER_KEYS):
            s3.add_key(*keys)
    with kind(places, quota=quota, s3_port=port) as service:
        with account.environment(account.driver_variables(service)):
            service.places.variables.update(account.worker_variables(service))
            role = account.open_account()
            limits = {"max_workers": quota, "runtime_timeout": 60, **settings}
            with account.executor(service, account.config(role, **limits)) as executor:
                yield Standing(service, executor)
            account.remove_bucket()
        assert [] == service.failures
