"""Where ``map_reduce`` waits between maps and reducer: a reducer that waits would be billed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import RunError
from ..run import interrupts
from .session import Session

__all__ = ["Gate", "submitting"]


@contextlib.contextmanager
def submitting(session: Session) -> Iterator[None]:
    """While this lasts, what this thread has Lithops run is ours."""
    session.gates.submitting = True
    try:
        yield
    finally:
        session.gates.submitting = False


class Gate:
    """Where a ``map_reduce`` in a thread of its own waits, after the maps, until its reducer is wanted; or is abandoned."""

    def __init__(self, session: Session, before: Callable[[], None]) -> None:
        """``before`` is called under the session's lock, just before anything is submitted."""
        self._session, self._before = session, before
        self._maps: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        self._wanted = threading.Event()
        self._handed: list[Any] | None = None
        self._abandoned = False
        self.futures: list[Any] | None = None
        self.error: Exception | None = None

    def start(
        self, map_reduce: Callable[[], list[Any]], limits_s: Mapping[str, float], check: Callable[[], None]
    ) -> list[Any]:  # decision 291
        """The futures of the maps, once they are submitted. Raises RunError after the least of ``limits_s``, by the names of
        options, and what ``check`` raises: a back end may wait for something without end."""
        threading.Thread(target=self._run, args=(map_reduce,), name="rdf_lithops map_reduce", daemon=True).start()
        began_s = time.monotonic()
        try:
            while not concurrent.futures.wait([self._maps], interrupts.POLL_S).done:
                interrupts.check()
                check()
                self._check_limits(limits_s, began_s)
            return self._maps.result()
        except BaseException:  # interrupted, perhaps: nobody will open it
            self.abandon()
            raise

    def _check_limits(self, limits_s: Mapping[str, float], began_s: float) -> None:
        for name, limit_s in limits_s.items():
            if time.monotonic() - began_s > limit_s:
                raise RunError(
                    f"the calls were not submitted within {limit_s:g} s: the back end waits for something",
                    next_command=f"see what it waits for (kubectl get pods, rdf-lithops check), or raise options.{name}",
                )

    def _run(self, map_reduce: Callable[[], list[Any]]) -> None:
        self._session.gates.current = self
        try:
            with self._session.lock, submitting(self._session):
                if self._abandoned:
                    raise _Abandoned
                self._before()
                self.futures = map_reduce()
        except _Abandoned:
            pass  # the attempt is over without a reducer, and whoever ended it knows why
        except Exception as error:
            self.error = error
            if not self._maps.done():
                self._maps.set_exception(error)

    def wait_here(self, maps: list[Any]) -> None:
        """Stands in for the executor's ``wait`` inside ``map_reduce``, which hands ``maps`` to the reducer afterwards."""
        self._session.lock.release()
        try:
            self._maps.set_result(list(maps))
            self._wanted.wait()
        finally:
            self._session.lock.acquire()
        if self._abandoned:
            raise _Abandoned
        if self._handed is not None:
            maps[:] = self._handed

    def open(self, handed: Sequence[Any]) -> None:
        """Have the reducer submitted, which is ``handed`` these futures."""
        if not self._wanted.is_set():
            self._handed = list(handed)
            self._wanted.set()

    def abandon(self) -> None:
        """Have ``map_reduce`` end without a reducer."""
        self._abandoned = True
        self._wanted.set()


class _Abandoned(Exception):  # a signal that leaves map_reduce, not an error
    """Nobody wants the reducer any more."""
