"""``python runtime.py HANDLER``: awslambdaric as it is, but that ``/restore/next`` waits in ``copying.freeze``.

On Lambda that request is what the snapshot is taken in; here a connection would be in the picture, and all copies had it.
"""

from __future__ import annotations

import importlib
import os
import sys

import copying


class _Later:
    """In the place of the client in C++, which would keep the address that it had when the snapshot was taken."""

    def initialize_client(self, user_agent: str) -> None:
        """Not yet."""


sys.modules["runtime_client"] = _Later()  # type: ignore[assignment]  # of which only this is used before the first event

from awslambdaric import bootstrap, lambda_runtime_client  # noqa: E402


class _Client(lambda_runtime_client.LambdaRuntimeClient):  # type: ignore[misc]  # awslambdaric has no types
    def restore_next(self) -> None:
        """Return in a restored copy; never in what it was copied from."""
        copying.freeze()
        self.lambda_runtime_address = os.environ["AWS_LAMBDA_RUNTIME_API"]  # always the same address on Lambda
        del sys.modules["runtime_client"]
        lambda_runtime_client.runtime_client = importlib.import_module("runtime_client")
        lambda_runtime_client.runtime_client.initialize_client("standin")


bootstrap.run(sys.argv[1], _Client(os.environ["AWS_LAMBDA_RUNTIME_API"]))
