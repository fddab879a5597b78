"""What a driver runs beside itself on its own machine: the warm ROOT process, a Python with Lithops' imports, the reader.

All of them are of one executor: the options of its first data frame are theirs, and they end with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from multiprocessing.connection import Connection
from typing import Any

from ..files import access
from ..options import Options
from ..processes import hints, warm
from ..worker.start import launcher, prefork
from .forked_jobs import run_by_forks
from .leftovers import claim

__all__ = ["LocalProcesses", "process_settings", "reader_settings"]

logger = logging.getLogger(__name__)

PRELOADED = (
    "lithops.worker",
    "lithops.localhost",
    "lithops.monitoring.backends.storage",
    "multiprocessing.popen_fork",
    "rdf_lithops.travels.arrived",
    "rdf_lithops.worker.start.pre_run",
    "rdf_lithops.worker.together",
)
DESCRIPTIONS = "rdf_lithops.worker.start.descriptions"  # after the storage, which may bring boto3
CONTAINERS = "containers"  # below a driver's folder: where the calls' ROOT processes are met that have containers
PRELOAD_LIMIT_S = 2.0
MOST_HINTS = 64  # a process that does not listen yet has room for twice as many who knock
END_LIMIT_S = 10.0  # of the preloaded Python, once its input has ended
OF_THE_EXECUTOR = (
    "keep_warm",
    "idle_limit_s",
    "instantiations",
    "memory_limit_mib",
    "cache_limit_mib",
)  # options of its processes


class LocalProcesses:
    """The processes of one executor. ``executor`` is a proxy: what is kept here must not keep the executor.

    ``folder`` is this driver's own, ``warm_folder`` where the ROOT process is met: the same, or one that outlives it.
    Both are None until something runs there. The methods are called under the lock of whoever owns this.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self.folder: str | None = None
        self.warm_folder: str | None = None
        self.settled: Options | None = None  # of the first data frame that wants warm processes: they are started with these
        self.anticipated: Options | None = None  # with which the ROOT process was started before there was a data frame
        self.prefork: subprocess.Popen[bytes] | None = None
        self._warned: set[str] = set()  # options that came too late
        self._foreseen: set[str] = set()  # hints that were given
        self._alive: Any = None  # the lock of a folder that no process of ours keeps alive
        self._hold: Connection[Any, Any] | None = None
        self._reader_folder: str | None = None
        self._reader_hold: Connection[Any, Any] | None = None
        _all.add(self)

    def settle(self, options: Options) -> None:
        """The options of a data frame are those of these processes, if it is the first; else they come too late.

        A process that was started before there was a data frame, and otherwise, is ended.
        """
        foreseen, self.anticipated = self.anticipated, None
        if foreseen is not None and (not options.warm or _of_the_executor(foreseen) != _of_the_executor(options)):
            self.end()
        if not options.warm or options == self.settled:
            return
        self.settled = self.settled or options
        known = _of_the_executor(self.settled)
        late = {name: value for name, value in _of_the_executor(options).items() if value != known[name]}
        for name, value in late.items():
            if f"{name}={value}" not in self._warned:
                self._warned.add(f"{name}={value}")
                logger.warning(
                    "options.%s = %r comes too late: this executor's processes have %r, from its first data frame; give it "
                    "there, or in section rdf_lithops of Lithops' configuration",
                    *(name, value, known[name]),
                )

    @property
    def in_containers(self) -> bool:
        """Whether Lithops runs its jobs in containers of an image: then it is the image's ROOT that is wanted."""
        return hasattr(getattr(self._executor.compute_handler, "env", None), "docker_path")

    @property
    def meeting_folder(self) -> str | None:  # decision 290
        """Where calls meet their ROOT process, by the path that they know: of a container's own, where they have one."""
        if self.folder is None or not self.in_containers:
            return self.warm_folder
        os.makedirs(os.path.join(self.folder, CONTAINERS), 0o700, exist_ok=True)
        return self.seen_by_calls(os.path.join(self.folder, CONTAINERS))

    def seen_by_calls(self, path: str) -> str:
        """The path by which calls know one of this machine's temporary files: containers have their folder at ``/tmp``."""
        temporary, real = os.path.realpath(tempfile.gettempdir()), os.path.realpath(path)
        return os.path.join("/tmp", os.path.relpath(real, temporary)) if self.in_containers else path

    def warm(self, options: Options) -> None:
        """Start the ROOT process in the background, or start it again if it has died; none where calls have containers."""
        if self.in_containers:
            self._own_folder()
            return
        options = self.settled or options
        if self.warm_folder is None:
            self.warm_folder = self._own_folder()
            if options.keep_warm:
                self._alive = claim(self._own_folder())
                with contextlib.suppress(warm.WarmProcessUnavailable):
                    self.warm_folder = warm.kept_folder({**process_settings(options), **reader_settings(options)})
        kept = self.warm_folder != self.folder
        if self._hold is None or self._hold.poll():  # nothing is ever sent to a holder: readable means gone
            with contextlib.suppress(warm.WarmProcessUnavailable):  # the tasks will say so, and run ROOT themselves
                settings = {"lingers": 1} if kept else {"owns_folder": 1}
                self._hold = warm.hold(self.warm_folder, {**process_settings(options), **settings})

    def foresee(self, hint: str | None) -> None:
        """Tell the ROOT process, which has time while this program books, what the graph to come uses (see ``hints``)."""
        if self.warm_folder is None or hint is None or hint in self._foreseen or len(self._foreseen) >= MOST_HINTS:
            return
        self._foreseen.add(hint)
        hints.give(self.warm_folder, hint)

    def preload(self) -> None:
        """Have Lithops start ``launcher`` as its interpreter, and the Python with its imports behind it, unless it is up.

        Not before there is a data frame: until then the driver's ROOT and the warm one share the cores.
        """
        if self.in_containers or (self.prefork is not None and self.prefork.poll() is None):
            return
        folder = self._own_folder()
        environment: Any = getattr(self._executor.compute_handler, "env", None)
        interpreter = os.path.join(folder, "python")
        if getattr(environment, "runtime_name", None) not in (sys.executable, interpreter):
            return  # the user's own interpreter
        self._end_preloaded()
        with open(os.path.join(folder, "prefork.log"), "ab") as log:
            storage = f"lithops.storage.backends.{self._executor.config['lithops']['storage']}"
            self.prefork = warm.run_module("prefork", [folder, *PRELOADED, storage, DESCRIPTIONS], log, subprocess.PIPE)
        with open(interpreter, "w") as script:
            command = [sys.executable, "-S", "-I", launcher.__file__, folder]
            script.write(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        os.chmod(interpreter, 0o700)
        if environment.runtime_name != interpreter and hasattr(environment, "_start_job_process"):
            run_by_forks(environment, folder)
        environment.runtime_name = interpreter

    def await_preloaded(self) -> None:
        """Wait until the preloaded Python listens, which takes it milliseconds: without it a job starts one of its own."""
        deadline = time.monotonic() + PRELOAD_LIMIT_S
        while self.prefork is not None and self.prefork.poll() is None and time.monotonic() < deadline:
            if os.path.exists(os.path.join(str(self.folder), prefork.SOCKET_NAME)):
                return
            time.sleep(0.002)

    def reader(self, options: Options) -> str:
        """The folder that this driver's reader of remote files serves; it is started when it is first asked for.

        On localhost it is the folder where tasks meet too: what one of them has read is there for all.
        """
        if self._reader_folder is None:
            self._reader_folder = self.warm_folder or self._own_folder()
        if self._reader_hold is None or self._reader_hold.poll():  # nothing is sent unasked: readable means gone
            self._reader_hold = access.hold(self._reader_folder, reader_settings(self.settled or options))
        return self._reader_folder

    def end(self) -> None:
        """End what this driver has started, or let it go where others may come, and remove its folder."""
        if self._hold is not None:
            self._hold.close()
            self._hold = None
        self._end_preloaded()
        if self._reader_hold is not None:
            self._reader_hold.close()
            self._reader_hold = None
        if self.folder is not None:
            warm.reap(self.folder, "reader")
            warm.reap(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.warm_folder is not None:
            warm.let_go(self.warm_folder)
        if self._alive is not None:
            self._alive.close()
        self.folder = self.warm_folder = self._reader_folder = self._alive = None

    def leave(self) -> None:  # decision 418
        """In a fork: let go of what holds the processes, which are those of the process that this is a fork of."""
        holds = [self._hold, self._reader_hold, self._alive, self.prefork and self.prefork.stdin]
        for held in filter(None, holds):
            held.close()
        if self.prefork is not None:
            self.prefork.returncode = 0  # it is no child of this process, which does not wait for it
        self.prefork = self._hold = self._reader_hold = self._alive = None

    def _own_folder(self) -> str:
        self.folder = self.folder or tempfile.mkdtemp(prefix="rdf_lithops-")
        return self.folder

    def _end_preloaded(self) -> None:
        """End the preloaded Python: it lives as long as its standard input is open."""
        ending, self.prefork = self.prefork, None
        if ending is None or ending.stdin is None:
            return
        ending.stdin.close()
        try:
            ending.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:  # stopped, perhaps; its children end with it
            ending.kill()
            ending.wait()


_all: weakref.WeakSet[LocalProcesses] = weakref.WeakSet()


def _leave_all() -> None:
    for processes in _all:
        processes.leave()


os.register_at_fork(after_in_child=_leave_all)


def process_settings(options: Options) -> dict[str, Any]:
    """The command-line settings of a warm ROOT process."""
    return {
        "idle_limit_s": options.idle_limit_s,
        "memory_limit_mib": options.memory_limit_mib,
        "instantiations": options.instantiations,
    }


def reader_settings(options: Options) -> dict[str, Any]:
    """The command-line settings of a reader of remote files."""
    return {"idle_limit_s": options.idle_limit_s, "cache_limit_mib": options.cache_limit_mib}


def _of_the_executor(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in OF_THE_EXECUTOR}
