"""A function that says of itself what ``DESCRIBED`` (JSON) says, else this Python's versions; starts no ROOT."""

from __future__ import annotations

import json
import os
from typing import Any

from lithops.worker.utils import get_runtime_metadata

from rdf_lithops.worker.root import smoke


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lithops' question for what is installed, and ours."""
    if event.get("rdf_lithops") != "describe":
        found: dict[str, Any] = get_runtime_metadata()
        return found
    versions = {**smoke.versions(), "root": "6.40.00"}
    return {"versions": {**versions, **json.loads(os.environ.get("DESCRIBED", "{}"))}, "initialisation_s": 0.0}
