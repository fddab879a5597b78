"""Lithops' jobs that are ours: which they are, how they are stopped, and the deletion of all that they leave."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

from lithops.constants import JOBS_DIR, JOBS_PREFIX, LITHOPS_TEMP_DIR, LOCALHOST, LOGS_DIR

from ..errors import RunError
from . import complaints
from .localhost import LocalJobs
from .objects import Objects, objects_of

__all__ = ["Jobs"]

logger = logging.getLogger(__name__)

MOMENT_S, STUCK_S = 1.0, 20.0  # of somebody else's submission, until it is hurried, and until it is not waited for
SWEEP_AGAIN_S = 1.0


class Jobs:
    """The jobs of one executor. ``lock`` is the one under which jobs are numbered and submitted.

    ``executor`` is a proxy, which may be dead when the jobs ``end``; ``storage`` is Lithops' Storage, ``local`` whether
    calls run on this machine. Keys are Lithops' names of jobs (``<executor_id>-M007``).
    """

    def __init__(self, executor: Any, executor_id: str, storage: Any, local: bool, lock: threading.RLock) -> None:
        self._executor, self._executor_id = executor, executor_id
        self._storage, self._local, self._lock = storage, local, lock
        self.closed = False
        self._is_stuck = False  # whether a submission did not come back
        self._objects: Objects | None = None
        self._forgotten: list[str] = []  # what is left of them goes with the next sweep
        self._open: set[str] = set()  # recorded and not forgotten
        self._cancelled: set[str] = set()
        self._undeleted: set[str] = set()  # forgotten while the storage did not answer
        self._functions: set[str] = set()  # of our functions, which lie in the storage until the end
        self.executor_record: str | None = None  # which goes after them
        self._releasing: list[threading.Thread] = []
        self._kept: set[str] = set()  # forgotten, but what their calls have written is there until the run is delivered

    @property
    def objects(self) -> Objects:
        """The objects of Lithops' storage."""
        self._objects = self._objects or objects_of(self._storage)
        return self._objects

    def open(self, keys: list[str]) -> None:
        """Jobs that are about to be submitted."""
        self._open.update(keys)

    def discard(self, key: str) -> None:
        """A job that was never submitted."""
        self._open.discard(key)

    def note_function(self, key: str) -> None:
        """A function of ours that Lithops has stored."""
        self._functions.add(key)

    def stop(self, keys: set[str], error: BaseException) -> None:
        """Stop what still runs of these jobs, where the backend can."""
        self._cancelled |= keys
        complaints.expect(keys)
        self._executor.compute_handler.clear(keys, exception=error)

    def stop_again(self, key: str) -> None:
        """Stop a job that was submitted although it had been stopped meanwhile."""
        if key in self._cancelled:
            self._executor.compute_handler.clear({key})

    def check_free(self) -> None:  # decision 341
        """Raises RunError while a submission that was given up waits in the back end still: no other gets past it."""
        if not self._is_stuck:
            return
        if not self._lock.acquire(timeout=MOMENT_S):
            what = "an earlier submission of this executor, which was given up, waits in the back end still"
            raise RunError(what, next_command="create a new FunctionExecutor, once what it waits for is there")
        self._is_stuck = False
        self._lock.release()

    def forget(self, futures: list[Any], keys: set[str], kept: Collection[str] = ()) -> None:
        """Take finished jobs out of the executor's books and delete their objects; of those in ``kept``, when they are
        released."""
        executor = self._executor
        complaints.expect(keys)
        executor.job_monitor.remove(futures)
        with self._unless_stuck():
            ours = set(map(id, futures))
            executor.futures[:] = [future for future in executor.futures if id(future) not in ours]
            self._forgotten += sorted(keys)
            self._open -= keys
        if hasattr(executor.invoker, "discard_pending"):  # the places that they hold among max_workers, if any, are free
            executor.invoker.discard_pending(sorted(keys), {future.job_id for future in futures})
        self._kept |= keys & set(kept)
        for key in sorted(keys - self._kept):
            self._try_to_delete(key)
        if self._local and self._cancelled & keys:
            later = threading.Timer(SWEEP_AGAIN_S, self.sweep)  # a process that is being killed may write still
            later.daemon = True
            later.start()

    def release(self, keys: Collection[str], many: bool = False) -> None:
        """Nobody takes up what the calls of these jobs have done: their objects are deleted, too. Of ``many`` calls beside
        what goes on, where they lie in a store: nobody waits for an answer that is there."""
        released = sorted(self._kept & set(keys))
        self._kept.difference_update(released)
        if not many or self._storage.backend == LOCALHOST:
            self._delete_each(released)
        elif released:
            beside = threading.Thread(target=self._delete_each, args=(released,), name="rdf_lithops-release", daemon=True)
            self._releasing.append(beside)
            beside.start()

    def _delete_each(self, keys: list[str]) -> None:
        for key in keys:
            self._try_to_delete(key)

    def _try_to_delete(self, key: str) -> None:
        """Delete what a job has left; later, if the storage does not answer: that must not cost the run its result."""
        try:
            self._delete_job(key)
            self._undeleted.discard(key)
        except Exception as problem:  # of the storage's own kind
            self._undeleted.add(key)
            logger.debug("what %s has left is deleted later: %r", key, problem)

    def withdraw(self, keys: set[str], error: BaseException | None = None) -> None:
        """Stop and forget jobs of which nobody has the futures, as their submission failed or was interrupted in the middle.

        Those that are forgotten already are left alone. ``error``: None at the end of their run.
        """
        keys = keys & self._open
        if not keys:
            return
        why = error or RunError("the run is over")
        try:
            with self._unless_stuck(lambda: self.stop(keys, why)):  # not while they are being submitted
                futures = [future for future in self._executor.futures if future.job_key in keys]
            self.stop(keys, why)
            self.forget(futures, keys)
        except Exception as problem:  # a storage that does not answer is what failed the submission, perhaps
            logger.warning("what was submitted of %s could not be taken back: %r", sorted(keys), problem)

    def sweep(self) -> None:
        """Remove what Lithops' local workers write after their call's result is out: markers, logs and per-job folders."""
        with self._unless_stuck():
            for key in self._forgotten:
                shutil.rmtree(os.path.join(JOBS_DIR, key), ignore_errors=True)
                for path in (os.path.join(JOBS_DIR, f"{key}.done"), os.path.join(LOGS_DIR, f"{key}.log")):
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                self.delete_job_file(key)
            self._forgotten.clear()
            # their processes were killed while they wrote, or could not be stopped; other threads add to them
            for key in tuple(self._cancelled - self._kept) if self._local or self.closed else ():
                self._try_to_delete(key)
            if self.closed:
                self._cancelled.clear()

    @contextlib.contextmanager
    def _unless_stuck(self, hurry: Callable[[], None] | None = None) -> Iterator[None]:  # decision 291
        """Under the lock, once nobody submits; ``hurry`` is called where somebody still does after a moment. In the end
        without it: a submission may wait for something that never comes."""
        taken = self._lock.acquire(timeout=MOMENT_S)
        if not taken and not self._is_stuck:
            if hurry is not None:
                hurry()
            taken = self._lock.acquire(timeout=STUCK_S)
        self._is_stuck = not taken
        try:
            yield
        finally:
            if taken:
                self._lock.release()

    def end(self) -> None:
        """Delete what is left of all of them, our functions too; what the storage refuses is told, and ``gc`` finds it."""
        self.closed = True
        complaints.expect(self._open)
        for beside in self._releasing:
            beside.join(STUCK_S)
        kept = functools.partial(self.release, tuple(self._kept))
        for delete in (kept, self.sweep, self._delete_undeleted, self._delete_functions):
            try:
                delete()
            except Exception as problem:  # of the storage's own kind: an end must end
                why = str(problem).partition("\n")[0]
                logger.warning("objects of this executor stay in the storage (%s): rdf-lithops gc removes them", why)

    def _delete_undeleted(self) -> None:
        for key in sorted(self._undeleted):
            self._delete_job(key)
        self._undeleted.clear()

    def delete_below(self, prefix: str) -> None:
        """Delete all objects of a folder of Lithops' storage; on localhost they are files, and the folder goes with them."""
        storage = self._storage
        if self._local and storage.backend == LOCALHOST:
            shutil.rmtree(os.path.join(LITHOPS_TEMP_DIR, storage.bucket, prefix), ignore_errors=True)
            return
        self.objects.delete_below(prefix)
        if self._local:  # workers of this machine keep their logs there whatever the storage is
            shutil.rmtree(os.path.join(LITHOPS_TEMP_DIR, storage.bucket, prefix), ignore_errors=True)

    def delete_job_file(self, key: str) -> None:
        """What localhost version 1 hands a job's process, which deletes it unless killed, and fails where it is gone."""
        if not self._local:
            return
        if self.closed or key in self._cancelled or LocalJobs(self._executor.compute_handler).has_ended(key):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(LITHOPS_TEMP_DIR, self._storage.bucket, JOBS_PREFIX, f"{key}-job.json"))

    def _delete_job(self, key: str) -> None:
        self.delete_below(f"{JOBS_PREFIX}/{key}")
        self.delete_job_file(key)

    def _delete_functions(self) -> None:
        keys, self._functions = sorted(self._functions), set()
        if self.executor_record is not None:
            keys.append(self.executor_record)
            self.executor_record = None
        if keys:
            self._storage.delete_objects(self._storage.bucket, keys)
        if self._storage.backend == LOCALHOST:
            with contextlib.suppress(OSError):  # there are the user's own functions, too
                folder = os.path.join(LITHOPS_TEMP_DIR, self._storage.bucket, JOBS_PREFIX)
                os.rmdir(os.path.join(folder, self._executor_id))
