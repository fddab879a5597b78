"""Whether a program that is started again asks for what it asked for before: all that an answer depends on.

What counts: the graph, ranges and calls, options, the user's C++ and files, the data's versions, ROOT's and our
versions, where it runs, and the environment. In doubt two runs differ, and everything is computed anew.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from .._version import __version__
from ..executor.likeness import Likeness, likeness_of
from ..executor.payload import Payload
from ..executor.session import Session
from ..files import access
from ..frame import ranges as adapter
from ..options import Options
from ..planning.plans import Plan
from ..worker.task import MapTask
from ..worker.together import GraphsReduce, GraphsTask
from .travelling import Travelling

# isort: split
import ROOT

__all__ = ["likeness", "why_not"]

_PER_PROCESS = re.compile(r"_|SHLVL|OLDPWD|PWD|.*LITHOPS.*|PYTEST_CURRENT_TEST|ROOT_LDSYSPATH|CLING_.*")
# of a terminal, a log-in, a notebook's kernel or a batch job, of which the next one has others
_PER_SESSION = re.compile(
    r"XDG_SESSION_.*|XDG_RUNTIME_DIR|XDG_VTNR|DBUS_.*|WINDOWID|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|SESSION_MANAGER|TERM|TERM_.*"
    r"|COLORTERM|COLUMNS|LINES|TMUX.*|STY|WINDOW|ITERM_.*|KONSOLE_.*|GNOME_TERMINAL_.*|VTE_VERSION|VSCODE_.*|GPG_(AGENT_INFO|TTY)"
    r"|JPY_.*|JUPYTER.*|SLURM_.*|_CONDOR_.*|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_.*|LS_COLORS|LESS.*|HIST.*|PS[0-9]|MAIL"
)
# never hashed, as a digest lies in the storage: they decide who may read, not what is read
_SECRET = re.compile(
    r"(AWS|X509|KRB5|BEARER|XrdSec|SSH)_?.*|(.*_)?(PROXY|SECRET|TOKEN|PASSWORD|PASSWD|(ACCESS|API|SECRET|PRIVATE)_?KEY|CREDENTIALS?)",
    re.IGNORECASE,
)
_HOW_IT_IS_TOLD = ("resume", "progress", "live_picture", "keep_failed")  # options that no answer depends on


def why_not(plan: Plan, graphs: Sequence[Travelling], options: Options) -> str:
    """Why nobody can take up what a run of ``graphs`` has done, in words; "" where its likeness tells who can."""
    if any(each.graph.destinations for each in graphs):
        return "it writes a Snapshot"
    if any(each.graph.has_arrays for each in graphs):
        return "it has an AsNumpy, whose arrays may lie apart"
    if options.faults is not None or not isinstance(plan.map_task, (MapTask, GraphsTask)):
        return "its calls are none of a program's"
    unknown = [name for each, task in zip(graphs, _tasks(plan), strict=True) for name, seen in _seen(each, task) if not seen]
    return f"nobody knows which version of {unknown[0]} it has read" if unknown else ""


def likeness(
    plan: Plan, graphs: Sequence[Travelling], user_code: Payload, session: Session, options: Options
) -> Likeness | None:
    """Return what a run of ``graphs`` depends on, as far as it is seen; None for one that cannot be taken up."""
    if why_not(plan, graphs, options):
        return None
    config, tasks = session.executor.config, _tasks(plan)
    surroundings = tasks[0].surroundings
    known = {
        "graph": [hashlib.sha256(task.graph).hexdigest() for task in tasks],
        "reducer": [hashlib.sha256(reducer).hexdigest() for reducer in _reducers(plan)],
        "dataset": [task.dataset for task in tasks],
        "calls": plan.iterdata,
        "files": {name: seen for each, task in zip(graphs, tasks, strict=True) for name, seen in _seen(each, task)},
        "seed": tasks[0].seed,
        "options": {item.name: getattr(options, item.name) for item in fields(options) if item.name not in _HOW_IT_IS_TOLD},
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
        "place": [surroundings.cwd, surroundings.umask],
        "environment": _environment(),
    }
    return likeness_of(known, (os.path.realpath(sys.argv[0]) if sys.argv and sys.argv[0] else "", surroundings.cwd))


def _tasks(plan: Plan) -> tuple[MapTask, ...]:
    task = plan.map_task
    return task.tasks if isinstance(task, GraphsTask) else (task,)  # type: ignore[return-value]  # see why_not


def _reducers(plan: Plan) -> list[bytes]:
    task = plan.reduce_task
    return [each.reducer for each in task.tasks] if isinstance(task, GraphsReduce) else [task.reducer]


def _seen(travelling: Travelling, task: MapTask) -> Iterator[tuple[str, Any]]:
    """Each file, and which version it is; None of one whose version nobody knows. Of local files the time of the last change
    counts as well: a file's header and end do not tell of bytes in between."""
    versions: dict[str, Any] = {**travelling.versions, **task.access.get("versions", {})}
    for name in sorted(adapter.files_of(travelling.plain_ranges, travelling.dataset)):
        seen = versions.get(name) or None
        yield name, seen if seen is None or access.is_remote(name) else _local(name, seen)


def _local(name: str, version: str) -> list[Any] | None:
    try:
        stat = os.stat(os.path.expanduser(os.path.expandvars(name)))
    except OSError:
        return None
    return [version, stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not _is_left_out(name)}


@functools.cache
def _is_left_out(name: str) -> bool:
    return any(some.fullmatch(name) for some in (_PER_PROCESS, _PER_SESSION, _SECRET))


@functools.cache
def _own_code() -> str:
    """A digest of which files this package has: a version does not tell of a checkout that somebody works in."""
    digest = hashlib.sha256(__version__.encode())
    folders = [Path(__file__).parent.parent]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.name.endswith(".py"):
                    seen = entry.stat()
                    digest.update(f"{entry.path} {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()
