"""What a reducer is handed in the place of Lithops' futures: the partials themselves, where the driver has read them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["HANDED_BYTES", "Arrived"]

HANDED_BYTES = 8 * 2**10  # of a partial at most, and it is handed on: as many as Lithops puts into the status of a call


@dataclass(frozen=True)
class Arrived:
    """What Lithops takes for the future of a call that is done, so that it asks the storage nothing.

    It has what Lithops asks of each of a list of futures, among which others are still to be fetched: those come first, as
    the first one tells where the storage is. ``call_id`` is its own among those of the job.
    """

    executor_id: str
    job_id: str
    call_id: str
    packed: bytes = field(repr=False)
    done: bool = True
    success: bool = True
    ready: bool = False
    running: bool = False
    invoked: bool = False
    futures: bool = False  # Lithops' question whether the call has returned futures
    execution_timeout: None = None

    def result(self) -> bytes:
        """The packed envelope."""
        return self.packed

    def _set_mapreduce(self) -> None:
        """Lithops tells its futures that they are a reducer's: nothing follows here."""
