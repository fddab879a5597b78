"""Which session an executor has: made for its first data frame, with the processes that it needs on this machine."""

from __future__ import annotations

import contextlib
import difflib
import gc
import threading
import weakref
from typing import Any

import lithops
from lithops.constants import LOCALHOST

from ..errors import PlanError
from ..options import Options
from .lithops_patches import make_safe
from .session import Session

__all__ = ["anticipate", "bring_up", "is_executor", "options_of", "session_for", "session_of"]

SECTION = "rdf_lithops"
_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
_sessions_lock = threading.Lock()


def options_of(executor: Any, given: Any) -> Options:
    """The options of a data frame: what is ``given``, over what the executor's configuration has in its section for us.

    Raises TypeError, PlanError for what is no option, and for a section whose name is nearly ours.
    """
    if SECTION not in executor.config and (close := difflib.get_close_matches(SECTION, map(str, executor.config), 1, 0.85)):
        raise PlanError(f"Lithops' configuration has a section {close[0]!r}: the one that is read is {SECTION!r}")
    return Options.read(given, executor.config.get(SECTION))


def is_executor(candidate: Any) -> bool:
    """Whether ``candidate`` is a Lithops executor that has ``map_reduce``."""
    return isinstance(candidate, lithops.FunctionExecutor)


def session_of(executor: Any) -> Session | None:
    """The session that ``executor`` has; None before its first data frame."""
    return _sessions.get(executor)


def session_for(executor: Any, options: Options, ahead: bool = False) -> Session:
    """The session of ``executor``; on localhost everything that a run needs is up, or comes up in the background.

    ``ahead``: there is no data frame yet, and the next one may say otherwise. Raises PlanError for an executor that was
    closed.
    """
    with _sessions_lock:
        session = _sessions.get(executor)
        if session is None:
            session = Session.of(executor, weakref.proxy(executor), executor.mode == LOCALHOST)
            make_safe(executor, session)
            _sessions[executor] = session
        session.check_open()
        if ahead and session.processes.settled is None:
            session.processes.anticipated = options
        elif session.local:
            session.processes.settle(options)
        session.makes_libraries |= not session.local and options.instantiations == "build" and session.may_compile()
        if session.local and options.warm:
            session.processes.warm(options)
            if not ahead:
                session.processes.preload()
    return session


def bring_up(session: Session, options: Options) -> None:
    """Start what runs on this machine need and is not up: what an attempt has lost, what waited for something to run."""
    if session.local and options.warm:
        with _sessions_lock:
            session.check_open()
            session.processes.warm(options)
            session.processes.preload()


def anticipate() -> None:
    """If this program has made one executor, and that one on localhost, start its ROOT process now."""
    made = [item for item in gc.get_objects() if issubclass(type(item), lithops.FunctionExecutor)]
    if len(made) == 1 and made[0].mode == LOCALHOST:
        with contextlib.suppress(TypeError, PlanError):  # met again, and told, by the constructor
            session_for(made[0], options_of(made[0], None), ahead=True)
