"""The warm ROOT process: one clean parent that forks one child per worker slot and payload, and hands leases to them.

    task ──lease──> parent ──the task's socket──> slot (a fork that has loaded one payload and compiled some graphs)

The parent initialises ROOT, compiles a warm-up graph, and then only forks and listens: it never runs user code, so a
slot for another payload starts clean. It watches the socket of every busy slot: when the task at the other end dies,
the slot is killed; when the slot dies, the task is told how, with the tail of the slot's output. Slots die with the
parent. The parent ends when nobody has held or used it for a while, or when its last holder (a driver) is gone, unless it
lingers for the next one.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import fcntl
import os
import sys
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection

from ...compiled import library
from ...processes import restored
from ...processes.library_making import make_missing
from . import graphs, initialisation, renewal
from .slots import Parent

WHOLE_VCPU_MIB = 1769  # of Lambda's memory go with one, as in planning.limits
FIRST_GRAPH_S = 1.0  # a driver that has just started us books its first graph meanwhile: compile that one, not ours


def _taken_from_stdin() -> int:
    """The descriptor of standard input under a number of its own, out of the way of what a user's code might read."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken


@contextlib.contextmanager
def _only_one(folder: str) -> Iterator[bool]:
    """True for the one process that may listen in ``folder``."""
    with open(os.path.join(folder, "root.lock"), "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _initialised(parent: Parent) -> str:
    """Bring ROOT up; where that cannot be, whoever asked ``parent`` for it is told why."""
    try:
        root = initialisation.initialise()
        initialisation.prepare()
    except Exception as error:
        parent.refuse_all(f"ROOT does not start here: {type(error).__name__}: {error}", traceback.format_exc())
        raise
    return root


def _is_wanted_sooner() -> bool:  # decision 42
    """Whether who waits for us is told before the warm-up: it is short, and a call's way here leaves time for it. Not before
    a snapshot, which is to hold it, nor where Lambda gives a call less than the whole vCPU that an initialisation has."""
    memory_mib = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    has_vcpu = memory_mib.isdigit() and int(memory_mib) >= WHOLE_VCPU_MIB
    return has_vcpu and bool(initialisation.instantiated) and not restored.is_snapshot()


def main() -> None:
    """``python -m rdf_lithops.worker.root.parent FOLDER``: serve FOLDER until idle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder")
    parser.add_argument("--idle_limit_s", type=float, default=300.0)
    parser.add_argument("--memory_limit_mib", type=float, default=3000.0)
    parser.add_argument("--owns_folder", type=int, default=0)
    parser.add_argument("--held", type=int, default=0, help="live until the other end of standard input, a socket, is gone")
    parser.add_argument("--eager", type=int, default=0, help="warm up at once and quickly: somebody waits for it")
    parser.add_argument("--lingers", type=int, default=0, help="when the last holder is gone, wait until idle for others")
    parser.add_argument("--instantiations", default="build", help="build: use libraries, and make them; use; off")
    given = parser.parse_args()
    os.umask(0o077)
    os.chdir(given.folder)  # the one in which it was started may be deleted while others come
    if given.instantiations == library.OFF:
        os.environ[library.VARIABLE] = library.OFF
    faulthandler.enable()
    code = 1
    with _only_one(given.folder) as first:
        if not first:
            return
        parent = Parent(
            given.folder, given.idle_limit_s, given.memory_limit_mib, bool(given.owns_folder), bool(given.lingers)
        )
        try:
            if given.held:
                parent.hold(Connection(_taken_from_stdin()))
            root = _initialised(parent)
            is_drivers = bool(given.owns_folder or given.lingers)
            if library.grows() if is_drivers else library.is_wanted():
                graphs.take_notes(told=not is_drivers)
            initialisation.leave_crashes_to_the_kernel()
            parent.wait_for_work(0.0 if given.eager or initialisation.instantiated else FIRST_GRAPH_S)
            if _is_wanted_sooner():
                parent.announce_warm(root)
            parent.work_while_idle(initialisation.warm_up(bool(given.eager), parent.hints()))
            if restored.is_snapshot():
                renewal.prepare()
            parent.announce_warm(root)
            parent.serve(initialisation.foreseen)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            parent.close()
            if given.instantiations == "build" and (given.owns_folder or given.lingers):  # on a driver's own machine alone
                os.chdir("/")  # our folder is gone
                make_missing()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # ROOT's own tear-down of a process that forked is not worth its risks


if __name__ == "__main__":
    main()
