"""The folder of one Lithops job on the shared file system: what its elements read and print, which calls are whose."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Submission"]

PAYLOAD = "payload.json"
LOG_TAIL_BYTES = 4000


@dataclass
class Submission:
    """One job: its Lithops ``job_key``, a ``name`` that no other job of this user has, ``calls`` ids in order, ``chunk`` of
    them for an element, and the ``variables`` of the calls, which do not lie in the folder."""

    folder: str
    name: str
    executor_id: str
    job_id: str
    job_key: str
    calls: list[str]
    chunk: int
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    settled: set[int] = field(default_factory=set)  # elements of which nothing more is to come
    scheduler_ids: list[str] = field(default_factory=list)  # of its arrays
    array_limit: int = 2**31  # elements of one array, if it has more than one

    @classmethod
    def of(cls, parent: str, payload: dict[str, Any]) -> Submission:
        """Write a payload of Lithops into a folder of its own below ``parent``; only this user may read it.

        The variables of the calls may be secret, and travel as the scheduler's own variables instead.
        """
        name = f"{payload['job_key'].replace('/', '-')}-{os.urandom(4).hex()}"
        folder = os.path.join(parent, name)
        os.makedirs(parent, 0o700, exist_ok=True)
        os.mkdir(folder, 0o700)
        variables = {key: str(value) for key, value in (payload.get("extra_env") or {}).items()}
        with open(os.path.join(folder, PAYLOAD), "x", opener=_private) as stream:
            json.dump({**payload, "extra_env": {}, "variables": sorted(variables)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        known = payload["executor_id"], payload["job_id"], payload["job_key"]
        return cls(folder, name, *known, list(payload["call_ids"]), max(1, int(payload["chunksize"])), variables)

    @property
    def elements(self) -> int:
        """How many elements its array has."""
        return -(-len(self.calls) // self.chunk)

    def calls_of(self, element: int) -> list[str]:
        """The ids of the calls that an element runs."""
        return self.calls[element * self.chunk : (element + 1) * self.chunk]

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come of any element."""
        return len(self.settled) >= self.elements

    def log_of(self, element: int) -> str:
        """The end of what an element printed."""
        try:
            first, index = element // self.array_limit * self.array_limit, element % self.array_limit
            with open(os.path.join(self.folder, f"{first}-{index}.log"), "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
