"""Whether a program that is started again asks for what it asked for before: all that an answer depends on.

What counts: the graph, ranges and calls, options, the user's C++ and files, the data's versions, ROOT's and our
versions, where it runs, and the environment. In doubt two runs differ, and everything is computed anew.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from ..executor.likeness import Likeness, likeness_of
from ..executor.payload import Payload
from ..executor.session import Session
from ..files import access
from ..frame import ranges as adapter
from ..options import Options
from ..planning.plans import Plan
from ..worker.task import MapTask
from .travelling import Travelling

# isort: split
import ROOT

__all__ = ["likeness"]

_PER_PROCESS = re.compile(r"_|SHLVL|OLDPWD|PWD|.*LITHOPS.*|PYTEST_CURRENT_TEST|ROOT_LDSYSPATH|CLING_.*")
# never hashed, as a digest lies in the storage: they decide who may read, not what is read
_SECRET = re.compile(
    r"(AWS|X509|KRB5|BEARER|XrdSec|SSH)_?.*|(.*_)?(PROXY|SECRET|TOKEN|PASSWORD|PASSWD|(ACCESS|API|SECRET|PRIVATE)_?KEY|CREDENTIALS?)",
    re.IGNORECASE,
)


def likeness(plan: Plan, travelling: Travelling, user_code: Payload, session: Session, options: Options) -> Likeness | None:
    """Return what a run of one graph depends on; None for one that cannot be taken up: it writes Snapshots or large arrays
    apart, has several graphs, faults for tests, or data of which no version is known."""
    task = plan.map_task
    graph = travelling.graph
    if not isinstance(task, MapTask) or graph.destinations or graph.has_arrays or options.faults is not None:
        return None
    seen = _seen(travelling, task)
    if None in seen.values():
        return None
    config = session.executor.config
    known = {
        "graph": hashlib.sha256(task.graph).hexdigest(),
        "reducer": hashlib.sha256(plan.reduce_task.reducer).hexdigest(),
        "dataset": task.dataset,
        "calls": plan.iterdata,
        "files": seen,
        "seed": task.seed,
        "options": dataclasses.asdict(options),
        "user_code": user_code.fields["sha256"],
        "initialisation": hashlib.sha256(user_code.initialisation).hexdigest(),
        "versions": {
            "rdf_lithops": _own_code(),
            "ROOT": ROOT.gROOT.GetVersion(),
            "Python": platform.python_version(),
            "the system": platform.platform(),
        },
        "where": [config["lithops"].get("backend"), config["lithops"].get("storage"), session.executor.storage.bucket],
        "runtime": str(config.get(config["lithops"].get("backend"), {}).get("runtime")),
        "place": [task.surroundings.cwd, task.surroundings.umask],
        "environment": _environment(),
    }
    return likeness_of(known, (os.path.realpath(sys.argv[0]) if sys.argv and sys.argv[0] else "", task.surroundings.cwd))


def _seen(travelling: Travelling, task: MapTask) -> dict[str, Any]:
    """Of each file which version it is; None of one whose version nobody knows. Of local files the time of the last change
    counts as well: a file's header and end do not tell of bytes in between."""
    versions: dict[str, Any] = {**travelling.versions, **task.access.get("versions", {})}
    found: dict[str, Any] = {}
    for name in sorted(adapter.files_of(travelling.plain_ranges, travelling.dataset)):
        found[name] = versions.get(name) or None
        if found[name] is not None and not access.is_remote(name):
            found[name] = _local(name, found[name])
    return found


def _local(name: str, version: str) -> list[Any] | None:
    try:
        stat = os.stat(os.path.expanduser(os.path.expandvars(name)))
    except OSError:
        return None
    return [version, stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not _PER_PROCESS.fullmatch(name) and not _SECRET.fullmatch(name)
    }


@functools.cache
def _own_code() -> str:
    """A digest of this package: a version does not tell of a checkout that somebody works in."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
