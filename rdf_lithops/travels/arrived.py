"""What a reducer is handed in the place of Lithops' futures: the partials themselves, where the driver has read them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["HANDED_BYTES", "Arrived"]

HANDED_BYTES = 8 * 2**10  # of a partial at most, and it is handed on: as many as Lithops puts into the status of a call


@dataclass(frozen=True)
class Arrived:
    """What Lithops takes for the future of a call that is done, so that it asks the storage nothing."""

    executor_id: str
    packed: bytes = field(repr=False)
    done: bool = True
    futures: bool = False  # Lithops' question whether the call has returned futures

    def result(self) -> bytes:
        """The packed envelope."""
        return self.packed

    def _set_mapreduce(self) -> None:
        """Lithops tells its futures that they are a reducer's: nothing follows here."""
