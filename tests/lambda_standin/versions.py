"""The control plane's part of SnapStart, which moto does not have: which function wants it, and a snapshot per version."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .environment import Function, Places
from .snapshots import Snapshot

__all__ = ["Versions"]

_PATH = re.compile(r"/2015-03-31/functions(?:/([^/?]+))?(/configuration|/versions)?/?(?:\?.*)?$")


class Versions:
    """Sees what the control plane is asked and answers, and adds what moto leaves out."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.wanted: set[str] = set()
        self.snapshots: dict[tuple[str, str], Snapshot] = {}
        self.failed: dict[tuple[str, str], str] = {}

    def told(
        self,
        asked: tuple[str, str, bytes],
        answer: bytes,
        known: Callable[[str], Function | None],
        where: tuple[Path, str],
    ) -> bytes:
        """The answer to ``asked`` (method, path, body) as AWS would give it. ``where``: a folder and the stand-in's name."""
        method, path, body = asked
        match = _PATH.match(path)
        if match is None or method == "HEAD":
            return answer
        name = (match[1] or "").split("%3A")[0].split(":")[0]
        if method in ("POST", "PUT") and match[2] != "/versions" and body:
            given = json.loads(body)
            self._want(given.get("FunctionName") or name, given.get("SnapStart"))
        elif method == "POST" and match[2] == "/versions":
            self._publish(name, str(json.loads(answer).get("Version", "")), known, where)
        elif method == "DELETE":
            self.forget(name)
        return self._marked(answer)

    def _want(self, name: str, setting: dict[str, str] | None) -> None:
        if setting is not None and setting["ApplyOn"] == "PublishedVersions":
            self.wanted.add(name)
        elif setting is not None:
            self.wanted.discard(name)

    def _publish(self, name: str, version: str, known: Callable[[str], Function | None], where: tuple[Path, str]) -> None:
        """Take the snapshot, as Lambda does at once; a version whose initialisation fails is there, and failed."""
        function = known(f"{name}:{version}")
        if name not in self.wanted or function is None or (name, version) in self.snapshots:
            return
        try:
            self.snapshots[name, version] = Snapshot(function, self.places, *where)
        except RuntimeError as error:
            self.failed[name, version] = str(error)

    def snapshot_of(self, function: Function) -> Snapshot | None:
        """What new environments of ``function`` are copies of; None: they start from nothing."""
        return self.snapshots.get((function.name, function.version))

    def forget(self, name: str) -> None:
        """A function and its versions are no more."""
        self.wanted.discard(name)
        for key in [key for key in self.snapshots if key[0] == name]:
            self.snapshots.pop(key).close()

    def close(self) -> None:
        """End all that is frozen."""
        for snapshot in self.snapshots.values():
            snapshot.close()

    def _marked(self, answer: bytes) -> bytes:
        """Every configuration in an answer says whether it has a snapshot."""
        try:
            said = json.loads(answer)
        except ValueError:
            return answer
        if not isinstance(said, dict):
            return answer
        for each in [said, said.get("Configuration"), *said.get("Versions", ()), *said.get("Functions", ())]:
            if isinstance(each, dict) and "FunctionName" in each and "SnapStart" in each:
                self._mark(each)
        return json.dumps(said).encode()

    def _mark(self, configuration: dict[str, Any]) -> None:
        key = configuration["FunctionName"], str(configuration["Version"])
        applied = "PublishedVersions" if key[0] in self.wanted else "None"
        configuration["SnapStart"] = {"ApplyOn": applied, "OptimizationStatus": "On" if key in self.snapshots else "Off"}
        if key in self.failed:
            configuration.update(State="Failed", StateReason=self.failed[key])
